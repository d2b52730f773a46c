"""How a process ended, and whether it was its own doing.

| reason                          | by itself | what happened                                                         |
| ------------------------------- | --------- | --------------------------------------------------------------------- |
| `sigsegv`, `sigabrt` …, `exit`  | yes       | it crashed                                                            |
| `hung`                          | yes       | one call took too long, and it was killed for it                      |
| `silent`                        | yes       | it ran and said nothing, and was killed for it                        |
| `memory`                        | yes       | it took too much and was killed for it, by us or by the system        |
| `spawn_failed`                  | yes       | it could not be started                                               |
| `sigkill`, `sigterm` …, `ended` | no        | somebody else ended it                                                |
| `stopped`                       | no        | somebody else stopped it (SIGSTOP), and it was killed for its silence |

Nobody is suspected when somebody else was it: an administrator, a test, a system that goes down.
"""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass
from pathlib import Path

_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})


@dataclass(frozen=True)
class Death:
    """`reason` is a metric's label, of a bounded set."""

    reason: str
    by_itself: bool


HUNG = Death("hung", by_itself=True)
SILENT = Death("silent", by_itself=True)
MEMORY = Death("memory", by_itself=True)
STOPPED = Death("stopped", by_itself=False)
SPAWN_FAILED = Death("spawn_failed", by_itself=True)
ENDED = Death("ended", by_itself=False)


def death_of(code: int, *, out_of_memory: bool) -> Death:
    """What an exit code says.

    Args:
        code: as `subprocess` has it: negative is a signal.
        out_of_memory: the system has killed processes for want of memory meanwhile.
    """
    if code == 0:
        return ENDED
    if code > 0:
        return Death("exit", by_itself=True)
    if code == -signal.SIGKILL and out_of_memory:
        return MEMORY
    with contextlib.suppress(ValueError):
        number = signal.Signals(-code)
        return Death(number.name.lower(), by_itself=number not in _FROM_OUTSIDE)
    return Death("signal", by_itself=True)


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped by a signal; False where that cannot be known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (OSError, IndexError):
        return False


def oom_kills() -> int:
    """How many processes the system has killed for want of memory since it started; 0 where that cannot be known."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
