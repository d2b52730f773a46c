import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from worker_builders import Bench

from tests.benches import benches


@pytest.fixture
def bench(tmp_path):
    """Makes a `Bench`, closed at the end."""
    yield from benches(Bench, tmp_path)
