"""What else the machine does while something is measured."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from server.core.machine import busy_s


class Bystanders:
    """How much of the cores at hand other processes use from here on.

    While they do, what is measured is not how fast a model runs but who gets the processor: several threads in one
    session look fast then, as they get more of it.

    Args:
        cores: that this process may use. machine_cores: that there are; None: as the system says.
    """

    def __init__(
        self,
        cores: int,
        machine_cores: int | None = None,
        *,
        busy_s: Callable[[], float | None] = busy_s,
        own_s: Callable[[], float] = time.process_time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cores = cores
        self._spare = max(0, (machine_cores or os.cpu_count() or cores) - cores)
        self._busy_s, self._own_s, self._clock = busy_s, own_s, clock
        self._began = busy_s(), own_s(), clock()

    @property
    def share(self) -> float:
        """Of the cores at hand, 0…1; 0 where the system does not say."""
        busy_before, own_before, before = self._began
        busy, own, seconds = self._busy_s(), self._own_s() - own_before, self._clock() - before
        if busy is None or busy_before is None or seconds <= 0:
            return 0.0
        others = (busy - busy_before - own) / seconds
        return min(1.0, max(0.0, others - self._spare) / self._cores)
