"""How a camera over HTTP is told who looks."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import httpx

from server.worker.live.errors import SourceUnauthorized


class Login(httpx.Auth):
    """Digest or Basic, as the camera asks.

    Raises:
        SourceUnauthorized: from the request, where it asks for something else, or for nothing that can be read.
    """

    def __init__(self, username: str, password: str) -> None:
        self._username, self._password = username, password

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        response = yield request
        if response.status_code != 401:
            return
        asked = response.headers.get("www-authenticate", "").lower()
        kind: Any = httpx.DigestAuth if asked.startswith("digest") or ", digest" in asked else httpx.BasicAuth
        try:
            yield from kind(self._username, self._password).auth_flow(request)
        except (httpx.ProtocolError, LookupError, ValueError, NotImplementedError):
            raise SourceUnauthorized(
                "The camera asks for a login of a kind that is not known.",
                hint="Choose Basic, or Digest with MD5 or SHA-256, in its settings.",
            ) from None
