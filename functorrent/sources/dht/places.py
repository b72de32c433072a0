"""Who stands behind an address, as far as it shows: what is counted by, so that nobody counts twice.

One /24 of IPv4 or one /64 of IPv6 is mostly one owner, who could fill a bucket, a lookup or a storage
from it. Local addresses (they are used under ``--allow-local`` alone) are in nobody's hands but the
user's: there each address and port stands for itself, so that a dozen nodes on 127.0.0.1, or in one
office behind one /24, see each other.
"""

from __future__ import annotations

from functorrent.addresses import classify, subscriber
from functorrent.interfaces import PeerAddress


def subnet(host: str) -> str:
    """The /24 of an IPv4 literal, the /64 of an IPv6 one."""
    return subscriber(host) if ":" in host else host.rpartition(".")[0]


def place(address: PeerAddress) -> tuple[str, str]:
    """By what a node or peer at `address` is counted: for itself, and with its neighbours.

    For itself: an IPv4 address; the /64 of an IPv6 one, as the least that one subscriber has. With its
    neighbours: the /24, the /64. Both are address and port where it is local.
    """
    host = address.host
    if classify(host) == "local":
        alone = f"{host} {address.port}"
        return alone, alone
    if ":" in host:
        network = subscriber(host)
        return network, network
    return host, host.rpartition(".")[0]
