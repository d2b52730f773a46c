import contextlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from worker_builders import Bench


@pytest.fixture
def bench(tmp_path):
    """Makes a `Bench`, closed at the end."""
    with contextlib.ExitStack() as stack:

        def making(**options) -> Bench:
            made = Bench(tmp_path, **options)
            stack.callback(made.close)
            return made

        yield making
