"""The hosts of sources: found, and checked before anything is sent to them."""

from __future__ import annotations

from server.core.addresses import AddressPolicy, checked_addresses
from server.domain.stream import StreamSource
from server.worker.live.errors import SourceUnreachable

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""Of a URL that names none."""


def resolved(source: StreamSource, host: str, port: int) -> list[str]:
    """The addresses of a host, checked.

    Raises:
        AddressRefused: one of them is where no camera may be.
        SourceUnreachable: the name is not known.
    """
    try:
        return checked_addresses(host, port, AddressPolicy(source.private, source.loopback))
    except (OSError, UnicodeError):
        raise SourceUnreachable(f"The host {host!r} is not known.", hint="Check the spelling.") from None
