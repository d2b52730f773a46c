"""Counters of the hot path: arrays in a page of shared memory that the API process owns.

Each process writes its own region (one writer, no locks) and the page outlives it, so that nothing falls when a worker
is killed. A scrape adds the regions up. What the numbers mean is in `server.core.metrics`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from server.domain.event import EVENT_TYPES, EventType
from server.domain.outcome import OUTCOMES, Outcome

STAGES = ("decode", "fit", "queue", "infer", "analyse", "publish")
CLOSED = ("full", "timeout", "idle")
ERRORS = ("run_failed", "stale_frame", "output_too_large", "not_loaded")
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
AGE = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
BATCH = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)

STREAM_ROWS = 257
MODEL_ROWS = 64
JOBS_ROW = 0
"""All jobs count in one row of `frames_total`."""


def _histogram(buckets: Sequence[float]) -> int:
    return len(buckets) + 2  # a count for each bucket, one above the last, and the sum


_FRAMES = 0
_AGES = _FRAMES + STREAM_ROWS * len(OUTCOMES)
_EVENTS = _AGES + STREAM_ROWS * _histogram(AGE)
_STAGES = _EVENTS + len(EVENT_TYPES)
_STALE = _STAGES + len(STAGES) * _histogram(SECONDS)
_MODELS = _STALE + 1
_BATCH = 0
_CLOSED = _BATCH + _histogram(BATCH)
_INFERENCE = _CLOSED + len(CLOSED)
_ERRORS = _INFERENCE + _histogram(SECONDS)
_DEPTH = _ERRORS + len(ERRORS)
_MODEL = _DEPTH + 1
_REGION = _MODELS + MODEL_ROWS * _MODEL

_OUTCOME_AT = {outcome: index for index, outcome in enumerate(OUTCOMES)}
_EVENT_AT = {kind: index for index, kind in enumerate(EVENT_TYPES)}
_STAGE_AT = {stage: _STAGES + index * _histogram(SECONDS) for index, stage in enumerate(STAGES)}
_CLOSED_AT = {reason: index for index, reason in enumerate(CLOSED)}
_ERROR_AT = {reason: index for index, reason in enumerate(ERRORS)}


class Page:
    """The whole page, over a buffer of `Page.bytes_for(writers)` bytes that begin as zeros."""

    def __init__(self, buffer: Any, writers: int) -> None:
        self._regions: npt.NDArray[np.float64] = np.frombuffer(buffer, np.float64, writers * _REGION).reshape(
            writers, _REGION
        )

    @staticmethod
    def bytes_for(writers: int) -> int:
        return math.ceil(writers * _REGION * 8 / 4096) * 4096

    def recorder(self, writer: int) -> Recorder:
        """The region of one process."""
        return Recorder(self._regions[writer])

    def forget_model(self, row: int) -> None:
        """Zero a model's row, before another one takes it."""
        start = _MODELS + row * _MODEL
        self._regions[:, start : start + _MODEL] = 0.0

    def forget_stream(self, row: int) -> None:
        """Zero a stream's row, before another one takes it."""
        for start, words in ((_FRAMES, len(OUTCOMES)), (_AGES, _histogram(AGE))):
            self._regions[:, start + row * words : start + (row + 1) * words] = 0.0

    def result_age(self, row: int) -> Histogram:
        """Seconds from capture to publishing, of a stream's row."""
        size = _histogram(AGE)
        return Histogram(AGE, self._sum(_AGES + row * size, size))

    def frames(self, row: int) -> dict[Outcome, float]:
        """Frames of a stream's row by outcome."""
        start = _FRAMES + row * len(OUTCOMES)
        return dict(zip(OUTCOMES, self._sum(start, len(OUTCOMES)), strict=True))

    def events(self) -> dict[EventType, float]:
        return dict(zip(EVENT_TYPES, self._sum(_EVENTS, len(EVENT_TYPES)), strict=True))

    def stage(self, stage: str) -> Histogram:
        return Histogram(SECONDS, self._sum(_STAGE_AT[stage], _histogram(SECONDS)))

    def stale(self) -> float:
        """Messages dropped because their sender had been given up."""
        return self._sum(_STALE, 1)[0]

    def batch_size(self, row: int) -> Histogram:
        return Histogram(BATCH, self._sum(self._model(row, _BATCH), _histogram(BATCH)))

    def batch_closed(self, row: int) -> dict[str, float]:
        return dict(zip(CLOSED, self._sum(self._model(row, _CLOSED), len(CLOSED)), strict=True))

    def inference(self, row: int) -> Histogram:
        return Histogram(SECONDS, self._sum(self._model(row, _INFERENCE), _histogram(SECONDS)))

    def inference_errors(self, row: int) -> dict[str, float]:
        return dict(zip(ERRORS, self._sum(self._model(row, _ERRORS), len(ERRORS)), strict=True))

    def queue_depth(self, row: int) -> float:
        return self._sum(self._model(row, _DEPTH), 1)[0]

    def _model(self, row: int, field: int) -> int:
        return _MODELS + row * _MODEL + field

    def _sum(self, start: int, count: int) -> list[float]:
        total: list[float] = self._regions[:, start : start + count].sum(axis=0).tolist()
        return total


class Histogram:
    """Counts by bucket, as read off the page.

    Attributes:
        cumulative: (upper bound, count of all up to it), the last bound infinite.
        sum: of what was observed.
    """

    def __init__(self, buckets: Sequence[float], words: Sequence[float]) -> None:
        self.cumulative: list[tuple[float, float]] = []
        total = 0.0
        for bound, count in zip((*buckets, math.inf), words[:-1], strict=True):
            total += count
            self.cumulative.append((bound, total))
        self.sum = words[-1]


class Recorder:
    """One process's region. Its methods cost about a microsecond and never fail."""

    def __init__(self, region: npt.NDArray[np.float64]) -> None:
        # A word of a memoryview is read and written in a third of the time that NumPy takes.
        self._words: Any = region.data

    def frames(self, row: int, outcome: Outcome, count: int = 1) -> None:
        """Count frames that ended in `outcome`."""
        self._words[_FRAMES + row * len(OUTCOMES) + _OUTCOME_AT[outcome]] += count

    def result_age(self, row: int, seconds: float) -> None:
        """A result of a stream was published so long after its frame was captured."""
        self._observe(_AGES + row * _histogram(AGE), AGE, seconds)

    def event(self, kind: EventType) -> None:
        self._words[_EVENTS + _EVENT_AT[kind]] += 1

    def stage(self, stage: str, seconds: float) -> None:
        """One of `STAGES` took so long for a frame."""
        self._observe(_STAGE_AT[stage], SECONDS, seconds)

    def stale(self) -> None:
        """A message was dropped because its sender has been given up."""
        self._words[_STALE] += 1

    def batch(self, row: int, size: int, closed: str) -> None:
        """A batch of `size` frames ran; `closed` is one of `CLOSED`."""
        start = _MODELS + row * _MODEL
        self._observe(start + _BATCH, BATCH, size)
        self._words[start + _CLOSED + _CLOSED_AT[closed]] += 1

    def inference(self, row: int, seconds: float) -> None:
        """A run took so long."""
        self._observe(_MODELS + row * _MODEL + _INFERENCE, SECONDS, seconds)

    def inference_error(self, row: int, reason: str) -> None:
        """A request failed; `reason` is one of `ERRORS`."""
        self._words[_MODELS + row * _MODEL + _ERRORS + _ERROR_AT[reason]] += 1

    def queue_depth(self, row: int, depth: int) -> None:
        """So many requests wait."""
        self._words[_MODELS + row * _MODEL + _DEPTH] = depth

    def _observe(self, start: int, buckets: Sequence[float], value: float) -> None:
        self._words[start + bisect_left(buckets, value)] += 1
        self._words[start + len(buckets) + 1] += value
