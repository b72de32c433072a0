"""The DHT as a source of peers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from functorrent.addresses import AddressGuard
from functorrent.fetch.identity import Identity
from functorrent.interfaces import (
    INodeSource,
    IPeerSource,
    IPeerSourceMaker,
    IQueueingSource,
    IStartingSource,
    PeerAddress,
    SourceContext,
    SourceReport,
)
from functorrent.limits import DEFAULT_LIMITS
from functorrent.magnet import Magnet
from functorrent.sources.dht.report import LookupReport
from functorrent.sources.dht.settings import BOOTSTRAP, DhtSettings
from functorrent.sources.dht.source import UNREACHABLE, DhtSource, DhtSourceMaker, describe
from tests.sources.dht.network import PORT, Network, info
from tests.sources.fakes import Names
from tests.sources.test_udp_socket import FakeReactor

OUR_HOST = "30.1.1.7"


class Sink:
    """What a fetch takes peers in with."""

    hungry = False

    def __init__(self) -> None:
        self.found: list[PeerAddress] = []

    def peers(
        self, addresses: Iterable[PeerAddress], *, hearsay: bool = False, on_link: bool = False
    ) -> None:
        assert not hearsay and not on_link
        self.found += addresses

    def whole(self, info_bytes: bytes) -> bool:
        raise AssertionError


class SourceTests(SynchronousTestCase):
    """The source's sockets are wired to the simulated network."""

    def setUp(self) -> None:
        self.net = Network()
        self.net.grow(60)
        self.addCleanup(self.net.stop)
        self.sources: list[DhtSource] = []
        self.addCleanup(self._left)

    def _left(self) -> None:
        self.net.stop()
        for source in self.sources:
            self.successResultOf(source.stop())
        self.net.clock.run(self.net.clock.seconds() + 10)
        self.assertEqual(self.net.clock.waiting, 0, "a timer is left")

    def make(
        self,
        *,
        names: dict[str, list[str]] | None = None,
        allow_local: bool = False,
        listener: int | None = 7777,
        **settings: Any,
    ) -> DhtSource:
        net, clock = self.net, self.net.clock
        self.reactor = reactor = FakeReactor()
        guard = AddressGuard(allow_local)
        host = net.ours[0].address  # type: ignore[attr-defined]
        self.names = Names(guard, {"host.example": [host.host], **(names or {})})
        identity = Identity("0.1.0")
        identity.port = listener
        context = SourceContext(reactor, clock, self.names, guard, DEFAULT_LIMITS, identity, lambda: None)
        settings = {"bootstrap": (("host.example", PORT),), **settings}
        maker = DhtSourceMaker(DhtSettings(**settings))
        verifyObject(IPeerSourceMaker, maker)
        source = maker.make(context)
        self.sources.append(source)
        ours = PeerAddress(OUR_HOST, PORT)
        reactor.wrote = lambda data, address: net.send(ours, data, address)

        class Ours:
            def received(self, data: bytes, address: tuple[str, int]) -> None:
                reactor.ports[0].protocol.datagramReceived(data, address)

        net.attach(Ours(), ours)
        return source

    def find(self, source: DhtSource, infohash: bytes) -> tuple[Sink, list[SourceReport], Deferred[Any]]:
        sink, reports = Sink(), []
        deferred = source.find(Magnet.parse(infohash.hex()), sink)  # type: ignore[arg-type]
        deferred.addCallback(reports.append)
        return sink, reports, deferred

    def go(self, seconds: float) -> None:
        self.net.clock.run(self.net.clock.seconds() + seconds)

    def held(self) -> tuple[bytes, PeerAddress]:
        """An infohash, and its one peer."""
        infohash = self.net.random.randbytes(20)
        self.net.get_peers(self.net.ours[5], infohash, 5555)
        return infohash, PeerAddress(info(self.net.ours[5]).address.host, 5555)

    def test_interfaces(self) -> None:
        source = self.make()
        for interface in (IPeerSource, IStartingSource, IQueueingSource, INodeSource):
            verifyObject(interface, source)
        self.assertEqual(DhtSourceMaker().settings.bootstrap, BOOTSTRAP)

    def test_nothing_is_opened_before_the_start(self) -> None:
        source = self.make()
        self.assertEqual((self.reactor.ports, self.names.asked, source.node), ([], [], None))
        source.heard_node(PeerAddress("20.0.0.1", 1))
        source.ended(b"x" * 20)
        self.assertFalse(source.waits(b"x" * 20))
        self.assertEqual(source.nodes(b"x" * 20), ())
        self.successResultOf(source.stop())
        self.assertEqual(self.reactor.ports, [])

    def test_find(self) -> None:
        infohash, peer = self.held()
        source = self.make()
        source.start()
        sink, reports, _ = self.find(source, infohash)
        self.go(5)
        self.assertEqual(sink.found, [peer])
        [report] = reports
        self.assertEqual((report.source, report.peers, report.announced), ("dht", 1, True))
        self.assertRegex(report.detail or "", r"^\d+ DHT nodes asked, 1 peer found$")
        # We were announced where we listen.
        self.assertIn(PeerAddress(OUR_HOST, 7777), self.net.get_peers(self.net.ours[9], infohash)[1])

    def test_nobody_knows(self) -> None:
        source = self.make(listener=None)
        source.start()
        _, [*_], _ = self.find(source, b"x" * 20)
        _, reports, _ = self.find(source, b"x" * 20)
        self.go(5)
        self.assertRegex(reports[0].detail or "", r"^\d+ DHT nodes asked, none knew a peer$")
        self.assertFalse(reports[0].announced)

    def test_find_without_start_starts(self) -> None:
        infohash, peer = self.held()
        source = self.make()
        sink, _, _ = self.find(source, infohash)
        self.go(3)
        self.assertEqual(sink.found, [peer])

    def test_a_magnet_with_trackers_lets_them_go_first_by_a_moment(self) -> None:
        infohash, peer = self.held()
        source = self.make()
        source.start()
        sink, reports = Sink(), []
        magnet = Magnet.parse(f"magnet:?xt=urn:btih:{infohash.hex()}&tr=udp://tracker.example:1")
        source.find(magnet, sink).addCallback(reports.append)  # type: ignore[arg-type]
        gone = source.find(magnet, sink).addCallback(reports.append)  # type: ignore[arg-type]
        self.assertTrue(source.waits(infohash))
        self.assertEqual(self.names.asked, [])
        gone.cancel()
        self.assertEqual(reports, [SourceReport("dht")])
        self.go(0.03)
        self.assertEqual(self.names.asked, ["host.example"])
        self.go(5)
        self.assertEqual(sink.found, [peer])
        self.assertEqual(len(reports), 2)

    def test_stopped_in_the_first_moment(self) -> None:
        source = self.make()
        source.start()
        reports: list[SourceReport] = []
        magnet = Magnet.parse(f"magnet:?xt=urn:btih:{'ab' * 20}&tr=udp://tracker.example:1")
        source.find(magnet, Sink()).addCallback(reports.append)  # type: ignore[arg-type]
        self.successResultOf(source.stop())
        self.assertEqual(reports, [SourceReport("dht")])
        self.assertIsNone(source.node)
        self.assertEqual(self.names.asked, [])

    def test_no_network(self) -> None:
        source = self.make(bootstrap=(("nowhere.example", 1), ("neither.example", 2)))
        source.start()
        _, reports, _ = self.find(source, b"x" * 20)
        self.assertEqual(reports, [SourceReport("dht", detail=UNREACHABLE)])
        self.assertEqual(self.names.asked, ["nowhere.example", "neither.example"])

    def test_a_host_that_the_user_typed_wrongly(self) -> None:
        """Nobody else's words say what is wrong."""
        typed = (("no.such.example", 1), ("nor.such.example", 1))
        source = self.make(bootstrap=typed, trusted=True)
        source.start()
        _, reports, _ = self.find(source, b"x" * 20)
        self.go(5)
        self.assertEqual(
            [each.detail for each in reports], [f"{UNREACHABLE} (no.such.example has no address)"]
        )
        source = self.make(bootstrap=typed)
        source.start()
        _, reports, _ = self.find(source, b"x" * 20)
        self.go(5)
        self.assertEqual([each.detail for each in reports], [UNREACHABLE])

    def test_no_socket(self) -> None:
        """An interface that is not ours, say: a fetch does not wait for a DHT that is off."""
        source = self.make(interfaces=("192.0.2.1",))
        self.reactor.broken = ("192.0.2.1", "", "::")
        source.start()
        for _ in range(2):
            _, reports, _ = self.find(source, b"x" * 20)
            self.assertEqual([each.detail for each in reports], [UNREACHABLE])
        tracked = Magnet.parse("magnet:?xt=urn:btih:" + "ab" * 20 + "&tr=http://t.example/announce")
        self.assertEqual(self.successResultOf(source.find(tracked, Sink())).detail, UNREACHABLE)  # type: ignore[arg-type]
        self.assertFalse(source.waits(b"x" * 20))
        source.heard_node(PeerAddress("20.0.0.1", 1))
        self.assertEqual((source.node, source.node_port), (None, None))

    def test_a_host_that_is_dead(self) -> None:
        source = self.make(bootstrap=(("9.9.9.9", 1),))
        source.start()
        _, reports, _ = self.find(source, b"x" * 20)
        self.go(4)
        self.assertEqual([each.detail for each in reports], [UNREACHABLE])

    def test_the_port_is_the_listeners_unless_it_is_set(self) -> None:
        for settings, listener, port in (({}, 7777, 7777), ({"port": 99}, 7777, 99), ({}, None, 40_000)):
            source = self.make(listener=listener, **settings)
            source.start()
            self.assertEqual(source.node_port, port)
            self.assertEqual([each.interface for each in self.reactor.ports], ["", "::"])

    def test_read_only_nobody_is_told_of_us(self) -> None:
        infohash, peer = self.held()
        source = self.make(read_only=True)
        source.start()
        self.assertIsNone(source.node_port)
        sink, reports, _ = self.find(source, infohash)
        self.go(5)
        self.assertEqual((sink.found, reports[0].announced), ([peer], False))
        self.assertEqual(self.net.get_peers(self.net.ours[9], infohash)[1], [peer])

    def test_waits_until_the_first_query_is_out(self) -> None:
        source = self.make()
        source.start()
        self.names.held["host.example"] = []
        hashes = [bytes([number]) * 20 for number in range(60)]
        for infohash in hashes:
            self.find(source, infohash)
        self.go(0.5)
        self.assertTrue(all(source.waits(infohash) for infohash in hashes))
        self.names.release("host.example")
        self.go(0.5)
        self.assertFalse(source.waits(hashes[0]))
        self.go(30)
        self.assertFalse(any(source.waits(infohash) for infohash in hashes))

    def test_cancelled_before_its_turn_there_is_nothing_to_say(self) -> None:
        source = self.make()
        source.start()
        finds = [self.find(source, bytes([number]) * 20) for number in range(60)]
        _, reports, deferred = finds[-1]
        deferred.cancel()
        self.assertEqual(reports, [SourceReport("dht")])
        self.go(30)

    def test_cancelled_on_the_way(self) -> None:
        infohash, _ = self.held()
        source = self.make()
        source.start()
        self.go(3)
        sink, reports, deferred = self.find(source, infohash)
        self.go(0.01)
        deferred.cancel()
        self.assertRegex(reports[0].detail or "", "^[1-9][0-9]* DHT nodes asked, none has answered yet$")
        sink, reports, deferred = self.find(source, infohash)
        while not sink.found:
            self.go(0.05)
        nodes = source.nodes(infohash)
        deferred.cancel()
        self.assertEqual(reports[0].peers, 1)
        # They are there for the .torrent until the fetch is over.
        self.assertEqual(source.nodes(infohash), nodes)
        self.assertTrue(0 < len(nodes) <= 8)
        source.ended(infohash)
        self.assertEqual(source.nodes(infohash), ())

    def test_nodes_of_a_lookup_that_ended(self) -> None:
        infohash, _ = self.held()
        source = self.make()
        source.start()
        self.find(source, infohash)
        self.go(6)
        closest = [each.address for each in self.net.true_closest(infohash)]
        self.assertGreaterEqual(len(set(source.nodes(infohash)) & set(closest)), 6)
        self.assertEqual(source.nodes(infohash)[0], closest[0])

    def test_a_v2_magnet_is_looked_for_by_its_first_20_bytes(self) -> None:
        infohash, peer = self.held()
        source = self.make()
        source.start()
        sink = Sink()
        source.find(Magnet.parse("magnet:?xt=urn:btmh:1220" + infohash.hex() + 12 * "ab"), sink)  # type: ignore[arg-type]
        self.go(5)
        self.assertEqual(sink.found, [peer])

    def test_local_nodes_are_refused_without_allow_local(self) -> None:
        for allowed in (False, True):
            source = self.make(allow_local=allowed, bootstrap=(("127.0.0.1", 5), ("10.0.0.1", 5)))
            source.start()
            source.heard_node(PeerAddress("127.0.0.1", 6))
            source.heard_node(PeerAddress("224.0.0.1", 6))
            self.go(1)
            asked = {address for port in self.reactor.ports for _, address in port.sent}
            local = {("127.0.0.1", 5), ("10.0.0.1", 5), ("127.0.0.1", 6)}
            self.assertEqual(asked, local if allowed else set())

    def test_local_hosts_that_the_user_typed_are_asked_but_not_who_they_name(self) -> None:
        source = self.make(bootstrap=(("127.0.0.1", 5),), trusted=True)
        source.start()
        self.go(0.5)
        [(query, address)] = self.reactor.ports[0].sent
        self.assertEqual(address, ("127.0.0.1", 5))
        from functorrent.wire.krpc import NodeInfo, Query, decode_krpc, encode_response, pack_node

        message = decode_krpc(query)
        assert isinstance(message, Query)
        nodes = [NodeInfo(bytes([n]) * 20, PeerAddress(f"127.0.0.{n}", 5)) for n in range(2, 9)]
        answer = encode_response(
            message.transaction, b"z" * 20, nodes=b"".join([pack_node(each) for each in nodes])
        )
        self.reactor.ports[0].protocol.datagramReceived(answer, ("127.0.0.1", 5))
        self.go(5)
        self.assertEqual({address for _, address in self.reactor.ports[0].sent}, {("127.0.0.1", 5)})

    def test_a_node_that_a_peer_named_is_where_it_begins(self) -> None:
        infohash, peer = self.held()
        source = self.make(bootstrap=())
        source.start()
        _, reports, _ = self.find(source, infohash)
        self.assertEqual(reports[0].detail, UNREACHABLE)
        source.heard_node(info(self.net.ours[3]).address)
        self.go(3)
        sink, reports, _ = self.find(source, infohash)
        self.go(5)
        self.assertEqual(sink.found, [peer])

    def test_the_table_is_kept_for_the_next_run(self) -> None:
        path = Path(self.mktemp())
        infohash, peer = self.held()
        source = self.make(table_file=str(path))
        source.start()
        self.go(10)
        assert source.node is not None
        own = source.node.ids[0]
        self.successResultOf(source.stop())
        self.assertGreater(path.stat().st_size, 300)
        source = self.make(table_file=str(path), bootstrap=(("nowhere.example", 1),))
        source.start()
        assert source.node is not None
        self.assertEqual(source.node.ids[0], own)
        sink, _, _ = self.find(source, infohash)
        self.go(3)
        self.assertEqual(sink.found, [peer])
        self.assertEqual(self.names.asked, [])

    def test_a_table_that_is_broken_is_as_good_as_none(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"rubbish")
        infohash, peer = self.held()
        source = self.make(table_file=str(path))
        source.start()
        sink, _, _ = self.find(source, infohash)
        self.go(5)
        self.assertEqual(sink.found, [peer])

    def test_stopped(self) -> None:
        source = self.make()
        source.start()
        _, reports, _ = self.find(source, b"x" * 20)
        self.go(0.1)
        self.successResultOf(source.stop())
        self.assertEqual(len(reports), 1)
        self.assertFalse(any(port.open for port in self.reactor.ports))
        self.assertEqual(self.find(source, b"x" * 20)[1], [SourceReport("dht")])

    def test_words(self) -> None:
        for report, cancelled, words in (
            (LookupReport(31, 20, 12), False, "31 DHT nodes asked, 12 peers found"),
            (LookupReport(31, 20, 1), True, "31 DHT nodes asked, 1 peer found"),
            (LookupReport(31, 20), False, "31 DHT nodes asked, none knew a peer"),
            (LookupReport(31, 0), False, UNREACHABLE),
            (LookupReport(0, 0), False, UNREACHABLE),
            (LookupReport(0, 0), True, None),
            (LookupReport(31, 0), True, "31 DHT nodes asked, none has answered yet"),
        ):
            self.assertEqual(describe(report, cancelled=cancelled), words)
