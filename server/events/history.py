"""The history of events: what the bus hears, kept in batches off the event loop.

A disk that is full or a database that is busy delays it; what does not fit into the wait is dropped, oldest first, and
counted. Nobody else waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from msgspec import UNSET

from model_export.errors import VidserveError
from server.domain.event import Event
from server.events.item import Item, Kind, OwnerKind
from server.events.states import rfc3339

_log = logging.getLogger(__name__)

_BATCH_S = 0.2
_BATCH = 1000
_PAUSE_S, _LONGEST_S = 0.5, 10.0
_TRIM_S = 3600.0
_LAST_S = 2.0

_Heard = tuple[str, datetime, bytes]
"""Whose, when, and what."""

_decoder = msgspec.json.Decoder(Event)


class Store(Protocol):
    """Where events are kept; every method blocks, and raises VidserveError where it cannot."""

    def add(self, events: Sequence[Event]) -> None: ...

    def forget(self, owners: Collection[str]) -> None: ...

    def forget_the_lost(self) -> None: ...

    def trim(self) -> None: ...


class History:
    """A tap on the bus.

    Args:
        dropped: called with how many events were dropped.
        most: that may wait.
    """

    def __init__(self, store: Store, *, dropped: Callable[[int], None], most: int = 10_000) -> None:
        self._store = store
        self._dropped = dropped
        self._most = most
        self._waiting: deque[_Heard] = deque()
        self._batch: list[_Heard] = []
        self._gone: set[str] = set()
        self._due = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def heard(self, item: Item, owner: OwnerKind) -> None:
        if item.kind not in (Kind.EVENT, Kind.STATE):
            return
        self._waiting.append((item.owner, datetime.now(UTC), item.data))
        if len(self._waiting) > self._most:
            self._waiting.popleft()
            self._dropped(1)
        self._due.set()

    def closed(self, owner: str) -> None:
        self._waiting = deque(heard for heard in self._waiting if heard[0] != owner)
        self._gone.add(owner)
        self._due.set()

    def start(self) -> None:
        for work in (self._keep(), self._trim()):
            self._tasks.append(asyncio.create_task(work, name="history"))

    async def close(self) -> None:
        """Keep what waits, if that can be done at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(_LAST_S):
                while self._pending:
                    await self._write()
        except (TimeoutError, VidserveError) as error:
            lost = len(self._batch) + len(self._waiting)
            _log.error("%d events were not kept: %s", lost, str(error) or "it took too long")
            self._dropped(lost)

    @property
    def _pending(self) -> bool:
        return bool(self._gone or self._batch or self._waiting)

    async def _keep(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            await asyncio.sleep(_BATCH_S)  # for others to come
            while self._pending:
                try:
                    await _patiently(self._write)
                except Exception:  # the edge of a task: one bad batch must not end the history
                    _log.exception("%d events are not kept", len(self._batch))
                    self._dropped(len(self._batch))
                    self._batch = []
                    self._gone.clear()

    async def _trim(self) -> None:
        await _tidily(self._store.forget_the_lost)
        while True:
            await _tidily(self._store.trim)
            await asyncio.sleep(_TRIM_S)

    async def _write(self) -> None:
        """Keep a batch; one that could not be kept is tried again."""
        while self._waiting and len(self._batch) < _BATCH:
            self._batch.append(self._waiting.popleft())
        gone = frozenset(self._gone)
        await asyncio.to_thread(self._keep_now, self._batch, gone)
        self._batch = []
        self._gone -= gone

    def _keep_now(self, batch: Sequence[_Heard], gone: Collection[str]) -> None:
        if gone:
            self._store.forget(gone)
        events = (_event(data, heard) for owner, heard, data in batch if owner not in gone)
        self._store.add([event for event in events if event is not None])


async def _patiently(work: Callable[[], Awaitable[None]]) -> None:
    """Do it, again and again, until the database takes it."""
    pause_s = _PAUSE_S
    while True:
        try:
            await work()
        except VidserveError as error:
            if pause_s == _PAUSE_S:
                _log.error("the history of events waits: %s", error)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_S)
        else:
            if pause_s > _PAUSE_S:
                _log.warning("the history of events goes on")
            return


async def _tidily(work: Callable[[], None]) -> None:
    try:
        await _patiently(lambda: asyncio.to_thread(work))
    except Exception:  # the edge of a task: the next time it may go well
        _log.exception("the history of events was not tidied")


def _event(data: bytes, heard: datetime) -> Event | None:
    try:
        event = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        _log.error("an event is not kept, since it is none: %s", error)
        return None
    if event.at is not UNSET:
        return event
    at = event.captured_at
    return msgspec.structs.replace(event, at=rfc3339(heard) if at is UNSET else at)
