"""The life of a child process, seen from inside: its configuration on the first line of standard input, and the end
of standard input as the sign that the parent has died.

Children are started by `server.core.launch`, not forked: nothing of the parent's threads, locks or sockets comes along.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TypeVar

import msgspec

Config = TypeVar("Config", bound=msgspec.Struct)

_GRACE_S = 2.5
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
    """

    def __init__(self) -> None:
        self.over = threading.Event()
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: self.over.set())
        threading.Thread(target=self._watch, name="parent", daemon=True).start()

    def _watch(self) -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        self.over.set()
        threading.Event().wait(_GRACE_S)
        os._exit(70)
