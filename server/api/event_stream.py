"""An answer of Server-Sent Events: a feed on its way to one client, until either ends."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.api.ports import Feed

KEEP_ALIVE_S = 15.0
_KEEP_ALIVE = b":\n\n"


class EventStream(Response):
    """Sends what the feed gives, and a comment after each quiet `keep_alive_s`, so that proxies do not give up.

    A client that does not read holds this up, and nobody else: its feed is bounded. One that goes away is noticed at
    once, also in a quiet stream.

    Args:
        connected: entered while the client is.
    """

    media_type = "text/event-stream"

    def __init__(
        self, feed: Feed, connected: AbstractContextManager[object], *, keep_alive_s: float = KEEP_ALIVE_S
    ) -> None:
        # The last keeps nginx from gathering events before it passes them on.
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._feed = feed
        self._connected = connected
        self._keep_alive_s = keep_alive_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watching = asyncio.create_task(self._until_gone(receive))
        pulse = _Pulse(self._feed, self._keep_alive_s)
        try:
            with self._connected:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                async with aclosing(self._feed.frames()) as frames:  # type: ignore[type-var]
                    async for frame in frames:
                        if frame or pulse.due:
                            await send({"type": "http.response.body", "body": frame or _KEEP_ALIVE, "more_body": True})
                            pulse.rest()
                await send({"type": "http.response.body", "body": b""})
        finally:
            pulse.stop()
            watching.cancel()
            self._feed.close()

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._feed.close()


class _Pulse:
    """Wakes a feed that was quiet for too long. One timer that looks now and then costs less than one an event."""

    def __init__(self, feed: Feed, seconds: float) -> None:
        self._feed = feed
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._quiet_since = self._loop.time()
        self._timer = self._loop.call_later(seconds, self._look)

    @property
    def due(self) -> bool:
        return self._loop.time() - self._quiet_since >= self._seconds

    def rest(self) -> None:
        """Something was sent."""
        self._quiet_since = self._loop.time()

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        if self.due:
            self._feed.wake()
            self._timer = self._loop.call_later(self._seconds, self._look)
        else:
            self._timer = self._loop.call_at(self._quiet_since + self._seconds, self._look)
