"""Processes that are forked from one which has imported what they need: that is most of what their start costs.

A test process starts that one, the template, when it first needs it; a template knows one module, and there is one for
each. It has a single thread and forks for each request: arguments, variables, and what shall be standard input, output
and error. A socket tells the process id and at last the exit status. Such a process is what `python -m MODULE` would be
but for two things: it dies with the test process, and `/proc` shows the template's command line and variables.

python -m tests.template REQUESTS MODULE [WHAT IT IMPORTS WHEN IT IS CALLED ...]
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from server.core.heap import importing

_ROOT = Path(__file__).parents[1]
_PR_SET_PDEATHSIG = 1
_NUMBER = struct.Struct("i")
# More than any environment has.
_REQUEST_BYTES = 2**20

Stream = IO[bytes] | int
"""A file, `subprocess.PIPE` or `subprocess.DEVNULL`."""


class Forked:
    """`python -m MODULE ARGS` as a forked process, with what tests use of `subprocess.Popen`.

    Args:
        imports: modules that it imports when it is called.

    Attributes:
        returncode: its exit status once `poll` or `wait` saw its end; minus the number of the signal that ended it.
    """

    def __init__(
        self,
        module: str,
        *args: str,
        imports: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = subprocess.DEVNULL,
        stderr: Stream = subprocess.DEVNULL,
    ) -> None:
        self.args = [module, *args]
        self.returncode: int | None = None
        self._report, report = socket.socketpair()
        environ = dict(os.environ if env is None else env)
        request = json.dumps({"args": args, "env": environ, "cwd": str(Path.cwd())}).encode()
        with report, contextlib.ExitStack() as theirs:
            self.stdin, reads = _stream(stdin, "wb", theirs)
            self.stdout, writes = _stream(stdout, "rb", theirs)
            self.stderr, complains = _stream(stderr, "rb", theirs)
            template = _template(module, *imports)
            socket.send_fds(template, [request], [reads, writes, complains, report.fileno()])
        self.pid = self._told()

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()

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
        # A process does not outlive its template.
        return _NUMBER.unpack(told)[0] if told else -signal.SIGKILL


def _stream(wanted: Stream, mode: str, theirs: contextlib.ExitStack) -> tuple[IO[bytes] | None, int]:
    """Our end of a pipe, if one is wanted, and the descriptor that the process is to have."""
    if not isinstance(wanted, int):
        return None, wanted.fileno()
    if wanted == subprocess.DEVNULL:
        return None, theirs.enter_context(open(os.devnull, "r+b")).fileno()
    ours, their = os.pipe() if mode == "rb" else reversed(os.pipe())
    theirs.callback(os.close, their)
    return open(ours, mode), their


@functools.cache
def _template(module: str, *imports: str) -> socket.socket:
    """Starts the module's template; where to send requests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        number = theirs.fileno()
        command = [sys.executable, "-m", "tests.template", str(number), module, *imports]
        process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.DEVNULL, pass_fds=[number])

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# ── in the template ──────────────────────────────────────────────────────────────────────────────────────────────


def _fork_at_request(requests: socket.socket) -> None:
    """Returns in the forked processes alone."""
    template = os.getpid()
    # By a descriptor that can be read when the process has ended.
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for ready in select.select([requests, *running], [], [])[0]:
            if ready in running:
                pid, report = running.pop(ready)
                os.close(ready)
                _, status = os.waitpid(pid, 0)
                with report, contextlib.suppress(OSError):  # nobody waits for it any more
                    report.send(_NUMBER.pack(os.waitstatus_to_exitcode(status)))
                continue
            request, descriptors, _, _ = socket.recv_fds(requests, _REQUEST_BYTES, 4)
            if not request:  # the test process has ended
                os._exit(0)
            *streams, number = descriptors
            report = socket.socket(fileno=number)
            pid = os.fork()
            if pid == 0:
                for ended, (_, other) in running.items():
                    os.close(ended)
                    other.close()
                report.close()
                requests.close()
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != template:  # it died before that
                    os._exit(1)
                _put_on(json.loads(request), streams)
                return
            for stream in streams:
                os.close(stream)
            report.send(_NUMBER.pack(pid))
            running[os.pidfd_open(pid)] = pid, report


def _put_on(request: dict, streams: list[int]) -> None:
    """What a new process would have from its parent."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv[1:] = request["args"]
    signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> None:
    # A terminal sends it to the test process too, and this ends with that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, requests, module, *more = sys.argv
    with importing():
        program, *_ = [importlib.import_module(name) for name in (module, *more)]
    _fork_at_request(socket.socket(fileno=int(requests)))
    program.main()


if __name__ == "__main__":
    main()
