"""A running server, as the command line asks it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from model_export.errors import VidserveError
from server.commands.scrape import Scrape

_TIMEOUT_S = 30.0


class ServerUnreachable(VidserveError):
    """No server answers there."""

    code = "server_unreachable"


class ServerRefuses(VidserveError):
    """The server answered with an error; the message is its own."""

    code = "server_refuses"


class KeyUnreadable(VidserveError):
    """The file that holds the key cannot be read."""

    code = "key_unreadable"


def key_of(file: Path | None, environ: Mapping[str, str]) -> str | None:
    """The key to send: what the file holds, else what `VIDSERVE_ADMIN_KEY` says.

    Raises:
        KeyUnreadable
    """
    if file is None:
        return environ.get("VIDSERVE_ADMIN_KEY") or None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyUnreadable(f"{file} cannot be read: {error}.", hint="Name the file that holds the key.") from error


class Client:
    """
    Args:
        server: its URL, for example `http://127.0.0.1:8000`.
        key: to be sent; None: none.
    """

    def __init__(self, server: str, key: str | None) -> None:
        self.server = server.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=256)
        try:
            self._client = httpx.AsyncClient(
                base_url=self.server, headers=headers, timeout=_TIMEOUT_S, limits=limits, trust_env=False
            )
        except httpx.InvalidURL as error:
            raise ServerUnreachable(f"{server} is no URL: {error}.", hint="Write http://HOST:PORT.") from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """An answer that is no error.

        Raises:
            ServerUnreachable, ServerRefuses
        """
        try:
            answer = await self._client.request(method, path, **more)
        except (httpx.TransportError, httpx.UnsupportedProtocol) as error:
            raise ServerUnreachable(
                f"{self.server} does not answer: {str(error) or type(error).__name__}.",
                hint="Is it running? Start one with `vidserve serve`.",
            ) from error
        if answer.is_error:
            raise ServerRefuses(f"{method} {path}: {_said(answer)}", hint=_hint(answer))
        return answer

    async def try_call(self, method: str, path: str, **more: Any) -> str:
        """The code of what went wrong, or nothing."""
        try:
            answer = await self._client.request(method, path, **more)
        except httpx.HTTPError as error:
            return type(error).__name__
        return _code(answer) if answer.is_error else ""

    async def scrape(self) -> Scrape:
        """Its metrics now."""
        return Scrape.of((await self.call("GET", "/metrics")).text)


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _said(answer: httpx.Response) -> str:
    return str(_problem(answer).get("detail") or f"status {answer.status_code}")


def _hint(answer: httpx.Response) -> str | None:
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return "Name the file that holds its key with --key-file."
    hint = _problem(answer).get("hint")
    return str(hint) if hint else None


def _code(answer: httpx.Response) -> str:
    return str(_problem(answer).get("code") or answer.status_code)
