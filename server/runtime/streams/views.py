"""What streams have shown, and what they show at this moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from server.core.errors import SnapshotUnavailable
from server.domain.stream import DECLARED_PREFIX, ManagedBy, StreamState
from server.events.bus import Bus
from server.runtime.processes.hub import Hub
from server.runtime.processes.questions import NoWorker, Questions, WorkerEnded
from server.runtime.streams.case import StreamCase
from server.runtime.streams.results import latest_results
from server.runtime.streams.stint import Stint
from server.wire.messages import Look, Looked

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
        self._bus = bus
        self._find = find
        self._stint = stint
        self._questions = Questions(hub, Looked)
        self._looking: dict[tuple[str, bool], asyncio.Task[bytes]] = {}

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
        self._questions.worker_lost(worker)

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
            raise SnapshotUnavailable(f"Stream {case.id} gives no picture: it is {state}.{why}", hint=_what_to_do(case))
        try:
            received = await self._questions.ask(
                stint.worker, lambda number: Look(number, case.id, stint.number, boxes), patience_s=_PATIENCE_S
            )
        except NoWorker:
            raise SnapshotUnavailable("The stream's worker is starting.", hint=_AGAIN) from None
        except WorkerEnded:
            raise SnapshotUnavailable("The process that read the stream ended.", hint=_AGAIN) from None
        except TimeoutError:
            raise SnapshotUnavailable(f"No picture came within {_PATIENCE_S:g} s.", hint=_AGAIN) from None
        said = received.message
        assert isinstance(said, Looked)
        if said.code:
            raise SnapshotUnavailable(said.message)
        return bytes(received.payload[0])

    def _looked(self, key: tuple[str, bool], task: asyncio.Task[bytes]) -> None:
        del self._looking[key]
        if not task.cancelled():
            task.exception()  # they may all have gone who were to be told


def _what_to_do(case: StreamCase) -> str:
    """About a stream that does not run."""
    id = case.id
    if case.known.state is StreamState.PAUSED and case.kept.managed_by is ManagedBy.CONFIG:
        return f"Take `paused` out of `[streams.{id.removeprefix(DECLARED_PREFIX)}]`, and send the server SIGHUP."
    if case.known.state is StreamState.PAUSED:
        return f'PATCH /v1/streams/{id} with {{"paused": false}} opens it again.'
    if case.known.state is StreamState.ENDED:
        return 'The file is over; with `"loop": true` it begins again.'
    if case.known.state is StreamState.FAILED:
        return f"`error` of GET /v1/streams/{id} says what is wrong with it."
    return f"Try again when `state` of GET /v1/streams/{id} is `running`."
