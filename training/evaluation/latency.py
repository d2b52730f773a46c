"""How long an answer takes."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.evaluation.predictor import Predictor

_WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds for one sample asked alone; ONNX Runtime has one thread.

    Attributes:
        runtime: what computed.
        runs: how many were measured.
        per_frame_ms: of a model that answers after every frame: the median for one of them.
    """

    runtime: str
    runs: int
    median_ms: float
    p95_ms: float
    per_frame_ms: float | None


def measure_latency(predictor: Predictor, frames: npt.NDArray[np.uint8], *, seconds: float = 2.0) -> Latency:
    """Ask again and again, for some seconds, after a warm-up.

    Args:
        frames: uint8 [1, T, H, W, C].
    """
    for _ in range(_WARM_UP):
        predictor.predict(frames)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while not taken or time.perf_counter() < end:
        start = time.perf_counter()
        predictor.predict(frames)
        taken.append((time.perf_counter() - start) * 1000)
    median, p95 = np.quantile(taken, [0.5, 0.95])
    per_frame = float(median) / frames.shape[1] if predictor.streams else None
    return Latency(predictor.runtime, len(taken), float(median), float(p95), per_frame)
