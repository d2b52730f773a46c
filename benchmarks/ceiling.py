"""The ceiling of this machine: ONNX Runtime alone, on frames that lie ready."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.plain import Frame, open_session

_TRIES, _TRIED = 3, 120
"""How often each choice is tried, and on how many frames."""


@dataclass(frozen=True)
class Rate:
    """Frames a second, and processor seconds a frame."""

    fps: float
    cpu_s: float


def cores() -> int:
    """Those this process may use."""
    return len(os.sched_getaffinity(0))


def run(model: Path, frames: Sequence[Frame], sessions: int, threads: int) -> Rate:
    """So many sessions of so many threads share the frames, each uint8 [1, height, width, 3], one at a time."""
    runners = [open_session(model, threads, spinning=False) for _ in range(sessions)]
    outputs = [output.name for output in runners[0].get_outputs()]

    def work(runner: Any, part: Sequence[Frame]) -> None:
        for frame in part:
            runner.run(outputs, {"frames": frame})

    for runner in runners:
        work(runner, frames[:3])
    crew = [threading.Thread(target=work, args=(runner, frames[n::sessions])) for n, runner in enumerate(runners)]
    start, cpu = time.perf_counter(), time.process_time()
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    return Rate(len(frames) / (time.perf_counter() - start), (time.process_time() - cpu) / len(frames))


def best(model: Path, frames: Sequence[Frame]) -> tuple[int, int]:
    """Sessions × threads that are fastest here, of all that the cores allow."""
    pairs = [(s, t) for s, t in itertools.product(range(1, cores() + 1), repeat=2) if s * t <= cores()]
    quickest = dict.fromkeys(pairs, 0.0)  # what else the machine does only makes them slower
    for _ in range(_TRIES):
        for pair, fps in quickest.items():
            quickest[pair] = max(fps, run(model, frames[:_TRIED], *pair).fps)
    return max(quickest, key=quickest.__getitem__)
