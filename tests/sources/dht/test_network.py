"""A thousand of our own nodes: every lookup finds its peer, in few steps, a third of them hostile or not."""

from __future__ import annotations

from statistics import mean

from twisted.trial.unittest import SynchronousTestCase

from functorrent.interfaces import PeerAddress
from functorrent.sources.dht.report import LookupReport
from tests.sources.dht.hostile import (
    KINDS,
    Endless,
    Gang,
    HostileNode,
    Misnamer,
    Poison,
    Silent,
    WrongId,
)
from tests.sources.dht.network import Network, info

LOOKUPS = 8


class NetworkTests(SynchronousTestCase):
    def _network(self, count: int, kinds: tuple[type[HostileNode], ...] = (), **options: float) -> Network:
        net = Network(**options)  # type: ignore[arg-type]
        self.addCleanup(net.stop)
        if kinds:
            gang = Gang(net)
            for number in range(count // 3):
                gang.add(kinds[number % len(kinds)])
            net.others = [member.info for member in gang.members]
            count -= count // 3
        net.grow(count)
        return net

    def _look_up(self, net: Network) -> tuple[list[LookupReport], list[int]]:
        """As many lookups of as many infohashes, each announced by another node; the reports, and how
        many peers came before the true one."""
        reports, places = [], []
        for number in range(LOOKUPS):
            holder, asker = net.ours[number], net.ours[-number - 1]
            infohash = net.random.randbytes(20)
            announced, _ = net.get_peers(holder, infohash, 7000 + number)
            self.assertGreaterEqual(announced.announced, 4)
            report, found = net.get_peers(asker, infohash)
            true = PeerAddress(info(holder).address.host, 7000 + number)
            self.assertIn(true, found)
            self.assertEqual(len(found), len(set(found)))
            self.assertEqual(report.peers, len(found))
            places.append(found.index(true))
            reports.append(report)
        return reports, places

    def test_a_thousand_nodes(self) -> None:
        net = self._network(1000, loss=0.02)
        reports, _ = self._look_up(net)
        # log2(1000) is 10; each answer brings at least a bucket of 8 nearer, so 3 bits a step.
        self.assertLessEqual(max(report.hops for report in reports), 5)
        self.assertLess(mean(report.packets for report in reports), 110)
        self.assertLess(mean(report.seconds for report in reports), 2.5)
        self.assertTrue(all(len(report.closest) == 8 for report in reports))

    def test_the_closest_are_the_closest_indeed(self) -> None:
        net = self._network(400)
        for node in net.ours[:10]:
            target = net.random.randbytes(20)
            found = self._find(net, node, target)
            self.assertGreaterEqual(len(set(found) & set(net.true_closest(target))), 7)

    def _find(self, net: Network, node: object, target: bytes) -> list[object]:
        results: list[list[object]] = []
        node.find_node(target).addCallback(results.append)  # type: ignore[attr-defined]
        net.clock.run(net.clock.seconds() + 20, lambda: bool(results))
        return results[0]

    def test_a_tenth_of_the_datagrams_lost(self) -> None:
        self._look_up(self._network(300, loss=0.1))

    def test_a_third_hostile_in_every_way(self) -> None:
        reports, places = self._look_up(self._network(600, KINDS, loss=0.02))
        self.assertLess(mean(report.packets for report in reports), 200)
        self.assertLess(max(places), 200)

    def test_a_third_silent(self) -> None:
        reports, _ = self._look_up(self._network(300, (Silent,)))
        self.assertLess(max(report.seconds for report in reports), 6)

    def test_a_third_with_wrong_ids(self) -> None:
        self._look_up(self._network(300, (WrongId,)))

    def test_a_third_with_endless_nodes(self) -> None:
        net = self._network(300, (Endless,))
        reports, _ = self._look_up(net)
        # They would go on for ever; each path has its share of queries.
        self.assertLessEqual(max(report.asked for report in reports), net.limits.dht_lookup_queries)
        self.assertLess(mean(report.asked for report in reports), 100)

    def test_a_third_that_knows_peers_of_everything(self) -> None:
        _, places = self._look_up(self._network(300, (Poison,)))
        # Each gets a few peers through before the true one, not the fifty it names.
        self.assertLess(mean(places), 100)

    def test_a_third_that_names_honest_nodes_wrongly(self) -> None:
        self._look_up(self._network(300, (Misnamer,)))

    def test_half_of_the_network_dies_in_mid_lookup(self) -> None:
        net = self._network(400)
        for number in range(6):
            holder, asker = net.ours[number], net.ours[-number - 1]
            infohash = net.random.randbytes(20)
            net.get_peers(holder, infohash, 7777)
            found: list[PeerAddress] = []
            reports: list[LookupReport] = []
            asker.get_peers(infohash, found.extend).addCallback(reports.append)
            net.clock.run(net.clock.seconds() + 0.1)
            there = dict(net.nodes)
            for address in net.random.sample(list(there), len(there) // 2):
                if address != info(asker).address:
                    del net.nodes[address]
            net.clock.run(net.clock.seconds() + 15, reports.__len__)
            net.nodes = there
            self.assertIn(PeerAddress(info(holder).address.host, 7777), found)
            self.assertLess(reports[0].seconds, 8)
