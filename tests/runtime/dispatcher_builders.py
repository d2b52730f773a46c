"""A dispatcher among a real ledger and real files, with a hub, workers and an engine that are played by the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

from model_export.manifest import Task
from server.core.calls import Call, Seen
from server.core.metrics import Metrics
from server.core.metrics_page import Page
from server.domain.analysis import Analysis
from server.domain.job import Job, JobState
from server.domain.outcome import OUTCOMES
from server.events.bus import Bus
from server.events.states import States
from server.runtime.jobs.dispatcher import Dispatcher, Terms
from server.runtime.jobs.ledger import Ledger
from server.runtime.jobs.line import Workers
from server.runtime.jobs.news import JobNews
from server.runtime.processes.death import Death
from server.runtime.subscriptions.subscriptions import Subscriptions
from server.storage.database import Database
from server.storage.jobs import JobStore
from server.storage.media import Media
from server.wire.messages import CancelJob, JobCheckpoint, JobEnded, JobProgress, JobRows, StartJob
from server.wire.sockets import Received

MODEL = "moving-objects@1"
KILLED = Death("sigkill", by_itself=False)
CRASHED = Death("sigsegv", by_itself=True)


def inside(job: str, call: Call = Call.GRAB, *, frame: int = 10, overdue_s: float = 1.0) -> Seen:
    """A row of the page of calls."""
    return Seen(job, call, 0.0, frame, overdue_s=overdue_s)


def progress(frames: int, *, width: int = 64) -> JobProgress:
    return JobProgress((frames, *[0] * (len(OUTCOMES) - 1)), frames / 10, frames / 100, width, 48 if width else 0)


class FakeHub:
    """Keeps what is sent; peers in `gone` are not there."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, object]] = []
        self.gone: set[str] = set()
        self._handlers = {}

    def on(self, kind, handler) -> None:
        self._handlers[kind] = handler

    async def send(self, peer, message, payload=()) -> bool:
        if peer in self.gone:
            return False
        self.sent.append((peer, message))
        return True

    def hear(self, message, *payload: bytes) -> None:
        self._handlers[type(message)](Received(b"peer", None, message, list(payload)))

    def of(self, kind) -> list[tuple[str, object]]:
        return [(peer, message) for peer, message in self.sent if isinstance(message, kind)]


class FakeModels:
    """One model that is loaded, unless `loaded` is cleared."""

    engine_address = "ipc://engine"

    def __init__(self) -> None:
        self.loaded = asyncio.Event()
        self.loaded.set()
        self.users = 0
        self.settings: str | None = "cpu, 1 thread"
        self.task = Task.MOTION

    async def acquire(self, reference: str):
        await self.loaded.wait()
        self.users += 1
        return SimpleNamespace(folder=Path("bundle"), manifest=SimpleNamespace(id=reference, task=self.task))

    def computing(self, model: str) -> str | None:
        return self.settings

    def release(self, model: str) -> None:
        self.users -= 1


class Stage:
    """
    Args:
        workers: names of the ordinary ones that are up; the quarantine worker comes up when it is wanted.
    """

    def __init__(
        self, folder: Path, *, workers=("worker-0", "worker-1"), each=2, in_all=8, max_run_s=None, bounds=None
    ) -> None:
        self.hub, self.models = FakeHub(), FakeModels()
        self.media = Media(folder)
        self._database = Database.open(folder / "vidserve.db")
        metrics = Metrics(Page(bytearray(Page.bytes_for(1)), 1), version="0", jobs=dict, storage=lambda: ({}, 0))
        self.bus = Bus(bounds)
        self.present: list[bytes] = []
        news = JobNews(self.bus, States())
        self.ledger = Ledger(JobStore(self._database), metrics, news)
        self.subscriptions = Subscriptions(self.bus, self.ledger, self.media, metrics, lambda _: self.present)
        self.up = list(workers)
        self.quarantine = False
        self.stale = 0
        self.dispatcher = Dispatcher(
            self.hub,
            self.models,
            self.ledger,
            self.media,
            Workers(
                ready=lambda: [*self.up, *(["quarantine"] if self.quarantine else [])],
                quarantine=self._want_quarantine,
                jobs_each=each,
                jobs_in_all=in_all,
            ),
            Terms(checkpoint_s=5.0, max_run_s=max_run_s),
            news,
            stale=self._count,
        )

    def _want_quarantine(self, wanted: bool) -> None:
        if wanted and not self.quarantine:
            asyncio.get_running_loop().call_soon(self.dispatcher.wake)
        self.quarantine = wanted

    def _count(self) -> None:
        self.stale += 1

    # ── what others do ───────────────────────────────────────────────────────────────────────────────────────────

    async def put(self, *jobs: str) -> None:
        """Jobs whose videos are here."""
        for name in jobs:
            job = Job(
                id=name,
                state=JobState.QUEUED,
                created_at=datetime.now(UTC),
                source=f"{name}.mp4",
                analysis=Analysis(),
                model=MODEL,
            )
            await self.ledger.create(job, key=None, fingerprint=name)
            self.media.source(name).parent.mkdir(parents=True, exist_ok=True)
            self.dispatcher.put(name)

    def rows(self, job: str, frames: int, *, attempt: int | None = None, first: int = 0, events: bool = False) -> None:
        """Its worker sends rows: one for each frame; with `events`, one for each row."""
        lines = b"".join(
            b'{"frame":%d,"events":[%d]}\n' % (n, n + 1) if events else b'{"frame":%d}\n' % n
            for n in range(first, frames)
        )
        said = b"".join(b'{"id":"%s-%d","seq":%d}\n' % (job.encode(), n, n) for n in range(first + 1, frames + 1))
        self.hub.hear(JobRows(job, attempt or self.attempt(job), progress(frames)), lines, said if events else b"")

    def checkpoint(self, job: str, next_frame: int, blob: bytes = b"how to go on") -> None:
        self.hub.hear(JobCheckpoint(job, self.attempt(job), next_frame), blob)

    def end(self, job: str, state: str = "done", *, code: str = "", frames: int = 100, width: int = 64) -> None:
        """Its worker says its last word."""
        said = progress(frames, width=width)
        self.hub.hear(JobEnded(job, self.attempt(job), state, said, json.dumps({}).encode(), code=code, message=code))

    # ── what is seen ─────────────────────────────────────────────────────────────────────────────────────────────

    def attempt(self, job: str) -> int:
        """The number of the attempt that was started last."""
        return next(m.attempt for _, m in reversed(self.hub.of(StartJob)) if m.job == job)

    def started(self) -> list[tuple[str, str]]:
        """Where each job was started, in order."""
        return [(peer, message.job) for peer, message in self.hub.of(StartJob)]

    def called_off(self) -> list[tuple[str, str, int]]:
        return [(peer, message.job, message.attempt) for peer, message in self.hub.of(CancelJob)]

    async def until(self, what, seconds: float = 30.0):
        end = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < end, (what, self.started())
            await asyncio.sleep(0.002)
        return found

    async def running(self, *jobs: str, tries: int = 1) -> None:
        """Return when these were started so many times."""
        for job in jobs:
            await self.until(lambda job=job: [j for _, j in self.started()].count(job) >= tries)

    async def ended(self, job: str) -> Job:
        await self.ledger.ended(job, 30)
        found = await self.ledger.get(job)
        assert found.state.ended, found
        return found

    async def close(self) -> None:
        await self.dispatcher.close()
        self._database.close()


def play(folder: Path, body, **options) -> None:
    """Run a test's coroutine on a stage."""

    async def run() -> None:
        stage = Stage(folder, **options)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(stage.close)
            await body(stage)

    asyncio.run(run())
