"""The server's processes, followed: heard, watched, started again; whoever depends on one is told of its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec

from server.core.metrics import Metrics
from server.domain.health import Part
from server.runtime.processes.child import Child
from server.runtime.processes.death import ENDED, Death
from server.runtime.processes.hub import Hub
from server.wire.messages import EngineReady, Heartbeat, WorkerReady
from server.wire.sockets import Received

Config = Callable[[int], msgspec.Struct]
"""Makes what an incarnation is told."""


class Children:
    """Processes by name, in the order of their adding; they end in the opposite one."""

    def __init__(self, hub: Hub, metrics: Metrics) -> None:
        self._hub = hub
        self._metrics = metrics
        self._children: dict[str, Child] = {}
        self._lost: dict[str, Callable[[Death], bool]] = {}
        self._wanted: dict[str, bool] = {}
        self._changes: dict[str, asyncio.Task[None]] = {}
        hub.on(Heartbeat, self._on_heartbeat)
        hub.on(WorkerReady, self._on_ready)
        hub.on(EngineReady, self._on_ready)

    def add(
        self,
        name: str,
        module: str,
        config: Config,
        *,
        lost: Callable[[Death], bool],
        back: Callable[[], None],
        look: Callable[[int], Death | None] = lambda _: None,
        slow: Callable[[], bool] = lambda: False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """A process that runs `module`, as `Child` has it; nothing is started yet.

        `lost` is also called when it has been ended because it is not wanted any more: somebody may have come to it at
        the last moment.
        """

        def born(incarnation: int) -> msgspec.Struct:
            self._hub.expect(name, incarnation)
            return config(incarnation)

        def gone(death: Death) -> bool:
            # What is still under way from it comes too late: its work is given to others now.
            self._hub.expect(name, child.incarnation + 1)
            return lost(death)

        def dead(death: Death) -> bool:
            self._metrics.restarts.labels(name.split("-")[0], death.reason).inc()
            return gone(death)

        self._lost[name] = gone
        child = self._children[name] = Child(
            name,
            module,
            born,
            send=lambda message: self._hub.send(name, message),
            lost=dead,
            back=back,
            look=look,
            slow=slow,
            environ=environ,
        )

    def want(self, name: str, wanted: bool) -> None:
        """Have a process started, or ended, and leave it so."""
        self._wanted[name] = wanted
        if name not in self._changes and self._children[name].kept is not wanted:
            task = self._changes[name] = asyncio.create_task(self._change(name))
            task.add_done_callback(lambda task: self._changed(name, task))

    def ready(self, names: Sequence[str]) -> list[str]:
        """Those that are up, and shall stay so."""
        return [name for name in names if self._children[name].ready and self._wanted.get(name, False)]

    def coming_up(self, names: Sequence[str]) -> list[str]:
        """Those that are started for the first time, and will be ready in a moment."""
        return [name for name in names if self._children[name].coming_up]

    async def wait_ready(self, names: Sequence[str]) -> None:
        """Return when all of these are up.

        Raises:
            ChildDown: one crashes again and again.
        """
        for name in names:
            await self._children[name].wait_ready()

    def parts(self) -> dict[str, Part]:
        """What each of them is doing."""
        return {
            name: Part(ok=child.ready, detail=child.detail)
            for name, child in sorted(self._children.items())
            if child.kept
        }

    def let_end(self) -> None:
        """The server is ending: however they end, none is started again. `stop` is still to be called."""
        for child in self._children.values():
            child.let_end()

    async def stop(self, names: Sequence[str]) -> None:
        """End these, at the same time, and leave them so."""
        changes = [self._changes[name] for name in names if name in self._changes]
        for change in changes:
            change.cancel()
        await asyncio.gather(*changes, return_exceptions=True)
        await asyncio.gather(*(self._children[name].stop() for name in names))

    async def _change(self, name: str) -> None:
        child = self._children[name]
        while child.kept is not self._wanted[name]:
            if self._wanted[name]:
                child.start()
            else:
                await child.stop()
                self._lost[name](ENDED)

    def _changed(self, name: str, task: asyncio.Task[None]) -> None:
        del self._changes[name]
        if not task.cancelled():
            self.want(name, self._wanted[name])  # it may have been changed meanwhile

    def _on_heartbeat(self, received: Received) -> None:
        child = self._children.get(received.header.sender)
        if child is not None:
            child.heard()

    def _on_ready(self, received: Received) -> None:
        child = self._children.get(received.header.sender)
        if child is not None:
            child.said_ready()
