"""Runs `main` of a module in a process that dies with its parent, even while it is stopped or hangs.

python -m server.core.launch PARENT_PID MODULE

On Linux the system ends it. This comes before everything else, and so imports next to nothing; elsewhere the end of
standard input tells it (`server.core.child`).
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys

from server.core.heap import importing

_PR_SET_PDEATHSIG = 1


def command(module: str) -> list[str]:
    """What starts a module, which has a `main`, as a child of this process.

    Not from the folder that we were started in: a user's own `server` may lie there.
    """
    return [sys.executable, "-P", "-m", "server.core.launch", str(os.getpid()), module]


def keep_to_ourselves() -> None:
    """Forbid libraries of this process and its children to tell their makers what they are used for.

    ONNX Runtime's wheels for Linux do from 1.29 on unless they are told not to: names and hashes of models among it.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def load_less() -> None:
    """Have structlog do without Rich, which it would load for tracebacks that we print plainly. That is a fifth of the
    time that a worker takes to start, and the streams of a dead one wait for it.
    """
    sys.modules["rich"] = None  # type: ignore[assignment]


def main() -> None:
    parent, module = sys.argv[1:]
    keep_to_ourselves()
    load_less()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):  # it died before that
        return
    sys.argv[:] = [module]
    with importing():
        child = importlib.import_module(module)
    child.main()


if __name__ == "__main__":
    main()
