"""Pings that wait for the process's rate."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS
from functorrent.sources.dht.node import DhtNode
from functorrent.sources.dht.settings import DhtSettings
from functorrent.wire.krpc import Query, decode_krpc
from tests.sources.dht.network import Literals


class PingTests(SynchronousTestCase):
    def test_strangers_words_leave_room_for_the_table(self) -> None:
        """PORT messages of peers must not keep the nodes of the table from being looked after."""
        clock = Clock()
        sent: list[PeerAddress] = []

        def send(data: bytes, address: tuple[str, int]) -> None:
            message = decode_krpc(data)
            assert isinstance(message, Query) and message.method == "ping"
            sent.append(PeerAddress(*address))

        node = DhtNode(clock, send, DhtSettings(bootstrap=()), Literals(), families=(False,))
        self.addCleanup(node.stop)
        for number in range(1, 1000):
            node.heard_node(PeerAddress(f"20.{number >> 8}.{number & 255}.1", 6881))
        ours = PeerAddress("21.0.0.1", 6881)
        node._pings.add(ours, b"i" * 20)
        for _ in range(100):
            clock.advance(0.1)
        self.assertIn(ours, sent)
        most = DEFAULT_LIMITS.dht_heard + DEFAULT_LIMITS.dht_burst
        self.assertLessEqual(len(sent), most + 2)
