"""HEAD: what GET would say, without what it would send. Plain ASGI around the routes, none of which needs to know."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Has the application answer GET and ends that as soon as the headers are there: a subscription never ends itself,
    and nobody wants the rows of a job.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        asked = {**scope, "method": "GET"}
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start" and not begun:
                begun = True
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                answering.cancel()

        answering = asyncio.ensure_future(self._app(asked, receive, answer))
        try:
            await answering
        except asyncio.CancelledError:
            # Our own end, unless somebody else wants this one too.
            if not begun or cast(asyncio.Task[Any], asyncio.current_task()).cancelling():
                raise
        finally:
            if "route" in asked:
                scope["route"] = asked["route"]
