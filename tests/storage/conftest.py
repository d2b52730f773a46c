import resource
from contextlib import contextmanager

import pytest


@contextmanager
def _files_of_at_most(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def files_of_at_most():
    """Within it no file of this process can grow beyond that size, as on a disk that is full."""
    return _files_of_at_most
