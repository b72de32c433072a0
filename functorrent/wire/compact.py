"""Compact peers: an address and a port in 6 bytes (BEP 23) or in 18 (BEP 7)."""

from __future__ import annotations

from socket import AF_INET6, inet_aton, inet_ntoa, inet_ntop, inet_pton
from struct import Struct

from functorrent.errors import LocalProtocolError
from functorrent.interfaces import PeerAddress

V4_LENGTH = 6
V6_LENGTH = 18

#: What PeerAddress(...) comes to, without a call of Python for each of a thousand peers.
_new = tuple.__new__
_V4 = Struct("!4sH")
_V6 = Struct("!16sH")


def parse_v4(data: bytes) -> list[PeerAddress]:
    """The IPv4 peers in `data`, 6 bytes each, as sent (port 0 too); stray bytes at the end dropped."""
    whole = len(data) - len(data) % V4_LENGTH
    return [_new(PeerAddress, (inet_ntoa(host), port)) for host, port in _V4.iter_unpack(data[:whole])]


def parse_v6(data: bytes) -> list[PeerAddress]:
    """The IPv6 peers in `data`, 18 bytes each, as sent (port 0 too); stray bytes at the end dropped."""
    whole = len(data) - len(data) % V6_LENGTH
    return [
        _new(PeerAddress, (inet_ntop(AF_INET6, host), port)) for host, port in _V6.iter_unpack(data[:whole])
    ]


def pack(peer: PeerAddress) -> bytes:
    """A peer in 6 bytes, or in 18 where its host is an IPv6 literal. Raises LocalProtocolError."""
    try:
        host = inet_pton(AF_INET6, peer.host) if ":" in peer.host else _v4(peer.host)
        return host + peer.port.to_bytes(2, "big")
    except (OSError, OverflowError, ValueError):
        raise LocalProtocolError(f"not an address and a port: {peer}") from None


def _v4(host: str) -> bytes:
    # inet_aton also reads "127.1" and "0x7f.1"; only four decimal numbers are meant here.
    if host.count(".") != 3:
        raise ValueError(host)
    return inet_aton(host)
