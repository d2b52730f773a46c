"""The composition root: builds every part of the server, starts them in order, stops them in reverse."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import os
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq.asyncio

from model_export.errors import VidserveError
from model_export.repository import Repository
from server.core.metrics import Metrics
from server.core.settings import Settings
from server.domain.health import Health, Part
from server.engine.running import CHOICES
from server.engine.tuning.choices import Choices
from server.events.bus import Bounds, Bus
from server.events.history import History
from server.events.states import States
from server.runtime.jobs.dispatcher import Dispatcher, Terms
from server.runtime.jobs.jobs import Jobs
from server.runtime.jobs.keeping import Keeping
from server.runtime.jobs.ledger import Ledger
from server.runtime.jobs.line import Workers
from server.runtime.jobs.news import JobNews
from server.runtime.jobs.usage import Usage
from server.runtime.models.import_attempt import ImportLimits
from server.runtime.models.imports import Imports
from server.runtime.models.loading import ENGINE, Loading
from server.runtime.models.models import Models
from server.runtime.models.pictures import Pictures
from server.runtime.processes.blame import had_work
from server.runtime.processes.children import Children
from server.runtime.processes.death import HUNG, Death
from server.runtime.processes.folders import locked, sockets_folder
from server.runtime.processes.hub import Hub
from server.runtime.processes.quarantine import QUARANTINE, Quarantine
from server.runtime.processes.shared import reserved
from server.runtime.processes.upbringing import engine_config, worker_config, worker_watch
from server.runtime.streams.streaming import Streaming
from server.runtime.streams.streams import Streams
from server.runtime.streams.views import StreamViews
from server.runtime.streams.workers import StreamWorkers
from server.runtime.subscriptions.subscriptions import Subscriptions
from server.runtime.tensors.arrivals import Arrivals
from server.runtime.tensors.asking import Asking
from server.runtime.tensors.room import Room
from server.runtime.tensors.tensors import Tensors
from server.storage.database import Database
from server.storage.events import EventStore
from server.storage.fetch import fetch
from server.storage.imports import ImportStore
from server.storage.jobs import JobStore
from server.storage.media import Media
from server.storage.streams import StreamStore
from server.wire.memory import sweep

_log = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent.parent / "models"
_LOAD_S = 600.0
"""An engine that has not loaded a model by then hangs."""


class Runtime:
    """A whole server without its HTTP face.

    Use as an async context manager; on entering, the processes start, and `ready` tells when all that was asked for is
    loaded and warm.
    """

    jobs: Jobs
    models: Models
    tensors: Tensors
    imports: Imports
    streams: Streams
    views: StreamViews
    bus: Bus
    metrics: Metrics
    subscriptions: Subscriptions
    events: EventStore

    def __init__(
        self, settings: Settings, *, models: Path | None = None, worker: str = "server.worker.process"
    ) -> None:
        """
        Args:
            models: the model repository, if it is not in the data folder.
            worker: the module that a worker runs.
        """
        self.settings = settings
        self._data = settings.data.resolve()
        self._repository = (models or self._data / "models").resolve()
        self._choices = self._repository.parent / CHOICES
        self._worker_module = worker
        self._workers = [f"worker-{number}" for number in range(settings.workers.count)]
        self._stack = AsyncExitStack()
        self._usage = Usage()
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
        await self._children.wait_ready([ENGINE, *self._workers])
        for reference in self._wanted():
            await self.models.load(reference, by_hand=False)

    def health(self) -> Health:
        """Whether the server can do its work, and what is in the way. As long as one worker is up, it can."""
        parts = self._children.parts()
        needed = [ENGINE] if self._children.ready(self._workers) else [ENGINE, *self._workers]
        problems = [f"{name}: {parts[name].detail}" for name in needed if name in parts and not parts[name].ok]
        missing = self.models.problems(self._wanted())
        parts["models"] = Part(ok=not missing, detail=" ".join(missing) or "loaded")
        problems += missing
        return Health(ready=not problems, problems=tuple(problems), parts=parts)

    async def reload(self, settings: Settings) -> None:
        """Take the streams from settings that were read anew; all else needs another start.

        Raises:
            VidserveError: they cannot be used; everything is as it was.
        """
        await self.streams.declare(settings.streams)
        changed = sorted(
            name
            for name in Settings.model_fields
            if name != "streams" and getattr(settings, name) != getattr(self.settings, name)
        )
        if changed:
            _log.warning("changes of %s take effect at the next start", ", ".join(changed))

    def ending(self) -> None:
        """The server was told to end, perhaps with all its processes: nobody wonders at their deaths from now on."""
        self._children.let_end()

    def scrape(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return self.metrics.scrape()

    # ── start ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _start(self) -> None:
        """Every part, from the ground up."""
        settings = self.settings
        self._stack.enter_context(locked(self._data))
        swept = sweep()
        if swept:
            _log.info("removed shared memory that an earlier run left: %s", ", ".join(swept))
        sockets = self._stack.enter_context(sockets_folder())
        shared = self._shared = self._stack.enter_context(reserved(self._workers, settings.workers.shm_mb))

        database = await asyncio.to_thread(Database.open, self._data / "vidserve.db")
        self._stack.callback(database.close)
        store = JobStore(database, queued=settings.jobs.queued)
        media = Media(self._data, free_bytes=settings.limits.free_bytes)
        await asyncio.to_thread(media.sweep, store.ids(), {job.id for job in store.unfinished()})

        context = zmq.asyncio.Context()
        self._stack.callback(context.term)
        hub = Hub(context, f"ipc://{sockets}/api", incarnation=os.getpid(), stale=shared.stale)
        self._stack.push_async_callback(hub.close)
        engine_address = f"ipc://{sockets}/engine"

        self.metrics = Metrics(
            shared.page, version=version("vidserve"), jobs=lambda: ledger.counts(), storage=lambda: self._usage.latest
        )
        self.bus = Bus(Bounds(subscribers=settings.events.subscribers, all_bytes=settings.events.replay_mb * 2**20))
        states = States()
        news = JobNews(self.bus, states)
        ledger = self._ledger = Ledger(store, self.metrics, news)
        self._pictures = Pictures(
            hub, engine_address=engine_address, worker=self._next_worker, most=settings.limits.pictures
        )
        self._loading = Loading(hub, self.metrics, shared.page)
        self.models = Models(
            Repository(self._repository, shipped=SHIPPED),
            self._loading,
            default_model=settings.engine.default_model,
            engine_address=engine_address,
            pictures=self._pictures,
            pinned=self._pinned,
        )
        asking = Asking(zmq.Context.shadow(context.underlying), engine_address, "api.v2", os.getpid())
        self.tensors = Tensors(
            self.models,
            asking,
            Room(f"{shared.run}.tensors", settings.v2.shm_mb * 2**20),
            Arrivals(settings.v2.requests, settings.v2.request_bytes * 4),
            request_bytes=settings.v2.request_bytes,
            sequences_at_once=settings.v2.sequences,
            idle_s=settings.v2.sequence_idle_s,
        )
        self._stack.push_async_callback(self.tensors.close)
        self.tensors.start()
        self.imports = Imports(
            ImportStore(self._data),
            self.models,
            ImportLimits.of(settings.imports),
            waiting=settings.imports.waiting,
        )
        self._children = Children(hub, self.metrics)
        quarantine = Quarantine(lambda needed: self._children.want(QUARANTINE, needed))
        ready = functools.partial(self._children.ready, [*self._workers, QUARANTINE])
        self._dispatcher = Dispatcher(
            hub,
            self.models,
            ledger,
            media,
            Workers(
                ready=ready,
                quarantine=functools.partial(quarantine.need, "jobs"),
                jobs_each=settings.workers.jobs_each,
                jobs_in_all=settings.jobs.running,
                occupied=lambda: self._streaming.dispatcher.in_quarantine,
                wanted=lambda: self._streaming.dispatcher.waits_for_quarantine,
            ),
            Terms(checkpoint_s=settings.jobs.checkpoint_s, max_run_s=settings.jobs.max_run_s),
            news,
            stale=shared.stale,
        )
        self._streaming = Streaming.of(
            settings,
            StreamStore(database),
            hub,
            self.models,
            StreamWorkers(
                ready=ready,
                quarantine=functools.partial(quarantine.need, "streams"),
                occupied=lambda: self._dispatcher.in_quarantine,
                wanted=lambda: self._dispatcher.waits_for_quarantine,
                coming_up=functools.partial(self._children.coming_up, self._workers),
            ),
            Choices(self._choices),
            shared.page,
            self.metrics,
            self.bus,
            states,
            count=shared.recorder.event,
            stale=shared.stale,
            next_worker=self._next_worker,
        )
        self.streams, self.views = self._streaming.streams, self._streaming.views
        self.jobs = Jobs(
            ledger,
            media,
            self.models,
            self._dispatcher,
            lambda url: fetch(
                url,
                media.uploads,
                limit=settings.limits.upload_bytes,
                timeout_s=settings.jobs.fetch_timeout_s,
                allow_private=settings.jobs.allow_private_urls,
            ),
            allow_private_urls=settings.jobs.allow_private_urls,
        )
        self.subscriptions = Subscriptions(self.bus, ledger, media, self.metrics, self.streams.present)
        self.events = EventStore(database, keep_days=settings.events.keep_days, most=settings.events.keep)
        history = History(self.events, dropped=self.metrics.history_dropped.inc)
        self.bus.tap(history)
        history.start()
        self._stack.push_async_callback(history.close)

        self._add_engine(hub.address, engine_address)
        for number, name in enumerate(shared.segments):
            self._add_worker(hub.address, name, number)
        hub.start()
        # Stopped in reverse: first nothing new is accepted, then nothing is followed, then the children end, workers
        # before the engine, since they take their leave of it.
        self._stack.push_async_callback(self._children.stop, [ENGINE])
        self._stack.push_async_callback(self._children.stop, [*self._workers, QUARANTINE])
        self._stack.push_async_callback(self._dispatcher.close)
        self._stack.push_async_callback(self._streaming.dispatcher.close)
        self._stack.push_async_callback(self.streams.close)
        self._stack.push_async_callback(self.views.close)
        self._stack.push_async_callback(self.jobs.close)
        self._stack.push_async_callback(self.models.close)
        self._stack.push_async_callback(self.imports.close)
        for name in (ENGINE, *self._workers):
            self._children.want(name, True)
        self._spawn(self._usage.watch(media))
        self._stack.callback(self._cancel_tasks)
        self._stack.callback(self.bus.stop)
        await self.models.tell_broken()
        self.models.watch()
        await self.jobs.restart()
        if settings.jobs.keep_days is not None:
            self._spawn(Keeping(ledger, self.jobs.delete, days=settings.jobs.keep_days).run())
        await self.imports.restart()
        await self.streams.restart(settings.streams)

    def _add_engine(self, api: str, address: str) -> None:
        self._children.add(
            ENGINE,
            "server.engine.process",
            # Beside the models: `analyze` has a data folder of its own, and theirs says how they run.
            engine_config(self.settings, self._shared, ENGINE, api=api, address=address, choices=self._choices),
            lost=self._engine_lost,
            back=lambda: self._spawn(self._engine_back()),
            look=lambda _: HUNG if self._loading.longest_s > _LOAD_S else None,
            # Libraries of a GPU are loaded with it, and hold up every thread.
            slow=lambda: self._loading.longest_s > 0,
        )

    def _add_worker(self, api: str, name: str, number: int) -> None:
        watch = worker_watch(self.settings, self._shared, name, number)

        def lost(death: Death) -> bool:
            seen = watch.last_seen()
            self._pictures.worker_lost(name)
            self._dispatcher.worker_lost(name, death, seen)
            self._streaming.worker_lost(name, death, seen)
            return had_work(seen)

        self._children.add(
            name,
            self._worker_module,
            worker_config(self.settings, self._shared, name, number, api=api),
            lost=lost,
            back=self._worker_back,
            look=watch.look,
            # Read when the library is loaded: a picture that says to be larger is not unfolded.
            environ={"OPENCV_IO_MAX_IMAGE_PIXELS": str(self.settings.limits.pixels)},
        )

    # ── what children do ─────────────────────────────────────────────────────────────────────────────────────────

    async def _engine_back(self) -> None:
        await self._loading.engine_back()
        for reference in self._wanted():
            try:
                await self.models.load(reference, by_hand=False)
            except VidserveError as error:
                _log.error("%s", error)

    def _engine_lost(self, death: Death) -> bool:
        self._loading.engine_lost(death)
        self._pictures.engine_lost()
        self.tensors.engine_lost()
        self._spawn(self._dispatcher.engine_lost(death))
        return False

    def _worker_back(self) -> None:
        self._dispatcher.wake()
        self._streaming.dispatcher.wake()

    def _next_worker(self) -> str:
        """The worker for a picture: in turn, of those that are up."""
        ready = self._children.ready(self._workers)
        return ready[next(self._turns) % len(ready)] if ready else self._workers[0]

    # ── the rest ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _wanted(self) -> list[str]:
        """The models that must be loaded before the server is ready."""
        if self.settings.engine.models:
            return list(self.settings.engine.models)
        default = self.settings.engine.default_model or self.models.repository.default_model()
        return [default] if default else []

    async def _pinned(self) -> set[str]:
        """The models that must not be removed."""
        return await self._ledger.pinned() | await self.streams.pinned()

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
