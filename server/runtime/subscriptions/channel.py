"""One WebSocket's subscriber, who comes to follow some owners and leaves others as it goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

import msgspec

from server.domain.event import EventType
from server.domain.job import Job
from server.events.bus import Bus
from server.events.filter import Filter
from server.events.item import GAP, Kind, Notice, OwnerKind, gap
from server.events.position import Position
from server.events.subscription import Subscription
from server.runtime.jobs.news import present_state

Check = Callable[[Collection[str], Collection[str]], Awaitable[Sequence[Job]]]
"""Streams and jobs by id → the jobs; raises where one is not there."""
Present = Callable[[Collection[str]], Sequence[bytes]]
"""Streams by id (none: all) → what state they are in, as JSON."""


class Channel:
    """All that it says comes out of `take`, in one order.

    Args:
        told_gaps: called with how many gaps the subscriber was told of.
    """

    def __init__(
        self,
        bus: Bus,
        subscription: Subscription,
        check: Check,
        present: Present,
        told_gaps: Callable[[int], None],
    ) -> None:
        self._bus = bus
        self._subscription = subscription
        self._check = check
        self._present = present
        self._told_gaps = told_gaps

    async def follow(
        self, streams: Collection[str], jobs: Collection[str], filter: Filter, after: Position | None
    ) -> None:
        """Follow streams and jobs, of neither named all streams. Jobs' present states are said first; those of streams
        after what is told again, since that has states in it.

        Raises:
            StreamNotFound, JobNotFound: one is not there; then none is followed.
        """
        found = await self._check(streams, jobs)
        self._say("subscribed", {"streams": [*streams], "jobs": [*jobs], "id": self._bus.last_id})
        for job in found:
            self._subscription.tell(Notice(Kind.STATE, present_state(job)))
            if after is not None and not self._bus.knows(job.id, OwnerKind.JOB):
                self._subscription.tell(gap("too_old", (OwnerKind.JOB, job.id)))
        self._bus.follow(self._subscription, [*streams, *jobs] or None, filter, after=after)
        if streams or not jobs:
            tell_present(self._subscription, filter, self._present(streams))

    def unfollow(self, streams: Collection[str], jobs: Collection[str]) -> None:
        """Follow these no more, of neither named no stream. Those that it does not follow do not matter."""
        self._bus.unfollow(self._subscription, [*streams, *jobs] or None)
        self._say("unsubscribed", {"streams": [*streams], "jobs": [*jobs]})

    def refuse(self, problem: bytes) -> None:
        """Say what was wrong with a message."""
        self._subscription.tell(Notice("error", problem))

    async def take(self) -> list[str] | None:
        """Messages to send, once there are some; None: it is over."""
        if self._subscription.ended:
            return None
        told = await self._subscription.take()
        gaps = sum(isinstance(one, Notice) and one.name == GAP for one in told)
        if gaps:
            self._told_gaps(gaps)
        return [one.text for one in told]

    def close(self) -> None:
        self._bus.leave(self._subscription)

    def _say(self, name: str, said: dict[str, object]) -> None:
        self._subscription.tell(Notice(name, msgspec.json.encode(said)))


def tell_present(subscription: Subscription, filter: Filter, states: Iterable[bytes]) -> None:
    """Say what state streams are in, if the subscriber wants to hear of states."""
    if filter.passes_state(EventType.STREAM_STATE):
        for state in states:
            subscription.tell(Notice(Kind.STATE, state))
