"""Whom a server answers that asks for no key: programs of its own machine, and pages that it gave out itself.

A browser lets every page of the web call the machine that it runs on. It says in `Origin` which page that was, and in
`Host` by which name, which the page's owner may have had lead here (DNS rebinding).
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers

from server.core.access_errors import CrossSite, HostRefused
from server.core.loopback import is_loopback

_HOST = re.compile(r"(\[(?P<literal>[^\]]*)\]|(?P<name>[^:]*))(:\d*)?")
_LETTERS = 100


def check_caller(headers: Headers, *, reads: bool) -> None:
    """
    Args:
        reads: whether it is a plain call that changes nothing. A browser shows its answer to no page of another site;
            what comes over a WebSocket it does show.

    Raises:
        HostRefused: it was made by a name that is not this machine's.
        CrossSite: a page of another site made it.
    """
    host = headers.get("host", "")
    if host and not _is_here(host):
        raise HostRefused(
            "This server asks for no key, so it answers by names of its own machine alone, such as localhost and "
            f"127.0.0.1, and not by {host[:_LETTERS]!r}.",
            hint="Call it by one of them; or set a key (VIDSERVE_ADMIN_KEY), then every name is good.",
        )
    if reads:
        return
    origin = headers.get("origin")
    # Of a page whose origin is hidden, such as a sandboxed one or a file, `null` comes, which is nobody's own. The
    # scheme does not matter: a proxy may have taken TLS away.
    foreign = origin is not None and origin.lower().partition("://")[2] != host.lower()
    if foreign or headers.get("sec-fetch-site") == "cross-site":
        raise CrossSite(
            f"A page of another site ({(origin or 'unknown')[:_LETTERS]}) called this server, which asks for no key.",
            hint="Set a key (VIDSERVE_ADMIN_KEY): who has it, or a ticket, may call from anywhere.",
        )


def _is_here(host: str) -> bool:
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = (found["literal"] or found["name"] or "").lower()
    return is_loopback(name) or name.endswith(".localhost")
