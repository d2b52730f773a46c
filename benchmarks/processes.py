"""What a process and its descendants cost: processor time and memory, as Linux counts them."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path


def descendants(root: int) -> list[int]:
    """Process ids below `root`, the oldest first."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [root]
    for pid in sorted(parents):
        if parents[pid] in found:
            found.append(pid)
    return found[1:]


def names(root: int) -> dict[str, int]:
    """The server's processes by what they are: `API`, `engine`, `worker-0`, `worker-1` …"""
    found = {"API": root}
    workers = 0
    for pid in descendants(root):
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if "server.worker.process" in command:
                found[f"worker-{workers}"] = pid
                workers += 1
            elif "server.engine.process" in command:
                found["engine"] = pid
            else:
                found[f"{' '.join(command[:3])} ({pid})"] = pid
    return found


def servers() -> list[int]:
    """Process ids of all servers on this machine."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdigit() and b"\0server.cli\0serve" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, of all its threads that are or were, to the nanosecond."""
    return time.clock_gettime((~pid << 3) | 2)  # what clock_getcpuclockid(3) makes of a process id


def threads(pid: int) -> int:
    """How many it has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def descriptors(pid: int) -> int:
    """How many files, sockets and pipes it has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def pss_mb(pid: int) -> float:
    """Its memory in MB (10⁶ bytes), with what it shares divided by those who share it."""
    return _rollup_mb(pid, "Pss")


def anonymous_mb(pid: int) -> float:
    """The same without what files hold: that changes with every other process that has them mapped, too."""
    return _rollup_mb(pid, "Pss_Anon") + _rollup_mb(pid, "Pss_Shmem")


def _rollup_mb(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"/proc/{pid}/smaps_rollup has no {field}")
