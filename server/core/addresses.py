"""Which network addresses a server may be sent to by a stranger's URL, or by the URL of a camera."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from server.core.errors import AddressRefused

_NAT64 = IPv6Network("64:ff9b::/96")
# Of protocols, not of the internet (RFC 6890), and in one cloud of its metadata; Python knows parts of it only.
_PROTOCOLS = IPv4Network("192.0.0.0/24")
_PRIVATE = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("100.64.0.0/10"),
    IPv6Network("fc00::/7"),
)
# Answered inside the machines of clouds: Azure's public by its number, Alibaba's and Amazon's private by theirs.
_METADATA = frozenset({IPv4Address("168.63.129.16"), IPv4Address("100.100.100.200"), IPv6Address("fd00:ec2::254")})

_LINK_LOCAL = "link-local"
# What a camera without DHCP gives itself, and where clouds keep the secrets of their machines.
_NEVER = {
    _LINK_LOCAL: "No setting allows it, since clouds keep services at such addresses. A camera that is wired to this "
    "machine without DHCP has one too: give it and this machine's port fixed addresses, such as 192.168.50.20 and "
    "192.168.50.1."
}
_NOWHERE = "No setting allows it: such addresses are services of a machine or its cloud, not cameras."

LOOPBACK = "loopback"
PRIVATE = "private"


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
            return PRIVATE
    if ip in _METADATA:
        return "a cloud's metadata service"
    if ip.is_unspecified:
        return "unspecified"
    if ip.is_loopback:
        return LOOPBACK
    if ip.is_link_local:
        return _LINK_LOCAL
    if ip.is_multicast:
        return "multicast"
    if any(ip in network for network in _PRIVATE):
        return PRIVATE
    return None if ip.is_global and ip not in _PROTOCOLS else "reserved"


@dataclass(frozen=True)
class AddressPolicy:
    """Where cameras may be. Link-local and metadata addresses never are.

    Attributes:
        private: networks such as 192.168.0.0/16.
        loopback: this machine.
    """

    private: bool = True
    loopback: bool = False

    def refusal(self, address: str) -> str | None:
        """Why nothing may be opened at this address; None where it may.

        Raises:
            ValueError: it is no address.
        """
        reason = refusal(address)
        allowed = (reason == PRIVATE and self.private) or (reason == LOOPBACK and self.loopback)
        return None if allowed else reason

    def check(self, host: str, address: str) -> None:
        """
        Args:
            host: as the URL names it; for the message.
            address: of it, in numbers.

        Raises:
            AddressRefused: nothing may be opened there.
        """
        reason = self.refusal(address)
        if reason is None:
            return
        setting = {PRIVATE: "allow_private", LOOPBACK: "allow_loopback"}.get(reason)
        what = f"The address {address} is {reason}" if host == address else f"{host!r} is {address}, which is {reason}"
        raise AddressRefused(
            f"{what}, and is not connected to.",
            hint=f"Set `[sources] {setting} = true` if it is meant." if setting else _NEVER.get(reason, _NOWHERE),
        )


def checked_addresses(host: str, port: int, policy: AddressPolicy) -> list[str]:
    """Every address of a host, in the system's order; it may take as long as the system's resolver does.

    Raises:
        AddressRefused: the policy forbids one of them: who changes a name's answers must not get through by luck.
        OSError: the name is not known.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        policy.check(host, address)
    return addresses


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
