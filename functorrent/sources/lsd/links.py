"""Our own subnets: where an announce may come from, and where ours go.

The group addresses reach further than a subnet (BEP 14: organisation and site), and anybody may write any
source address. So an announce counts only where its source is on a subnet of the very interface that it came
in by: else somebody on the wireless network could make us dial a container on this host.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any, NamedTuple

#: Prefixes from which on a subnet is believed to be one (bits): nobody has half the Internet on a wire. What
#: has but one address has no neighbours.
_SHORTEST = {4: 8, 6: 32}
_LONGEST = {4: 31, 6: 127}
_LINK_LOCAL = 0xFE80 << 112 >> 118
#: Answers remembered, so that a neighbour's every datagram costs one look into a dictionary.
_REMEMBERED = 4096


class Link(NamedTuple):
    """A subnet of ours: the interface's name and number, our address there (no scope), its prefix (bits)."""

    name: str
    number: int
    address: str
    prefix: int

    @property
    def v6(self) -> bool:
        """Whether it is an IPv6 subnet."""
        return ":" in self.address

    @property
    def subnet(self) -> tuple[bool, int, int, int]:
        """What it has in common with our other addresses there: family, interface, shift, subnet's number."""
        shift = (128 if self.v6 else 32) - self.prefix
        return self.v6, self.number, shift, _number(self.address) >> shift


def read_links(most: int) -> tuple[Link, ...]:
    """The subnets of this machine now, of at most `most` interfaces; loopback is none.

    Raises OSError, or whatever else an odd interface makes `ifaddr` raise.
    """
    # It looks for the C library when imported, which takes 40 ms.
    import ifaddr

    return links_of(ifaddr.get_adapters(), most)


def links_of(adapters: Iterable[Any], most: int) -> tuple[Link, ...]:
    """The subnets that these adapters (as `ifaddr` gives them) are on."""
    links: list[Link] = []
    interfaces: set[int] = set()
    for adapter in adapters:
        number = adapter.index
        if not number or (len(interfaces) >= most and number not in interfaces):
            continue
        for each in adapter.ips:
            literal = each.ip if isinstance(each.ip, str) else each.ip[0]
            address = ipaddress.ip_address(literal)
            if address.is_loopback or address.is_unspecified or address.is_multicast:
                continue
            if _SHORTEST[address.version] <= each.network_prefix <= _LONGEST[address.version]:
                interfaces.add(number)
                links.append(Link(adapter.name, number, str(address), each.network_prefix))
    return tuple(links)


class Neighbourhood:
    """Says of a source address whether it is on one of our subnets."""

    def __init__(self, links: Iterable[Link] = ()) -> None:
        self.links = tuple(links)
        #: Our own addresses, without scopes.
        self.ours = frozenset(link.address for link in self.links)
        #: (family, interface's number) to (prefix's complement in bits, subnet as a number).
        self._subnets: dict[tuple[bool, int], set[tuple[int, int]]] = {}
        for link in self.links:
            v6, number, shift, subnet = link.subnet
            # 0: the system did not say by which one it came.
            for index in (number, 0):
                self._subnets.setdefault((v6, index), set()).add((shift, subnet))
        self._names = {link.number: link.name for link in self.links}
        self._known: dict[tuple[str, int], bool] = {}

    def name(self, index: int) -> str:
        """The name of one of our interfaces: the scope of a link-local address."""
        return self._names.get(index) or str(index)

    def has(self, host: str, index: int) -> bool:
        """Whether `host` (an IP literal without scope) is on a subnet of the interface with this number."""
        known = self._known.get((host, index))
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[host, index] = self._look(host, index)
        return known

    def _look(self, host: str, index: int) -> bool:
        v6 = ":" in host
        try:
            number = _number(host)
        except OSError:
            return False
        # A link-local address without its interface is one of any link.
        if v6 and not index and number >> 118 == _LINK_LOCAL:
            return False
        return any(number >> shift == subnet for shift, subnet in self._subnets.get((v6, index), ()))


def _number(literal: str) -> int:
    family = socket.AF_INET6 if ":" in literal else socket.AF_INET
    return int.from_bytes(socket.inet_pton(family, literal), "big")
