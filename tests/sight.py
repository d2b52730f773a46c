"""A program that says what it sees of its process: `python -m tests.sight SECONDS STATUS` ends after that time."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time


def descriptors() -> list[int]:
    """Those that are open; that of the listing itself is closed by then."""
    return sorted(int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}"))


def main() -> None:
    seconds, status = sys.argv[1:]
    sys.stderr.write(f"read {sys.stdin.readline()!r}\n")
    sight = {
        "parent": os.getppid(),
        "folder": os.getcwd(),
        "environ": dict(os.environ),
        "threads": len(os.listdir("/proc/self/task")),
        # That of the listing itself is closed by now.
        "descriptors": sorted(
            int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")
        ),
        "collects": gc.isenabled(),
        "interrupts": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    }
    sys.stdout.write(json.dumps(sight) + "\n")
    sys.stdout.flush()
    time.sleep(float(seconds))
    sys.exit(int(status))


if __name__ == "__main__":
    main()
