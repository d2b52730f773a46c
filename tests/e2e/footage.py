"""Videos made for a test."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def footage(path: Path, *, frames: int = 20, size_wh: tuple[int, int] = (64, 48), **options: str) -> Path:
    """A grey video of ten frames a second with a white square that crosses it; `options` for the file's muxer."""
    width, height = size_wh
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            picture = np.full((height, width, 3), 90, np.uint8)
            left = number * 2 % (width - 12)
            picture[height // 2 - 6 : height // 2 + 6, left : left + 12] = 250
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        container.mux(stream.encode())
    return path
