"""Where webhooks may go: to public addresses, and to those in ``ORDERS_WEBHOOK_ALLOW``.

Who may choose the URL of a webhook, or the address of its host in the DNS, could otherwise make a worker post to what
only the worker can reach, such as 169.254.169.254 (server-side request forgery). A host is looked up once, each of its
addresses is checked, and the caller connects to one of these addresses. So the DNS cannot answer differently later.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orders.config import Settings

Address = IPv4Address | IPv6Address

Resolve = Callable[..., Iterable[tuple[Any, ...]]]
"""Like `socket.getaddrinfo`."""

NAT64 = ip_network("64:ff9b::/96")
"""IPv6 addresses that a gateway translates to the IPv4 address in their last 4 bytes (RFC 6052)."""


class AddressRejected(ConnectionError):
    """The settings do not allow a request to this address."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses that the settings allow."""

    settings: Settings
    resolve: Resolve = socket.getaddrinfo

    def of(self, host: str, port: int, *, is_https: bool) -> Sequence[str]:
        """Return the addresses of a host, all of which are allowed.

        Args:
            host: a name or an address.
            port: the port.
            is_https: whether the connection will be encrypted.

        Raises:
            AddressRejected: one of the addresses is not allowed.
            OSError: the name cannot be resolved.
        """
        found = self.resolve(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        if host.lower().rstrip(".") in self.settings.allowed_hosts:
            return addresses
        for text in addresses:
            address = ip_address(text.partition("%")[0])
            if self._is_allowed(address):
                continue
            if not all(map(is_public, embedded(address))):
                raise AddressRejected(
                    f"{host} has the address {text}, which is not public: ORDERS_WEBHOOK_ALLOW must name the host or "
                    "its network"
                )
            if not is_https:
                advice = "it must be https, or ORDERS_WEBHOOK_ALLOW must name the host or its network"
                raise AddressRejected(f"http to {host}: {advice}")
        return addresses

    def _is_allowed(self, address: Address) -> bool:
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any((mapped or address) in network for network in self.settings.allowed_networks)


def embedded(address: Address) -> Iterator[Address]:
    """Yield an address or, for an IPv6 address that leads to an IPv4 address, that one too."""
    if isinstance(address, IPv4Address):
        yield address
        return
    if address.ipv4_mapped:
        yield address.ipv4_mapped  # by itself it never counts as public
        return
    yield address
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
    if address in NAT64:
        yield IPv4Address(int(address) & 0xFFFFFFFF)


def is_public(address: Address) -> bool:
    """Return whether an address is one of the public internet, and of one host."""
    is_local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not address.is_multicast and not is_local
