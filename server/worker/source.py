"""Where frames come from: the seam between a pipeline and a file (or, one day, a camera)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from model_export.errors import VideoError
from server.core.calls import Call, CallRow

Frame = npt.NDArray[np.uint8]


class Source(Protocol):
    """Frames in order. `grab` moves on without the cost of a picture, `retrieve` makes the picture.

    Attributes:
        index: of the grabbed frame, from 0.
        pts_s: media time of the grabbed frame in seconds, rising.
        duration_s: of the whole, None where unknown.
        truncated: the source ended before its container said so.
        exceeded: the limit at which it ended, None where it did not.
    """

    @property
    def index(self) -> int: ...
    @property
    def pts_s(self) -> float: ...
    @property
    def duration_s(self) -> float | None: ...
    @property
    def truncated(self) -> bool: ...
    @property
    def exceeded(self) -> VideoError | None: ...

    def grab(self) -> bool:
        """Move to the next frame; False at the end."""
        ...

    def retrieve(self, out: Frame | None = None) -> Frame | None:
        """The grabbed frame, uint8 [H, W, 3] BGR; None if it does not decode.

        Args:
            out: an earlier one that nobody needs any more; it may be written to and given back.
        """
        ...

    def close(self) -> Any: ...


OpenSource = Callable[[Path], Source]


class OpenLimited(Protocol):
    """Makes the source of a path, which raises a VideoError where it has more than so many pixels or seconds."""

    def __call__(self, path: Path, *, max_pixels: int | None, max_s: float | None) -> Source: ...


class Watched:
    """A source that says on the page of calls which of its calls it is in: a decoder may hang, or end the process.

    Args:
        open_source: makes the source of `path`.
        row: of the calling thread.
    """

    def __init__(self, open_source: OpenSource, path: Path, row: CallRow) -> None:
        self._row = row
        with row.inside(Call.OPEN):
            self._source = open_source(path)
        self.index = self._source.index
        self.pts_s = self._source.pts_s
        self.duration_s = self._source.duration_s

    @property
    def truncated(self) -> bool:
        return self._source.truncated

    @property
    def exceeded(self) -> VideoError | None:
        return self._source.exceeded

    def grab(self) -> bool:
        self._row.enter(Call.GRAB)
        try:
            more = self._source.grab()
        finally:
            self._row.leave()
        if more:
            self.index = self._source.index
            self.pts_s = self._source.pts_s
            self._row.reach(self.index)
        return more

    def retrieve(self, out: Frame | None = None) -> Frame | None:
        self._row.enter(Call.RETRIEVE)
        try:
            return self._source.retrieve(out)
        finally:
            self._row.leave()

    def close(self) -> None:
        with self._row.inside(Call.CLOSE):
            self._source.close()


def skip(source: Source, frames: int, cancelled: Event) -> None:
    """Move past the first `frames` frames, by decoding: seeking lands elsewhere in too many files."""
    for _ in range(frames):
        if cancelled.is_set() or not source.grab():
            return
