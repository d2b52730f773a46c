"""How long runs take beside each other: in turns, so that all of them see the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

_WARM_UP = 3


def in_turns(runs: Sequence[Callable[[], object]], seconds: float, *, least: int = 5) -> list[list[float]]:
    """Milliseconds of each run, round after round, for so many seconds, after a warm-up.

    Args:
        least: rounds that there are in any case.

    Returns:
        A list for each of `runs`, all of the same length: the same place is the same round.
    """
    for run in runs:
        for _ in range(_WARM_UP):
            run()
    taken: list[list[float]] = [[] for _ in runs]
    end = time.perf_counter() + seconds
    while len(taken[0]) < least or time.perf_counter() < end:
        for run, times in zip(runs, taken, strict=True):
            start = time.perf_counter()
            run()
            times.append((time.perf_counter() - start) * 1e3)
    return taken
