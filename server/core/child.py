"""The life of a child process, seen from inside: its configuration on the first line of standard input, and the end
of standard input as the sign that the parent has died.

Children are started by `server.core.launch`, not forked: nothing of the parent's threads, locks or sockets comes along.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TypeVar

import msgspec

Config = TypeVar("Config", bound=msgspec.Struct)

_GRACE_S = 2.5
_PARENTS_TURN_S = 3.0
_FIRST_TO_GO = 500
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE_BLOCK = 2**20


def read_config(kind: type[Config]) -> Config:
    """The configuration that the parent wrote.

    Raises:
        msgspec.ValidationError: it is not of that kind.
    """
    return msgspec.json.decode(sys.stdin.buffer.readline(), type=kind)


def sacrifice() -> None:
    """When the machine's memory is used up, let this process be ended rather than its parent or the engine."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_FIRST_TO_GO))


def give_memory_back() -> None:
    """Let the C library return each block of more than 1 MiB to the system as soon as it is freed, and keep no more
    than that of smaller ones. By itself it keeps ever larger ones, for each thread anew: of every stream, the memory of
    several pictures. Were less kept, every small picture would be put together anew of a hundred pages and more.
    """
    with contextlib.suppress(OSError, AttributeError):  # of other C libraries
        c = ctypes.CDLL(None)
        c.mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
        c.mallopt(_M_TRIM_THRESHOLD, _LARGE_BLOCK)
        c.mallopt(_M_ARENA_MAX, 1)


class Life:
    """Whether to go on. Ctrl-C in the terminal, or a SIGHUP, may reach every process of the group, so children leave
    them to the parent, who asks them to stop in order; when the parent is gone, `over` is set and a few seconds later
    the process ends, whatever it is doing.

    A SIGTERM may have reached all of them, too (systemd sends it to every process of a service), or this one alone: if
    the parent does not ask it to stop within a few seconds, it was meant, and `over` is set.
    """

    def __init__(self) -> None:
        self.over = threading.Event()
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        # No lock is taken in the handler: the thread that it interrupts may hold it.
        self._asked, asking = os.pipe()
        signal.signal(signal.SIGTERM, lambda *_: os.write(asking, b"!"))
        threading.Thread(target=self._watch, name="parent", daemon=True).start()

    def _watch(self) -> None:
        parent, until = sys.stdin.fileno(), math.inf
        while True:
            left_s = None if math.isinf(until) else max(0.0, until - time.monotonic())
            readable, _, _ = select.select([parent, self._asked], [], [], left_s)
            if parent in readable and not os.read(parent, 4096):
                break
            if self._asked in readable and os.read(self._asked, 1):
                until = min(until, time.monotonic() + _PARENTS_TURN_S)
            if time.monotonic() >= until:
                self.over.set()
                until = math.inf
        self.over.set()
        threading.Event().wait(_GRACE_S)
        os._exit(70)
