"""Which call every job and stream of every worker is in, and since when: rows in a page of shared memory, the API
process's.

A worker's threads write, a row each; the API process reads, also after the worker's death: then the page says who was
inside a decoder, and at which frame. Nothing is locked: a row has one writer, and each word is written at once.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

ROWS = 1024
"""Of each worker: twice the jobs it may have, since one that was given up may linger; the same of two rows for each of
some two hundred streams; its pictures and probes."""

_WORDS = 16
_CALL, _FRAME, _SINCE, _USED = range(4)
_OWNER = slice(32, 32 + 64)
_THREAD = 12


class Call(IntEnum):
    """What a job's or stream's thread may hang in or die of."""

    NONE = 0
    OPEN = 1
    GRAB = 2
    RETRIEVE = 3
    CLOSE = 4
    PICTURE = 5
    CONNECT = 6
    """A live source is opened: its own patience ends that, or it hangs."""
    READ = 7
    """The next packet of a live source is waited for."""


_CALLS = frozenset(Call)


class Seen(NamedTuple):
    """A row as it was read.

    Attributes:
        owner: the job or stream, or "" for pictures and probes.
        since: CLOCK_MONOTONIC when the call began; of no meaning for `Call.NONE`.
        frame: index of the last frame that was reached, -1 before the first.
        crashed: its thread is the one that crashed.
        overdue_s: for how long the call has taken more than such a call may; negative while it has not.
    """

    owner: str
    call: Call
    since: float
    frame: int
    crashed: bool = False
    overdue_s: float = 0.0


class CallRow:
    """A thread's own row. `enter` and `leave` cost a fraction of a microsecond."""

    def __init__(self, words: memoryview) -> None:
        self._integers = words.cast("q")
        self._floats = words.cast("d")
        self._bytes = words

    def begin(self, owner: str) -> None:
        """From here on the row is of this job or stream, and of the thread that says so."""
        self._integers[_CALL] = Call.NONE
        self._integers[_FRAME] = -1
        self._bytes[_OWNER] = owner.encode()[:64].ljust(64, b"\0")
        self._integers[_THREAD] = _signed(threading.get_ident())
        self._integers[_USED] = 1

    def end(self) -> None:
        """The row is nobody's."""
        self._integers[_USED] = 0

    def enter(self, call: int) -> None:
        self._floats[_SINCE] = time.monotonic()
        self._integers[_CALL] = call

    def leave(self) -> None:
        self._integers[_CALL] = 0

    def reach(self, frame: int) -> None:
        """Its owner has come to this frame."""
        self._integers[_FRAME] = frame

    @contextmanager
    def inside(self, call: Call) -> Iterator[None]:
        """`enter` and `leave`, for what is not done for every frame."""
        self.enter(call)
        try:
            yield
        finally:
            self.leave()


class CallRows:
    """A worker's rows, for its threads to borrow."""

    def __init__(self, rows: Sequence[CallRow]) -> None:
        self._free: SimpleQueue[CallRow] = SimpleQueue()
        for row in rows:
            self._free.put(row)

    @contextmanager
    def lent(self, owner: str) -> Iterator[CallRow]:
        """A row that is this job's or stream's meanwhile; while all are lent it waits for one."""
        row = self._free.get()
        row.begin(owner)
        try:
            yield row
        finally:
            row.end()
            self._free.put(row)


class CallPage:
    """The whole page, over a buffer of `CallPage.bytes_for(workers)` bytes that begin as zeros."""

    def __init__(self, buffer: Any, workers: int) -> None:
        self._buffer = memoryview(buffer)
        self._words: npt.NDArray[np.int64] = np.frombuffer(buffer, np.int64, workers * ROWS * _WORDS).reshape(
            workers, ROWS, _WORDS
        )

    @staticmethod
    def bytes_for(workers: int) -> int:
        return math.ceil(workers * ROWS * _WORDS * 8 / 4096) * 4096

    def rows(self, worker: int) -> list[CallRow]:
        """The rows of a worker, to write."""
        size = _WORDS * 8
        start = worker * ROWS * size
        return [CallRow(self._buffer[at : at + size]) for at in range(start, start + ROWS * size, size)]

    def seen(self, worker: int, crashed: int | None = None) -> list[Seen]:
        """The rows of a worker that are somebody's.

        Args:
            crashed: its thread that did, where that is known.
        """
        rows = self._words[worker]
        return [_seen(rows[number], crashed) for number in np.flatnonzero(rows[:, _USED])]

    def clear(self, worker: int) -> None:
        """Forget what a worker that is gone was doing."""
        self._words[worker] = 0


def _seen(words: npt.NDArray[np.int64], crashed: int | None) -> Seen:
    words = words.copy()
    since = float(words[_SINCE : _SINCE + 1].view(np.float64)[0])
    owner = words.tobytes()[_OWNER].rstrip(b"\0").decode(errors="replace")
    call = int(words[_CALL])
    return Seen(
        owner,
        # Whatever stands there: a worker whose memory was spoilt may have written anything.
        Call(call) if call in _CALLS else Call.NONE,
        since,
        int(words[_FRAME]),
        crashed is not None and int(words[_THREAD]) == _signed(crashed),
    )


def _signed(thread: int) -> int:
    """A thread's number in a word that has a sign."""
    return thread - 2**64 if thread >= 2**63 else thread
