"""Warming a model up: every batch size that will run, once before anybody waits for it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from model_export.manifest import FrameInput, Manifest
from server.engine.session import Session
from server.engine.sessions import Sessions
from server.engine.state import StateRows

_log = logging.getLogger(__name__)

Array = npt.NDArray[Any]
Clock = Callable[[], float]
Takes = FrameInput | Mapping[str, Array]
"""What is fed: noise for frames; of other inputs a row of each, again and again."""

GAIN = 0.9
"""A larger batch may take at most this share of the seconds a frame, or it is not worth its wait."""
_TRIES, _TRY_S = 3, 0.5


class Warm(NamedTuple):
    """What a model was found to be like.

    Attributes:
        sizes: batch sizes that are worth running.
        run_s: seconds of a run of the smallest, alone.
    """

    sizes: tuple[int, ...]
    run_s: float


def warm_up(
    sizes: Sequence[int],
    manifest: Manifest,
    takes: Takes,
    sessions: Sessions,
    clock: Clock = time.perf_counter,
) -> Warm:
    """Run every size in every session that will run it."""
    for size in sorted(sizes, reverse=True):
        inputs = noise(size, manifest, takes)
        for session in sessions.running(size):
            session.run(inputs)
    _, run_s = _quickest(sessions.running(size)[:1], inputs, clock)
    return Warm(tuple(sizes), run_s)


def worthwhile(
    sizes: Sequence[int],
    manifest: Manifest,
    takes: Takes,
    sessions: Sessions,
    clock: Clock = time.perf_counter,
) -> Warm:
    """Run the sizes, from 1 up, for as long as a larger one pays; those that did.

    On a CPU a batch often costs as much a frame as one frame alone; then it only makes frames wait. Where a frame's
    answer is not the same bit for bit in a larger batch, although the manifest says so, 1 is all there is.
    """
    kept: list[int] = []
    best = alone_s = math.inf
    alone: dict[str, Array] = {}
    for size in sizes:
        outputs, seconds = _quickest(sessions.running(size), noise(size, manifest, takes), clock)
        last = {name: value[-1] for name, value in outputs.items()}
        if not kept:
            alone, alone_s = last, seconds
        if not same(alone, last):
            _log.warning(
                "%s: a frame's answer is another one in a batch of %d on this machine, so frames run one by one",
                manifest.id,
                size,
            )
            return Warm((1,), alone_s)
        if seconds / size > best * GAIN:
            break
        best = seconds / size
        kept.append(size)
    _log.info("%s: %.1f ms a frame in batches of %d, the largest that is used", manifest.id, best * 1e3, kept[-1])
    return Warm(tuple(kept), alone_s)


def slim(size: int, manifest: Manifest, takes: Takes, sessions: Sessions) -> None:
    """Give back what sessions took for larger runs than will be usual; they take it again when they need it."""
    inputs = noise(size, manifest, takes)
    for session in sessions:
        session.run(inputs, shrink=True)


def noise(size: int, manifest: Manifest, takes: Takes) -> dict[str, Array]:
    """A batch for streams that begin, noise where frames are taken; the last row is the same in every size."""
    if not isinstance(takes, FrameInput):
        rows = {name: np.repeat(row, size, axis=0) for name, row in takes.items()}
        return {**rows, **StateRows(manifest.state).gather([], size)}
    shape = (size, *manifest.ask_shape)
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return {takes.name: np.ascontiguousarray(frames[::-1]), **StateRows(manifest.state).gather([], size)}


def same(first: Mapping[str, Array], second: Mapping[str, Array]) -> bool:
    """Whether answers are the same bit for bit."""
    return all(np.array_equal(value, second[name], equal_nan=value.dtype.kind == "f") for name, value in first.items())


def _quickest(sessions: Sequence[Session], inputs: dict[str, Array], clock: Clock) -> tuple[dict[str, Array], float]:
    """Outputs of a run, and the seconds of the quickest of a few: what else the machine does only makes them slower."""
    quickest = math.inf
    outputs: dict[str, Array] = {}
    for session in sessions:
        began = clock()
        for _ in range(_TRIES):
            start = clock()
            outputs = session.run(inputs)
            end = clock()
            quickest = min(quickest, end - start)
            if end - began > _TRY_S:
                break
    return outputs, quickest
