"""Where the server listens."""

from __future__ import annotations

import errno
import ipaddress
import socket

from model_export.errors import VidserveError

_TRIES = 100
_UNSENT_BYTES = 64 * 1024


class AddressRefused(VidserveError):
    """The server does not, or cannot, listen there."""

    code = "address_refused"


class PortTaken(AddressRefused):
    """Somebody listens there already."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound and takes no connections yet.

    Args:
        port: 0: any that is free.

    Raises:
        AddressRefused: taken, not allowed, or not an address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise AddressRefused(
            f"There is no address {host!r} ({error.strerror}).", hint="Use --host 127.0.0.1, or leave it out."
        ) from error
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit it. Else the kernel takes megabytes for each subscriber that does not read.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _refused(host, port, error) from error
    return listener


def listen_from(host: str, first_port: int) -> socket.socket:
    """A socket at the first port from `first_port` that is free.

    Raises:
        AddressRefused: none is.
    """
    for port in range(first_port, min(first_port + _TRIES, 65536)):
        try:
            return listen(host, port)
        except AddressRefused as error:
            refused = error
    raise refused


def url_of(listener: socket.socket) -> str:
    """What to type into a browser on this machine."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _refused(host: str, port: int, error: OSError) -> AddressRefused:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"Port {port} is taken by another program.",
            hint=f"Stop that program, or choose another port: --port {port + 1}, or --port 0 for any free one.",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return AddressRefused(f"Port {port} needs more rights than this user has.", hint="Choose one above 1023.")
    return AddressRefused(
        f"The server cannot listen at {host} ({error.strerror}).", hint="Use an address of this machine."
    )
