"""Whom a node that strangers name must not be."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS
from functorrent.sources.dht.core import DhtCore
from functorrent.wire.krpc import NodeInfo, parse_nodes6

ID = b"n" * 20


class AllowedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.refused: list[PeerAddress] = []
        self.core = DhtCore(Clock(), DEFAULT_LIMITS, False, lambda address: address not in self.refused)
        self.core.ids = {False: b"4" * 20, True: b"6" * 20}

    def allowed(self, host: str, node_id: bytes = ID) -> bool:
        return self.core.allowed(NodeInfo(node_id, PeerAddress(host, 6881)))

    def test_ourselves_and_what_the_guard_refuses(self) -> None:
        self.assertTrue(self.allowed("20.0.0.1"))
        self.assertFalse(self.allowed("20.0.0.1", b"6" * 20))
        self.refused.append(PeerAddress("20.0.0.1", 6881))
        self.assertFalse(self.allowed("20.0.0.1"))

    def test_ipv4_within_ipv6(self) -> None:
        """No datagram goes there by a socket of IPv6: three in a row, and that family counts as closed."""
        self.assertTrue(self.allowed("2600::1"))
        (node,) = parse_nodes6(ID + bytes(10) + b"\xff\xff" + bytes((20, 0, 0, 1)) + b"\x1a\xe1")
        self.assertFalse(self.core.allowed(node))
