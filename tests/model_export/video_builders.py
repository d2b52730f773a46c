"""Small video files, and what they say when they are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from model_export.video import Video


def small_video(
    path: Path,
    *,
    frames: int = 12,
    codec: str = "mpeg4",
    size_wh: tuple[int, int] = (64, 48),
    options: dict[str, str] | None = None,
) -> Path:
    """A file whose frame n has the grey level 10 n (below 250, then from 0 again); `options` for its muxer."""
    with _priority_kept(), av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = *size_wh, "yuv420p"
        stream.bit_rate = 4_000_000
        for number in range(frames):
            grey = np.full((size_wh[1], size_wh[0], 3), 10 * number % 250, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, "bgr24")))
        container.mux(stream.encode())
    return path


def times_of(video: Video) -> list[float]:
    times = []
    while video.grab():
        times.append(video.pts_s)
    return times


@contextmanager
def _priority_kept() -> Iterator[None]:
    """SVT-AV1 gives root's threads that encode real-time priority, and their processes would have it from them."""
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    os.sched_setscheduler(0, policy, parameters)
