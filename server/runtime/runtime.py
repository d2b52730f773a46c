"""The composition root: builds every part of the server, starts them in order, stops them in reverse."""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq.asyncio

from model_export.errors import VidserveError
from model_export.repository import Repository
from server.core.log import LogConfig
from server.core.metrics import Metrics
from server.core.metrics_page import Page
from server.core.settings import Settings
from server.domain.health import Health, Part
from server.engine.config import EngineConfig
from server.engine.running import CHOICES, Running
from server.engine.tuning.order import Tuning
from server.runtime.child import Child
from server.runtime.dispatcher import Dispatcher, Workers
from server.runtime.hub import Hub
from server.runtime.import_attempt import ImportLimits
from server.runtime.imports import Imports
from server.runtime.jobs import Jobs
from server.runtime.ledger import Ledger
from server.runtime.loading import ENGINE, Loading
from server.runtime.models import Models
from server.runtime.pictures import Pictures
from server.storage.database import Database
from server.storage.fetch import fetch
from server.storage.imports import ImportStore
from server.storage.jobs import JobStore
from server.storage.media import Media
from server.wire.memory import PREFIX, SharedFile, sweep
from server.wire.messages import EngineReady, Heartbeat, WorkerReady
from server.wire.slots import Segment, size_classes
from server.wire.sockets import Received
from server.worker.config import WorkerConfig

_log = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent.parent / "models"
_STORAGE_S = 15.0


class DataFolderInUse(VidserveError):
    """Another server works on the data folder."""

    code = "data_folder_in_use"


class Runtime:
    """A whole server without its HTTP face.

    Use as an async context manager; on entering, the processes start, and `ready` tells when all that was asked for is
    loaded and warm.
    """

    jobs: Jobs
    models: Models
    imports: Imports
    metrics: Metrics

    def __init__(self, settings: Settings, *, models: Path | None = None) -> None:
        """
        Args:
            models: the model repository, if it is not in the data folder.
        """
        self.settings = settings
        self._data = settings.data.resolve()
        self._repository = (models or self._data / "models").resolve()
        self._stack = AsyncExitStack()
        self._children: dict[str, Child] = {}
        self._storage: tuple[Mapping[str, int], int] = ({}, 0)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._turns = itertools.count()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def wait_ready(self) -> None:
        """Return when `health().ready`; raises what is in the way of it for good."""
        for child in self._children.values():
            await child.wait_ready()
        for reference in self._wanted():
            await self.models.load(reference)

    def health(self) -> Health:
        """Whether the server can do its work, and what is in the way."""
        parts = {name: Part(ok=child.ready, detail=_detail(child)) for name, child in sorted(self._children.items())}
        problems = [f"{name}: {part.detail}" for name, part in parts.items() if not part.ok]
        missing = self.models.problems(self._wanted())
        parts["models"] = Part(ok=not missing, detail=" ".join(missing) or "loaded")
        problems += missing
        return Health(ready=not problems, problems=tuple(problems), parts=parts)

    def scrape(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return self.metrics.scrape()

    # ── start ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _start(self) -> None:
        settings = self.settings
        self._lock(self._data)
        swept = sweep()
        if swept:
            _log.info("removed shared memory that an earlier run left: %s", ", ".join(swept))
        # Names of sockets are short: an ipc path has at most 107 bytes.
        sockets = Path(tempfile.mkdtemp(prefix="vidserve-"))
        self._stack.callback(shutil.rmtree, sockets, ignore_errors=True)

        workers = [f"worker-{number}" for number in range(settings.workers.count)]
        writers = 1 + len(workers)
        run = f"{PREFIX}{os.getpid()}.{os.urandom(3).hex()}"
        page_file = SharedFile.create(f"{run}.metrics", Page.bytes_for(writers))
        self._stack.callback(page_file.close)
        page = Page(page_file.buffer, writers)
        segments = {}
        for name in workers:
            segments[name] = Segment.create(f"{run}.{name}", size_classes(settings.workers.shm_mb * 2**20))
            self._stack.callback(segments[name].close)

        database = await asyncio.to_thread(Database.open, self._data / "vidserve.db")
        self._stack.callback(database.close)
        store = JobStore(database, queued=settings.jobs.queued)
        media = Media(self._data, free_bytes=settings.limits.free_bytes)
        await asyncio.to_thread(media.sweep, store.ids())

        context = zmq.asyncio.Context()
        self._stack.callback(context.term)
        hub = Hub(context, f"ipc://{sockets}/api", incarnation=os.getpid())
        self._stack.push_async_callback(hub.close)
        engine_address = f"ipc://{sockets}/engine"

        self.metrics = Metrics(
            page, version=version("vidserve"), jobs=lambda: ledger.counts(), storage=lambda: self._storage
        )
        ledger = Ledger(store, self.metrics)
        self._pictures = Pictures(hub, engine_address=engine_address, worker=self._next_worker)
        self.models = Models(
            Repository(self._repository, shipped=SHIPPED),
            Loading(hub, self.metrics, page),
            default_model=settings.engine.default_model,
            engine_address=engine_address,
            pictures=self._pictures,
            pinned=ledger.pinned,
        )
        self.imports = Imports(
            ImportStore(self._data),
            self.models,
            ImportLimits.of(settings.imports),
            waiting=settings.imports.waiting,
        )
        dispatcher = Dispatcher(
            hub,
            self.models,
            ledger,
            media,
            Workers(
                ready=lambda: [name for name in workers if self._children[name].ready],
                jobs_each=settings.workers.jobs_each,
                jobs_in_all=settings.jobs.running,
            ),
            checkpoint_s=settings.jobs.checkpoint_s,
        )
        self.jobs = Jobs(
            ledger,
            media,
            self.models,
            dispatcher,
            lambda url: fetch(
                url,
                media.uploads,
                limit=settings.limits.upload_bytes,
                timeout_s=settings.jobs.fetch_timeout_s,
                allow_private=settings.jobs.allow_private_urls,
            ),
            allow_private_urls=settings.jobs.allow_private_urls,
        )
        self._dispatcher = dispatcher

        hub.on(Heartbeat, self._on_heartbeat)
        hub.on(WorkerReady, self._on_ready)
        hub.on(EngineReady, self._on_ready)
        hub.start()

        log = LogConfig.of(settings.log)
        self._child(
            hub,
            ENGINE,
            "server.engine.process",
            lambda incarnation: EngineConfig(
                address=engine_address,
                api=hub.address,
                incarnation=incarnation,
                # Beside the models: `analyze` has a data folder of its own, and theirs says how they run.
                running=Running.of(settings.engine, self._repository.parent / CHOICES),
                tuning=Tuning() if settings.engine.tune else Tuning(after_s=None),
                page=page_file.name,
                page_writers=writers,
                writer=0,
                log=log.named(ENGINE),
            ),
        )
        for number, name in enumerate(workers):
            self._child(
                hub,
                name,
                "server.worker.process",
                lambda incarnation, name=name, number=number: WorkerConfig(
                    name=name,
                    incarnation=incarnation,
                    api=hub.address,
                    segment=segments[name].name,
                    page=page_file.name,
                    page_writers=writers,
                    writer=1 + number,
                    max_pixels=settings.limits.pixels,
                    max_s=settings.limits.video_s,
                    log=log.named(name),
                ),
            )
        # Stopped in reverse: first nothing new is accepted, then nothing is followed, then the children end.
        self._stack.push_async_callback(self._stop_children)
        self._stack.push_async_callback(dispatcher.close)
        self._stack.push_async_callback(self.jobs.close)
        self._stack.push_async_callback(self.models.close)
        self._stack.push_async_callback(self.imports.close)
        for child in self._children.values():
            child.start()
        self._spawn(self._watch_storage(media))
        self._stack.callback(self._cancel_tasks)
        self.models.watch()
        await self.jobs.restart()
        await self.imports.restart()

    def _lock(self, data: Path) -> None:
        """One server a data folder."""
        data.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise DataFolderInUse(
                f"Another server works on {data}.", hint="Stop it, or name another folder with --data."
            ) from error
        self._stack.callback(os.close, descriptor)

    def _child(self, hub: Hub, name: str, module: str, config: Any) -> None:
        self._children[name] = Child(
            name,
            module,
            config,
            send=lambda message: hub.send(name, message),
            lost=lambda reason: self._lost(name, reason),
            back=lambda: self._back(name),
        )

    async def _stop_children(self) -> None:
        # Workers first: they take their leave of the engine.
        await asyncio.gather(*(child.stop() for name, child in self._children.items() if name != ENGINE))
        await self._children[ENGINE].stop()

    # ── what children do ─────────────────────────────────────────────────────────────────────────────────────────

    def _on_heartbeat(self, received: Received) -> None:
        child = self._children.get(received.header.sender)
        if child is not None:
            child.heard(received.header.incarnation)

    def _on_ready(self, received: Received) -> None:
        child = self._children.get(received.header.sender)
        if child is None or not child.heard(received.header.incarnation):
            return
        child.said_ready()

    def _back(self, name: str) -> None:
        if name == ENGINE:
            self._spawn(self._engine_back())
        else:
            self._dispatcher.wake()

    async def _engine_back(self) -> None:
        await self.models.engine_back()
        for reference in self._wanted():
            try:
                await self.models.load(reference)
            except VidserveError as error:
                _log.error("%s", error)

    def _lost(self, name: str, reason: str) -> None:
        self.metrics.restarts.labels(name.split("-")[0], reason).inc()
        if name == ENGINE:
            self.models.engine_lost()
            self._pictures.engine_lost()
            self._spawn(self._dispatcher.engine_lost(reason))
        else:
            self._pictures.worker_lost(name)
            self._dispatcher.worker_lost(name, reason)

    def _next_worker(self) -> str:
        """The worker for a picture: in turn, of those that are up."""
        ready = [name for name, child in self._children.items() if name != ENGINE and child.ready]
        return ready[next(self._turns) % len(ready)] if ready else "worker-0"

    # ── the rest ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _wanted(self) -> list[str]:
        """The models that must be loaded before the server is ready."""
        if self.settings.engine.models:
            return list(self.settings.engine.models)
        default = self.settings.engine.default_model or self.models.repository.default_model()
        return [default] if default else []

    async def _watch_storage(self, media: Media) -> None:
        while True:
            kinds, free = await asyncio.to_thread(media.usage)
            self._storage = (kinds, free)
            await asyncio.sleep(_STORAGE_S)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()


def _detail(child: Child) -> str:
    if child.ready:
        return f"running (pid {child.pid})"
    return "crashed too often and stays down" if child.given_up else "starting"
