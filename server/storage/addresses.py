"""Which network addresses a server may be sent to by a stranger's URL."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_NAT64 = IPv6Network("64:ff9b::/96")
# Of protocols, not of the internet (RFC 6890), and in one cloud of its metadata; Python knows parts of it only.
_PROTOCOLS = IPv4Network("192.0.0.0/24")
# Public by its number, yet answered inside every Azure machine.
_METADATA = frozenset({IPv4Address("168.63.129.16")})


def refusal(address: str) -> str | None:
    """Why nothing may be fetched from this address; None where it is public.

    IPv4 addresses inside IPv6 ones (mapped, 6to4, Teredo, NAT64) are looked at too, because they lead to the same host.

    Args:
        address: IPv4 or IPv6 in numbers, with or without a zone.

    Raises:
        ValueError: it is neither.
    """
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        inner = _inner(ip)
        if inner is not None:
            return refusal(str(inner))
        if ip.is_site_local:
            return "private"
    if ip in _METADATA:
        return "a cloud's metadata service"
    if ip.is_unspecified:
        return "unspecified"
    if ip.is_loopback:
        return "loopback"
    if ip.is_link_local:
        return "link-local"
    if ip.is_multicast:
        return "multicast"
    return None if ip.is_global and ip not in _PROTOCOLS else "private or reserved"


def _inner(ip: IPv6Address) -> IPv4Address | None:
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return None
