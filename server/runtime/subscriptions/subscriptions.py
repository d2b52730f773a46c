"""Who may follow what: jobs and streams by their ids, as Server-Sent Events or over a WebSocket."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from server.core.metrics import Metrics
from server.core.missing import no_stream
from server.domain.job import Job
from server.events.bus import Bus
from server.events.filter import Filter
from server.events.item import JOB_EPOCH, Kind, OwnerKind, gap, sse
from server.events.position import START, Position
from server.runtime.jobs.ledger import Ledger
from server.runtime.jobs.news import present_state
from server.runtime.jobs.replay import JobReplay
from server.runtime.subscriptions.channel import Channel, Present, tell_present
from server.runtime.subscriptions.feeds import EndedJobFeed, RunningJobFeed, StreamFeed, beginning
from server.storage.media import Media


class Subscriptions:
    """Makes a feed or a channel for each who asks.

    Args:
        present: what state streams are in (none named: all), as JSON.
    """

    def __init__(self, bus: Bus, ledger: Ledger, media: Media, metrics: Metrics, present: Present) -> None:
        self._bus = bus
        self._ledger = ledger
        self._media = media
        self._metrics = metrics
        self._present = present

    async def job(self, job_id: str, filter: Filter, after: Position | None) -> RunningJobFeed | EndedJobFeed | None:
        """A job's news; None: it has ended, and nothing comes after that position.

        Raises:
            JobNotFound: no job has this id.
            SubscribersFull: there are as many subscribers as may be.
        """
        job = await self._ledger.get(job_id)
        replay = JobReplay(self._media, job_id, filter)
        if job.state.ended:
            return await self._ended(job, replay, after)
        subscription = self._bus.join()
        self._bus.follow(subscription, [job_id], filter)
        place = self._bus.place(job_id)
        try:
            job = await self._ledger.get(job_id)
        except BaseException:
            self._bus.leave(subscription)
            raise
        if job.state.ended:  # meanwhile
            self._bus.leave(subscription)
            return await self._ended(job, replay, after)
        head = beginning(f"{JOB_EPOCH}-{place}") if after is None else beginning()
        if _foreign(after):
            head += gap("restarted", (OwnerKind.JOB, job_id)).sse
        return RunningJobFeed(
            self._bus,
            subscription,
            replay,
            beginning=head + sse(Kind.STATE, present_state(job)),
            place=_place(after, place),
            replayed=after is not None,
        )

    async def streams(
        self, streams: Collection[str], jobs: Collection[str], filter: Filter, after: Position | None
    ) -> StreamFeed:
        """What streams and jobs say, of neither named: all streams. The streams' present states come first, or, where
        something is told again, after that.

        Raises:
            StreamNotFound, JobNotFound: one is not there.
            SubscribersFull: there are as many subscribers as may be.
        """
        await self.check(streams, jobs)
        subscription = self._bus.join()
        owners = {*streams, *jobs}
        head = beginning(self._bus.last_id) if after is None else beginning()
        self._bus.follow(subscription, owners or None, filter, after=after)
        if streams or not owners:
            tell_present(subscription, filter, self._present(streams))
        return StreamFeed(
            self._bus, subscription, beginning=head, ends_with=owners, told_gaps=self._metrics.subscriber_gaps.inc
        )

    def channel(self) -> Channel:
        """A WebSocket's subscriber, who follows nobody yet.

        Raises:
            SubscribersFull: there are as many subscribers as may be.
        """
        return Channel(self._bus, self._bus.join(), self.check, self._present, self._metrics.subscriber_gaps.inc)

    async def check(self, streams: Collection[str], jobs: Collection[str]) -> Sequence[Job]:
        """The jobs.

        Raises:
            StreamNotFound, JobNotFound: one is not there.
        """
        for stream in streams:
            if not self._bus.knows(stream, OwnerKind.STREAM):
                raise no_stream(stream)
        return [await self._ledger.get(job) for job in jobs]

    async def _ended(self, job: Job, replay: JobReplay, after: Position | None) -> EndedJobFeed | None:
        if after is not None and not _foreign(after) and after.number > await replay.count():
            return None
        place = None if after is None else _place(after, 0)
        notice = gap("restarted", (OwnerKind.JOB, job.id)).sse if _foreign(after) else b""
        return EndedJobFeed(replay, present_state(job), place=place, beginning=beginning() + notice)


def _foreign(after: Position | None) -> bool:
    """An id that is none of a job's own: of an earlier run's streams, say."""
    return after is not None and after != START and after.epoch != JOB_EPOCH


def _place(after: Position | None, now: int) -> int:
    if after is None:
        return now
    return after.number if after.epoch == JOB_EPOCH else 0
