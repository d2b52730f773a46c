"""What streams have shown, and what they show at this moment."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from datetime import datetime

from server.core.errors import SnapshotUnavailable
from server.domain.stream import StreamState
from server.events.bus import Bus
from server.runtime.hub import Hub
from server.runtime.stint import Stint
from server.runtime.stream_case import StreamCase
from server.runtime.stream_results import latest_results
from server.wire.messages import Look, Looked
from server.wire.sockets import Received

_AGAIN = "Try again in a second."
_PATIENCE_S = 5.0
"""Beyond that of the worker, which says what it waits for."""


class StreamViews:
    """
    Args:
        find: a stream by its id; raises StreamNotFound.
        stint: where a stream is; None: in no worker.
    """

    def __init__(
        self, hub: Hub, bus: Bus, find: Callable[[str], StreamCase], stint: Callable[[StreamCase], Stint | None]
    ) -> None:
        self._hub = hub
        self._bus = bus
        self._find = find
        self._stint = stint
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[str, asyncio.Future[bytes]]] = {}
        self._looking: dict[tuple[str, bool], asyncio.Task[bytes]] = {}
        hub.on(Looked, self._on_looked)

    async def results(
        self, stream_id: str, *, since: datetime | None, until: datetime | None, limit: int, cursor: str | None
    ) -> tuple[Sequence[bytes], str | None]:
        """A page of a stream's latest rows, newest first, and the cursor of the next page.

        Raises:
            StreamNotFound: no stream has this id.
            FieldsInvalid: the cursor is not one that this method gave.
        """
        self._find(stream_id)
        return latest_results(self._bus, stream_id, since=since, until=until, limit=limit, cursor=cursor)

    async def snapshot(self, stream_id: str, *, boxes: bool) -> bytes:
        """The next frame of a stream as JPEG, with what was found in it if `boxes`. Who asks at the same time gets the
        same picture.

        Raises:
            StreamNotFound: no stream has this id.
            SnapshotUnavailable: it gives no picture now.
        """
        case = self._find(stream_id)
        key = stream_id, boxes
        task = self._looking.get(key)
        if task is None:
            task = self._looking[key] = asyncio.create_task(self._look(case, boxes))
            task.add_done_callback(lambda done: self._looked(key, done))
        return await asyncio.shield(task)

    def worker_lost(self, worker: str) -> None:
        """A worker is gone, and with it who looked there."""
        for owner, future in self._waiting.values():
            if owner == worker and not future.done():
                future.set_exception(SnapshotUnavailable("The process that read the stream ended.", hint=_AGAIN))

    async def close(self) -> None:
        """Nobody looks any more."""
        for task in self._looking.values():
            task.cancel()
        await asyncio.gather(*self._looking.values(), return_exceptions=True)

    async def _look(self, case: StreamCase, boxes: bool) -> bytes:
        stint, state = self._stint(case), case.known.state
        if stint is None or state is not StreamState.RUNNING:
            code, message = case.trouble
            why = f" {message} ({code})" if code else ""
            raise SnapshotUnavailable(f"Stream {case.id} gives no picture: it is {state}.{why}")
        number = next(self._numbers)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[number] = stint.worker, future
        try:
            if not await self._hub.send(stint.worker, Look(number, case.id, stint.number, boxes)):
                raise SnapshotUnavailable("The stream's worker is starting.", hint=_AGAIN)
            async with asyncio.timeout(_PATIENCE_S):
                return await future
        except TimeoutError:
            raise SnapshotUnavailable(f"No picture came within {_PATIENCE_S:g} s.", hint=_AGAIN) from None
        finally:
            del self._waiting[number]

    def _looked(self, key: tuple[str, bool], task: asyncio.Task[bytes]) -> None:
        del self._looking[key]
        if not task.cancelled():
            task.exception()  # they may all have gone who were to be told

    def _on_looked(self, received: Received) -> None:
        message = received.message
        assert isinstance(message, Looked)
        _, future = self._waiting.get(message.request, ("", None))
        if future is None or future.done():
            return
        if message.code:
            future.set_exception(SnapshotUnavailable(message.message))
        else:
            future.set_result(bytes(received.payload[0]))
