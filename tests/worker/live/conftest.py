import contextlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from live_builders import Camera, LiveBench


@pytest.fixture
def bench(tmp_path):
    """Makes a `LiveBench` for a camera, or for what opens one; closed at the end."""
    with contextlib.ExitStack() as stack:

        def making(camera, **options) -> LiveBench:
            open_live = camera.open if isinstance(camera, Camera) else camera
            made = LiveBench(tmp_path, open_live, **options)
            stack.callback(made.close)
            return made

        yield making
