"""How tests of the cameras look at them: with plain OpenCV."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from tests.cameras.material import Picture


@dataclass(frozen=True)
class Seen:
    """A picture, its time in the stream, and the Unix seconds at which it came."""

    picture: Picture
    pts_s: float
    at: float


class Look:
    """An open source."""

    def __init__(self, url: str, transport: str, open_s: float, read_s: float) -> None:
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = f"rtsp_transport;{transport}|analyzeduration;500000"
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(1000 * open_s), cv2.CAP_PROP_READ_TIMEOUT_MSEC]
        limits += [int(1000 * read_s), cv2.CAP_PROP_N_THREADS, 1]
        self._capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
        del os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"]

    @property
    def opened(self) -> bool:
        return self._capture.isOpened()

    @property
    def codec(self) -> str:
        return int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode()

    def next(self) -> Seen | None:
        """The next picture; None if there is none."""
        there, picture = self._capture.read()
        if not there:
            return None
        return Seen(np.asarray(picture, np.uint8), self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, time.time())

    def take(self, count: int) -> list[Seen]:
        """As many pictures, or fewer if the source ends before."""
        found: list[Seen] = []
        while len(found) < count and (seen := self.next()) is not None:
            found.append(seen)
        return found

    def close(self) -> None:
        self._capture.release()


@contextlib.contextmanager
def looking(url: str, transport: str = "tcp", *, open_s: float = 30.0, read_s: float = 30.0) -> Iterator[Look]:
    """Look at a source; patiently, unless its silence is what matters.

    Args:
        open_s, read_s: how long opening and each read may take.
    """
    look = Look(url, transport, open_s, read_s)
    try:
        yield look
    finally:
        look.close()
