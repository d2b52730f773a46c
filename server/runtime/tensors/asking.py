"""The API process's own talk with the engine: tensors asked and answered, on the event loop."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import Any, NamedTuple

import zmq

from server.core.errors import ModelUnavailable
from server.wire.messages import Cancel, Cancelled, GetTally, Infer, InferDone, Tallies
from server.wire.sockets import Dealer, Received
from server.wire.tally import Tally


class Done(NamedTuple):
    """An answer, and its outputs where they travelled with it."""

    message: InferDone
    payload: bytes


class Asking:
    """One dealer for all requests.

    A plain socket, watched by its descriptor: waking a task for each message as asyncio's sockets do costs more than
    most small models.

    Args:
        address: of the engine.
        identity: the engine answers to it.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, identity: str, incarnation: int) -> None:
        self._dealer = Dealer(context, address, identity, incarnation)
        self._loop = asyncio.get_running_loop()
        self._asked: dict[tuple[str, int], asyncio.Future[Done]] = {}
        self._leaving: dict[str, asyncio.Future[None]] = {}
        self._tallies: deque[asyncio.Future[tuple[Tally, ...]]] = deque()
        self._numbers = itertools.count(1)
        self._descriptor = int(self._dealer.socket.get(zmq.FD))
        self._loop.add_reader(self._descriptor, self._hear)

    def stream(self) -> str:
        """A name for a stream that nobody else has."""
        return f"v2.{next(self._numbers)}"

    async def ask(self, ask: Infer) -> Done:
        """Its answer, errors among them.

        Raises:
            ModelUnavailable: the engine has died meanwhile.
        """
        future: asyncio.Future[Done] = self._loop.create_future()
        self._asked[ask.stream, ask.seq] = future
        self._dealer.send(ask)
        self._look()
        try:
            return await future
        finally:
            del self._asked[ask.stream, ask.seq]

    async def leave(self, stream: str) -> None:
        """Take back what waits of a stream, and have its state forgotten; then the engine holds none of its slots."""
        future = self._leaving.get(stream)
        if future is None:
            future = self._leaving[stream] = self._loop.create_future()
            self._dealer.send(Cancel(stream, forget=True))
            self._look()
        await asyncio.shield(future)

    async def tallies(self) -> tuple[Tally, ...]:
        """What each model that is up has been asked and has done.

        Raises:
            ModelUnavailable: the engine has died meanwhile.
        """
        future: asyncio.Future[tuple[Tally, ...]] = self._loop.create_future()
        self._tallies.append(future)
        self._dealer.send(GetTally())
        self._look()
        return await future

    def engine_lost(self) -> None:
        """The engine is gone, and what it had been asked with it."""
        waiting: list[asyncio.Future[Any]] = [*self._asked.values(), *self._tallies]
        for asked in waiting:
            if not asked.done():
                asked.set_exception(ModelUnavailable("The engine was started again; send the request once more."))
        self._tallies.clear()
        for left in self._leaving.values():
            if not left.done():
                left.set_result(None)
        self._leaving.clear()

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._dealer.close()

    def _look(self) -> None:
        """The descriptor tells of news once, and sending may take notice of them in its stead."""
        if self._dealer.has_mail:
            self._loop.call_soon(self._hear)

    def _hear(self) -> None:
        while self._dealer.has_mail:
            received = self._dealer.recv(0)
            if received is not None:
                self._take(received)

    def _take(self, received: Received) -> None:
        match received.message:
            case InferDone() as done:
                asked = self._asked.get((done.stream, done.seq))
                if asked is not None and not asked.done():
                    asked.set_result(Done(done, received.payload[0] if received.payload else b""))
            case Cancelled(stream=stream):
                left = self._leaving.pop(stream, None)
                if left is not None and not left.done():
                    left.set_result(None)
            case Tallies(models=models):
                told = self._tallies.popleft() if self._tallies else None
                if told is not None and not told.done():
                    told.set_result(models)
            case other:
                raise AssertionError(f"the engine does not say {type(other).__name__} to those who ask")
