"""Tickets: what opens one path for reading, for a while, where a caller cannot send a header.

A browser's `<img>`, `EventSource` and `WebSocket` send none. A ticket is signed and not kept: nothing has to be
remembered or swept, and those of an earlier run of the server are worth nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from server.core.access_errors import TicketExpired, TicketInvalid

_SECRET_BYTES = 32
_AGAIN = "POST /v1/tickets gives a new one."


@dataclass(frozen=True)
class Ticket:
    """
    Attributes:
        text: what the caller sends as `?ticket=`.
        expires_at: seconds since the epoch.
    """

    text: str
    expires_at: int


class Tickets:
    """Gives tickets out and knows them again.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        # Not made of the administrator's key, which somebody who finds a ticket could then try to guess.
        self._secret = secrets.token_bytes(_SECRET_BYTES)
        self._clock = clock

    def issue(self, path: str, seconds: int) -> Ticket:
        """A ticket for a path and all below it."""
        expires_at = int(self._clock()) + seconds
        said = f"{expires_at}.{_encoded(path.encode())}"
        return Ticket(f"{said}.{self._signature(said)}", expires_at)

    def check(self, text: str, path: str) -> None:
        """Whether a ticket opens a path.

        Raises:
            TicketInvalid: it was altered, is of an earlier run, or for another path.
            TicketExpired: it was good until a while ago.
        """
        said, _, signature = text.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(said).encode()):
            raise TicketInvalid("This server gave no such ticket, or it was started again since.", hint=_AGAIN)
        expires_at, _, encoded = said.partition(".")
        if self._clock() >= int(expires_at):
            raise TicketExpired("The ticket's time is over.", hint=_AGAIN)
        opened = _decoded(encoded).decode()
        if path != opened and not path.startswith(opened.rstrip("/") + "/"):
            raise TicketInvalid(f"The ticket is for {opened} and not for {path}.", hint=_AGAIN)

    def _signature(self, said: str) -> str:
        return _encoded(hmac.digest(self._secret, said.encode(), hashlib.sha256))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
