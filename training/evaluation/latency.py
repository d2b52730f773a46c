"""How long an answer takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_export.timing import in_turns
from training.evaluation.predictor import Predictor


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
    (taken,) = in_turns([lambda: predictor.predict(frames)], seconds, least=1)
    median, p95 = np.quantile(taken, [0.5, 0.95])
    per_frame = float(median) / frames.shape[1] if predictor.streams else None
    return Latency(predictor.runtime, len(taken), float(median), float(p95), per_frame)
