"""Sources that are tried without becoming streams: on their way to a worker and back."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable

import msgspec

from server.domain.stream import ProbeFailure, ProbeResult, ProbeSource
from server.runtime.processes.hub import Hub
from server.runtime.processes.questions import NoWorker, Questions, WorkerEnded
from server.runtime.streams.changes import probed
from server.runtime.streams.sources import SourcePolicy
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
        self._policy = policy
        self._worker = worker
        self._questions = Questions(hub, Probed)
        self._room = asyncio.Semaphore(_AT_ONCE)

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
        self._questions.worker_lost(worker)

    async def _ask(self, source: bytes, patience_s: float) -> ProbeResult:
        try:
            answer = await self._questions.ask(
                self._worker(), lambda number: Probe(number, source), patience_s=patience_s
            )
        except NoWorker:
            return _failed("worker_lost", "The worker is starting; try again in a second.")
        except WorkerEnded:
            return _failed("worker_lost", "The process that tried it died of it or beside it.")
        except TimeoutError:
            return _failed("source_silent", f"There was no answer within {patience_s:g} s.")
        return _result(answer)


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
