"""What this process may use of the machine, in a container less than the machine has; and what another one uses."""

from __future__ import annotations

import hashlib
import math
import os
import platform
import sys
import threading
from pathlib import Path

_MODEST = 5
_CGROUP = Path("/sys/fs/cgroup")
_CPUINFO = Path("/proc/cpuinfo")
_STAT = Path("/proc/stat")
# What the kernel says of a core that is not of the moment: clock rates and numbers are left out.
_LASTING = (
    "vendor_id", "cpu family", "model", "model name", "stepping", "cache size", "flags",
    "Features", "CPU implementer", "CPU architecture", "CPU variant", "CPU part",
)  # fmt: skip


def cores(cgroup: Path = _CGROUP) -> int:
    """Cores that this process may use: those it may run on, and no more than its control group's share, rounded up."""
    mine = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota = _quota(cgroup)
    return mine if quota is None else max(1, min(mine, math.ceil(quota)))


def yield_to_others() -> None:
    """From here on the calling thread has the processor where others want it less, or a third of what each of them has.
    On Linux; elsewhere nothing changes.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _MODEST)


def memory_bytes(cgroup: Path = _CGROUP) -> int:
    """Memory that this process may use: the machine's, or its control group's limit where that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _read(cgroup / name)
        if text is not None and text.isdigit():
            return min(machine, int(text))
    return machine


def processor(cpuinfo: Path = _CPUINFO) -> str:
    """The CPU's name, and after it a digest of all that decides how fast it computes and how it rounds.

    The same name on two hosts may hide another set of instructions, which a hypervisor can mask.
    """
    said = dict(_fields(_read(cpuinfo) or ""))
    name = said.get("model name") or platform.processor() or platform.machine()
    lasting = [f"{key}={said[key]}" for key in _LASTING if key in said] or [platform.machine(), name]
    return f"{' '.join(name.split())} {hashlib.sha256(chr(10).join(lasting).encode()).hexdigest()[:8]}"


def busy_s(stat: Path = _STAT) -> float | None:
    """Seconds that all cores of the machine have been at work since it started, whoever had them; None where the system
    does not say.
    """
    first = (_read(stat) or "").partition("\n")[0].split()
    if len(first) < 9 or first[0] != "cpu":
        return None
    user, nice, system, _idle, _iowait, irq, softirq, stolen = map(int, first[1:9])
    return (user + nice + system + irq + softirq + stolen) / os.sysconf("SC_CLK_TCK")


def _fields(cpuinfo: str) -> list[tuple[str, str]]:
    """Keys and values of the first core."""
    first = cpuinfo.partition("\n\n")[0]
    return [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in first.splitlines())]


def own_memory_bytes(pid: int) -> int | None:
    """Memory that a process has for itself, without files and shared memory; None where that cannot be known."""
    text = _read(Path(f"/proc/{pid}/statm"))
    if not text:
        return None
    resident, shared = text.split()[1:3]
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def _quota(cgroup: Path) -> float | None:
    """Cores by the control group's quota, version 2 or 1; None where there is no limit."""
    both = _read(cgroup / "cpu.max")
    if both is not None:
        quota, _, period = both.partition(" ")
    else:
        quota = _read(cgroup / "cpu/cpu.cfs_quota_us") or ""
        period = _read(cgroup / "cpu/cpu.cfs_period_us") or ""
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
