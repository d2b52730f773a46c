"""Videos, decoded as a worker does: in one thread."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import av
import numpy as np

from benchmarks.plain import Frame
from model_export.geometry import fit
from model_export.manifest import Manifest
from model_export.video import open_video


def fitted(video: Path, manifest: Manifest) -> list[Frame]:
    """Every frame as a model takes it, each uint8 [1, height, width, 3]."""
    takes = manifest.input
    assert takes is not None
    frames = []
    with closing(open_video(video)) as source:
        while source.grab():
            frame = source.retrieve()
            if frame is not None:
                frames.append(np.ascontiguousarray(fit(frame, takes)[None]))
    return frames


def decoding_cpu_s(video: Path) -> float:
    """Processor seconds a frame of decoding alone."""
    start, frames = time.process_time(), 0
    picture: Frame | None = None
    with closing(open_video(video)) as source:
        while source.grab():
            picture = source.retrieve(picture)
            frames += 1
    return (time.process_time() - start) / frames


def repeated(video: Path, times: int, to: Path) -> None:
    """The same video again and again in one file, without decoding it."""
    with av.open(str(video)) as read, av.open(str(to), "w") as write:
        stream = read.streams.video[0]
        copy = write.add_stream_from_template(stream)
        packets = [(packet, packet.pts or 0, packet.dts) for packet in read.demux(stream) if packet.dts is not None]
        length = packets[-1][2] - packets[0][2] + (packets[-1][0].duration or 1)
        for turn in range(times):
            for packet, pts, dts in packets:
                packet.pts, packet.dts = pts + turn * length, dts + turn * length
                packet.stream = copy
                write.mux(packet)


def count(video: Path) -> int:
    """Its frames, without decoding them."""
    with av.open(str(video)) as read:
        return sum(packet.dts is not None for packet in read.demux(read.streams.video[0]))
