"""A worker watched from outside: a call that does not return, memory that grows without end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.core.calls import Call, CallPage, Seen
from server.core.last_words import stack_of, thread_of
from server.core.machine import own_memory_bytes
from server.runtime.processes.death import HUNG, MEMORY, Death

_log = logging.getLogger(__name__)

_OPENING = 1.5
"""A file is opened twice, and its first frame decoded."""


@dataclass(frozen=True)
class WorkerWatch:
    """
    Args:
        worker: which rows of the page are its.
        call_s: how long a call of a decoder may take; opening a file half as long again.
        source_s: how long a live source may take to open, or for its next packet; `call_s` if that is longer.
        memory_bytes: how much it may have for itself.
        last_words: takes what it left when it crashed.
    """

    page: CallPage
    worker: int
    call_s: float
    source_s: float
    memory_bytes: int
    last_words: Callable[[], bytes] = bytes

    def look(self, pid: int) -> Death | None:
        """Why it must be killed, if it must."""
        if (own_memory_bytes(pid) or 0) > self.memory_bytes:
            return MEMORY
        return HUNG if any(self._overdue_s(row) > 0 for row in self.page.seen(self.worker)) else None

    def last_seen(self) -> Sequence[Seen]:
        """What its jobs and streams were at when it died; the next one finds an empty page."""
        words = self.last_words()
        if stack := stack_of(words):
            _log.error("worker %d crashed", self.worker, extra={"stack": stack})
        seen = self.page.seen(self.worker, thread_of(words))
        self.page.clear(self.worker)
        return [row._replace(overdue_s=self._overdue_s(row)) for row in seen]

    def _overdue_s(self, row: Seen) -> float:
        return time.monotonic() - row.since - self._limit_s(row.call)

    def _limit_s(self, call: Call) -> float:
        if call is Call.NONE:
            return float("inf")
        if call in (Call.CONNECT, Call.READ):
            return max(self.call_s, self.source_s)
        return self.call_s * (_OPENING if call is Call.OPEN else 1.0)
