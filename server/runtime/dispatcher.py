"""Jobs on their way to a worker and back: a queue, as many at once as the workers take, another try after a crash."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from model_export.errors import VidserveError
from server.core.errors import StorageError
from server.domain.analysis import GATE_MODEL
from server.domain.job import Job, JobError, JobState, LabelSummary
from server.domain.outcome import OUTCOMES
from server.runtime.attempt import Attempt, Lost
from server.runtime.hub import Hub
from server.runtime.ledger import Ledger
from server.runtime.models import Models
from server.runtime.place import place
from server.storage.jobs import JobChanges
from server.storage.media import Media
from server.wire.messages import CancelJob, JobCheckpoint, JobEnded, JobRows, StartJob
from server.wire.sockets import Received

_log = logging.getLogger(__name__)

_STORAGE_S = 5.0
_KILLS = 3
"""A job whose worker died so often while it ran is set aside."""


class WorkerDied(VidserveError):
    """The process that read the video died, more than once."""

    code = "decoder_crashed"


@dataclass(frozen=True)
class Workers:
    """The workers that are up, and how many jobs each may have at once."""

    ready: Callable[[], list[str]]
    jobs_each: int
    jobs_in_all: int


class Dispatcher:
    """Runs queued jobs, oldest first."""

    def __init__(
        self, hub: Hub, models: Models, ledger: Ledger, media: Media, workers: Workers, *, checkpoint_s: float
    ) -> None:
        self._hub = hub
        self._models = models
        self._ledger = ledger
        self._media = media
        self._workers = workers
        self._checkpoint_s = checkpoint_s
        self._queue: deque[str] = deque()
        self._running: dict[str, Attempt] = {}
        self._starting: dict[str, str] = {}
        self._unwanted: set[str] = set()
        self._tries: dict[str, int] = {}
        self._kills: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        for kind in (JobRows, JobCheckpoint, JobEnded):
            hub.on(kind, self._on_message)

    # ── from outside ─────────────────────────────────────────────────────────────────────────────────────────────

    def put(self, job_id: str) -> None:
        """Queue a job whose video is here."""
        self._queue.append(job_id)
        self.wake()

    def wake(self) -> None:
        """Start what can be started: a worker has come up, or has room."""
        while self._queue and not self._closed:
            worker = self._free_worker()
            if worker is None:
                return
            job_id = self._queue.popleft()
            self._starting[job_id] = worker
            task = asyncio.create_task(self._run(job_id, worker), name=f"job {job_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def attempt(self, job_id: str) -> Attempt | None:
        """The running attempt at a job."""
        return self._running.get(job_id)

    async def cancel(self, job_id: str) -> None:
        """Take a job from the queue, or ask its worker to stop; the ledger tells when it has ended."""
        if job_id in self._queue:
            self._queue.remove(job_id)
            await self._end(job_id, {"state": JobState.CANCELLED})
            return
        if job_id in self._starting:
            self._unwanted.add(job_id)
        attempt = self._running.get(job_id)
        if attempt is not None:
            await self._hub.send(attempt.worker, CancelJob(job_id))

    def worker_lost(self, worker: str, reason: str) -> None:
        """Its jobs go back to their checkpoints."""
        for attempt in list(self._running.values()):
            if attempt.worker == worker:
                attempt.lose(Lost(reason))

    async def engine_lost(self, reason: str) -> None:
        """Every job goes back to its checkpoint: what the engine held of it is gone."""
        for attempt in list(self._running.values()):
            await self._hub.send(attempt.worker, CancelJob(attempt.job))
            attempt.lose(Lost(reason, guilty=False))

    async def close(self) -> None:
        """Stop following; what runs stays `running` in the ledger and goes on at the next start."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ── one job ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _run(self, job_id: str, worker: str) -> None:
        """One attempt at a job, from the queue to its end or back into the queue."""
        held: list[str] = []
        attempt: Attempt | None = None
        again = False
        try:
            job = await self._ledger.get(job_id)
            if job.state.ended:
                return
            assert job.model is not None
            bundles = []
            for model in (job.model, GATE_MODEL) if job.analysis.gate else (job.model,):
                bundles.append(await self._models.acquire(model))
                held.append(bundles[-1].manifest.id)
            if job_id in self._unwanted:
                await self._end(job_id, {"state": JobState.CANCELLED})
                return
            attempt = self._running[job_id] = self._attempt(job_id, worker)
            await self._start(job, attempt, *(str(bundle.folder) for bundle in bundles))
            if job_id in self._unwanted:  # while it was being sent
                await self._hub.send(worker, CancelJob(job_id))
            again = await self._settle(job_id, await attempt.follow(), attempt)
        except VidserveError as error:
            if attempt is not None:
                await self._hub.send(worker, CancelJob(job_id))
            await self._fail(job_id, error.code, str(error), attempt)
        except Exception:  # the edge of a task: the job must not stay `running` for ever
            _log.exception("job %s", job_id)
            await self._fail(job_id, "internal_error", "The server made a mistake; its log says which.", attempt)
        finally:
            self._starting.pop(job_id, None)
            self._running.pop(job_id, None)
            for model in held:
                self._models.release(model)
            # Only now: what is forgotten here is this attempt, not the next one.
            if again:
                self._queue.appendleft(job_id)
            self.wake()

    def _attempt(self, job_id: str, worker: str) -> Attempt:
        number = self._tries[job_id] = self._tries.get(job_id, 0) + 1
        return Attempt(job_id, number, worker, self._media, self._hub.send)

    async def _start(self, job: Job, attempt: Attempt, bundle: str, gate: str = "") -> None:
        """Send the job to its worker, unless that or the engine was lost meanwhile."""
        checkpoint = await asyncio.to_thread(self._media.resume, job.id)
        await self._ledger.update(job.id, {"state": JobState.RUNNING, "started_at": job.started_at or _now()})
        order = StartJob(
            job=job.id,
            attempt=attempt.number,
            source=str(self._media.source(job.id)),
            analysis=job.analysis.model_dump_json().encode(),
            bundle=bundle,
            gate=gate,
            engine=place(job.id, job.model or "", [self._models.engine_address]),
            checkpoint=checkpoint or b"",
            checkpoint_s=self._checkpoint_s,
        )
        if attempt.lost:
            return
        if attempt.worker not in self._workers.ready() or not await self._hub.send(attempt.worker, order):
            attempt.lose(Lost("not there", guilty=False))

    async def _settle(self, job_id: str, end: JobEnded | Lost, attempt: Attempt) -> bool:
        """What an attempt's end means for the job; True: it shall be tried again."""
        if isinstance(end, JobEnded):
            await self._finish(end, attempt)
            return False
        if end.guilty:
            self._kills[job_id] = self._kills.get(job_id, 0) + 1
        if job_id in self._unwanted:
            await self._end(job_id, {**_numbers(attempt), "state": JobState.CANCELLED})
            return False
        if self._kills.get(job_id, 0) >= _KILLS:
            raise WorkerDied(f"The process that read this video died {_KILLS} times ({end.reason}).")
        _log.warning("job %s goes back to its checkpoint: %s", job_id, end.reason)
        await self._ledger.update(job_id, {"state": JobState.QUEUED})
        return True

    async def _finish(self, ended: JobEnded, attempt: Attempt) -> None:
        state = JobState(ended.state)
        error = JobError(code=ended.code, message=ended.message) if state is JobState.FAILED else None
        summary = msgspec.json.decode(ended.summary)
        changes: JobChanges = {
            **_numbers(attempt, whole=state is JobState.DONE),
            "state": state,
            "summary": {label: LabelSummary.model_validate(values) for label, values in summary.items()},
            "warnings": ended.warnings,
            "error": error,
        }
        await self._end(ended.job, changes)

    async def _fail(self, job_id: str, code: str, message: str, attempt: Attempt | None) -> None:
        numbers = _numbers(attempt) if attempt else JobChanges()
        await self._end(job_id, {**numbers, "state": JobState.FAILED, "error": JobError(code=code, message=message)})

    async def _end(self, job_id: str, changes: JobChanges) -> None:
        """The last change of a job; its results are on the disk before it says so, its checkpoint goes after that.

        While the disk takes nothing, it is tried again: an end must not get lost.
        """
        while True:
            try:
                await asyncio.to_thread(self._media.seal, job_id)
                await self._ledger.update(job_id, {**changes, "ended_at": _now()})
                await asyncio.to_thread(self._media.forget_checkpoint, job_id)
                break
            except StorageError as error:
                _log.error("the end of job %s cannot be written: %s", job_id, error)
                await asyncio.sleep(_STORAGE_S)
        self._forget(job_id)

    def _forget(self, job_id: str) -> None:
        self._tries.pop(job_id, None)
        self._kills.pop(job_id, None)
        self._unwanted.discard(job_id)

    def _free_worker(self) -> str | None:
        """The worker with the fewest jobs, if any may take one more."""
        load = dict.fromkeys(self._workers.ready(), 0)
        for worker in self._starting.values():
            if worker in load:
                load[worker] += 1
        if not load or len(self._starting) >= self._workers.jobs_in_all:
            return None
        worker = min(load, key=lambda name: load[name])
        return worker if load[worker] < self._workers.jobs_each else None

    def _on_message(self, received: Received) -> None:
        message = received.message
        assert isinstance(message, JobRows | JobCheckpoint | JobEnded)
        attempt = self._running.get(message.job)
        if attempt is not None:
            attempt.put(received)


def live(job: Job, attempt: Attempt) -> Job:
    """A running job with the numbers of this moment."""
    return job.model_copy(update=_numbers(attempt))


def _numbers(attempt: Attempt, *, whole: bool = False) -> JobChanges:
    progress = attempt.progress
    if progress is None:
        return {}
    frames = {outcome: count for outcome, count in zip(OUTCOMES, progress.frames, strict=True) if count}
    return {
        "frames": frames,
        "width": progress.width or None,
        "height": progress.height or None,
        "duration_s": round(progress.pts_s, 3),
        "progress": _share(1.0 if whole else progress.progress),
        "fps": attempt.fps(sum(progress.frames)),
    }


def _share(progress: float | None) -> float | None:
    return None if progress is None else round(progress, 4)


def _now() -> datetime:
    return datetime.now(UTC)
