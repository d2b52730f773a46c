"""Videos made for a test, good and bad."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

STREET_FRAMES = 120


def footage(path: Path, *, frames: int = 20, size_wh: tuple[int, int] = (64, 48), **options: str) -> Path:
    """A grey video of ten frames a second with a white square that crosses it; `options` for the file's muxer."""
    width, height = size_wh
    path.parent.mkdir(exist_ok=True)
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


def beginning(path: Path, video: Path, *, frames: int) -> Path:
    """The first frames of a video, packed anew."""
    with av.open(str(video)) as source, av.open(str(path), "w") as made:
        stream = made.add_stream_from_template(source.streams.video[0])
        for packet in itertools.islice(source.demux(video=0), frames):
            packet.stream = stream
            made.mux(packet)
    return path


def endless(path: Path, *, samples: int = 20_000_000) -> Path:
    """A file of a few kilobytes whose index says to hold that many frames: to open it takes FFmpeg about 70 bytes of
    memory for each, and seconds.
    """
    file = bytearray(footage(path).read_bytes())
    # MP4's tables of sizes, times and places: one entry that stands for all.
    for table, offset, value in (
        (b"stsz", 8, 1),
        (b"stsz", 12, samples),
        (b"stts", 12, samples),
        (b"stsc", 16, samples),
    ):
        place = file.index(table) + offset
        file[place : place + 4] = value.to_bytes(4, "big")
    path.write_bytes(file)
    return path
