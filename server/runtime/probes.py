"""Sources that are tried without becoming streams: on their way to a worker and back."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Callable

import msgspec

from server.domain.stream import ProbeFailure, ProbeResult, ProbeSource
from server.runtime.hub import Hub
from server.runtime.sources import SourcePolicy
from server.runtime.stream_changes import probed
from server.wire.messages import Probe, Probed
from server.wire.sockets import Received

_AT_ONCE = 4
_MARGIN_S = 5.0


class Probes:
    """The sources that workers are trying.

    Args:
        policy: which may be opened.
        worker: names the worker that takes the next.
    """

    def __init__(self, hub: Hub, policy: SourcePolicy, *, worker: Callable[[], str]) -> None:
        self._hub = hub
        self._policy = policy
        self._worker = worker
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[str, asyncio.Future[Received]]] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)
        hub.on(Probed, self._on_probed)

    async def probe(self, wanted: ProbeSource) -> ProbeResult:
        """Try a source; a failure is an answer too.

        Raises:
            SourceNotAllowed: it must not be opened.
            FieldsInvalid: credentials are said twice.
        """
        url, username, password = probed(wanted)
        source = await asyncio.to_thread(self._policy.source_of, url, username, password, transport=wanted.transport)
        async with self._room:
            return await self._ask(msgspec.json.encode(source), self._policy.open_s + self._policy.read_s + _MARGIN_S)

    def worker_lost(self, worker: str) -> None:
        """A worker is gone, and with it the sources that it was trying."""
        for owner, future in self._waiting.values():
            if owner == worker and not future.done():
                future.set_exception(ConnectionError())

    async def _ask(self, source: bytes, patience_s: float) -> ProbeResult:
        number, worker = next(self._numbers), self._worker()
        future: asyncio.Future[Received] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (worker, future)
        try:
            if not await self._hub.send(worker, Probe(number, source)):
                return _failed("worker_lost", "The worker is starting; try again in a second.")
            async with asyncio.timeout(patience_s):
                return _result(await future)
        except TimeoutError:
            return _failed("source_silent", f"There was no answer within {patience_s:g} s.")
        except ConnectionError:
            return _failed("worker_lost", "The process that tried it died of it or beside it.")
        finally:
            del self._waiting[number]

    def _on_probed(self, received: Received) -> None:
        message = received.message
        assert isinstance(message, Probed)
        _, future = self._waiting.get(message.request, (None, None))
        if future is not None and not future.done():
            future.set_result(received)


def _result(received: Received) -> ProbeResult:
    said = received.message
    assert isinstance(said, Probed)
    picture = bytes(received.payload[0]) if received.payload and not said.code else b""
    return ProbeResult(
        codec=said.codec or None,
        width=said.width or None,
        height=said.height or None,
        fps=said.fps,
        picture=base64.b64encode(picture).decode() or None,
        error=ProbeFailure(code=said.code, message=said.message) if said.code else None,
    )


def _failed(code: str, message: str) -> ProbeResult:
    return ProbeResult(error=ProbeFailure(code=code, message=message))
