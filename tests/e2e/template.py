"""Servers that are forked from a process which has imported what they need: that is most of what their start costs.

A test process starts that process, the template, when it first needs it. The template has one thread and forks a server
for each request: arguments and variables, what it shall have as standard error, and a socket that tells its process id
and at last its exit status. Such a server is what `python -m server.cli` would be, but for two things: it dies with the
test process, and `/proc` shows the template's command line and variables.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
_PR_SET_PDEATHSIG = 1
_NUMBER = struct.Struct("i")
# More than any environment.
_REQUEST_BYTES = 2**20


class Forked:
    """`vidserve` as a forked process, with what tests use of `subprocess.Popen`; its standard output goes to nothing.

    Attributes:
        returncode: its exit status once `poll` or `wait` saw its end; minus the number of the signal that ended it.
    """

    def __init__(self, args: list[str], *, stderr: IO[bytes], env: dict[str, str]) -> None:
        self.args = args
        self.returncode: int | None = None
        self._report, theirs = socket.socketpair()
        with theirs:
            request = json.dumps({"args": args, "env": env, "cwd": str(Path.cwd())}).encode()
            socket.send_fds(_template(), [request], [stderr.fileno(), theirs.fileno()])
        self.pid = self._told()

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._report.settimeout(timeout)
            try:
                self.returncode = self._told()
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
            self._report.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _told(self) -> int:
        told = self._report.recv(_NUMBER.size)
        # Without the template there is no server either.
        return _NUMBER.unpack(told)[0] if told else -signal.SIGKILL


@functools.cache
def _template() -> socket.socket:
    """Starts the template; where to send requests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.template", str(theirs.fileno())],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# ── in the template ──────────────────────────────────────────────────────────────────────────────────────────────


def _become_a_server(requests: socket.socket) -> None:
    """Fork a server for each request; returns in the servers alone."""
    template = os.getpid()
    reports: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for ready in select.select([requests, *reports], [], [])[0]:
            if ready in reports:
                pid, report = reports.pop(ready)
                os.close(ready)
                _, status = os.waitpid(pid, 0)
                with report, contextlib.suppress(OSError):  # nobody waits for it
                    report.send(_NUMBER.pack(os.waitstatus_to_exitcode(status)))
                continue
            request, descriptors, _, _ = socket.recv_fds(requests, _REQUEST_BYTES, 2)
            if not request:  # the test process has ended
                os._exit(0)
            stderr, report = descriptors[0], socket.socket(fileno=descriptors[1])
            pid = os.fork()
            if pid == 0:
                for of_others, other in reports.items():
                    os.close(of_others)
                    other[1].close()
                report.close()
                requests.close()
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != template:
                    os._exit(1)
                _put_on(json.loads(request), stderr)
                return
            os.close(stderr)
            report.send(_NUMBER.pack(pid))
            reports[os.pidfd_open(pid)] = pid, report


def _put_on(request: dict, stderr: int) -> None:
    """What a new process would have from its parent."""
    os.dup2(stderr, 2)
    os.close(stderr)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv[1:] = request["args"]
    signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> None:
    # It ends with the test process, whatever a terminal sends to both.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from server.core.heap import importing

    with importing():
        from server import cli
        from server.commands import serve  # noqa: F401 – `vidserve serve` imports it when it is called
    _become_a_server(socket.socket(fileno=int(sys.argv[1])))
    cli.main()


if __name__ == "__main__":
    main()
