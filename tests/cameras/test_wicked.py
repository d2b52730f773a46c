"""What is no camera does not open, and takes no longer than it is allowed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.cameras.looking import looking
from tests.cameras.wicked import garbage, rude, silent, talking_nonsense


@pytest.mark.parametrize("kind", [silent, garbage, rude, talking_nonsense])
@pytest.mark.parametrize("url", ["rtsp://127.0.0.1:{port}/x", "http://127.0.0.1:{port}/x.mjpg"])
def test_it_does_not_open(kind: Callable[[], AbstractContextManager[int]], url: str) -> None:
    start = time.monotonic()
    with kind() as port, looking(url.format(port=port), open_s=4, read_s=1.5) as look:
        assert not look.opened
    assert time.monotonic() - start < 30
