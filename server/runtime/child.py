"""A child process and its successors: started with a configuration, heard from, ended in order, started again.

It is told its configuration on standard input, whose end tells it that this process is gone. A child that says nothing
for a while counts as dead, whatever the operating system says of it. A crash is followed by a new start after a pause;
too many of them in a short time, and it stays down.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from model_export.errors import VidserveError
from server.wire.messages import Message, Stop

_log = logging.getLogger(__name__)


class ChildDown(VidserveError):
    """A process crashed too often and is not started again."""

    code = "process_down"


@dataclass(frozen=True)
class Patience:
    """Seconds, and how many crashes in how many of them are too many."""

    ready_s: float = 60.0
    silence_s: float = 15.0
    stop_s: float = 2.0
    crashes: int = 5
    crashes_s: float = 60.0
    pause_s: float = 0.2


class Child:
    """One of the server's processes.

    Args:
        name: what it is called, on the wire and in the log.
        module: what `python -m` runs.
        config: makes the configuration of an incarnation.
        send: sends a message to it.
        lost: called when it has died or was killed for its silence, with the reason, before the next one starts.
        back: called when one is ready.
    """

    def __init__(
        self,
        name: str,
        module: str,
        config: Callable[[int], msgspec.Struct],
        *,
        send: Callable[[Message], Awaitable[bool]],
        lost: Callable[[str], None],
        back: Callable[[], None],
        patience: Patience | None = None,
    ) -> None:
        self.name = name
        self._module = module
        self._config = config
        self._send = send
        self._lost = lost
        self._back = back
        self._patience = patience or Patience()
        self._process: asyncio.subprocess.Process | None = None
        self._crashes: deque[float] = deque()
        self._ready = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._heard_at = 0.0
        self.incarnation = 0
        self.given_up = False

    @property
    def ready(self) -> bool:
        """Whether one is up and has said so."""
        return self._ready.is_set()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep(), name=self.name)

    async def wait_ready(self) -> None:
        """Return when one is up.

        Raises:
            ChildDown: none will be.
        """
        while not self._ready.is_set():
            if self.given_up:
                raise ChildDown(f"{self.name} crashes as soon as it is started.", hint="The log says why.")
            await asyncio.sleep(0.01)

    def heard(self, incarnation: int) -> bool:
        """Note a sign of life; False if it comes from an incarnation that is gone."""
        if incarnation != self.incarnation:
            return False
        self._heard_at = time.monotonic()
        return True

    def said_ready(self) -> None:
        """It has said that it listens."""
        self._ready.set()
        self._back()

    async def stop(self) -> None:
        """Ask it to end, wait, and kill it if it does not."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            await self._send(Stop())
            try:
                await asyncio.wait_for(process.wait(), self._patience.stop_s)
            except TimeoutError:
                _log.warning("%s did not end within %.0f s and was killed", self.name, self._patience.stop_s)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            try:
                reason = await self._live()
            except OSError as error:  # no descriptors, no memory, no processes left
                _log.error("%s cannot be started: %s", self.name, error)
                reason = "spawn_failed"
            if self._stopping:
                return
            self._ready.clear()
            _log.error("%s ended: %s", self.name, reason)
            self._lost(reason)
            now = time.monotonic()
            self._crashes.append(now)
            while self._crashes and now - self._crashes[0] > self._patience.crashes_s:
                self._crashes.popleft()
            if len(self._crashes) > self._patience.crashes:
                self.given_up = True
                _log.critical("%s crashed %d times within a minute and stays down", self.name, len(self._crashes))
                return
            await asyncio.sleep(self._patience.pause_s * 2 ** (len(self._crashes) - 1))

    async def _live(self) -> str:
        """Start one and wait for its end; why it ended."""
        self.incarnation += 1
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            stdin=asyncio.subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        self._process = process
        self._heard_at = time.monotonic()
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(self._config(self.incarnation)) + b"\n")
        with contextlib.suppress(ConnectionError):  # it died at once; its exit code says more
            await process.stdin.drain()
        while True:
            with contextlib.suppress(TimeoutError):
                code = await asyncio.wait_for(process.wait(), 1.0)
                return _reason(code)
            silent_s = time.monotonic() - self._heard_at
            limit_s = self._patience.silence_s if self.ready else self._patience.ready_s
            if silent_s > limit_s:
                process.kill()
                await process.wait()
                return "silent"


def _reason(code: int) -> str:
    """A bounded set, since it is a metric's label: a signal's name, or `exit`."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name.lower()
    return "exit"
