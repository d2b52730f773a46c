"""Where frames come from: the seam between a pipeline and a file (or, one day, a camera)."""

from __future__ import annotations

from threading import Event
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from model_export.errors import VideoError

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


def skip(source: Source, frames: int, cancelled: Event) -> None:
    """Move past the first `frames` frames, by decoding: seeking lands elsewhere in too many files."""
    for _ in range(frames):
        if cancelled.is_set() or not source.grab():
            return
