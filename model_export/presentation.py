"""Presentation times that rise strictly, whatever a container says."""

from __future__ import annotations

import math

_JUMP_S = 1.0


class PresentationClock:
    """Takes the container's times where they rise, and counts frames where they do not.

    Args:
        period_s: the usual time between two frames.
        offset_s: added to the container's times.
        counted: the container has no times at all.
    """

    def __init__(self, period_s: float, *, offset_s: float = 0.0, counted: bool = False) -> None:
        self._period_s = period_s
        self._shift_s = offset_s
        self._counted = counted
        self._index = -1
        self._last_s = -math.inf
        self._rejected_s: float | None = None

    def next(self, container_s: float) -> float:
        """The time of the next frame in seconds, given what the container says of it (NaN: nothing)."""
        self._index += 1
        if self._counted:
            return self._index * self._period_s
        time_s = container_s + self._shift_s
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
