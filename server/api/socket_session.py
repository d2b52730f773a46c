"""A WebSocket from its first message to its last: requests in, news out.

→ {"subscribe": {"streams": ["gate"], "types": ["result"], "from": "3f2a-17"}}
← {"event": "subscribed", "data": {"streams": ["gate"], "jobs": [], "id": "3f2a-42"}}
← {"id": "3f2a-18", "event": "result", "data": {"stream": "gate", "frame": 7, …}}
→ {"unsubscribe": {"streams": ["gate"]}}
"""

from __future__ import annotations

import asyncio

from fastapi import WebSocket
from pydantic import ValidationError
from starlette.websockets import WebSocketDisconnect

from model_export.errors import VidserveError
from server.api.errors import problem_value_of
from server.api.ports import Channel
from server.api.subscribe_request import Said, filter_of
from server.api.validation import fields_invalid
from server.core.errors import MessageInvalid
from server.events.position import parse

MESSAGE_BYTES = 64 * 1024
_TOO_LARGE = 1009
_GOING_AWAY = 1001
_HINT = 'Send {"subscribe": {"streams": ["…"]}} or {"unsubscribe": {"streams": ["…"]}} as text.'


class SocketSession:
    """Serves a socket that was accepted. A message that is wrong is answered by one that says so; the socket stays."""

    def __init__(self, socket: WebSocket, channel: Channel) -> None:
        self._socket = socket
        self._channel = channel

    async def run(self) -> None:
        """Until the client goes or the server stops."""
        writing = asyncio.create_task(self._write())
        reading = asyncio.create_task(self._read())
        try:
            await asyncio.wait((writing, reading), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writing, reading):
                task.cancel()
            ended = await asyncio.gather(writing, reading, return_exceptions=True)
            self._channel.close()
        for outcome in ended:
            if isinstance(outcome, Exception) and not isinstance(outcome, WebSocketDisconnect | OSError):
                raise outcome

    async def _write(self) -> None:
        while (texts := await self._channel.take()) is not None:
            for text in texts:
                await self._socket.send_text(text)
        await self._socket.close(_GOING_AWAY)

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is not None and len(text) > MESSAGE_BYTES:
                await self._socket.close(_TOO_LARGE)
                return
            try:
                await self._heard(text)
            except VidserveError as error:
                self._channel.refuse(problem_value_of(error).model_dump_json(exclude_none=True).encode())

    async def _heard(self, text: str | None) -> None:
        """Do what a message says.

        Raises:
            MessageInvalid, FieldsInvalid, StreamNotFound, JobNotFound: it cannot be done.
        """
        if text is None:
            raise MessageInvalid("Messages are text, and this one is binary.", hint=_HINT)
        said = _parsed(text)
        if said.subscribe is not None:
            wanted = said.subscribe
            await self._channel.follow(
                wanted.streams,
                wanted.jobs,
                filter_of(wanted.types, wanted.labels),
                parse(wanted.start, "subscribe.from"),
            )
        if said.unsubscribe is not None:
            self._channel.unfollow(said.unsubscribe.streams, said.unsubscribe.jobs)


def _parsed(text: str) -> Said:
    try:
        said = Said.model_validate_json(text)
    except ValidationError as error:
        found = error.errors(include_url=False)
        if found[0]["type"] == "json_invalid":
            raise MessageInvalid(f"The message is not JSON: {found[0]['ctx']['error']}.", hint=_HINT) from error
        if not found[0]["loc"]:
            raise MessageInvalid("The message is not a JSON object.", hint=_HINT) from error
        raise fields_invalid(found, Said, hint=_HINT) from error
    if said.subscribe is None and said.unsubscribe is None:
        raise MessageInvalid("The message asks for nothing.", hint=_HINT)
    return said
