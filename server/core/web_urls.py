"""URLs of the web that something can be asked from. httpx reads some that it stumbles over when it asks."""

from __future__ import annotations

import httpx

HIGHEST_PORT = 65535


def web_url(text: str) -> httpx.URL:
    """Read a URL.

    Raises:
        ValueError: its host cannot be one, or there is no such port. The text shows nothing else of the URL.
    """
    try:
        url = httpx.URL(text)
        port = url.port if url.host else None  # a host of other letters is decoded here
    except (httpx.InvalidURL, UnicodeError):
        raise ValueError("its host or its port cannot be one") from None
    if port is not None and not 1 <= port <= HIGHEST_PORT:
        raise ValueError(f"there is no port {port}, but 1 to {HIGHEST_PORT}")
    return url
