"""A child process and its successors: started with a configuration, heard from, ended in order, started again.

It is told its configuration on standard input, whose end tells it that this process is gone. A child that says nothing
for a while counts as dead, whatever the operating system says of it. A death is followed by a new start after a pause,
which doubles with every crash that comes soon after the one before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import msgspec

from model_export.errors import VidserveError
from server.core.launch import command
from server.runtime.processes.death import SILENT, SPAWN_FAILED, STOPPED, Death, death_of, is_stopped, oom_kills
from server.wire.messages import Message, Stop

_log = logging.getLogger(__name__)

_LOOK_S = 0.25
_LATE_S = 1.0
_TOGETHER_S = 0.1


class ChildDown(VidserveError):
    """A process crashes again and again."""

    code = "process_down"


@dataclass(frozen=True)
class Patience:
    """Seconds, and how many crashes in a row are too many.

    Attributes:
        ready_s: from the start to the first word; and how long one may be silent while it does slow work.
        silence_s: between two words.
        soon_s: who lived for longer did not crash in a row.
        pause_s, longest_s: before the next start, after one crash and after many.
        longest_outside_s: the same after many deaths by another hand.
        first_s: for how long the first start is worth waiting for.
    """

    ready_s: float = 60.0
    silence_s: float = 5.0
    stop_s: float = 2.0
    crashes: int = 5
    soon_s: float = 12.0
    pause_s: float = 0.2
    longest_s: float = 60.0
    longest_outside_s: float = 2.0
    first_s: float = 10.0


class Child:
    """One of the server's processes.

    Args:
        name: what it is called, on the wire and in the log.
        module: whose `main` it runs.
        config: makes the configuration of an incarnation.
        send: sends a message to it; False if it does not listen.
        lost: called when it has died or was killed, before the next one starts; whether somebody's work explains it.
        back: called when one is ready.
        look: called with its process id a few times a second: why to kill it, or None.
        slow: whether it is at something that may keep it silent for long.
        environ: variables for its libraries.
    """

    def __init__(
        self,
        name: str,
        module: str,
        config: Callable[[int], msgspec.Struct],
        *,
        send: Callable[[Message], Awaitable[bool]],
        lost: Callable[[Death], bool],
        back: Callable[[], None],
        look: Callable[[int], Death | None] = lambda _: None,
        slow: Callable[[], bool] = lambda: False,
        environ: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.name = name
        self.incarnation = 0
        self._module = module
        self._config = config
        self._send = send
        self._lost = lost
        self._back = back
        self._look = look
        self._slow = slow
        self._environ = environ or {}
        self._patience = patience or Patience()
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._heard_at = 0.0
        self._born_at = 0.0
        self._crashes = 0
        self._last: Death | None = None
        self._again_at = 0.0
        self._stopping = False

    @property
    def ready(self) -> bool:
        """Whether one is up and has said so."""
        return self._ready.is_set()

    @property
    def coming_up(self) -> bool:
        """Whether it is started for the first time, and will be ready in a moment."""
        if self.ready or not self.kept or self.incarnation > 1:
            return False
        return self.incarnation == 0 or time.monotonic() - self._born_at < self._patience.first_s

    @property
    def kept(self) -> bool:
        """Whether there is one, or will be after the pause."""
        return self._task is not None

    @property
    def exhausted(self) -> bool:
        """Whether it has crashed more often than is borne; the pauses are long now."""
        return self._crashes > self._patience.crashes

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def detail(self) -> str:
        """What it is doing, or what is wrong with it."""
        if self.ready:
            return f"running (pid {self.pid})"
        if not self.exhausted or self._last is None:
            return "starting" if self.kept else "not needed"
        wait_s = self._again_at - time.monotonic()
        then = f"the next start is in {wait_s:.0f} s" if wait_s > 0 else "starting again"
        return f"it ended {self._crashes} times in a row, at last by {self._last.reason}; {then}"

    def start(self) -> None:
        """Have one from now on. Nothing happens if that is so."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name=self.name)

    async def wait_ready(self) -> None:
        """Return when one is up.

        Raises:
            ChildDown: it crashes again and again.
        """
        while not self._ready.is_set():
            if self.exhausted:
                raise ChildDown(f"{self.name} crashes as soon as it is started.", hint="The log says why.")
            await asyncio.sleep(0.01)

    def heard(self) -> None:
        """Note a sign of life."""
        self._heard_at = time.monotonic()

    def said_ready(self) -> None:
        """It has said that it listens."""
        self.heard()
        self._ready.set()
        self._back()

    def let_end(self) -> None:
        """The server is ending: however this one ends, it is not started again. `stop` is still to be called."""
        self._stopping = True

    async def stop(self) -> None:
        """Ask it to end, wait, and kill it if it does not. It may be started again afterwards."""
        self._stopping = True
        self._ready.clear()  # who looks for a process now must not be given this one
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                if not await self._send(Stop()):
                    process.terminate()
            try:
                await asyncio.wait_for(process.wait(), self._patience.stop_s)
            except TimeoutError:
                _log.warning("%s did not end within %.0f s and was killed", self.name, self._patience.stop_s)
                await _kill(process)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        self._stopping = False

    async def _keep(self) -> None:
        while True:
            try:
                death = await self._live()
            except OSError as error:  # no descriptors, no memory, no processes left
                _log.error("%s cannot be started: %s", self.name, error)
                death = SPAWN_FAILED
            except Exception:  # the edge of a task: a child that nobody follows would never be started again
                _log.exception("following %s failed", self.name)
                death = SPAWN_FAILED
            if self._process is not None and self._process.returncode is None:
                await _kill(self._process)
            if not death.by_itself:
                # Whoever ended it may be ending all of us: then nobody is to be missed.
                await asyncio.sleep(_TOGETHER_S)
            if self._stopping:
                return
            pause_s = self._bury(death)
            _log.error("%s ended (%s) and is started again in %.1f s", self.name, death.reason, pause_s)
            await asyncio.sleep(pause_s)

    def _bury(self, death: Death) -> float:
        """Tell of a death; seconds before the next start.

        What others did to a child that was up says nothing of the next one, nor does what it had in hand; all else
        counts.
        """
        was_ready = self.ready
        self._ready.clear()
        self._last = death
        excused = self._lost(death) or not death.by_itself
        now = time.monotonic()
        if now - self._born_at > self._patience.soon_s:
            self._crashes = 0
        # Who was killed by another hand while it worked is missed at once: the streams of a worker wait for it.
        pause_s = self._patience.pause_s if death.by_itself else 0.0
        if not (was_ready and excused):
            self._crashes += 1
            # Deaths by another hand may come in a row by chance; many do not.
            patience, borne = self._patience, 0 if death.by_itself else self._patience.crashes
            longest_s = patience.longest_s if death.by_itself else patience.longest_outside_s
            pause_s = min(longest_s, patience.pause_s * 2.0 ** min(max(self._crashes - borne, 1) - 1, 20))
            if self.exhausted:
                _log.critical("%s ended %d times in a row", self.name, self._crashes)
        self._again_at = now + pause_s
        return pause_s

    async def _live(self) -> Death:
        """Start one and wait for its end; how it ended."""
        self.incarnation += 1
        self._born_at = time.monotonic()
        out_of_memory = oom_kills()
        process = await asyncio.create_subprocess_exec(
            *command(self._module),
            stdin=asyncio.subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **self._environ},
        )
        self._process = process
        self.heard()
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(self._config(self.incarnation)) + b"\n")
        with contextlib.suppress(ConnectionError):  # it died at once; its exit code says more
            await process.stdin.drain()
        death = await self._watch(process)
        return death or death_of(await process.wait(), out_of_memory=oom_kills() > out_of_memory)

    async def _watch(self, process: asyncio.subprocess.Process) -> Death | None:
        """Return when it has died, or with the reason to kill it."""
        looked_at = time.monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _LOOK_S)
                return None
            now = time.monotonic()
            late_s = now - looked_at - _LOOK_S
            looked_at = now
            if late_s > _LATE_S:
                # This process was stopped or starved itself, perhaps the whole machine: nobody is blamed for that time.
                self._heard_at = now
                await asyncio.sleep(_LATE_S)
                looked_at = time.monotonic()
                continue
            death = self._silent(process.pid, now - self._heard_at) or self._look(process.pid)
            if death is not None:
                return death

    def _silent(self, pid: int, silent_s: float) -> Death | None:
        if silent_s <= self._patience.silence_s:
            return None
        if is_stopped(pid):
            return STOPPED
        limit_s = self._patience.silence_s if self.ready and not self._slow() else self._patience.ready_s
        return SILENT if silent_s > limit_s else None


async def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
