"""Subscriptions on their way out as Server-Sent Events: of streams as the bus has them, of a job without any loss."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection

from server.events.bus import Bus
from server.events.item import CLOSED, GAP, JOB_EPOCH, Item, Kind, Notice, sse
from server.events.subscription import Subscription
from server.runtime.jobs.replay import JobReplay

_RETRY_MS = 2000
"""That a client waits before it connects again."""


def beginning(id: str | None = None) -> bytes:
    """What a client is told before anything else: when to come back, and after which id to go on then."""
    return b"retry: %d\n%s\n" % (_RETRY_MS, f"id: {id}\n".encode() if id else b"")


async def last_frame(state: bytes, replay: JobReplay) -> bytes:
    """A job's last state. Its id is one further than all results and events: who has it has everything."""
    return sse(Kind.STATE, state, f"{JOB_EPOCH}-{await replay.count() + 1}")


class StreamFeed:
    """What one subscriber gets of several owners.

    Args:
        ends_with: owners that were asked for by name: once all are deleted, it ends; empty: never.
        told_gaps: called with how many gaps the subscriber was told of.
    """

    def __init__(
        self,
        bus: Bus,
        subscription: Subscription,
        *,
        beginning: bytes,
        ends_with: Collection[str],
        told_gaps: Callable[[int], None],
    ) -> None:
        self._bus = bus
        self._subscription = subscription
        self._beginning = beginning
        self._left = len(ends_with)
        self._endless = not ends_with
        self._told_gaps = told_gaps

    async def frames(self) -> AsyncIterator[bytes]:
        """Bytes to send; empty where it was only woken."""
        yield self._beginning
        while not self._subscription.ended and (self._left or self._endless):
            told = await self._subscription.take()
            gaps = 0
            for one in told:
                if isinstance(one, Notice):
                    gaps += one.name == GAP
                    self._left -= one.name == CLOSED
            if gaps:
                self._told_gaps(gaps)
            yield b"".join([one.sse for one in told])

    def wake(self) -> None:
        self._subscription.wake()

    def close(self) -> None:
        self._bus.leave(self._subscription)


class RunningJobFeed:
    """What one subscriber gets of a job that has not ended. What its queue lost is read from the job's files.

    Args:
        place: how many results and events the subscriber has, or does not want.
        replayed: whether those after `place` that are there already are wanted.
    """

    def __init__(
        self,
        bus: Bus,
        subscription: Subscription,
        replay: JobReplay,
        *,
        beginning: bytes,
        place: int,
        replayed: bool,
    ) -> None:
        self._bus = bus
        self._subscription = subscription
        self._replay = replay
        self._beginning = beginning
        self._place = place
        self._behind = replayed

    async def frames(self) -> AsyncIterator[bytes]:
        """Bytes to send; empty where it was only woken."""
        yield self._beginning
        if self._behind:
            async for piece in self._catch_up():
                yield piece
        while not self._subscription.ended:
            told = await self._subscription.take()
            frames: list[bytes] = []
            for one in told:
                if isinstance(one, Notice):
                    if one.name == CLOSED:
                        yield b"".join([*frames, one.sse])
                        return
                    self._behind = True
                    continue
                if self._behind:
                    yield b"".join(frames)
                    frames.clear()
                    async for piece in self._catch_up(one):
                        yield piece
                if one.last:
                    yield b"".join([*frames, await last_frame(one.data, self._replay)])
                    return
                if one.place is None or one.place > self._place:
                    frames.append(one.sse_of_job)
                    self._place = one.place or self._place
            yield b"".join(frames)

    async def _catch_up(self, to: Item | None = None) -> AsyncIterator[bytes]:
        """What is missing before an item; where that has no place, or there is none, all that is there."""
        self._behind = False
        until = to.place - 1 if to is not None and to.place is not None and not to.last else None
        if until is not None and until <= self._place:
            return
        async for piece, place in self._replay.after(self._place, until=until):
            yield piece
            self._place = place

    def wake(self) -> None:
        self._subscription.wake()

    def close(self) -> None:
        self._bus.leave(self._subscription)


class EndedJobFeed:
    """What one subscriber gets of a job that has ended.

    Args:
        place: after which results and events are wanted; None: none.
    """

    def __init__(self, replay: JobReplay, state: bytes, *, beginning: bytes, place: int | None) -> None:
        self._replay = replay
        self._state = state
        self._beginning = beginning
        self._place = place
        self._closed = False

    async def frames(self) -> AsyncIterator[bytes]:
        """Bytes to send."""
        yield self._beginning
        if self._place is not None:
            async for piece, _ in self._replay.after(self._place):
                if self._closed:
                    return
                yield piece
        yield await last_frame(self._state, self._replay)

    def wake(self) -> None:
        """It never waits for news."""

    def close(self) -> None:
        self._closed = True
