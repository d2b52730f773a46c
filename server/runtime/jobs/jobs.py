"""Jobs as the API and the command line ask for them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from model_export.errors import VidserveError
from server.core.errors import Stopping, StorageFull, TransitionRefused
from server.domain.analysis import Analysis
from server.domain.job import Job, JobError, JobState
from server.runtime.jobs.dispatcher import Dispatcher
from server.runtime.jobs.ledger import Ledger
from server.runtime.jobs.space import when_there_is_space
from server.runtime.models.analyses import check_analysis
from server.runtime.models.models import Models
from server.storage.fetch import check_url, shown
from server.storage.jobs import JobChanges
from server.storage.media import Media
from server.storage.uploads import Upload

_log = logging.getLogger(__name__)

_CANCEL_S = 5.0
_FETCH_AGAIN_S = 30.0
_FETCHES = 8
"""So many videos are fetched at a time: each takes descriptors, a place on the disk, and a part of the same line."""

Fetch = Callable[[str], Awaitable[Upload]]


class Jobs:
    """Accepts, shows, cancels and deletes jobs. What was accepted is kept until it is deleted.

    Args:
        fetch: brings the video at a URL, or raises why not.
        allow_private_urls: whether that may be inside the network.
    """

    def __init__(
        self,
        ledger: Ledger,
        media: Media,
        models: Models,
        dispatcher: Dispatcher,
        fetch: Fetch,
        *,
        allow_private_urls: bool,
    ) -> None:
        self._ledger = ledger
        self._media = media
        self._models = models
        self._dispatcher = dispatcher
        self._fetch_url = fetch
        self._allow_private_urls = allow_private_urls
        self._fetches: dict[str, asyncio.Task[None]] = {}
        """Under way or waiting for their turn."""
        self._turns = asyncio.Semaphore(_FETCHES)
        self._closed = False

    async def restart(self) -> None:
        """Queue what an earlier run of the server left unfinished, and remove what belongs to nothing."""
        unfinished = await self._ledger.unfinished()
        for job in unfinished:
            if job.state is JobState.RUNNING:
                await self._ledger.update(job.id, {"state": JobState.QUEUED})
            await self._admit(job.id)
        if unfinished:
            _log.info("%d unfinished jobs go on", len(unfinished))

    async def check_room(self, key: str | None) -> None:
        """See whether a job would be taken, before its video comes.

        Raises:
            QueueFull: too many wait, and none has this `key`.
        """
        await self._ledger.check_room(key)

    async def submit(self, upload: Upload, analysis: Analysis, *, key: str | None) -> tuple[Job, bool]:
        """Accept an uploaded video.

        Returns:
            The job, and whether it was made now: the same `key` (Idempotency-Key) again gives the same job.

        Raises:
            ModelNotFound: there is no such model.
            KeyConflict: the key was used for something else.
            QueueFull: too many jobs wait.
            StorageFull: no space is left.
        """
        try:
            job = await self._new(upload.name, analysis)
            await asyncio.to_thread(self._media.adopt, job.id, upload)
            try:
                kept, created = await self._ledger.create(
                    job, key=key, fingerprint=_fingerprint(upload.sha256, analysis)
                )
            except VidserveError:
                await asyncio.to_thread(self._media.delete, job.id)
                raise
        finally:
            await asyncio.to_thread(upload.discard)
        if created:
            self._dispatcher.put(kept.id)
        else:
            await asyncio.to_thread(self._media.delete, job.id)
        return kept, created

    async def submit_url(self, url: str, analysis: Analysis, *, key: str | None) -> tuple[Job, bool]:
        """Accept a video to be fetched; returns and raises as `submit`, and

        Raises:
            UrlRefused: the server must not fetch from there.
        """
        check_url(url, allow_private=self._allow_private_urls)
        job = await self._new(shown(url), analysis)
        kept, created = await self._ledger.create(job, key=key, fingerprint=_fingerprint(url, analysis), url=url)
        if created:
            await self._admit(kept.id)
        return kept, created

    async def submit_file(self, path: Path, analysis: Analysis) -> Job:
        """Accept a video of this machine, which stays where it is."""
        job = await self._new(path.name, analysis)
        await asyncio.to_thread(self._media.link, job.id, path)
        kept, _ = await self._ledger.create(job, key=None, fingerprint=job.id)
        self._dispatcher.put(kept.id)
        return kept

    async def get(self, job_id: str) -> Job:
        """A job; a running one with the numbers of this moment.

        Raises:
            JobNotFound: no job has this id.
        """
        return self._live(await self._ledger.get(job_id))

    async def wait(self, job_id: str, seconds: float) -> Job:
        """A job once it has ended, or when the seconds have passed.

        Raises:
            JobNotFound: no job has this id.
        """
        return self._live(await self._ledger.ended(job_id, seconds))

    async def list(self, *, state: JobState | None, limit: int, cursor: str | None) -> tuple[Sequence[Job], str | None]:
        """A page of jobs, newest first, and the cursor of the next page."""
        jobs, more = await self._ledger.page(state=state, limit=limit, cursor=cursor)
        return [self._live(job) for job in jobs], more

    async def cancel(self, job_id: str) -> Job:
        """Stop a job and keep what is done. Nothing happens to one that has ended.

        Raises:
            JobNotFound: no job has this id.
        """
        job = await self._ledger.get(job_id)
        if job.state.ended:
            return job
        fetch = self._fetches.get(job_id)
        if fetch is not None:
            # Written first: while the disk does not take it, the fetch goes on.
            with contextlib.suppress(TransitionRefused):  # it failed meanwhile
                await self._ledger.update(job_id, {"state": JobState.CANCELLED, "ended_at": datetime.now(UTC)})
            fetch.cancel()
            await asyncio.gather(fetch, return_exceptions=True)
            return await self._ledger.get(job_id)
        await self._dispatcher.cancel(job_id)
        return await self.wait(job_id, _CANCEL_S)

    async def delete(self, job_id: str) -> None:
        """Cancel a job, wait for its end, and remove everything of it.

        Raises:
            JobNotFound: no job has this id.
        """
        while not (await self.cancel(job_id)).state.ended:
            await asyncio.sleep(0.1)
        try:
            await self._ledger.delete(job_id)
        except StorageFull:
            # Then its files go first, and make the room to say so.
            await asyncio.to_thread(self._media.delete, job_id)
            await self._ledger.delete(job_id)
        await asyncio.to_thread(self._media.delete, job_id)

    async def rows(self, job_id: str) -> AsyncIterator[bytes]:
        """Chunks of NDJSON: the rows finished so far, whole lines.

        Raises:
            JobNotFound: no job has this id.
        """
        await self._ledger.get(job_id)
        chunks = self._media.read_rows(job_id)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk

    async def close(self) -> None:
        """Stop fetching; what was not fetched is fetched again after the next start."""
        self._closed = True
        fetches = list(self._fetches.values())
        for fetch in fetches:
            fetch.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)

    def _live(self, job: Job) -> Job:
        """A job; a running one with the numbers of this moment."""
        attempt = self._dispatcher.attempt(job.id)
        return attempt.live(job) if attempt is not None and not job.state.ended else job

    async def _new(self, source: str, analysis: Analysis) -> Job:
        if self._closed:
            raise Stopping("The server is stopping.", hint="Send the video again when it is back.")
        bundle = await check_analysis(self._models, analysis)
        return Job(
            id=secrets.token_hex(8),
            state=JobState.QUEUED,
            created_at=datetime.now(UTC),
            source=source,
            analysis=analysis,
            model=bundle.manifest.id,
        )

    async def _admit(self, job_id: str) -> None:
        """Queue a job, after its video was fetched if it is not here yet."""
        if await asyncio.to_thread(self._media.source(job_id).exists):
            self._dispatcher.put(job_id)
            return
        task = asyncio.create_task(self._fetch(job_id), name=f"fetch {job_id}")
        self._fetches[job_id] = task

    async def _fetch(self, job_id: str) -> None:
        try:
            url = await self._ledger.url(job_id)
            if url is None:
                raise VidserveError("The video of this job is gone.", hint="Send it again.")
            # What does not fit is fetched anew each time, at the cost of the server that has it: seldom, then.
            upload = await when_there_is_space(lambda: self._in_turn(url), job=job_id, longest_s=_FETCH_AGAIN_S)
            await asyncio.to_thread(self._media.adopt, job_id, upload)
        except VidserveError as error:
            await self._fail(job_id, error.code, str(error))
        except Exception:  # the edge of a task: the job must not stay `queued` for ever
            _log.exception("fetching the video of job %s", job_id)
            await self._fail(job_id, "internal_error", "The server made a mistake; its log says which.")
        else:
            self._dispatcher.put(job_id)
        finally:
            self._fetches.pop(job_id, None)

    async def _in_turn(self, url: str) -> Upload:
        async with self._turns:
            return await self._fetch_url(url)

    async def _fail(self, job_id: str, code: str, message: str) -> None:
        error = JobError(code=code, message=message)
        end: JobChanges = {"state": JobState.FAILED, "ended_at": datetime.now(UTC), "error": error}
        with contextlib.suppress(TransitionRefused):  # it was cancelled meanwhile
            await when_there_is_space(lambda: self._ledger.update(job_id, end), job=job_id)


def _fingerprint(content: str, analysis: Analysis) -> str:
    """Stands for what was asked, for Idempotency-Key."""
    return hashlib.sha256(f"{content}\n{analysis.model_dump_json()}".encode()).hexdigest()
