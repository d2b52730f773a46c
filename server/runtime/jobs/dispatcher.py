"""Jobs on their way to a worker and back: a queue, as many at once as the workers take, another try after a crash."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from model_export.bundle import Bundle
from model_export.errors import VidserveError
from model_export.manifest import check_for_video
from server.core.calls import Seen
from server.core.errors import relayed
from server.domain.analysis import GATE_MODEL
from server.domain.job import Job, JobState
from server.runtime.jobs.attempt import Attempt, Lost, Overdue, Saved
from server.runtime.jobs.case import Case
from server.runtime.jobs.ending import Ending
from server.runtime.jobs.ledger import Ledger
from server.runtime.jobs.line import Line, Workers
from server.runtime.jobs.news import JobNews
from server.runtime.jobs.space import when_there_is_space
from server.runtime.models.models import Models
from server.runtime.models.place import place
from server.runtime.processes.blame import Strike, strikes
from server.runtime.processes.death import Death
from server.runtime.processes.hub import Hub
from server.runtime.processes.quarantine import QUARANTINE
from server.storage.jobs import JobChanges
from server.storage.media import Media
from server.wire.messages import CancelJob, JobCheckpoint, JobEnded, JobRows, StartJob
from server.wire.sockets import Received

_log = logging.getLogger(__name__)

_NOT_ITS_FAULT = frozenset({"engine_silent", "model_not_loaded", "results_refused"})
"""What a worker says of the rest of the server; the job goes back to its checkpoint, as if a process had died."""


class JobTimeout(VidserveError):
    """A job ran for longer than jobs may."""

    code = "job_timeout"


@dataclass(frozen=True)
class Terms:
    """Seconds between checkpoints, and for how many a job may run."""

    checkpoint_s: float
    max_run_s: float | None


class Dispatcher:
    """Runs queued jobs, oldest first; those that are suspected of a death alone in the quarantine worker.

    Args:
        news: is told what workers send.
        stale: called for each message that is dropped because its attempt has been given up.
    """

    def __init__(
        self,
        hub: Hub,
        models: Models,
        ledger: Ledger,
        media: Media,
        workers: Workers,
        terms: Terms,
        news: JobNews,
        *,
        stale: Callable[[], None] = lambda: None,
    ) -> None:
        self._hub = hub
        self._models = models
        self._ledger = ledger
        self._ending = Ending(ledger, media)
        self._media = media
        self._workers = workers
        self._line = Line(workers)
        self._terms = terms
        self._news = news
        self._stale = stale
        self._cases: dict[str, Case] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        for kind in (JobRows, JobCheckpoint, JobEnded):
            hub.on(kind, self._on_message)

    # ── from outside ─────────────────────────────────────────────────────────────────────────────────────────────

    def put(self, job_id: str) -> None:
        """Queue a job whose video is here."""
        case = self._cases[job_id] = Case(job_id)
        self._line.join(case)
        self.wake()

    def wake(self) -> None:
        """Start what can be started: a worker has come up, or has room."""
        while not self._closed and (found := self._line.next(self._busy())) is not None:
            case, worker = found
            case.worker = worker
            self._spawn(self._run(case, worker))
        if not self._closed:
            self._line.settle(self._busy())

    @property
    def in_quarantine(self) -> bool:
        """Whether a job has the quarantine worker."""
        return QUARANTINE in self._busy()

    @property
    def waits_for_quarantine(self) -> bool:
        """Whether a job waits for it."""
        return self._line.suspects_wait

    def attempt(self, job_id: str) -> Attempt | None:
        """The running attempt at a job."""
        case = self._cases.get(job_id)
        return case.attempt if case is not None else None

    async def cancel(self, job_id: str) -> None:
        """Take a job from the queue, or ask its worker to stop; the ledger tells when it has ended."""
        case = self._cases.get(job_id)
        if case is None:
            return
        case.unwanted.set()
        if case.worker is None:
            self._line.leave(case)
            # Beside this: it may take until the disk has space again.
            self._spawn(self._cancelled(case))
        elif case.attempt is not None:
            await self._call_off(case.attempt)

    def worker_lost(self, worker: str, death: Death, seen: Sequence[Seen]) -> None:
        """Its jobs go back to their checkpoints, and those that are suspected of its death into quarantine.

        Args:
            seen: what its rows of the page of calls said when it died.
        """
        suspected = strikes(death, seen)
        for attempt in self._attempts():
            if attempt.worker == worker:
                attempt.lose(Lost(death.reason, suspected.get(attempt.job)))

    async def engine_lost(self, death: Death) -> None:
        """Every job goes back to its checkpoint: what the engine held of it is gone."""
        for attempt in self._attempts():
            await self._move(attempt, f"the engine is gone ({death.reason})")

    async def close(self) -> None:
        """Stop following; what runs stays `running` in the ledger and goes on at the next start."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ── one job ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _run(self, case: Case, worker: str) -> None:
        """One attempt at a job, from the queue to its end or back into the queue."""
        held: list[str] = []
        attempt: Attempt | None = None
        again = False
        try:
            job = await self._ledger.get(case.job)
            if job.state.ended:
                return
            assert job.model is not None
            bundles = []
            for model in (job.model, GATE_MODEL) if job.analysis.gate else (job.model,):
                bundle = await self._acquire(case, model)
                if bundle is None:
                    await self._ending.cancelled(case.job)
                    return
                bundles.append(bundle)
                held.append(bundle.manifest.id)
                check_for_video(bundle.manifest)
            computing = [self._models.computing(model) for model in held]
            attempt = case.attempt = self._attempt(case, worker, tuple(filter(None, computing)))
            if None in computing:
                attempt.lose(Lost("the engine is gone"))
            await self._start(job, attempt, *(str(bundle.folder) for bundle in bundles))
            if case.unwanted.is_set():  # meanwhile
                await self._call_off(attempt)
            again = await self._settle(case, await self._follow(case, attempt), attempt)
        except VidserveError as error:
            if attempt is not None:
                await self._call_off(attempt)
            await self._ending.failed(case.job, error, attempt)
        except Exception:  # the edge of a task: the job must not stay `running` for ever
            _log.exception("job %s", case.job)
            mistake = VidserveError("The server made a mistake; its log says which.")
            await self._ending.failed(case.job, mistake, attempt)
        finally:
            if attempt is not None:
                case.ran_s += attempt.ran_s
            case.worker = case.attempt = None
            for model in held:
                self._models.release(model)
            if again:
                self._line.return_to(case)
            else:
                self._cases.pop(case.job, None)
            self.wake()

    async def _acquire(self, case: Case, model: str) -> Bundle | None:
        """Have the job's model, however long that takes; None if the job is cancelled meanwhile."""
        loading = asyncio.ensure_future(self._models.acquire(model))
        unwanted = asyncio.ensure_future(case.unwanted.wait())
        try:
            await asyncio.wait((loading, unwanted), return_when=asyncio.FIRST_COMPLETED)
            return loading.result() if loading.done() else None
        finally:
            loading.cancel()
            unwanted.cancel()

    def _attempt(self, case: Case, worker: str, computing: tuple[str, ...]) -> Attempt:
        case.tries += 1
        return Attempt(
            case.job,
            case.tries,
            worker,
            self._media,
            self._hub.send,
            covered=lambda frame: self._covered(case, frame),
            news=self._news,
            computing=computing,
        )

    async def _start(self, job: Job, attempt: Attempt, bundle: str, gate: str = "") -> None:
        """Send the job to its worker, unless that or the engine was lost meanwhile."""
        saved = await when_there_is_space(lambda: self._saved(attempt), job=job.id)
        attempt.resume(saved, await asyncio.to_thread(self._media.count, job.id))
        await self._write(job.id, {"state": JobState.RUNNING, "started_at": job.started_at or _now()})
        order = StartJob(
            job=job.id,
            attempt=attempt.number,
            source=str(self._media.source(job.id)),
            analysis=job.analysis.model_dump_json().encode(),
            bundle=bundle,
            gate=gate,
            engine=place(job.id, job.model or "", [self._models.engine_address]),
            checkpoint=saved.checkpoint,
            checkpoint_s=self._terms.checkpoint_s,
        )
        if attempt.lost:
            return
        if attempt.worker not in self._workers.ready() or not await self._hub.send(attempt.worker, order):
            attempt.lose(Lost("its worker is not there"))

    async def _saved(self, attempt: Attempt) -> Saved:
        """What it takes to go on, with the results cut back to it."""
        saved = Saved.of(await asyncio.to_thread(self._media.resume, attempt.job))
        if not saved.computing or saved.computing == attempt.computing:
            return saved
        _log.warning("job %s begins again: its model computes in another way now", attempt.job)
        await asyncio.to_thread(self._media.forget_checkpoint, attempt.job)
        return Saved.of(await asyncio.to_thread(self._media.resume, attempt.job))

    async def _follow(self, case: Case, attempt: Attempt) -> JobEnded | Lost | Overdue:
        """An attempt to its end, but no longer than the job may run."""
        if self._terms.max_run_s is None:
            return await attempt.follow()
        left_s = max(0.0, self._terms.max_run_s - case.ran_s)
        alarm = asyncio.get_running_loop().call_later(left_s, attempt.expire)
        try:
            return await attempt.follow()
        finally:
            alarm.cancel()

    async def _settle(self, case: Case, end: JobEnded | Lost | Overdue, attempt: Attempt) -> bool:
        """What an attempt's end means for the job; True: it shall be tried again.

        Raises:
            VidserveError: it has failed.
        """
        if isinstance(end, Overdue):
            raise JobTimeout(
                f"The job ran for longer than {self._terms.max_run_s:g} s.",
                hint="Send a shorter video, or set jobs.max_run_s higher.",
            )
        if isinstance(end, JobEnded):
            if end.code == "checkpoint_unreadable":
                _log.warning("job %s begins again: %s", case.job, end.message)
                await asyncio.to_thread(self._media.forget_checkpoint, case.job)
                end = Lost(end.code)
            elif end.code in _NOT_ITS_FAULT:
                end = Lost(end.code, Strike(sum(end.progress.frames), relayed(end.code, end.message), alone=False))
            else:
                await self._ending.finished(end, attempt)
                return False
        if case.unwanted.is_set():
            await self._ending.cancelled(case.job, attempt)
            return False
        if end.strike is not None:
            case.record.add(end.strike)
            if case.record.condemned:
                raise end.strike.error
        _log.warning("job %s goes back to its checkpoint: %s", case.job, end.reason)
        await self._write(case.job, {**attempt.numbers(), "state": JobState.QUEUED})
        if case.unwanted.is_set():  # meanwhile
            await self._ending.cancelled(case.job)
        return not case.unwanted.is_set()

    async def _cancelled(self, case: Case) -> None:
        await self._ending.cancelled(case.job)
        self._cases.pop(case.job, None)

    async def _write(self, job_id: str, changes: JobChanges) -> None:
        await when_there_is_space(lambda: self._ledger.update(job_id, changes), job=job_id)

    # ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _covered(self, case: Case, frame: int) -> None:
        """A checkpoint covers all frames before this one; who has come past the place of its death is cleared of it."""
        case.record.pass_by(frame)
        others = self._line.suspects_wait or self._workers.wanted()
        if case.worker == QUARANTINE and not case.record.suspect and others and case.attempt:
            self._spawn(self._move(case.attempt, "it is cleared, and others wait for the quarantine worker"))

    async def _move(self, attempt: Attempt, why: str) -> None:
        """Take a job away from its worker; it goes on elsewhere."""
        attempt.lose(Lost(why))
        await self._call_off(attempt)

    async def _call_off(self, attempt: Attempt) -> None:
        await self._hub.send(attempt.worker, CancelJob(attempt.job, attempt.number))

    def _busy(self) -> list[str]:
        return [case.worker for case in self._cases.values() if case.worker is not None]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _attempts(self) -> list[Attempt]:
        return [case.attempt for case in self._cases.values() if case.attempt is not None]

    def _on_message(self, received: Received) -> None:
        message = received.message
        assert isinstance(message, JobRows | JobCheckpoint | JobEnded)
        attempt = self.attempt(message.job)
        if attempt is None or not attempt.put(received):
            self._stale()


def _now() -> datetime:
    return datetime.now(UTC)
