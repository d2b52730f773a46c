"""The API process's end of the talk with its children: one router, and a handler for each kind of message.

What an incarnation of a child says that has been given up is dropped and counted: a successor may be at its work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import zmq.asyncio

from server.wire.errors import WireError
from server.wire.messages import Message
from server.wire.sockets import AsyncRouter, Payload, Received

_log = logging.getLogger(__name__)

NAME = "api"
Handler = Callable[[Received], None]


class Hub:
    """Receives on the event loop; handlers are plain functions and return at once.

    Args:
        address: to listen at.
        stale: called for each message that is dropped because its sender has been given up.
    """

    def __init__(
        self, context: zmq.asyncio.Context, address: str, incarnation: int, stale: Callable[[], None] = lambda: None
    ) -> None:
        self.address = address
        self._stale = stale
        self._expected: dict[str, int] = {}
        self._router = AsyncRouter(context, address, NAME, incarnation)
        self._handlers: dict[type[Message], Handler] = {}
        self._task: asyncio.Task[None] | None = None

    def on(self, kind: type[Message], handler: Handler) -> None:
        """Call `handler` with every message of that kind."""
        self._handlers[kind] = handler

    def expect(self, process: str, incarnation: int) -> None:
        """Believe nothing that an earlier incarnation of a process says."""
        self._expected[process] = incarnation

    def start(self) -> None:
        self._task = asyncio.create_task(self._receive(), name="hub")

    async def send(self, peer: str | bytes, message: Message, payload: Payload = ()) -> bool:
        """Send to a child by its name; False if it is not there."""
        return await self._router.send(peer.encode() if isinstance(peer, str) else peer, message, payload)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._router.close()

    async def _receive(self) -> None:
        while True:
            try:
                received = await self._router.recv()
            except WireError:
                _log.exception("a message was dropped")
                continue
            # The threads of a process add names of their own to its name.
            process = received.header.sender.partition(".")[0]
            if received.header.incarnation < self._expected.get(process, 0):
                self._stale()
                continue
            handler = self._handlers.get(type(received.message))
            if handler is None:
                _log.error("nobody handles %s from %s", type(received.message).__name__, received.header.sender)
                continue
            try:
                handler(received)
            except Exception:  # the edge of the loop: one bad message must not end the talk with all children
                _log.exception("handling %s failed", type(received.message).__name__)
