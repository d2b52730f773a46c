"""Presentation times that rise strictly, whatever a container says."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

_JUMP_S = 1.0
_PERIODS = 3
_MOST_S = 1e12  # where a float still tells milliseconds apart


class PresentationClock:
    """Takes the container's times where they rise, and counts frames where they do not.

    A time far from the last one may be wrong: a later frame decides. Times that cannot be are none.

    Args:
        period_s: the usual time between two frames.
        offset_s: added to the container's times.
        counted: the container has no times at all.
        counts_s: times of the first frames all the same, from 0 and rising, where frames are counted.
    """

    def __init__(
        self, period_s: float, *, offset_s: float = 0.0, counted: bool = False, counts_s: Sequence[float] = ()
    ) -> None:
        self._period_s = period_s
        self._shift_s = offset_s
        self._counted = counted
        self._counts_s = counts_s
        self._far_s = max(_JUMP_S, _PERIODS * period_s)
        self._index = -1
        self._last_s = -math.inf
        self._rejected_s: float | None = None

    def next(self, container_s: float, after: Callable[[], float]) -> float:
        """The time of the next frame in seconds.

        Args:
            container_s: what the container says of it (NaN: nothing).
            after: gives what it says of the frame after that, or at the end of the file of the end. Asked only where a
                time is far ahead.
        """
        self._index += 1
        if self._counted:
            return self._count()
        time_s = container_s + self._shift_s
        before_s = self._last_s if self._index else self._shift_s
        if not abs(time_s) < _MOST_S or (time_s - before_s > self._far_s and self._falls_back(before_s, time_s, after)):
            container_s = time_s = math.nan
        if time_s > self._last_s:
            self._rejected_s = None
        else:
            follow_s = self._last_s + self._period_s if self._index else 0.0
            # Times that begin anew, as in two recordings joined to one, go on behind the last one; but only once a
            # second frame confirms it, since a single one may just have none.
            if self._rejected_s is not None and self._rejected_s < container_s and time_s < self._last_s - _JUMP_S:
                self._shift_s = follow_s - container_s
            self._rejected_s = container_s
            time_s = follow_s
        self._last_s = time_s
        return time_s

    def _count(self) -> float:
        known = self._counts_s
        if self._index < len(known):
            return known[self._index]
        index, time_s = (len(known) - 1, known[-1]) if known else (0, 0.0)
        return time_s + (self._index - index) * self._period_s

    def _falls_back(self, before_s: float, time_s: float, after: Callable[[], float]) -> bool:
        """Whether times go on nearer to the one before: behind a gap in a recording they do not."""
        return before_s < after() + self._shift_s < (before_s + time_s) / 2
