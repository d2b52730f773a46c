"""What is known of every job, for the event loop: the database behind a thread, counts, and who waits for an end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Sequence
from datetime import datetime

from server.core.errors import JobNotFound
from server.core.metrics import Metrics
from server.domain.job import Job, JobState
from server.runtime.jobs.news import JobNews
from server.storage.jobs import JobChanges, JobStore


class Ledger:
    """The only way to the table of jobs.

    Args:
        news: is told of every change of state.
    """

    def __init__(self, store: JobStore, metrics: Metrics, news: JobNews) -> None:
        self._store = store
        self._metrics = metrics
        self._news = news
        self._counts = store.counts()
        self._ends: dict[str, asyncio.Future[Job]] = {}
        """Of those that are waited for."""

    def counts(self) -> dict[str, int]:
        """Jobs by state."""
        return {state.value: count for state, count in self._counts.items()}

    async def create(self, job: Job, *, key: str | None, fingerprint: str, url: str | None = None) -> tuple[Job, bool]:
        """As `JobStore.create`."""
        kept, created = await asyncio.to_thread(self._store.create, job, key=key, fingerprint=fingerprint, url=url)
        if created:
            self._counts[job.state] += 1
            self._news.state(kept)
        return kept, created

    async def check_room(self, key: str | None) -> None:
        """As `JobStore.check_room`."""
        await asyncio.to_thread(self._store.check_room, key)

    async def get(self, job_id: str) -> Job:
        """As `JobStore.get`."""
        return await asyncio.to_thread(self._store.get, job_id)

    async def url(self, job_id: str) -> str | None:
        """As `JobStore.url`."""
        return await asyncio.to_thread(self._store.url, job_id)

    async def page(self, *, state: JobState | None, limit: int, cursor: str | None) -> tuple[Sequence[Job], str | None]:
        """As `JobStore.page`."""
        return await asyncio.to_thread(self._store.page, state=state, limit=limit, cursor=cursor)

    async def unfinished(self) -> Sequence[Job]:
        """As `JobStore.unfinished`; they can be followed from now on."""
        jobs = await asyncio.to_thread(self._store.unfinished)
        for job in jobs:
            self._news.open(job.id)
        return jobs

    async def ended_before(self, moment: datetime, most: int) -> Sequence[str]:
        """As `JobStore.ended_before`."""
        return await asyncio.to_thread(self._store.ended_before, moment, most)

    async def pinned(self) -> set[str]:
        """The models (`name@version`) that unfinished jobs need."""
        return {job.model for job in await self.unfinished() if job.model is not None}

    async def update(self, job_id: str, changes: JobChanges) -> Job:
        """As `JobStore.update`; an end is counted and told to who waits for it."""
        after, before = await asyncio.to_thread(functools.partial(self._store.update, job_id, **changes))
        if after.state is not before:
            self._counts[before] -= 1
            self._counts[after.state] += 1
            self._news.state(after)
        if after.state.ended and not before.ended:
            if after.ended_at is not None:
                self._metrics.job_seconds.observe((after.ended_at - after.created_at).total_seconds())
            self._tell_end(after)
        return after

    async def delete(self, job_id: str) -> None:
        """As `JobStore.delete`."""
        before = await self.get(job_id)
        await asyncio.to_thread(self._store.delete, job_id)
        self._counts[before.state] -= 1
        self._news.deleted(job_id)

    async def ended(self, job_id: str, seconds: float) -> Job:
        """A job once it has ended, or as it is when the seconds have passed.

        Raises:
            JobNotFound: no job has this id.
        """
        # Asked for before the look, so that no end comes between them.
        end = self._ends.setdefault(job_id, asyncio.get_running_loop().create_future())
        try:
            job = await self.get(job_id)
        except JobNotFound:
            self._ends.pop(job_id, None)
            raise
        if job.state.ended:
            self._tell_end(job)
            return job
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.shield(end), seconds)
        return await self.get(job_id)

    def _tell_end(self, job: Job) -> None:
        end = self._ends.pop(job.id, None)
        if end is not None:
            end.set_result(job)
