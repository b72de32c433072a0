"""A DHT node among the sources: peers are told of it, and it hears of theirs (BEP 5)."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from functorrent.fetch.fetcher import Fetcher
from functorrent.fetch.settings import FetchSettings
from functorrent.interfaces import INodeSource, IStartingSource, PeerAddress
from functorrent.testing import ScriptedSeeder, behaviours
from functorrent.wire.handshake import DHT, EXTENSION_PROTOCOL, reserved
from functorrent.wire.port import Port
from tests.fetch.bed import INFO, Source, peer
from tests.fetch.test_fetcher import MAGNET, Case, Maker

WITH_DHT = reserved(EXTENSION_PROTOCOL, DHT)


@implementer(INodeSource, IStartingSource)
class NodeSource(Source):
    """A source with a node on a port that it knows once it has started."""

    node_port: Any = None

    def __init__(self, name: str = "dht") -> None:
        super().__init__(name)
        self.heard: list[PeerAddress] = []
        self.port = 6882

    def start(self) -> None:
        self.node_port = self.port

    def heard_node(self, address: PeerAddress) -> None:
        self.heard.append(address)
        if address.port == 13:
            raise ZeroDivisionError

    def nodes(self, infohash: bytes) -> list[PeerAddress]:
        return []


class TellsItsPort(behaviours.Behaviour):
    """Says where its node is, and gives no metadata."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reserved = b""

    def handshake(self, peer: Any, handshake: Any) -> Any:
        self.reserved = peer.session.remote.reserved
        return type(handshake)(handshake.infohash, handshake.peer_id, WITH_DHT)

    def early(self, peer: Any) -> bytes:
        return Port(self.port).encode()


class NodeTests(Case):
    def run_with(self, *sources: Any) -> Fetcher:
        self.fetcher = Fetcher(
            self.reactor,
            FetchSettings(listen=("off",)),
            sources=[Maker(source) for source in (*sources, self.source)],
            plugins=False,
        )
        self.successResultOf(self.fetcher.start())
        return self.fetcher

    def fetch_from(self, behaviour: TellsItsPort) -> ScriptedSeeder:
        seeder = self.network.seeder(peer(1), INFO, behaviour)
        result = self.fetcher.fetch(MAGNET)
        self.source.say(peer(1))
        self.network.run(1)
        self.successResultOf(result)
        return seeder

    def test_both_ways(self) -> None:
        """The port is asked for when the node has started, not before."""
        node = NodeSource()
        self.run_with(node)
        behaviour = TellsItsPort(7001)
        self.fetch_from(behaviour)
        self.assertEqual(behaviour.reserved, WITH_DHT)
        self.assertEqual(self.fetcher.core.table.node_port, 6882)
        self.assertEqual(node.heard, [PeerAddress(peer(1).host, 7001)])
        self.stop()

    def test_the_first_of_several(self) -> None:
        first, second = NodeSource(), NodeSource()
        second.port = 6883
        table = self.run_with(first, second).core.table
        self.assertEqual(table.node_port, 6882)
        assert table.heard_node is not None
        table.heard_node(peer(2))
        self.assertEqual((first.heard, second.heard), ([peer(2)], []))
        self.stop()

    def test_no_node(self) -> None:
        table = self.run_with().core.table
        self.assertEqual((table.node_port, table.heard_node), (None, None))
        self.stop()

    def test_a_node_that_could_not_start(self) -> None:
        """It may hear of others, for all we know, but nobody is sent to it."""

        class Broken(NodeSource):
            def start(self) -> None:
                raise ZeroDivisionError

        self.assertIsNone(self.run_with(Broken()).core.table.node_port)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        behaviour = TellsItsPort(7001)
        self.fetch_from(behaviour)
        self.assertEqual(behaviour.reserved, reserved(EXTENSION_PROTOCOL))
        self.stop()

    def test_one_that_breaks(self) -> None:
        """A bug of a plugin's costs no peer."""
        node = NodeSource()
        self.run_with(node)
        self.fetch_from(TellsItsPort(13))
        self.assertEqual(len(node.heard), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.stop()

    def test_one_that_cannot_tell_its_port(self) -> None:
        class Broken(NodeSource):
            @property
            def node_port(self) -> int:
                raise ZeroDivisionError

            def start(self) -> None:
                pass

        table = self.run_with(Broken()).core.table
        self.assertEqual((table.node_port, table.heard_node), (None, None))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.stop()
