"""The bus: what jobs and streams have to say, to everybody who follows them, bounded, and with a memory for who comes
back.

    bus.open("cam", OwnerKind.STREAM)
    bus.publish("cam", Kind.RESULT, b'{"frame":1,…}')
    …
    bus.close("cam")

It lives on the event loop, never blocks and never fails. A subscriber that does not read loses the oldest of what waits
for it and is told how much (`gap`); nobody else notices.
"""

from __future__ import annotations

import heapq
import secrets
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from server.core.errors import Stopping, SubscribersFull
from server.events.filter import EVERYTHING, Filter
from server.events.item import Item, Kind, OwnerKind, closed, gap, tagged
from server.events.position import START, Position
from server.events.ring import Ring
from server.events.subscription import Subscription


@dataclass(frozen=True)
class Bounds:
    """
    Attributes:
        owner_items, owner_bytes: kept of each owner for replay.
        job_bytes: kept of each job, whose files have the rest.
        all_bytes: kept of all owners together; the largest gives way.
        queue_items, queue_bytes: that may wait for one subscriber.
        subscribers: at a time.
        ended: owners that have ended and are still kept for replay.
    """

    owner_items: int = 2000
    owner_bytes: int = 2**20
    job_bytes: int = 2**17
    all_bytes: int = 64 * 2**20
    queue_items: int = 1000
    queue_bytes: int = 2**19
    subscribers: int = 1000
    ended: int = 64


class Tap(Protocol):
    """Something of the server itself that hears everything. Its methods return at once and never fail."""

    def heard(self, item: Item, owner: OwnerKind) -> None: ...

    def closed(self, owner: str) -> None:
        """The owner was deleted."""


class Bus:
    """
    Attributes:
        epoch: of the ids that it gives; another one after a restart.
    """

    def __init__(self, bounds: Bounds | None = None, *, epoch: str | None = None) -> None:
        self.epoch = epoch or secrets.token_hex(4)
        self._bounds = bounds or Bounds()
        self._seq = 0
        self._bytes = 0
        self._rings: dict[str, Ring] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._subscriptions: set[Subscription] = set()
        self._all_streams: dict[Subscription, Filter] = {}
        self._taps: list[Tap] = []
        self._stopped = False

    # ── what owners say ──────────────────────────────────────────────────────────────────────────────────────────

    def open(self, owner: str, kind: OwnerKind = OwnerKind.STREAM, *, place: int = 0) -> None:
        """Have an owner that can be followed; nothing happens if there is one already.

        Args:
            place: how many results and events a job has that are not to be published again.
        """
        ring = self._rings.get(owner)
        if ring is None:
            bounds = self._bounds
            max_bytes = bounds.owner_bytes if kind is OwnerKind.STREAM else bounds.job_bytes
            ring = Ring(owner, kind, max_items=bounds.owner_items, max_bytes=max_bytes)
            self._rings[owner] = ring
            if kind is OwnerKind.STREAM:
                ring.subscribers.update(self._all_streams)
        ring.place = max(ring.place, place)

    def publish(self, owner: str, kind: Kind, data: bytes) -> None:
        """Say something.

        Args:
            owner: id of the job or stream. Of one that is not open, because it was deleted, nothing is heard any more.
            data: one JSON object without newlines. Who reads a result is told whose it is.
        """
        self._publish(owner, kind, data)

    def lost(self, owner: str, count: int) -> None:
        """So many results were lost on their way here: everybody who follows the owner is told."""
        ring = self._rings.get(owner)
        if ring is not None and count > 0:
            for subscription in ring.subscribers:
                named = (ring.kind, owner)
                subscription.tell(gap("lost", named, count), lost_of=named)

    def end(self, owner: str, data: bytes) -> None:
        """Say the last state, which no filter holds back; nothing follows. What it has said is kept for a while."""
        self._publish(owner, Kind.STATE, data, last=True)
        if owner in self._rings:
            self._ended[owner] = None
        while len(self._ended) > self._bounds.ended:
            old, _ = self._ended.popitem(last=False)
            self._forget(old)

    def close(self, owner: str) -> None:
        """The owner was deleted: its subscribers are told, and follow it no more."""
        ring = self._forget(owner)
        if ring is not None:
            for subscription in ring.subscribers:
                subscription.tell(closed("deleted", (ring.kind, owner)))
        for tap in self._taps:
            tap.closed(owner)

    def place(self, owner: str) -> int:
        """How many results and events a job has published."""
        ring = self._rings.get(owner)
        return ring.place if ring is not None else 0

    def kept(self, owner: str) -> list[Item]:
        """What an owner has said and is still here, newest first."""
        ring = self._rings.get(owner)
        return list(ring.newest()) if ring is not None else []

    # ── who listens ──────────────────────────────────────────────────────────────────────────────────────────────

    def tap(self, tap: Tap) -> None:
        """Have something of the server itself hear everything from now on."""
        self._taps.append(tap)

    @property
    def last_id(self) -> str:
        """Of the newest item: who goes on after it misses nothing that comes."""
        return f"{self.epoch}-{self._seq}"

    def knows(self, owner: str, kind: OwnerKind) -> bool:
        ring = self._rings.get(owner)
        return ring is not None and ring.kind is kind

    def join(self) -> Subscription:
        """A new subscriber, who follows nobody yet; `leave` when it has gone.

        Raises:
            SubscribersFull: there are as many as may be.
            Stopping: the server ends.
        """
        if self._stopped:
            raise Stopping("The server is stopping.", hint="Subscribe again when it is back.")
        if len(self._subscriptions) >= self._bounds.subscribers:
            raise SubscribersFull(
                f"There are {self._bounds.subscribers} subscribers already, and no more may be.",
                hint="Follow several streams over one connection, or raise `[events] subscribers` in the settings.",
            )
        subscription = Subscription(max_items=self._bounds.queue_items, max_bytes=self._bounds.queue_bytes)
        self._subscriptions.add(subscription)
        return subscription

    def follow(
        self,
        subscription: Subscription,
        owners: Collection[str] | None,
        filter: Filter = EVERYTHING,
        *,
        after: Position | None = None,
    ) -> None:
        """Have a subscriber follow these owners, or with another filter than before.

        Args:
            owners: that are known; None: every stream, now and later.
            after: what it knows already. What is no longer kept is told as a gap.
        """
        if owners is None:
            rings = [ring for ring in self._rings.values() if ring.kind is OwnerKind.STREAM]
            self._all_streams[subscription] = filter
        else:
            rings = [self._rings[owner] for owner in dict.fromkeys(owners) if owner in self._rings]
        if after is not None:
            self._replay(subscription, rings, filter, after)
        for ring in rings:
            ring.subscribers[subscription] = filter

    def unfollow(self, subscription: Subscription, owners: Collection[str] | None) -> None:
        """Have a subscriber follow these owners no more; None: no stream at all."""
        if owners is None:
            self._all_streams.pop(subscription, None)
            owners = [owner for owner, ring in self._rings.items() if ring.kind is OwnerKind.STREAM]
        for owner in owners:
            if owner in self._rings:
                self._rings[owner].subscribers.pop(subscription, None)

    def leave(self, subscription: Subscription) -> None:
        """The subscriber has gone."""
        subscription.end()
        self._subscriptions.discard(subscription)
        self._all_streams.pop(subscription, None)
        for ring in self._rings.values():
            ring.subscribers.pop(subscription, None)

    def stop(self) -> None:
        """End every subscription: the server stops."""
        self._stopped = True
        for subscription in self._subscriptions:
            subscription.tell(closed("stopping"))
            subscription.end()

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _publish(self, owner: str, kind: Kind, data: bytes, *, last: bool = False) -> None:
        ring = self._rings.get(owner)
        if ring is None:
            return
        counts = ring.kind is OwnerKind.JOB and kind in (Kind.RESULT, Kind.EVENT)
        ring.place += counts
        self._seq += 1
        item = Item(
            owner,
            kind,
            tagged(ring.kind, owner, data) if kind is Kind.RESULT else data,
            epoch=self.epoch,
            seq=self._seq,
            place=ring.place + last if counts or last else None,
            last=last,
        )
        named = (ring.kind, owner)
        for subscription, filter in ring.subscribers.items():
            if last or filter.passes(item):
                subscription.offer(item, named)
        for tap in self._taps:
            tap.heard(item, ring.kind)
        # How far a job is changes with every word of it, and is no news to who comes back.
        if kind is not Kind.PROGRESS:
            self._keep(ring, item)

    def _keep(self, ring: Ring, item: Item) -> None:
        before = ring.bytes
        ring.add(item)
        self._bytes += ring.bytes - before
        while self._bytes > self._bounds.all_bytes:
            largest = max(self._rings.values(), key=lambda one: one.bytes)
            before = largest.bytes
            largest.halve()
            self._bytes += largest.bytes - before

    def _forget(self, owner: str) -> Ring | None:
        ring = self._rings.pop(owner, None)
        self._ended.pop(owner, None)
        if ring is not None:
            self._bytes -= ring.bytes
        return ring

    def _replay(self, subscription: Subscription, rings: Collection[Ring], filter: Filter, after: Position) -> None:
        known = after.epoch == self.epoch and after.number <= self._seq
        if not known and after != START:
            subscription.tell(gap("restarted"))
        number = after.number if known else 0
        if known or after == START:
            for ring in rings:
                if ring.evicted > number:
                    subscription.tell(gap("too_old", (ring.kind, ring.owner)))
        for item in heapq.merge(*(ring.after(number) for ring in rings), key=lambda item: item.seq):
            if filter.passes(item):
                subscription.offer(item, (self._rings[item.owner].kind, item.owner))
