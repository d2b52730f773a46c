"""The newest items of one owner, for who comes back: bounded by count and bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from server.events.filter import Filter
from server.events.item import Item, OwnerKind
from server.events.subscription import Subscription

_OVERHEAD = 800
"""Bytes that an item takes beside its data and the frame that is made of it."""


class Ring:
    """
    Attributes:
        place: how many results and events a job has published.
        evicted: `seq` of the newest item that had to go; 0 before the first.
        bytes: what it takes.
        subscribers: who follows the owner, and what of it.
    """

    def __init__(self, owner: str, kind: OwnerKind, *, max_items: int, max_bytes: int) -> None:
        self.owner = owner
        self.kind = kind
        self.place = 0
        self.evicted = 0
        self.bytes = 0
        self.subscribers: dict[Subscription, Filter] = {}
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._items: deque[Item] = deque()

    def add(self, item: Item) -> None:
        self._items.append(item)
        self.bytes += _size(item)
        while len(self._items) > self._max_items or self.bytes > self._max_bytes:
            self._evict()

    def halve(self) -> None:
        """Give up the older half: all owners together take too much."""
        for _ in range((len(self._items) + 1) // 2):
            self._evict()

    def after(self, seq: int) -> Iterator[Item]:
        """Its items after one, oldest first."""
        newer = 0
        for item in reversed(self._items):
            if item.seq <= seq:
                break
            newer += 1
        first = len(self._items) - newer
        return (item for at, item in enumerate(self._items) if at >= first)

    def newest(self) -> Iterator[Item]:
        """Its items, newest first."""
        return reversed(self._items)

    def _evict(self) -> None:
        item = self._items.popleft()
        self.evicted = item.seq
        self.bytes -= _size(item)


def _size(item: Item) -> int:
    return 2 * len(item.data) + _OVERHEAD
