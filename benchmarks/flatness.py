"""Whether memory stays as it is: over a video with large frames, and over a long one."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from benchmarks.footage import count, repeated
from benchmarks.serving import Server, serving
from benchmarks.stage import MODEL, Stage
from benchmarks.table import Row, at_most

FLAT = 1.03
"""How much more the last quarter of a job may take than the first: what noise there is, and no more."""
_EVERY_S = 0.25

Sample = dict[str, float]
"""MB of each process at one moment."""


def rows(stage: Stage) -> Iterator[Row]:
    """Memory over a job with large frames, and over a long one."""
    with tempfile.TemporaryDirectory() as folder:
        long = Path(folder) / f"long{stage.video.suffix}"
        repeated(stage.video, -(-stage.long_frames // count(stage.video)), long)
        videos = [(f"{count(long)} frames", long)]
        if stage.large is not None:
            videos.insert(0, (stage.large.name, stage.large))
        with serving(stage.data, engine__models=MODEL) as server:
            server.run([stage.video] * 4, {"model": MODEL})
            for what, video in videos:
                if video is not long:
                    server.run([video], {"model": MODEL})  # larger frames than before take more memory once
                samples = _watched(server, video)
                first, last = quarters(samples)
                yield at_most(
                    f"memory over {what}, last quarter against first",
                    last / first,
                    FLAT,
                    unit="×",
                    note=f"{first:.0f} → {last:.0f} MB, {_growth(samples)}",
                )


def quarters(samples: Sequence[Sample]) -> tuple[float, float]:
    """MB of all processes in the first and the last quarter of the samples; medians."""
    sums = [sum(sample.values()) for sample in samples]
    quarter = max(1, len(sums) // 4)
    return median(sums[:quarter]), median(sums[-quarter:])


def _watched(server: Server, video: Path) -> list[Sample]:
    """Memory again and again while a video is analysed."""
    samples: list[Sample] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY_S):
            samples.append(server.memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        server.run([video], {"model": MODEL})
    finally:
        over.set()
        watcher.join()
    return samples


def _growth(samples: Sequence[Sample]) -> str:
    """What each process came to, from the first sample to the last."""
    return ", ".join(f"{name} {samples[0][name]:.0f} → {samples[-1][name]:.0f}" for name in samples[0])
