import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from model_export import check

# Builders that several test modules of this folder share.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))


@pytest.fixture(autouse=True, scope="session")
def _pictures_are_drawn_once() -> Iterator[None]:
    """Each import tries a model on the same pictures, and to draw them takes longer than all else of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "draw", functools.cache(check.draw))
        yield
