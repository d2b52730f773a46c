import os
import sys
from pathlib import Path

import pytest

_HERE = str(Path(__file__).parent)
sys.path.insert(0, _HERE)


@pytest.fixture(autouse=True)
def _children_find_their_module(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([_HERE, os.environ.get("PYTHONPATH", "")]))
