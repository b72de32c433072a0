"""Searches of a node: shared, in turn, cancelled at any time."""

from __future__ import annotations

import gc
import time
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS
from functorrent.sources.dht.node import DhtNode
from functorrent.sources.dht.report import LookupReport
from functorrent.sources.dht.settings import DhtSettings
from tests.sources.dht.network import PORT, Literals, Network, info


class SearchesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Network()
        self.addCleanup(self._left)
        self.net.grow(60)
        self.node = self.net.ours[0]
        self.found: list[PeerAddress] = []

    def _left(self) -> None:
        self.net.stop()
        self.net.clock.run(self.net.clock.seconds() + 10)
        self.assertEqual(self.net.clock.waiting, 0, "a timer is left")

    def infohash(self) -> bytes:
        return self.net.random.randbytes(20)

    def get(self, infohash: bytes, port: int | None = None) -> tuple[list[LookupReport], Deferred[Any]]:
        reports: list[LookupReport] = []
        deferred = self.node.get_peers(infohash, self.found.extend, port)
        return reports, deferred.addCallback(reports.append)

    def go(self, seconds: float) -> None:
        self.net.clock.run(self.net.clock.seconds() + seconds)

    def test_the_same_infohash_is_looked_for_once(self) -> None:
        infohash = self.infohash()
        self.net.get_peers(self.net.ours[9], infohash, 7777)
        one, _ = self.get(infohash)
        other, _ = self.get(infohash)
        self.go(0.35)
        # Who comes later is told of the peers that there are already.
        late, _ = self.get(infohash)
        self.go(5)
        self.assertEqual([len(each) for each in (one, other, late)], [1, 1, 1])
        self.assertEqual(one, other)
        self.assertEqual(len(self.found), 3)
        self.assertEqual(len(set(self.found)), 1)
        self.assertEqual(self.node.stats.lookups, 1)

    def test_cancelled_it_fires_at_once_with_what_there_is(self) -> None:
        infohash = self.infohash()
        reports, deferred = self.get(infohash)
        self.go(0.3)
        deferred.cancel()
        self.assertGreater(reports[0].asked, 0)
        sent = self.node.stats.queries_sent
        self.go(5)
        self.assertEqual(self.node.stats.queries_sent, sent)
        self.assertEqual(self.node.stats.lookups_cancelled, 1)
        self.assertFalse(self.node.searches.running)

    def test_one_of_two_leaves_and_the_other_gets_all(self) -> None:
        infohash = self.infohash()
        one, deferred = self.get(infohash)
        other, _ = self.get(infohash)
        deferred.cancel()
        self.go(5)
        self.assertEqual(other[0].answered, other[0].asked)
        self.assertEqual(one[0].answered, 0)

    def test_who_cancels_when_peers_are_found(self) -> None:
        infohash = self.infohash()
        self.net.get_peers(self.net.ours[9], infohash, 7777)
        reports: list[LookupReport] = []
        deferred = self.node.get_peers(infohash, lambda peers: deferred.cancel())
        deferred.addCallback(reports.append)
        self.go(5)
        self.assertEqual(reports[0].peers, 1)
        self.assertFalse(self.node.searches.running)

    def test_so_many_at_once_and_the_rest_in_turn(self) -> None:
        searches = self.node.searches
        wanted = [self.infohash() for _ in range(60)]
        ends: list[bytes] = []
        for infohash in wanted:
            self.get(infohash)[1].addCallback(lambda _, infohash=infohash: ends.append(infohash))
        self.assertTrue(searches.waits(wanted[-1]))
        self.assertFalse(searches.waits(wanted[0]))
        most = 0
        while len(ends) < 60:
            self.go(0.05)
            most = max(most, len(searches.running))
            self.assertLess(self.net.clock.seconds(), 60)
        self.assertLessEqual(most, DEFAULT_LIMITS.dht_lookups)
        self.assertGreater(most, 4)
        self.assertEqual(len(searches), 0)
        # In the order in which they came, more or less: none of the first waits for the last.
        self.assertLess(max(ends.index(each) for each in wanted[:10]), 40)

    def test_the_rate_of_all_together(self) -> None:
        # With fewer nodes it is the rate of each that counts.
        self.net.grow(300)
        self.net.acquaint([self.node])
        for _ in range(200):
            self.get(self.infohash())
        before = self.node.stats.queries_sent
        self.go(4)
        sent = self.node.stats.queries_sent - before
        self.assertLessEqual(sent, 4 * 250 + 10)
        self.assertGreater(sent, 4 * 250 * 0.9)

    def test_a_crowd_is_looked_for_with_fewer_queries_each(self) -> None:
        net, few, many = self.net, [], []
        net.grow(300)
        net.acquaint([self.node])
        for _ in range(10):
            few.append(net.get_peers(self.node, self.infohash())[0].asked)
        for _ in range(100):
            many.append(self.get(self.infohash())[0])
        self.go(60)
        asked = [reports[0].asked for reports in many[20:80]]
        self.assertLess(sum(asked) / len(asked), 0.75 * sum(few) / len(few))

    def test_a_rate_that_the_user_set(self) -> None:
        net = self.net
        node = net.add(settings=DhtSettings(bootstrap=(), rate=20.0))
        net.acquaint([node])
        node.start()
        self.node = node
        for _ in range(20):
            self.get(self.infohash())
        self.go(5)
        self.assertLessEqual(node.stats.queries_sent, 20 + 5 * 20 + 1)
        self.assertGreater(node.stats.queries_sent, 80)

    def test_while_no_node_is_known_those_that_end_at_once_are_few(self) -> None:
        """A bulk fetch whose trackers are quicker: each search would ask the same dead host."""
        dead = DhtNode(
            self.net.clock,
            lambda data, address: None,
            DhtSettings(bootstrap=(("20.9.9.9", PORT),)),
            Literals(),
            families=(False,),
        )
        dead.start()
        self.addCleanup(dead.stop)
        for _ in range(500):
            dead.get_peers(self.infohash(), self.found.extend).cancel()
            self.go(0.001)
        self.assertLessEqual(dead.stats.lookups, 4)
        # Those who stay have their turn all the same.
        reports: list[LookupReport] = []
        for _ in range(6):
            dead.get_peers(self.infohash(), self.found.extend).addCallback(reports.append)
        self.go(1.0)
        self.assertGreaterEqual(dead.stats.lookups, 4)
        self.go(5.0)
        self.assertEqual([each.answered for each in reports], [0] * 6)

    def test_one_at_work_does_not_wait_for_a_crowd(self) -> None:
        infohash = self.infohash()
        reports, _ = self.get(infohash)
        for _ in range(500):
            self.get(self.infohash())
        self.go(6)
        self.assertEqual(len(reports), 1)

    def test_those_cancelled_before_their_turn_cost_next_to_nothing(self) -> None:
        for _ in range(40):
            self.get(self.infohash())
        wanted = [self.infohash() for _ in range(5000)]
        sent = self.net.sent
        began = time.process_time()
        for deferred in [self.get(infohash)[1] for infohash in wanted]:
            deferred.cancel()
        took = time.process_time() - began
        self.assertEqual(self.net.sent, sent)
        # Some 10 us each; a slow machine has ten times that.
        self.assertLess(took / 5000, 100e-6)

    def test_nothing_is_left_to_the_collector(self) -> None:
        """What refers to each other would pile up in a bulk fetch, which hardly collects."""
        for number in range(30):
            self.get(self.infohash(), 7777 if number % 2 else None)
        gone = [self.get(self.infohash())[1] for _ in range(30)]
        self.addCleanup(gc.enable)
        self.go(0.2)
        gc.collect()
        gc.disable()
        for deferred in gone:
            deferred.cancel()
        self.go(20)
        del gone, deferred
        self.assertEqual(self.node.stats.lookups_ended, 30)
        self.assertEqual(gc.collect(), 0)

    def test_our_port_is_announced_to_the_closest(self) -> None:
        infohash = self.infohash()
        reports, _ = self.get(infohash, 7777)
        self.go(5)
        self.assertGreaterEqual(reports[0].announced, 8)
        keepers = [node for node in self.net.ours if node.storage.infohashes]
        closest = {each.address for each in self.net.true_closest(infohash, 4)}
        self.assertLessEqual(closest, {info(each).address for each in keepers})

    def test_nothing_is_announced_without_a_port_or_read_only(self) -> None:
        self.get(self.infohash())
        self.go(5)
        node = self.net.add(settings=DhtSettings(bootstrap=(), read_only=True))
        self.net.acquaint([node])
        self.node = node
        reports, _ = self.get(self.infohash(), 7777)
        self.go(5)
        self.assertGreater(reports[0].answered, 8)
        self.assertFalse(any(node.storage.infohashes for node in self.net.ours))

    def test_peers_of_one_answer_and_of_all_are_bounded(self) -> None:
        net = self.net
        infohash = self.infohash()
        net.limits = replace(DEFAULT_LIMITS, dht_peers=25)
        node = net.add(settings=DhtSettings(bootstrap=()))
        net.acquaint([node])
        self.node = node
        for holder in net.ours:
            for number in range(60):
                holder.storage.announce(infohash, PeerAddress(f"40.{number}.1.1", 1), 0.0)
        # Each of 8 nodes names 40 of 60.
        reports, _ = self.get(infohash)
        self.go(5)
        self.assertEqual((reports[0].peers, len(self.found)), (25, 25))

    def test_what_is_kept_back_of_an_answer_comes_at_the_end(self) -> None:
        infohash = self.infohash()
        for number in range(30):
            self.net.ours[5].storage.announce(infohash, PeerAddress(f"40.{number}.1.1", 1), 0.0)
        target = info(self.net.ours[5]).id
        for number in range(30):
            self.net.ours[5].storage.announce(target, PeerAddress(f"40.{number}.1.1", 1), 0.0)
        batches: list[int] = []
        self.node.get_peers(target, lambda peers: batches.append(len(peers)))
        self.go(5)
        self.assertEqual(batches, [8, 22])

    def test_stopped_everybody_is_told(self) -> None:
        all_reports = [self.get(self.infohash())[0] for _ in range(50)]
        self.go(0.2)
        self.node.stop()
        self.assertEqual({len(each) for each in all_reports}, {1})
        self.assertEqual([report.asked for report in self.get(self.infohash())[0]], [0])

    def test_both_families_together(self) -> None:
        """A node that knows nobody of IPv6 finds them by those of IPv4 (BEP 32)."""
        net = Network(seed=3)
        self.addCleanup(net.stop)
        both = []
        for number in range(40):
            four, six = net.host(), f"2600:{number + 1:x}::7"
            node = self.dual(net, four, six)
            both.append((node, four, six))
        for node, _, _ in both:
            for other, four, six in both:
                for table, own, host in zip(node.tables, other.ids, (four, six), strict=True):
                    assert table is not None and own is not None
                    table.answered(self.node_info(own, host), 0.0)
        infohash = net.random.randbytes(20)
        reports: list[LookupReport] = []
        both[0][0].get_peers(infohash, lambda peers: None, 7777).addCallback(reports.append)
        net.clock.run(5)
        self.assertGreaterEqual(reports[0].announced, 16)
        # One that begins with a single host of IPv4 finds the peer at both of its addresses.
        fresh = self.dual(net, net.host(), "2600:ffff::7", DhtSettings(bootstrap=((both[1][1], PORT),)))
        fresh.start()
        found: list[PeerAddress] = []
        fresh.get_peers(infohash, found.extend)
        net.clock.run(net.clock.seconds() + 5)
        self.assertEqual({each.host for each in found}, {both[0][1], both[0][2]})

    def dual(self, net: Network, four: str, six: str, settings: DhtSettings | None = None) -> DhtNode:
        def send(data: bytes, target: tuple[str, int]) -> None:
            net.send((six if ":" in target[0] else four, PORT), data, target)

        node = DhtNode(net.clock, send, settings or DhtSettings(bootstrap=()), Literals())
        net.attach(node, PeerAddress(four, PORT))
        net.attach(node, PeerAddress(six, PORT))
        net.ours.append(node)
        return node

    def node_info(self, own_id: bytes, host: str) -> Any:
        from functorrent.wire.krpc import NodeInfo

        return NodeInfo(own_id, PeerAddress(host, PORT))
