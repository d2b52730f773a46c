"""A recurrent model through the engine: a frame costs the same however many came before it, and rows of state that
share a batch give the same numbers as one by one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from statistics import median

import numpy as np

from benchmarks import gru
from benchmarks.engine import Streams, running
from benchmarks.plain import Frame
from benchmarks.stage import Stage
from benchmarks.table import Row, at_most, spread, told
from model_export.bundle import Bundle

FRAMES = 10_000
AROUND = 100
"""A frame's cost is the median of so many: those around the 100th, and those up to the 10,000th."""
SAME = 1.1
STREAMS, STEPS = 64, 40


def rows(stage: Stage) -> Iterator[Row]:
    bundle = gru.write(stage.data / "recurrent")
    frames = np.random.default_rng(0).integers(0, 256, (STREAMS, gru.SIDE, gru.SIDE, 3), np.uint8)
    early, late = _long(bundle, frames, stage.runs)
    ratio = median(last / first for first, last in zip(early, late, strict=True))
    note = f"{spread(early, 'µs', digits=0)} → {spread(late, 'µs', digits=0)}, from asking to the answer"
    yield at_most("a GRU's 10,000th frame against its 100th", ratio, SAME, note, unit="×")
    apart, apart_s, _ = _side_by_side(bundle, frames, stage.runs, max_batch=1)
    together, together_s, size = _side_by_side(bundle, frames, stage.runs, max_batch=STREAMS)
    same = apart == together
    yield Row(
        f"{STREAMS} rows of state in batches against one by one",
        "the same numbers",
        "the same numbers" if same else "other numbers",
        same,
        f"bit for bit, {STEPS} frames of each, {size:.0f} rows a batch",
    )
    yield told(
        "… frames a second", f"{apart_s / together_s:.2f}×", f"{1 / apart_s:.0f} → {1 / together_s:.0f} frames/s"
    )


def _long(bundle: Bundle, frames: Frame, runs: int) -> tuple[list[float], list[float]]:
    """Microseconds of a frame near the beginning of a stream and after thousands, of each run."""
    early, late = [], []
    with running(bundle) as engine, closing(Streams(engine, bundle)) as streams:
        for run in range(runs):
            trips = []
            for seq in range(FRAMES):
                start = time.perf_counter()
                streams.step(seq, {f"alone-{run}": frames[seq % STREAMS]})
                trips.append((time.perf_counter() - start) * 1e6)
            early.append(median(trips[AROUND // 2 : AROUND // 2 + AROUND]))
            late.append(median(trips[-AROUND:]))
    return early, late


def _side_by_side(
    bundle: Bundle, frames: Frame, runs: int, *, max_batch: int
) -> tuple[list[dict[str, bytes]], float, float]:
    """What all streams are told at each step of the first run, the median seconds a frame, and rows a batch."""
    told: list[dict[str, bytes]] = []
    seconds = []
    with running(bundle, max_batch=max_batch) as engine, closing(Streams(engine, bundle)) as streams:
        for run in range(runs):
            start = time.perf_counter()
            for seq in range(STEPS):
                # Every stream sees the frames in an order of its own.
                shown = {f"{run}-{stream}": frames[(stream + seq) % STREAMS] for stream in range(STREAMS)}
                outputs = streams.step(seq, shown)
                if run == 0:
                    told.append(outputs)
            seconds.append((time.perf_counter() - start) / STEPS / STREAMS)
        return told, median(seconds), streams.rows / streams.answers
