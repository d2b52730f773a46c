"""What is not there, in words that lead to it."""

from __future__ import annotations

from urllib.parse import quote

from server.core.errors import StreamNotFound


def no_stream(stream_id: str) -> StreamNotFound:
    """The error for an id that no stream has. People know names, so it may be one."""
    name = stream_id[:100]
    finds = f"GET /v1/streams?name={quote(name, safe='', errors='replace')} finds its id"
    return StreamNotFound(
        f"There is no stream with the id {name!r}.",
        hint=f"It may have been deleted. If this is its name, {finds}; GET /v1/streams lists all.",
    )
