"""The jobs that wait, and which worker takes the next: those that are suspected of a death one by one in quarantine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from server.runtime.jobs.case import Case
from server.runtime.processes.quarantine import QUARANTINE


@dataclass(frozen=True)
class Workers:
    """Those that run jobs.

    Attributes:
        ready: the names of those that are up; `QUARANTINE` is one that runs a suspect and nothing beside it.
        quarantine: called with whether that one is needed.
        jobs_each: how many each of the others may have at once.
        jobs_in_all: how many may run at once.
        occupied: whether a stream is in the quarantine worker.
        wanted: whether streams wait for it.
    """

    ready: Callable[[], Sequence[str]]
    quarantine: Callable[[bool], None]
    jobs_each: int
    jobs_in_all: int
    occupied: Callable[[], bool] = lambda: False
    wanted: Callable[[], bool] = lambda: False


class Line:
    """Oldest first; a job that comes back goes to the front."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._queue: deque[Case] = deque()
        self._suspects: deque[Case] = deque()

    @property
    def suspects_wait(self) -> bool:
        return bool(self._suspects)

    def join(self, case: Case) -> None:
        """A new job."""
        self._queue.append(case)

    def return_to(self, case: Case) -> None:
        """A job whose attempt is over, and which shall be tried again."""
        (self._suspects if case.record.suspect else self._queue).appendleft(case)

    def leave(self, case: Case) -> None:
        """A job that shall not be tried any more."""
        for queue in (self._queue, self._suspects):
            with suppress(ValueError):
                queue.remove(case)

    def next(self, busy: Sequence[str]) -> tuple[Case, str] | None:
        """The next job and the worker for it, if one may start.

        Args:
            busy: the workers' names, once for each job that they have.
        """
        if len(busy) >= self._workers.jobs_in_all:
            return None
        ready = self._workers.ready()
        free = QUARANTINE in ready and QUARANTINE not in busy and not self._workers.occupied()
        if self._suspects and free:
            return self._suspects.popleft(), QUARANTINE
        worker = min((name for name in ready if name != QUARANTINE), key=busy.count, default=None)
        if not self._queue or worker is None or busy.count(worker) >= self._workers.jobs_each:
            return None
        return self._queue.popleft(), worker

    def settle(self, busy: Sequence[str]) -> None:
        """Have a quarantine worker as long as somebody needs it."""
        self._workers.quarantine(bool(self._suspects) or QUARANTINE in busy)
