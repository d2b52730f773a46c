"""The parts of a URL, and where the name of its host ends.

A password with a `/`, `#` or `?` in it ends it too early, and what is left of the password would be taken for a host, a
port or a path, and be shown as such.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

_AUTHORITY = re.compile(r"[^/?#\\]*")
_PORT = re.compile(r":[0-9]*")
UNCLEAR = "The URL cannot be read: it is not clear where its credentials end."
NO_PLACE = "The URL cannot be read: its host or its port cannot be one."
ESCAPE = "A @, #, / or ? in a password is written %40, %23, %2F or %3F in a URL, and a @ in a path %40."
ESCAPE_OR_APART = f"{ESCAPE} Or give the password as `password`, where it is written as it is."


class UrlUnreadable(ValueError):
    """A URL cannot be read. What it says may be shown: nothing of the URL is in it.

    Attributes:
        hint: what to do about it; empty where that depends on what the URL is for.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def split(url: str) -> SplitResult:
    """The parts of a URL; its port is a number, if there is one.

    Raises:
        UrlUnreadable: its host or its port cannot be one, or it cannot be told where its credentials end.
    """
    if is_unclear(url):
        raise UrlUnreadable(UNCLEAR, ESCAPE_OR_APART)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # its words show parts of the URL
        raise UrlUnreadable(NO_PLACE) from None
    return parts


def is_unclear(url: str) -> bool:
    """Whether it cannot be told where the credentials of a URL end: a `@` comes after what looks like their beginning,
    or what looks like a port is no number. Nothing of such a URL may be shown.
    """
    rest = url.partition("://")[2]
    authority = _AUTHORITY.match(rest)
    assert authority is not None  # it matches nothing too
    userinfo, _, host = authority[0].rpartition("@")
    end = host.rpartition("]")[2] if host.startswith("[") else host
    colon = end.find(":")
    if colon >= 0 and not _PORT.fullmatch(end[colon:]):
        return True
    return "@" in rest[authority.end() :] and bool(userinfo or colon >= 0)
