"""Finding the network, and doing without one."""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from functorrent.interfaces import IResolver, PeerAddress
from functorrent.sources.dht.ids import complies, id_for
from functorrent.sources.dht.node import DhtNode
from functorrent.sources.dht.report import NOTHING, LookupReport
from functorrent.sources.dht.saved import SavedTable
from functorrent.sources.dht.settings import DhtSettings
from functorrent.sources.dht.table import RoutingTable
from functorrent.wire.krpc import NodeInfo
from tests.sources.dht.network import PORT, Literals, Network, info

INFOHASH = bytes(range(20))


@implementer(IResolver)
class Mute:
    """A name server that does not answer."""

    def resolve(self, host: str, *, trusted: bool = False) -> Deferred[list[str]]:
        return Deferred()


class JoiningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Network()
        self.addCleanup(self._left)

    def _left(self) -> None:
        self.net.stop()
        self.net.clock.run(self.net.clock.seconds() + 10)
        self.assertEqual(self.net.clock.waiting, 0, "a timer is left")

    def _get(self, node: DhtNode, infohash: bytes = INFOHASH) -> list[LookupReport]:
        reports: list[LookupReport] = []
        node.get_peers(infohash, lambda peers: None).addCallback(reports.append)
        return reports

    def go(self, seconds: float) -> None:
        self.net.clock.run(self.net.clock.seconds() + seconds)

    def test_no_name_resolves_and_the_lookup_ends_at_once(self) -> None:
        node = self.net.add(settings=DhtSettings(bootstrap=(("nowhere.example", 1),)))
        node.start()
        self.assertEqual(self._get(node), [NOTHING])
        self.assertFalse(node.searches.running)

    def test_thousands_of_lookups_without_a_network_end_at_once(self) -> None:
        node = self.net.add([PeerAddress("9.9.9.9", PORT)])
        node.start()
        reports = [self._get(node, os.urandom(20)) for _ in range(3000)]
        self.go(5)
        self.assertTrue(all(len(each) == 1 for each in reports))
        self.assertEqual(sum(each[0].answered for each in reports), 0)

    def test_a_dead_host_is_waited_for_a_few_seconds(self) -> None:
        node = self.net.add([PeerAddress("9.9.9.9", PORT)])
        node.start()
        reports = self._get(node)
        self.go(1)
        self.assertEqual(reports, [])
        self.assertTrue(self.net.sent)
        self.go(3)
        self.assertEqual([(each.asked, each.answered) for each in reports], [(2, 0)])

    def test_a_name_server_that_does_not_answer_is_waited_for_as_long(self) -> None:
        net = self.net
        node = DhtNode(net.clock, lambda data, address: None, DhtSettings(), Mute(), families=(False,))
        net.ours.append(node)
        node.start()
        reports = self._get(node)
        self.go(2.5)
        self.assertEqual(reports, [])
        self.go(1)
        self.assertEqual([each.asked for each in reports], [0])

    def test_what_cannot_be_sent_is_lost_at_once(self) -> None:
        net = self.net
        settings = DhtSettings(bootstrap=(("9.9.9.9", PORT),), trusted=True)
        node = DhtNode(net.clock, lambda d, a: "no route", settings, Literals(), families=(False, True))
        net.ours.append(node)
        node.start()
        reports = self._get(node)
        self.go(0.2)
        self.assertEqual([each.answered for each in reports], [0])

    def test_ipv6_that_leads_nowhere_takes_nothing_from_ipv4(self) -> None:
        """Others name nodes of IPv6, too; they cannot be sent to, or never answer."""
        for refusal in ("no route", None):
            net = Network()
            self.addCleanup(net.stop)
            sent: list[bool] = []
            host = net.host()

            def send(
                data: bytes,
                target: tuple[str, int],
                *,
                net: Network = net,
                host: str = host,
                sent: list[bool] = sent,
                refusal: str | None = refusal,
            ) -> str | None:
                sent.append(":" in target[0])
                if ":" in target[0]:
                    return refusal
                net.send((host, PORT), data, target)
                return None

            net.grow(60)
            for node in net.ours:
                six = node._core.tables[True] = RoutingTable(info(node).id, 6)
                for number in range(40):
                    other = NodeInfo(net.random.randbytes(20), PeerAddress(f"2600:{number + 1:x}::1", 1))
                    six.answered(other, 0.0)
            settings = DhtSettings(bootstrap=((net.ours[0].address.host, PORT),), trusted=True)
            node = DhtNode(net.clock, send, settings, Literals())
            net.attach(node, PeerAddress(host, PORT))
            net.ours.append(node)
            node.start()
            net.clock.run(30)
            sent.clear()
            for _ in range(20):
                report, _ = net.get_peers(node, net.random.randbytes(20))
                self.assertGreater(report.answered, 8)
            self.assertLess(sum(sent), len(sent) / 10)

    def test_the_first_lookup_asks_the_hosts_directly(self) -> None:
        net = self.net
        net.grow(40)
        holder, asker = net.ours[3], net.add([net.ours[0].address])
        net.get_peers(holder, INFOHASH, 7777)
        asker.start()
        found: list[PeerAddress] = []
        asker.get_peers(INFOHASH, found.extend)
        self.go(1.5)
        self.assertEqual(found, [PeerAddress(holder.address.host, 7777)])

    def test_old_nodes_are_asked_without_the_hosts(self) -> None:
        net = self.net
        net.grow(40)
        node = net.add(settings=DhtSettings(bootstrap=(("nowhere.example", 1),)))
        own = id_for(node.address.host)
        again = DhtNode(
            net.clock,
            net.sender(node.address),
            node.settings,
            Mute(),
            families=(False,),
            saved=SavedTable(own, own, tuple(info(each) for each in net.ours[:20])),
        )
        net.attach(again, node.address)
        net.ours.append(again)
        again.start()
        ready = again.ready
        self.go(5)
        self.successResultOf(ready)
        self.assertEqual(again.ids[0], own)
        self.assertGreater(len(again.tables[0] or ()), 12)

    def test_dead_old_nodes_do_not_keep_it_from_the_hosts(self) -> None:
        net = self.net
        net.grow(40)
        net.get_peers(net.ours[3], INFOHASH, 7777)
        address = PeerAddress(net.host(), PORT)
        own = id_for(address.host)
        dead = tuple(NodeInfo(os.urandom(20), PeerAddress(net.host(), PORT)) for _ in range(100))
        host = net.ours[0].address
        node = DhtNode(
            net.clock,
            net.sender(address),
            DhtSettings(bootstrap=(tuple(host),)),
            Literals(),
            families=(False,),
            saved=SavedTable(own, own, dead),
        )
        net.attach(node, address)
        net.ours.append(node)
        node.start()
        found: list[PeerAddress] = []
        node.get_peers(INFOHASH, found.extend)
        self.go(3)
        self.assertEqual([peer.port for peer in found], [7777])

    def test_old_nodes_pass_the_guard_as_named_ones_do(self) -> None:
        # The run before was one with --allow-local.
        net = self.net
        local = PeerAddress("169.254.169.254", PORT)
        host = PeerAddress(net.host(), PORT)
        sent: list[tuple[str, int]] = []
        node = DhtNode(
            net.clock,
            lambda data, address: sent.append(tuple(address)),
            DhtSettings(bootstrap=(tuple(host),)),
            Literals(),
            may_ask=lambda address: address.host != local.host,
            families=(False,),
            saved=SavedTable(b"i" * 20, b"i" * 20, (NodeInfo(os.urandom(20), local),)),
        )
        net.ours.append(node)
        node.start()
        self._get(node)
        self.go(5)
        self.assertEqual(set(sent), {tuple(host)})

    def test_a_network_that_comes_later_is_found(self) -> None:
        net = self.net
        net.grow(30)
        host = net.ours[0].address
        node = net.add([host])
        there, net.nodes = net.nodes, {}
        node.start()
        self.go(8)
        self.assertEqual(self._get(node), [NOTHING])
        net.nodes = there
        self.go(10)
        # A lookup does not wait for the next try to come by itself.
        reports = self._get(node)
        self.go(3)
        self.assertGreater(reports[0].answered, 8)

    def test_a_network_that_goes_and_comes_back(self) -> None:
        net = self.net
        net.grow(30)
        node = net.add([net.ours[0].address])
        node.start()
        self.go(5)
        there, net.nodes = net.nodes, {}
        reports = self._get(node)
        self.go(30)
        self.assertEqual([each.answered for each in reports], [0])
        net.nodes = there
        reports = self._get(node)
        self.go(5)
        self.assertGreater(reports[0].answered, 8)

    def test_lost_datagrams_leave_no_islands(self) -> None:
        """Each joins by a node that may have been cut off itself. One in ten such networks has a node that
        needs its third or fourth try, some minutes later."""
        net = Network(seed=1, loss=0.25)
        self.addCleanup(net.stop)
        net.add().start()
        for _ in range(79):
            net.add([net.random.choice(net.ours).address]).start()
            net.clock.run(net.clock.seconds() + 0.3)
        net.clock.run(net.clock.seconds() + 600)
        sizes = sorted(len(node.tables[0] or ()) for node in net.ours)
        self.assertGreaterEqual(sizes[0], 5)

    def test_a_network_that_begins_all_at_once(self) -> None:
        """Nobody knows anybody but the first one, and that one nobody at all."""
        net = self.net
        net.add().start()
        for _ in range(30):
            net.add([net.ours[0].address]).start()
            self.go(0.02)
        self.go(60)
        sizes = sorted(len(node.tables[0] or ()) for node in net.ours)
        self.assertGreaterEqual(sizes[0], 8)
        for holder in net.ours[:10]:
            infohash = net.random.randbytes(20)
            net.get_peers(holder, infohash, 7777)
            _, found = net.get_peers(net.ours[-1], infohash)
            self.assertEqual([each.host for each in found], [info(holder).address.host])

    def test_a_hundred_nodes_join_one_by_one_and_know_enough(self) -> None:
        net = self.net
        net.add(comply=False).start()
        for _ in range(99):
            net.add([net.random.choice(net.ours).address], comply=False).start()
            self.go(0.3)
        self.go(60)
        # By what others say of its address, each has found an id that complies (BEP 42).
        comply = [node for node in net.ours if complies(info(node).id, info(node).address.host)]
        self.assertGreater(len(comply), 90)
        asker = net.ours[-1]
        for holder in net.ours[10:20]:
            infohash = net.random.randbytes(20)
            net.get_peers(holder, infohash, 7777)
            report, found = net.get_peers(asker, infohash)
            self.assertEqual(found, [PeerAddress(info(holder).address.host, 7777)])
            near = set(report.closest) & set(net.true_closest(infohash))
            self.assertGreaterEqual(len(near), 5)
