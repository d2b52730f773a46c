import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from engine_builders import Frames


@pytest.fixture
def frames(request):
    made = Frames(str(abs(hash(request.node.nodeid))))
    yield made
    made.segment.close()
