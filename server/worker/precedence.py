"""Frames of streams before those of jobs, in a worker as at the engine: its threads share one interpreter."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_PATIENCE_S = 0.05
_PAUSE_S = 0.002


class Waiting(Protocol):
    """Where a frame of a stream lies until its turn comes."""

    @property
    def waiting(self) -> bool:
        """Whether there is one."""
        ...


class Precedence:
    """What jobs give way to.

    Args:
        patience_s: for how long at most a job stands back before a frame; it shall be slow rather than stand still.
    """

    def __init__(self, patience_s: float = _PATIENCE_S) -> None:
        self._streams: tuple[Waiting, ...] = ()
        self._patience_s = patience_s

    @contextmanager
    def given(self, stream: Waiting) -> Iterator[None]:
        """Jobs give way to this stream meanwhile."""
        self._streams = (*self._streams, stream)
        try:
            yield
        finally:
            self._streams = tuple(one for one in self._streams if one is not stream)

    def give_way(self) -> None:
        """Return when no frame of a stream waits, or the patience is over."""
        if not self._streams:
            return
        until = time.monotonic() + self._patience_s
        while any(stream.waiting for stream in self._streams) and time.monotonic() < until:
            time.sleep(_PAUSE_S)
