"""Tests of functorrent.sources.dht.table: each of its laws, and who tries to get around them."""

from __future__ import annotations

import secrets

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.interfaces import PeerAddress
from functorrent.sources.dht.bucket import APART, BAD, DEAD, GOOD_FOR, SPARES, K
from functorrent.sources.dht.ids import distance, id_for
from functorrent.sources.dht.table import RoutingTable
from functorrent.wire.krpc import NodeInfo, parse_nodes, parse_nodes6

quick = settings(deadline=None, derandomize=True, max_examples=100)
OWN = bytes(20)
twenty = st.binary(min_size=20, max_size=20)


def at(depth: int, salt: int = 0) -> bytes:
    """An id that shares `depth` leading bits with OWN."""
    return (1 << (159 - depth) | salt).to_bytes(20, "big")


def host(number: int) -> str:
    """An address in a /24 of its own."""
    return f"8.{number // 250}.{number % 250}.1"


def node(number: int, depth: int = 0, port: int = 6881) -> NodeInfo:
    """A node that does not comply with BEP 42, in a /24 of its own."""
    return NodeInfo(at(depth, number), PeerAddress(host(number), port))


def complying(number: int, depth: int = 0) -> NodeInfo:
    where = host(number)
    while True:
        node_id = id_for(where)
        if 160 - int.from_bytes(node_id, "big").bit_length() == depth:
            return NodeInfo(node_id, PeerAddress(where, 6881))
        number += 1000
        where = host(number)


class Table(SynchronousTestCase):
    def setUp(self) -> None:
        self.table = RoutingTable(OWN, 4)

    def fill(self, depth: int = 0, now: float = 0.0) -> list[NodeInfo]:
        """Eight nodes that fill a bucket."""
        nodes = [node(number, depth) for number in range(1, K + 1)]
        for each in nodes:
            self.assertTrue(self.table.answered(each, now))
        return nodes

    def lose(self, who: NodeInfo, times: int = BAD, now: float = 1000.0) -> None:
        for turn in range(times):
            self.table.failed(who, now + turn * APART)


class Answers(Table):
    """Laws 1 and 4: who comes in."""

    def test_only_who_answers(self) -> None:
        for number in range(100):
            self.table.heard(node(number), 0.0)
        self.assertEqual(len(self.table), 0)
        self.assertEqual(self.table.closest(OWN), [])
        self.assertTrue(self.table.answered(node(1), 0.0))
        self.assertEqual(list(self.table), [node(1)])
        self.assertIn(node(1), self.table)
        self.assertNotIn(node(1, port=1), self.table)

    def test_eight_in_a_bucket(self) -> None:
        nodes = self.fill()
        self.assertFalse(self.table.answered(node(9), 0.0))
        self.assertEqual(list(self.table), nodes)
        # Other buckets are others.
        self.assertTrue(self.table.answered(node(10, depth=1), 0.0))

    def test_not_ourselves_and_not_the_other_family(self) -> None:
        self.assertFalse(self.table.answered(NodeInfo(OWN, PeerAddress("8.8.8.8", 1)), 0.0))
        six = NodeInfo(at(0), PeerAddress("2a02::1", 1))
        self.assertFalse(self.table.answered(six, 0.0))
        self.assertFalse(self.table.heard(six, 0.0))
        self.assertTrue(RoutingTable(OWN, 6).answered(six, 0.0))
        self.assertFalse(RoutingTable(OWN, 6).answered(node(1), 0.0))

    def test_named_ones_push_out_nobody(self) -> None:
        """Not even nodes that are questionable or bad, and complying as they are."""
        nodes = self.fill()
        self.lose(nodes[0])
        for number in range(100, 300):
            self.table.heard(complying(number), 5000.0)
        self.assertEqual(list(self.table), nodes)

    def test_a_bad_node_gives_way(self) -> None:
        nodes = self.fill()
        self.lose(nodes[3])
        self.assertTrue(self.table.answered(node(9), 1010.0))
        self.assertEqual(set(self.table), {*nodes, node(9)} - {nodes[3]})

    def test_one_failure_is_none(self) -> None:
        """BEP 5: several queries in a row. An answer in between begins a new row."""
        nodes = self.fill()
        self.table.failed(nodes[3], 1000.0)
        self.table.answered(nodes[3], 1010.0)
        self.table.failed(nodes[3], 1020.0)
        self.assertFalse(self.table.answered(node(9), 1030.0))

    def test_failures_of_one_moment_count_once(self) -> None:
        """Ten lookups may have asked a node at the same time."""
        nodes = self.fill()
        for turn in range(10):
            self.table.failed(nodes[3], 1000.0 + turn * APART / 10)
        self.assertFalse(self.table.answered(node(9), 1010.0))

    def test_a_failure_of_another_address_is_not_its_own(self) -> None:
        nodes = self.fill()
        self.lose(nodes[3]._replace(address=PeerAddress("9.9.9.9", 1)))
        self.assertFalse(self.table.answered(node(9), 1010.0))

    def test_spares_come_in(self) -> None:
        """Who answered while the bucket was full takes the place of a bad node at once."""
        nodes = self.fill()
        self.table.answered(node(9), 10.0)
        self.table.answered(node(10), 20.0)
        self.lose(nodes[0])
        self.assertEqual(set(self.table), {*nodes[1:], node(10)})
        self.lose(nodes[1])
        self.assertEqual(set(self.table), {*nodes[2:], node(9), node(10)})
        self.lose(nodes[2])
        self.assertIn(nodes[2], self.table)

    def test_a_spare_that_fails_does_not(self) -> None:
        nodes = self.fill()
        self.table.answered(node(9), 10.0)
        self.table.failed(node(9), 20.0)
        self.lose(nodes[0])
        self.assertEqual(list(self.table), nodes)

    def test_an_old_spare_is_pinged_soon(self) -> None:
        nodes = self.fill()
        self.table.answered(node(9), 0.0)
        self.lose(nodes[0], now=3000.0)
        self.assertIn(node(9), self.table.questionable(3010.0, count=100))

    def test_a_node_that_is_alone_stays_for_a_while(self) -> None:
        """Everything fails while we are offline; after half an hour of it nothing is left."""
        nodes = self.fill()
        for each in nodes:
            self.lose(each, DEAD + 5, now=100.0)
        self.assertEqual(list(self.table), nodes)
        for each in nodes:
            self.lose(each, 1, now=1900.0)
        self.assertEqual(list(self.table), [])


class OneOfEach(Table):
    """Laws 2 and 3: ids, addresses, /24s."""

    def test_an_address_has_one_id(self) -> None:
        """Its second node is another port's, in another bucket: not taken while the first one lives."""
        first, second = node(1), NodeInfo(at(5), PeerAddress(host(1), 7000))
        self.assertTrue(self.table.answered(first, 0.0))
        self.assertFalse(self.table.answered(second, 0.0))
        self.assertFalse(self.table.heard(second, 0.0))
        self.lose(first)
        self.assertTrue(self.table.answered(second, 1010.0))
        self.assertEqual(list(self.table), [second])

    def test_an_address_that_changes_its_id(self) -> None:
        """It answers so itself, so the old id is gone: a client that started again."""
        self.table.answered(node(1), 0.0)
        new = NodeInfo(at(7), node(1).address)
        self.assertFalse(self.table.heard(new, 10.0))
        self.assertEqual(list(self.table), [node(1)])
        self.assertTrue(self.table.answered(new, 20.0))
        self.assertEqual(list(self.table), [new])

    def test_its_place_goes_to_a_spare(self) -> None:
        nodes = self.fill()
        self.table.answered(node(9), 10.0)
        new = NodeInfo(at(7), nodes[0].address)
        self.assertTrue(self.table.answered(new, 20.0))
        self.assertEqual(set(self.table), {*nodes[1:], node(9), new})

    def test_an_id_from_elsewhere(self) -> None:
        """Who answers with a known id waits; the known one is pinged, and stays when it answers."""
        known = node(1)
        thief = NodeInfo(known.id, PeerAddress("9.9.9.9", 6881))
        self.table.answered(known, 0.0)
        self.assertFalse(self.table.heard(thief, 10.0))
        self.assertEqual(self.table.questionable(10.0), [])
        self.assertFalse(self.table.answered(thief, 20.0))
        self.assertEqual(self.table.questionable(20.0), [known])
        self.table.answered(known, 21.0)
        self.assertEqual(list(self.table), [known])
        self.assertEqual(self.table.questionable(22.0), [])
        # One query that was lost is no reason to believe the other.
        self.table.failed(known, 22.0)
        self.assertFalse(self.table.answered(thief, 23.0))
        self.table.answered(known, 21.0)
        # What it asks us is no sign of life of the known one's.
        self.table.heard(thief, 900.0)
        self.assertEqual(self.table.questionable(921.0), [known])

    def test_an_id_that_has_moved(self) -> None:
        """The known one does not answer: then the other is what it says."""
        known = node(1)
        moved = NodeInfo(known.id, PeerAddress("9.9.9.9", 6881))
        self.table.answered(known, 0.0)
        self.table.answered(moved, 20.0)
        self.lose(known)
        self.assertEqual(list(self.table), [moved])

    def test_one_of_a_24_in_a_bucket(self) -> None:
        near = NodeInfo(at(0, 99), PeerAddress("8.0.1.77", 6881))
        self.table.answered(node(1), 0.0)
        self.assertFalse(self.table.heard(near, 0.0))
        self.assertFalse(self.table.answered(near, 0.0))
        self.assertFalse(self.table.heard(near, 0.0))
        # In another bucket there may be one, too.
        self.assertTrue(self.table.answered(NodeInfo(at(3), PeerAddress("8.0.1.78", 6881)), 0.0))
        self.lose(node(1))
        self.assertNotIn(node(1), self.table)
        self.assertIn(near, self.table)

    def test_a_bad_neighbour_gives_way_and_nobody_else(self) -> None:
        nodes = self.fill()
        self.lose(nodes[0])
        self.lose(nodes[1], BAD + 1)
        near = NodeInfo(at(0, 99), PeerAddress("8.0.1.77", 6881))
        self.assertTrue(self.table.answered(near, 1010.0))
        self.assertEqual(set(self.table), {*nodes[1:], near})

    def test_one_of_a_64_in_the_table(self) -> None:
        table = RoutingTable(OWN, 6)
        for number in range(1, 200):
            table.answered(NodeInfo(at(number % 20, number), PeerAddress(f"2a02::{number:x}", 1)), 0.0)
        self.assertEqual(len(table), 1)

    def test_one_address_with_any_number_of_ids(self) -> None:
        """It answers with another id each time: it has one place in the table, whatever it says."""
        for number in range(500):
            self.table.answered(NodeInfo(at(number % 100, number), PeerAddress("9.9.9.9", 1)), float(number))
        self.assertEqual(len(self.table), 1)
        self.assertLessEqual(sum(len(each.spares) for each in self.table._buckets.values()), 1)

    def test_a_24_full_of_nodes(self) -> None:
        """254 addresses, any ids: one place in a bucket, and no candidates or spares but one."""
        for number in range(1, 255):
            for depth in range(3):
                each = NodeInfo(at(depth, 1000 + number), PeerAddress(f"9.9.9.{number}", depth + 1))
                self.table.heard(each, 0.0)
                self.table.answered(each, 0.0)
        self.assertLessEqual(len(self.table), 3)
        for bucket in self.table._buckets.values():
            self.assertLessEqual(len(bucket.spares), 1)
            self.assertLessEqual(len(bucket.candidates), 1)
        for number in range(1, K):
            self.assertTrue(self.table.answered(node(number), 0.0))

    def test_local_nodes(self) -> None:
        """Each address and port for itself: a laboratory on 127.0.0.1, an office behind one /24."""
        for port in range(1, 9):
            self.assertTrue(self.table.answered(NodeInfo(at(0, port), PeerAddress("127.0.0.1", port)), 0.0))
            for last in range(1, 3):
                lan = NodeInfo(at(port, last), PeerAddress(f"192.168.1.{last}", port))
                self.assertTrue(self.table.answered(lan, 0.0))
        self.assertEqual(len(self.table), 24)


class Compliance(Table):
    """Law 4: BEP 42."""

    def test_a_complying_node_takes_the_place_of_one_that_does_not(self) -> None:
        nodes = self.fill()
        self.assertTrue(self.table.answered(complying(100), 10.0))
        self.assertEqual(len(self.table), K)
        self.assertEqual(len(set(nodes) - set(self.table)), 1)

    def test_until_all_comply(self) -> None:
        self.fill()
        good = [complying(100 + number) for number in range(K + 1)]
        for each in good[:K]:
            self.assertTrue(self.table.answered(each, 10.0))
        self.assertEqual(set(self.table), set(good[:K]))
        self.assertFalse(self.table.answered(good[K], 10.0))
        self.assertFalse(self.table.answered(node(1), 10.0))

    def test_the_one_known_for_the_shortest_time_goes(self) -> None:
        nodes = [node(number) for number in range(1, K + 1)]
        for second, each in enumerate(nodes):
            self.table.answered(each, float(second))
        self.table.answered(complying(100), 100.0)
        self.assertNotIn(nodes[-1], self.table)
        # A questionable one goes before.
        for each in nodes[1:]:
            self.table.answered(each, 800.0)
        self.table.answered(complying(200), 1000.0)
        self.assertNotIn(nodes[0], self.table)

    def test_room_is_for_all(self) -> None:
        """BEP 42 is not enforced: who does not comply is taken where there is room."""
        self.assertTrue(self.table.answered(complying(100), 0.0))
        self.assertTrue(self.table.answered(node(1), 0.0))

    def test_spares_that_comply_come_first(self) -> None:
        good = [complying(100 + number) for number in range(K)]
        for each in good:
            self.table.answered(each, 0.0)
        spare = complying(200)
        self.table.answered(spare, 10.0)
        self.table.answered(node(9), 20.0)
        self.lose(good[0])
        self.assertIn(spare, self.table)


class Candidates(Table):
    """Who was named, and is to be pinged."""

    def test_given_once(self) -> None:
        self.assertTrue(self.table.heard(node(1), 0.0))
        self.assertTrue(self.table.heard(node(2, depth=4), 0.0))
        self.assertFalse(self.table.heard(node(1), 0.0))
        self.assertEqual(self.table.candidates(), [node(2, depth=4), node(1)])
        self.assertEqual(self.table.candidates(), [])

    def test_so_many_at_a_time(self) -> None:
        for number in range(1, 21):
            self.table.heard(node(number, depth=number % 5), 0.0)
        taken = [self.table.candidates(3) for _ in range(8)]
        self.assertEqual([len(each) for each in taken], [3, 3, 3, 3, 3, 3, 2, 0])
        self.assertEqual(len({each for some in taken for each in some}), 20)

    def test_a_flood_of_names(self) -> None:
        """Whoever came first is asked first, and no more than eight of a bucket are kept."""
        self.table.heard(node(1), 0.0)
        for number in range(2, 10_000):
            self.table.heard(node(number), 0.0)
        found = self.table.candidates(1000)
        self.assertEqual(len(found), SPARES)
        self.assertIn(node(1), found)

    def test_each_bucket_has_its_turn(self) -> None:
        """Who fills a hundred buckets with names does not keep the others' waiting."""
        for depth in range(50, 150):
            for number in range(1, SPARES + 1):
                self.table.heard(node(number, depth), 0.0)
        self.table.heard(node(20, depth=2), 0.0)
        self.table.heard(node(21, depth=3), 0.0)
        taken = [each for _ in range(13) for each in self.table.candidates(8)]
        self.assertIn(node(20, depth=2), taken)
        self.assertIn(node(21, depth=3), taken)
        rest = self.table.candidates(10_000)
        self.assertEqual(len(set(taken) | set(rest)), 100 * SPARES + 2)

    def test_nobody_is_pinged_for_a_bucket_that_is_full(self) -> None:
        """... of good nodes: of 1,000 names none is worth a packet."""
        self.fill()
        self.assertFalse(self.table.heard(node(20), 10.0))
        # One that complies might come in; and so might any, once a node is questionable.
        self.assertTrue(self.table.heard(complying(100), 10.0))
        self.assertTrue(self.table.heard(node(20), GOOD_FOR + 1))

    def test_known_nodes_are_none(self) -> None:
        self.table.answered(node(1), 0.0)
        self.assertFalse(self.table.heard(node(1), 0.0))
        self.assertFalse(self.table.heard(NodeInfo(OWN, PeerAddress("9.9.9.9", 1)), 0.0))

    def test_an_answer_ends_it(self) -> None:
        self.table.heard(node(1), 0.0)
        self.table.answered(node(1), 0.0)
        self.assertEqual(self.table.candidates(), [])
        self.table.heard(node(2), 0.0)
        self.table.failed(node(2), 0.0)
        self.assertEqual(self.table.candidates(), [])


class Upkeep(Table):
    """Questionable nodes, stale buckets, what is saved."""

    def test_questionable_after_15_minutes(self) -> None:
        self.table.answered(node(1), 0.0)
        self.table.answered(node(2), 100.0)
        self.assertEqual(self.table.questionable(GOOD_FOR - 1), [])
        self.assertEqual(self.table.questionable(GOOD_FOR), [node(1)])
        # The ping is on its way.
        self.assertEqual(self.table.questionable(GOOD_FOR + 1), [])
        self.assertEqual(self.table.questionable(GOOD_FOR + 100), [node(1), node(2)])
        self.table.answered(node(1), GOOD_FOR + 101)
        self.assertEqual(self.table.questionable(GOOD_FOR + 131), [node(2)])

    def test_so_many_at_a_time(self) -> None:
        self.fill()
        self.assertEqual([len(self.table.questionable(GOOD_FOR, 3)) for _ in range(4)], [3, 3, 2, 0])

    def test_a_query_of_its_own_keeps_it_good(self) -> None:
        """BEP 5; but for an hour at most: anybody can write its address on a packet."""
        self.table.answered(node(1), 0.0)
        self.table.heard(node(1), 800.0)
        self.assertEqual(self.table.questionable(1600.0), [])
        for now in range(1600, 10_000, 100):
            self.table.heard(node(1), float(now))
            if now < 3600:
                self.assertEqual(self.table.questionable(float(now)), [])
        self.assertEqual(self.table.questionable(10_000.0), [node(1)])

    def test_a_query_does_not_mend_a_failure(self) -> None:
        self.table.answered(node(1), 0.0)
        self.table.failed(node(1), 10.0)
        self.table.heard(node(1), 11.0)
        self.assertEqual(self.table.closest_packed(OWN), b"")
        self.assertEqual(self.table.questionable(50.0), [node(1)])

    def test_failed_ones_are_asked_again_more_and_more_seldom(self) -> None:
        self.table.answered(node(1), 0.0)
        now, pauses = 10.0, []
        while len(self.table):
            self.table.failed(node(1), now)
            since = now
            while len(self.table) and not self.table.questionable(now):
                now += 1.0
            pauses.append(now - since)
        # With the last one it was given up.
        self.assertEqual(pauses, [30.0, 60.0, 120.0, 240.0, 480.0, 900.0, 0.0])

    def test_stale_buckets(self) -> None:
        """A target in each, once in 15 minutes; those where somebody has answered are fresh."""
        for depth in range(4):
            for number in range(1, K + 1):
                self.table.answered(node(depth * 20 + number, depth), 0.0)
        self.table.answered(node(100, 6), 0.0)

        def stale(now: float) -> list[int]:
            return [160 - int.from_bytes(each, "big").bit_length() for each in self.table.stale(now)]

        # Nobody was ever looked for between those four and the one that is alone near to us.
        self.assertEqual(stale(10.0), [4])
        self.assertEqual(stale(GOOD_FOR - 1), [])
        self.table.answered(node(21, 1), 500.0)
        self.assertEqual(stale(GOOD_FOR), [0, 2, 3])
        self.assertEqual(stale(GOOD_FOR + 11), [4])
        self.assertEqual(stale(GOOD_FOR * 2), [0, 1, 2, 3])

    def test_targets_are_random(self) -> None:
        self.fill()
        found = {self.table.stale(GOOD_FOR * turn)[0] for turn in range(1, 20)}
        self.assertEqual(len(found), 19)

    def test_an_empty_table_asks_for_anything(self) -> None:
        self.assertEqual(len(self.table.stale(0.0)), 1)

    def test_good_ones_are_saved(self) -> None:
        """Who has answered within the hour and not failed since, the nearest first."""
        for number in range(1, 5):
            self.table.answered(node(number, depth=number), 0.0)
        self.table.answered(node(3, depth=3), 3000.0)
        self.table.answered(node(4, depth=4), 3000.0)
        self.table.answered(node(2, depth=2), 3000.0)
        self.table.failed(node(2, depth=2), 3010.0)
        self.assertEqual(self.table.good(3700.0, 10), [node(4, depth=4), node(3, depth=3)])
        self.assertEqual(self.table.good(3700.0, 1), [node(4, depth=4)])

    def test_another_id_of_ours(self) -> None:
        """BEP 42: our address became known. Nobody is lost but for want of room, nobody is good anew."""
        for depth in range(8):
            for number in range(1, 7):
                self.table.answered(node(depth * 20 + number, depth), float(depth))
        self.table.failed(node(1), 100.0)
        own = b"\xff" * 20
        table = self.table.moved(own, 200.0)
        self.assertEqual(table.own_id, own)
        # All but those of depth 0 are far from it now: eight of them.
        self.assertEqual(len(table), 6 + K)
        self.assertLessEqual(set(table), set(self.table))
        # Those that were known first; one that fails comes last.
        self.assertEqual({each for each in table if each.id[0] & 0x80}, set(list(self.table)[:6]))
        self.assertNotIn(node(1), parse_nodes(table.closest_packed(own, 100)))
        self.assertEqual(len(table.questionable(GOOD_FOR + 20, 100)), 14)

    def test_another_id_of_ours_has_room_for_those_that_answer(self) -> None:
        old = self.fill(depth=1)
        fresh = [node(20 + number, depth=2) for number in range(K)]
        for each in fresh:
            self.table.answered(each, 5.0)
        for each in old:
            self.table.failed(each, 10.0)
        # Both buckets are one, seen from the other half.
        self.assertEqual(set(self.table.moved(b"\xff" * 20, 20.0)), set(fresh))


class Closest(Table):
    """Which nodes are named to others, and where lookups begin."""

    @quick
    @given(st.lists(st.tuples(twenty, st.booleans()), max_size=120), twenty, twenty, st.integers(1, 20))
    def test_as_if_all_were_sorted(
        self, found: list[tuple[bytes, bool]], own: bytes, target: bytes, count: int
    ) -> None:
        table = RoutingTable(own, 4)
        for number, (node_id, fails) in enumerate(found):
            # Some near to us, to fill buckets that are deep.
            if number % 3 == 0:
                node_id = own[: number % 4] + node_id[number % 4 :]
            each = NodeInfo(node_id, PeerAddress(host(number), 1))
            table.answered(each, 0.0)
            if fails:
                table.failed(each, 1.0)
        failing = {entry.node for entry in table._by_id.values() if entry.failures}
        for goal in (target, own, bytes(byte ^ 255 for byte in own), own[:2] + target[2:]):
            ordered = sorted(set(table) - failing, key=lambda each: distance(each.id, goal))
            self.assertEqual(parse_nodes(table.closest_packed(goal, count)), tuple(ordered[:count]))
            if ordered:
                self.assertEqual(table.closest(goal, count), ordered[:count])
            else:
                self.assertEqual(set(table.closest(goal, 200)), failing)

    def test_v6(self) -> None:
        table = RoutingTable(OWN, 6)
        nodes = [NodeInfo(at(number), PeerAddress(f"2a02:{number:x}::1", 9)) for number in range(1, 6)]
        for each in nodes:
            table.answered(each, 0.0)
        self.assertEqual(parse_nodes6(table.closest_packed(at(3), 2)), (nodes[2], nodes[4]))

    def test_who_has_failed_is_named_to_nobody(self) -> None:
        nodes = self.fill()
        for each in nodes:
            self.table.failed(each, 10.0)
        self.assertEqual(self.table.closest_packed(OWN), b"")
        # For us it is better than nothing.
        self.assertEqual(set(self.table.closest(OWN)), set(nodes))


class Attacks(Table):
    """Who tries to own the table."""

    def test_a_hostile_third(self) -> None:
        """A real table of 1,000 honest nodes, and 30,000 answers of one /16: it has no more places in a
        bucket than subnets it owns, and none that an honest node had."""
        self.table = RoutingTable(secrets.token_bytes(20), 4)
        for number in range(1000):
            where = host(number)
            self.table.answered(NodeInfo(id_for(where), PeerAddress(where, 6881)), 0.0)
        honest = set(self.table)
        for number in range(30_000):
            where = PeerAddress(f"66.6.{number % 256}.{number % 200 + 1}", number % 60_000 + 1)
            evil = NodeInfo(secrets.token_bytes(20), where)
            self.table.heard(evil, 1.0)
            self.table.answered(evil, 1.0)
        self.assertLessEqual(honest, set(self.table))
        self.assertLess(len(self.table), len(honest) + 60)

    def test_ids_near_to_ours(self) -> None:
        """Each nearer than the one before, from one /24: one in a bucket; they crowd nobody out."""
        nodes = self.fill()
        for depth in range(159):
            evil = NodeInfo(at(depth, 1), PeerAddress(f"66.6.6.{depth + 1}", 6881))
            self.table.answered(evil, 1.0)
        self.assertLessEqual(set(nodes), set(self.table))
        self.assertEqual(len(self.table), K + 158)

    def test_bounded(self) -> None:
        """Whatever answers: 160 buckets of 8 at the most, spares and candidates likewise."""
        for number in range(1, 20_000):
            each = node(number, depth=number % 160)._replace(id=at(number % 160, number % 2))
            self.table.heard(each, 0.0)
            self.table.answered(each, 0.0)
        self.assertLessEqual(len(self.table), 160 * K)
        for bucket in self.table._buckets.values():
            self.assertLessEqual(len(bucket.nodes), K)
            self.assertLessEqual(len(bucket.spares), SPARES)
            self.assertLessEqual(len(bucket.candidates), SPARES)
