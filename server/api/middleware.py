"""What every request passes on its way in and out, as plain ASGI: an id, the time it took, the last resort."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from server.api.errors import problem, problem_value

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BEGINNINGS = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})
# What proxies log when nobody is left to answer.
_CLIENT_GONE = 499

log = logging.getLogger(__name__)


class Edge:
    """Gives a request its id (`X-Request-ID`, the client's own if it is sane), bound to all that is logged on the way;
    counts its time in `vidserve_http_request_duration_seconds`; answers what no handler foresaw with a problem. A
    WebSocket is a request until it is open, and counts if it is refused.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope).get("x-request-id", "")
        request_id = asked if _ID.fullmatch(asked) else uuid.uuid4().hex
        status: int | None = None
        begun = time.perf_counter()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] in _BEGINNINGS:
                status = message.get("status", status)
                message.setdefault("headers", [])
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)
            if message["type"] == "websocket.http.response.start":
                _count(scope, message["status"], time.perf_counter() - begun)

        if scope["type"] == "websocket":
            with bound_contextvars(request_id=request_id):
                await self._app(scope, receive, answer)
            return
        with bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, answer)
            except ClientDisconnect:
                log.info("the client went away: %s %s", scope["method"], scope["path"])
            except Exception:
                # Of an answer that has begun, breaking off is all that is left to say; the HTTP server logs it.
                if status is not None:
                    raise
                log.exception("%s %s failed", scope["method"], scope["path"])
                await _unforeseen(request_id, scope["path"])(scope, receive, answer)
            finally:
                _count(scope, status or _CLIENT_GONE, time.perf_counter() - begun)


def _unforeseen(request_id: str, path: str) -> ASGIApp:
    return problem(
        problem_value(
            500,
            "internal_error",
            "The server failed in a way that nobody foresaw.",
            hint=f"The log of the server says more under request {request_id}.",
        ),
        path=path,
    )


def _count(scope: Scope, status: int, seconds: float) -> None:
    # A WebSocket begins as a GET.
    asked = scope.get("method", "GET")
    method = asked if asked in _METHODS else "other"
    # The template and not the path, which anybody could make endlessly many of.
    route = getattr(scope.get("route"), "path", "unknown")
    scope["app"].state.runtime.metrics.http.labels(route, method, str(status)).observe(seconds)
