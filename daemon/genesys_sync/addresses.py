"""Where we may connect to: the address is judged when the socket is made, whatever a name resolved to and however it was spelt.

The check sits in the connector's socket factory and not in the resolver: aiohttp passes `2130706433` and `0177.0.0.1` by the
resolver, because they look like addresses to it, and a resolver would not see what is connected to in the end.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# is_global of Python 3.11 calls these global, or has done so in some patch release
_NEVER: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
        "203.0.113.0/24", "240.0.0.0/4", "2001:db8::/32", "2001::/23", "3fff::/20",
    )
)  # fmt: skip


class AddressRefused(OSError):
    """The address that was about to be connected to is not allowed. It has no errno, and the same text for every address, so
    that a connector which tried several still reports this."""

    def __init__(self) -> None:
        super().__init__("the address is not allowed")


def parse_address(text: str) -> Address | None:
    """The address in its one canonical spelling; None for names and for odd spellings (`0177.0.0.1`, `2130706433`, `127.1`)."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return _embedded(address)


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one is another way to write, where there is one: that is who gets the packets."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """True for an address on the public Internet: not private, loopback, link-local, shared (CGNAT), multicast, reserved or
    unspecified, nor an IPv6 form of such a one."""
    address = _embedded(address)
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_IPV6:
        return False
    return not any(address in network for network in _NEVER if network.version == address.version)


def is_within(address: Address, networks: Iterable[Network]) -> bool:
    address = _embedded(address)
    return any(address in network for network in networks if network.version == address.version)


def parse_network(text: str) -> Network:
    """A network, or a single address as one. Raises ValueError, one sentence."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f'{text!r} is not a network: write an address with its prefix length, such as "10.0.0.0/8"') from None


def guarded_socket_factory(allowed: Callable[[Address], bool]) -> Callable[[tuple[Any, ...]], socket.socket]:
    """A socket factory for `aiohttp.TCPConnector` that raises AddressRefused before a socket to a forbidden address exists."""

    def make(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, target = info
        address = parse_address(str(target[0]))
        if address is None or not allowed(address):
            raise AddressRefused
        return socket.socket(family=family, type=kind, proto=protocol)

    return make


def was_refused(error: BaseException | None) -> bool:
    """True when AddressRefused is this error or among its causes."""
    while error is not None:
        if isinstance(error, AddressRefused):
            return True
        error = error.__cause__
    return False
