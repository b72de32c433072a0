"""The address guard: which addresses we may reach when a stranger names them.

Magnets, trackers, redirects and peers name addresses; without a guard each could make us talk to
the user's router, cloud metadata service or other local daemons (SSRF: FIELD.md 3.14). The guard is
asked after resolution, at every redirect and at every dial, so DNS rebinding meets it too.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from functorrent.errors import AddressNotAllowed

#: What --allow-local lifts: loopback, private, link-local, CGNAT (RFC 6598), and their IPv6 kin.
_LOCAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
        "64:ff9b:1::/48",
    )
)
_LINK_LOCAL = ipaddress.ip_network("fe80::/10")
#: The word of `classify` for a link-local address on one of our interfaces.
SCOPED = "scoped"
#: What no peer has, though is_global says yes to it, in all versions of Python or in some.
_RESERVED = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "192.88.99.0/24",  # 6to4 relays, withdrawn (RFC 7526)
        "3fff::/20",  # documentation (RFC 9637)
    )
)
#: All that IANA gives out for global unicast; site-local and IPv4-compatible addresses lie outside.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_BROADCAST = ipaddress.ip_address("255.255.255.255")
#: Characters of the longest literal, its scope (an interface's name) included.
_LONGEST = 64

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _embedded(address: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...]:
    """The IPv4 addresses that a translating or tunnelling IPv6 address stands for."""
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address in _NAT64:
        return (ipaddress.IPv4Address(int(address) & 0xFFFFFFFF),)
    # Teredo: packets go to the server as well as to the client.
    return address.teredo or ()


def classify(host: str) -> str:
    """What an IP literal is: ``"global"``, ``"local"``, ``"scoped"``, or words for why it is never allowed.

    Scoped is a link-local IPv6 address with the interface it is on (``fe80::1%eth0``, RFC 4007), which only
    this machine can know the name of. Raises ValueError where `host` is no IP literal.
    """
    # A scope may be endless, and what is classified is remembered.
    if len(host) > _LONGEST:
        raise ValueError("too long for an IP address")
    return _classify(host)


@lru_cache(maxsize=65536)
def _classify(host: str) -> str:
    address: _Address = ipaddress.ip_address(host)
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return SCOPED if address in _LINK_LOCAL else "an address with a scope"
        inner = [_classify(str(each)) for each in _embedded(address)]
        if inner:
            kind = next((kind for kind in inner if kind not in ("global", "local")), None)
            if kind is not None:
                return f"{kind} inside an IPv6 address"
            return "local" if "local" in inner else "global"
    # is_global is true for multicast of global scope, so this comes first.
    if address.is_multicast:
        return "a multicast address"
    if address.is_unspecified or address in _THIS_NETWORK:
        return "not an address of a host"
    if address == _BROADCAST:
        return "the broadcast address"
    if any(address in network for network in _LOCAL):
        return "local"
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return "a reserved address"
    if address.is_reserved or not address.is_global or any(address in network for network in _RESERVED):
        return "a reserved address"
    return "global"


def _identity(host: str) -> _Address | None:
    """The address a literal means, however it is written; None for what is no literal."""
    try:
        address: _Address = ipaddress.ip_address(split_scope(host)[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        return inner[-1] if inner else address
    return address


def split_scope(host: str) -> tuple[str, str]:
    """A literal, and its scope (an interface by name or number): ``("fe80::1", "eth0")``; ``""`` for none."""
    literal, _, scope = host.partition("%")
    return literal, scope


class AddressGuard:
    """Says of each address whether we may use it.

    `allow_local` lets loopback, private, unique-local, link-local and CGNAT addresses pass
    (``--allow-local``). Our own listeners (see `set_own`) are always refused.
    """

    def __init__(self, allow_local: bool = False) -> None:
        self.allow_local = allow_local
        self._own_ports: set[int] = set()
        self._own: frozenset[_Address | None] = frozenset()

    def set_own(self, ports: set[int], hosts: frozenset[str]) -> None:
        """Our listeners: their ports, and the IP literals by which this machine is known."""
        self._own_ports = ports
        self._own = frozenset(_identity(host) for host in hosts) - {None}

    def check_host(self, host: str, *, trusted: bool = False) -> None:
        """Raise AddressNotAllowed unless the IP literal `host` may be reached.

        `trusted`: the user typed it, or it spoke to us from our own subnet, so local addresses pass, and
        those with a scope, too. From anybody else a scope is an attempt to choose our interface.
        """
        try:
            kind = classify(host)
        except ValueError:
            raise AddressNotAllowed(host[:_LONGEST], "not an IP address") from None
        if kind == "global" or (kind == "local" and (self.allow_local or trusted)):
            return
        if kind == SCOPED:
            if trusted:
                return
            raise AddressNotAllowed(host, "an address with a scope")
        if kind == "local":
            raise AddressNotAllowed(host, "a local address, refused without --allow-local")
        raise AddressNotAllowed(host, kind)

    def check(self, host: str, port: int, *, trusted: bool = False) -> None:
        """Raise AddressNotAllowed unless a peer or server at `host`:`port` may be reached."""
        if not 0 < port < 65536:
            raise AddressNotAllowed(f"{host[:_LONGEST]} port {port}", "without a usable port")
        self.check_host(host, trusted=trusted)
        if port in self._own_ports and _identity(host) in self._own:
            raise AddressNotAllowed(host, "ourselves")


def subscriber(host: str) -> str:
    """What connections from `host` (an IP literal) are counted by: the /64 of an IPv6 address, which is
    the least that one subscriber has; an IPv4 address, or what is no literal, as it is."""
    if ":" not in host:
        return host
    try:
        packed = ipaddress.IPv6Address(host).packed
    except ValueError:
        return host
    return packed[:8].hex()
