"""Who may call, as plain ASGI around every route, so that a new one is closed until somebody opens it here."""

from __future__ import annotations

import asyncio
import hmac
import re
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from server.api.callers import check_caller
from server.api.errors import problem_of
from server.api.tickets import Tickets
from server.core.access_errors import AccessError, KeyMissing, KeyWrong

# Probes cannot carry a key everywhere. The documentation is the same for every server of a version and says nothing of
# this one; a browser that opens it cannot send a header, and asks for the key on the page.
_OPEN = re.compile(
    r"/livez|/readyz|/health/(live|ready)|/v2/health/(live|ready)|/|/favicon\.ico|/docs(/[^/]+)?|/openapi\.json"
)
_READING = frozenset({"GET", "HEAD"})
_CHALLENGE = 'Bearer realm="vidserve"'
_PAUSE_S = 0.3
_HOW = (
    "Send `Authorization: Bearer KEY`. It is what VIDSERVE_ADMIN_KEY or admin_key_file says where the server runs, "
    "else what stands in `admin.key` in its data folder."
)


def is_open(path: str) -> bool:
    """Whether the path is answered without a key."""
    return _OPEN.fullmatch(path) is not None


class Access:
    """Lets nobody in who has neither the key nor, for reading, a ticket.

    A `ticket` in the query is taken out of it in any case: no route, and no log, ever sees one.

    Args:
        key: that callers must show; None: they need none, but must be of this machine (`server.api.callers`).
        pause_s: how long a wrong key waits for its answer. It slows one who guesses; against many there is the length
            of the key.
    """

    def __init__(self, app: ASGIApp, *, key: str | None, tickets: Tickets, pause_s: float = _PAUSE_S) -> None:
        self._app = app
        self._key = key
        self._tickets = tickets
        self._pause_s = pause_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        ticket = _take_ticket(scope)
        try:
            self._check(scope, ticket)
        except AccessError as error:
            if isinstance(error, KeyWrong):
                await asyncio.sleep(self._pause_s)
            await _refuse(error, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _check(self, scope: Scope, ticket: str | None) -> None:
        """Raises AccessError where the caller may not."""
        headers = Headers(scope=scope)
        reads = scope["type"] == "http" and scope["method"] in _READING
        if is_open(scope["path"]):
            return
        if self._key is None:
            check_caller(headers, reads=reads)
            return
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if not hmac.compare_digest(shown.strip().encode(), self._key.encode()):
                raise KeyWrong("The key is not this server's.", hint=_HOW)
        elif ticket is None:
            raise KeyMissing("This server wants a key.", hint=_HOW)
        elif reads or scope["type"] == "websocket":
            self._tickets.check(ticket, scope["path"])
        else:
            raise KeyMissing("A ticket is for reading, and this call wants a key.", hint=_HOW)


def _take_ticket(scope: Scope) -> str | None:
    """The ticket of the query, which is without it from now on; in place, because the HTTP server logs this scope."""
    found: str | None = None
    kept = []
    for part in scope["query_string"].split(b"&"):
        pairs = parse_qsl(part.decode("latin-1"), keep_blank_values=True)
        if pairs and pairs[0][0] == "ticket":
            found = pairs[0][1]
        else:
            kept.append(part)
    scope["query_string"] = b"&".join(kept)
    return found


async def _refuse(error: AccessError, scope: Scope, receive: Receive, send: Send) -> None:
    answer = problem_of(error, scope["path"])
    if answer.status_code == 401:
        tried = "" if isinstance(error, KeyMissing) else ', error="invalid_token"'
        answer.headers["WWW-Authenticate"] = _CHALLENGE + tried
    if scope["type"] == "http":
        await answer(scope, receive, send)
        return
    socket = WebSocket(scope, receive, send)
    if "websocket.http.response" in scope.get("extensions", {}):
        await socket.send_denial_response(answer)
    else:
        await socket.close(1008, error.code)
