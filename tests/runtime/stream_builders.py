"""Streams over a real database, with a hub, workers, models and an engine that are played by the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from pathlib import Path
from types import SimpleNamespace

from dispatcher_builders import KILLED, FakeHub

from model_export.errors import ModelNotFound
from model_export.manifest import Task
from server.core.errors import ModelUnavailable
from server.core.metrics import Metrics
from server.core.metrics_page import Page
from server.domain.stream import NewStream
from server.events.bus import Bus
from server.events.states import States
from server.runtime.processes.quarantine import QUARANTINE
from server.runtime.streams.dispatcher import StreamDispatcher
from server.runtime.streams.news import StreamNews
from server.runtime.streams.probes import Probes
from server.runtime.streams.room import StreamRoom
from server.runtime.streams.rows import StreamRows
from server.runtime.streams.sources import SourcePolicy
from server.runtime.streams.streams import Streams
from server.runtime.streams.views import StreamViews
from server.runtime.streams.workers import StreamWorkers
from server.storage.database import Database
from server.storage.streams import StreamStore
from server.wire.messages import (
    Reached,
    StartStream,
    StopStream,
    StreamEnded,
    StreamStatus,
)
from server.wire.messages import (
    StreamRows as Rows,
)

NOTHING = Reached()


class FakeModels:
    """Models by name; the version is the one that serves. `away`: those that do not load."""

    engine_address = "ipc://engine"

    def __init__(self) -> None:
        self.serving = {"net": 1, "moving-objects": 1, "tensors": 1}
        self.away: set[str] = set()
        self.takes_tensors = {"tensors"}
        self.users: dict[str, int] = {}
        self.made_for: dict[str, float] = {}
        self.loading = SimpleNamespace(models={})

    async def resolve(self, reference):
        name, _, version = (reference or "net").partition("@")
        if name not in self.serving:
            raise ModelNotFound(f"There is no model {name!r}.")
        id = f"{name}@{version or self.serving[name]}"
        task = Task.TENSOR if name in self.takes_tensors else Task.MOTION if name == "moving-objects" else Task.DETECT
        manifest = SimpleNamespace(id=id, name=name, task=task, labels=("car",), state=(), window=None)
        manifest.fps = self.made_for.get(name)
        return SimpleNamespace(folder=Path("bundles") / id, manifest=manifest)

    async def acquire(self, reference):
        bundle = await self.resolve(reference)
        if bundle.manifest.id in self.away:
            raise ModelUnavailable(f"{bundle.manifest.id} does not load.")
        self.users[bundle.manifest.id] = self.users.get(bundle.manifest.id, 0) + 1
        return bundle

    def release(self, model) -> None:
        self.users[model] -= 1

    def does(self, **frames_s: float) -> None:
        """So many frames a second, by name."""
        self.loading.models = {f"{name}@{self.serving[name]}": fps for name, fps in frames_s.items()}


class Hub(FakeHub):
    """Answers the order to stop, unless `deaf`."""

    def __init__(self) -> None:
        super().__init__()
        self.deaf = False

    async def send(self, peer, message, payload=()) -> bool:
        sent = await super().send(peer, message, payload)
        if sent and isinstance(message, StopStream) and not self.deaf:
            asyncio.get_running_loop().call_soon(self.hear, StreamEnded(message.stream, message.attempt))
        return sent


class Stage:
    """
    Args:
        workers: names of the ordinary ones that are up; the quarantine worker comes up when it is wanted.
        declared: `[streams.NAME]` of the settings file.
    """

    def __init__(self, folder: Path, *, workers=("worker-0", "worker-1"), most=8, policy=None, declared=None) -> None:
        self.hub, self.models, self.bus = Hub(), FakeModels(), Bus()
        self._database = Database.open(folder / "vidserve.db")
        self.page = Page(bytearray(Page.bytes_for(1)), 1)
        self.metrics = Metrics(self.page, version="0", jobs=dict, storage=lambda: ({}, 0))
        self.up = list(workers)
        self.quarantine = False
        self.job_inside = self.jobs_wait = False
        self.stale = 0
        self.heard: list[tuple[str, str, dict]] = []
        self.bus.tap(_Tap(self))
        self.policy = policy or SourcePolicy(folders=(folder,))
        news = StreamNews(self.bus, States(), self.page.recorder(0).event)
        self.dispatcher = StreamDispatcher(
            self.hub,
            self.models,
            StreamWorkers(
                ready=lambda: [*self.up, *([QUARANTINE] if self.quarantine else [])],
                quarantine=self._want_quarantine,
                occupied=lambda: self.job_inside,
                wanted=lambda: self.jobs_wait,
            ),
            self.policy,
            news,
            stale=self._count,
        )
        self.probes = Probes(self.hub, self.policy, worker=lambda: self.up[0])
        self.streams = Streams(
            StreamStore(self._database),
            StreamRows(self.page, self.metrics),
            self.models,
            self.dispatcher,
            StreamRoom(self.models, SimpleNamespace(of=lambda frames_s: frames_s)),
            self.policy,
            self.probes,
            news,
            most=most,
        )
        self.views = StreamViews(self.hub, self.bus, self.streams.find, self.dispatcher.stint)
        self.declared = declared or {}

    def _want_quarantine(self, wanted: bool) -> None:
        if wanted and not self.quarantine:
            asyncio.get_running_loop().call_soon(self.dispatcher.wake)
        self.quarantine = wanted

    def _count(self) -> None:
        self.stale += 1

    # Of the bus: it hears everything.
    def heard_item(self, item) -> None:
        self.heard.append((item.owner, item.kind.value, json.loads(item.data)))

    def closed(self, owner) -> None:
        self.heard.append((owner, "closed", {}))

    # ── what others do ───────────────────────────────────────────────────────────────────────────────────────────

    async def add(self, name="cam", *, force=False, **more):
        """A stream, once it is in a worker."""
        stream = await self.streams.create(a_stream(name, **more), force=force)
        await self.placed(stream.id)
        return stream

    def says(self, stream: str, state="running", *, attempt=None, **more) -> None:
        """Its worker says how it is."""
        self.hub.hear(StreamStatus(stream, attempt or self.attempt(stream), state, **more))

    def rows(self, stream: str, *rows: bytes, events=b"", lost=0, attempt=None, reached=NOTHING) -> None:
        self.hub.hear(Rows(stream, attempt or self.attempt(stream), lost, reached), b"".join(rows), events)

    def ends(self, stream: str, code="", message="") -> None:
        self.hub.hear(StreamEnded(stream, self.attempt(stream), code, message))

    def dies(self, worker: str, death=KILLED, *seen) -> None:
        """A worker is gone; these rows of the page of calls it has left."""
        if worker in self.up:
            self.up.remove(worker)
        self.dispatcher.worker_lost(worker, death, seen)

    def back(self, worker: str) -> None:
        self.up.append(worker)
        self.dispatcher.wake()

    # ── what is seen ─────────────────────────────────────────────────────────────────────────────────────────────

    def orders(self, kind, stream: str):
        return [message for _, message in self.hub.of(kind) if message.stream == stream]

    def attempt(self, stream: str) -> int:
        return self.orders(StartStream, stream)[-1].attempt

    def worker(self, stream: str) -> str:
        """The one that it was given to last."""
        return [peer for peer, message in self.hub.of(StartStream) if message.stream == stream][-1]

    def source(self, stream: str) -> dict:
        """What the worker was told of its source last."""
        return json.loads(self.orders(StartStream, stream)[-1].source)

    def states(self, stream: str) -> list[str]:
        """That were told on the bus."""
        return [data["state"] for owner, kind, data in self.heard if (owner, kind) == (stream, "state")]

    async def until(self, what, seconds: float = 20.0):
        end = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < end, self.hub.sent
            await asyncio.sleep(0.002)
        return found

    async def placed(self, stream: str, times: int = 1) -> None:
        """Return when it was given to a worker so many times."""
        await self.until(lambda: len(self.orders(StartStream, stream)) >= times)

    async def close(self) -> None:
        await self.views.close()
        await self.streams.close()
        await self.dispatcher.close()
        self._database.close()


class _Tap:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def heard(self, item, owner) -> None:
        self._stage.heard_item(item)

    def closed(self, owner) -> None:
        self._stage.closed(owner)


def a_stream(name="cam", **more) -> NewStream:
    return NewStream.model_validate({"name": name, "url": f"rtsp://{name.replace(' ', '-')}.local/1", **more})


def play(folder: Path, body, **options) -> None:
    """Run a test's coroutine on a stage."""

    async def run() -> None:
        stage = Stage(folder, **options)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(stage.close)
            await stage.streams.restart(stage.declared)
            await body(stage)

    asyncio.run(run())
