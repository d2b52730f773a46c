"""Questions to workers: each is one message, and has one answer, unless its worker ends first."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from server.runtime.processes.hub import Hub
from server.wire.messages import Looked, Message, Predicted, Probed
from server.wire.sockets import Payload, Received


class NoWorker(Exception):
    """The worker is not there yet."""


class WorkerEnded(Exception):
    """The worker ended before it answered."""


class Questions:
    """Those of one kind that are under way.

    Args:
        answer: the kind of message that answers them.
    """

    def __init__(self, hub: Hub, answer: type[Looked] | type[Predicted] | type[Probed]) -> None:
        self._hub = hub
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[str, asyncio.Future[Received]]] = {}
        hub.on(answer, self._on_answer)

    def __len__(self) -> int:
        """How many have no answer yet."""
        return len(self._asked)

    async def ask(
        self, worker: str, question: Callable[[int], Message], payload: Payload = (), *, patience_s: float
    ) -> Received:
        """The answer.

        Args:
            question: the message, with the number that its answer repeats.

        Raises:
            NoWorker: there is nobody to ask.
            WorkerEnded: the worker ended.
            TimeoutError: no answer came within `patience_s`.
        """
        number = next(self._numbers)
        future: asyncio.Future[Received] = asyncio.get_running_loop().create_future()
        self._asked[number] = worker, future
        try:
            if not await self._hub.send(worker, question(number), payload):
                raise NoWorker
            async with asyncio.timeout(patience_s):
                return await future
        finally:
            del self._asked[number]

    def worker_lost(self, worker: str) -> None:
        """A worker is gone, and what it was asked with it."""
        for owner, future in self._asked.values():
            if owner == worker and not future.done():
                future.set_exception(WorkerEnded())

    def fail(self, error: Callable[[], Exception]) -> None:
        """None of them will be answered; each is told an error of its own."""
        for _, future in self._asked.values():
            if not future.done():
                future.set_exception(error())

    def _on_answer(self, received: Received) -> None:
        message = received.message
        assert isinstance(message, Looked | Predicted | Probed)
        _, future = self._asked.get(message.request, ("", None))
        if future is not None and not future.done():
            future.set_result(received)
