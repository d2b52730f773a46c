"""One subscriber's queue. When it is full the oldest go, are counted, and the subscriber is told before the next."""

from __future__ import annotations

import asyncio
from collections import deque

from server.events.item import Item, Notice, Owner, gap


class Subscription:
    """Filled by the bus, emptied by one reader; on the event loop only.

    Args:
        max_items, max_bytes: what may wait here; and as much again of notices, which outlive a full queue.
    """

    def __init__(self, *, max_items: int, max_bytes: int) -> None:
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._queue: deque[tuple[Item | Notice, Owner | None]] = deque()
        self._bytes = 0
        self._lost: dict[Owner, int] = {}
        self._held: deque[Notice] = deque()
        self._held_bytes = 0
        self._unsaid = 0
        self._ended = False
        self._waiting: asyncio.Future[None] | None = None

    def offer(self, item: Item, owner: Owner) -> None:
        """Take an item, at the price of the oldest."""
        if self._ended:
            return
        self._add(item, owner)

    def tell(self, notice: Notice, *, lost_of: Owner | None = None) -> None:
        """Say something about the subscription itself. How many of these had to go is told as a gap of nobody's.

        Args:
            lost_of: whose items were lost on their way to the bus, as the notice says; where the queue is full, they
                count with those that had to go from it.
        """
        if not self._ended:
            self._add(notice, lost_of)

    def end(self) -> None:
        """Nothing more comes; what waits can still be taken."""
        self._ended = True
        self.wake()

    def wake(self) -> None:
        """Have `take` return, if only with nothing."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    @property
    def ended(self) -> bool:
        """Nothing waits, and nothing will come."""
        return self._ended and self._empty

    async def take(self) -> list[Item | Notice]:
        """All that waits, once there is something; gaps stand before what they precede. Nothing: ended, or woken."""
        if self._empty and not self._ended:
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        found: list[Item | Notice] = [gap("slow", owner, lost) for owner, lost in self._lost.items()]
        found += [gap("slow", value=self._unsaid)] if self._unsaid else []
        found += [*self._held, *(item for item, _ in self._queue)]
        for gone in (self._lost, self._held, self._queue):
            gone.clear()
        self._bytes = self._held_bytes = self._unsaid = 0
        return found

    @property
    def _empty(self) -> bool:
        return not (self._queue or self._held or self._lost or self._unsaid)

    def _add(self, item: Item | Notice, owner: Owner | None) -> None:
        self._queue.append((item, owner))
        self._bytes += len(item.data)
        while len(self._queue) > self._max_items or self._bytes > self._max_bytes:
            self._drop()
        self.wake()

    def _drop(self) -> None:
        item, owner = self._queue.popleft()
        self._bytes -= len(item.data)
        if owner is None:
            assert isinstance(item, Notice)
            self._hold(item)
        elif isinstance(item, Item):
            self._lost[owner] = self._lost.get(owner, 0) + 1
        else:
            self._lost[owner] = self._lost.get(owner, 0) + item.value

    def _hold(self, notice: Notice) -> None:
        self._held.append(notice)
        self._held_bytes += len(notice.data)
        # So many come only to one who sends messages and does not read the answers.
        while len(self._held) > self._max_items or self._held_bytes > self._max_bytes:
            self._held_bytes -= len(self._held.popleft().data)
            self._unsaid += 1
