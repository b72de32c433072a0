"""Whom an iterative lookup asks, in which order, and when it is over."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.sources.dht.lookup import CLOSEST, Candidate, Lookup
from functorrent.sources.dht.places import place
from functorrent.wire.krpc import NodeInfo

TARGET = bytes(20)
ONE_PATH = replace(DEFAULT_LIMITS, dht_paths=1, dht_lookup_queries=30)


def node(distance: int, host: str | None = None, port: int = 1) -> NodeInfo:
    """A node at that distance of the target; of its own /24 unless `host` says otherwise."""
    number = distance % 65521
    where = host or f"20.{number >> 8}.{number & 255}.1"
    return NodeInfo(distance.to_bytes(20, "big"), PeerAddress(where, port))


def lookup(limits: Limits = ONE_PATH) -> Lookup:
    return Lookup(TARGET, limits, lambda address: place(address)[1], lambda info: True)


def take(walk: Lookup) -> Candidate:
    candidate = walk.take()
    assert candidate is not None
    return candidate


def answer(walk: Lookup, candidate: Candidate, *nodes: NodeInfo, token: bytes | None = b"t") -> None:
    assert candidate.node_id is not None
    walk.answered(candidate, candidate.node_id, nodes, token)


class LookupTests(SynchronousTestCase):
    def test_the_closest_is_asked_first(self) -> None:
        walk = lookup()
        walk.seed([node(30), node(10), node(20)])
        self.assertEqual([take(walk).distance for _ in range(2)], [10, 20])

    def test_what_an_answer_names_is_asked_before_what_is_farther(self) -> None:
        walk = lookup()
        walk.seed([node(100), node(200)])
        answer(walk, take(walk), node(50))
        self.assertEqual(take(walk).distance, 50)

    def test_nothing_is_asked_twice(self) -> None:
        walk = lookup()
        walk.seed([node(100), node(100)])
        answer(walk, take(walk), node(100), node(50), node(50))
        answer(walk, take(walk), node(50), node(100))
        self.assertIsNone(walk.take())
        self.assertTrue(walk.finished)
        self.assertEqual((walk.asked, walk.replied), (2, 2))

    def test_so_many_in_flight(self) -> None:
        walk = lookup(DEFAULT_LIMITS)
        walk.seed([node(n) for n in range(1, 40)])
        taken = []
        while walk.ready:
            taken.append(take(walk))
        self.assertEqual(len(taken), DEFAULT_LIMITS.dht_in_flight)
        # One that stalls holds no place, and is waited for.
        walk.stalled(taken[0])
        walk.stalled(taken[0])
        self.assertTrue(walk.ready)
        take(walk)
        self.assertIsNone(walk.take())
        self.assertEqual(walk.waiting, len(taken) + 1)

    def test_it_ends_when_the_closest_have_answered_and_nobody_is_closer(self) -> None:
        walk = lookup()
        walk.seed([node(n) for n in range(1, 20)])
        asked = 0
        while (candidate := walk.take()) is not None:
            answer(walk, candidate)
            asked += 1
        self.assertEqual(asked, CLOSEST)
        self.assertTrue(walk.finished)
        self.assertEqual([each.distance for each in walk.closest], list(range(1, CLOSEST + 1)))

    def test_a_claim_to_be_closest_ends_nothing(self) -> None:
        walk = lookup()
        walk.seed([node(0)])
        # It is the target itself, and knows nobody but one that is far.
        answer(walk, take(walk), node(1 << 100))
        self.assertEqual(take(walk).distance, 1 << 100)
        self.assertFalse(walk.finished)

    def test_it_does_not_end_while_an_answer_may_come(self) -> None:
        walk = lookup()
        walk.seed([node(5)])
        candidate = take(walk)
        walk.stalled(candidate)
        self.assertFalse(walk.finished)
        walk.failed(candidate)
        self.assertTrue(walk.finished)

    def test_a_late_answer_counts(self) -> None:
        walk = lookup()
        walk.seed([node(5)])
        candidate = take(walk)
        walk.failed(candidate)
        answer(walk, candidate, node(3))
        self.assertEqual(walk.replied, 1)
        self.assertEqual(take(walk).distance, 3)

    def test_endless_closer_nodes_come_to_an_end(self) -> None:
        walk = lookup()
        walk.seed([node(1 << 150)])
        distance = 1 << 150
        while (candidate := walk.take()) is not None:
            distance >>= 2
            answer(walk, candidate, node(distance, f"30.{walk.asked}.1.1"))
        # By the steps it takes to get there: the chain is longer than any honest one.
        self.assertLessEqual(walk.asked, 25)
        self.assertTrue(walk.finished)

    def test_endless_nodes_side_by_side_have_their_share_of_queries(self) -> None:
        walk = lookup(DEFAULT_LIMITS)
        walk.seed([node(1 << 150), node(2 << 150), node(3 << 150), node(5 << 150)])
        distance = 1 << 140
        while (candidate := walk.take()) is not None:
            distance -= 8
            if candidate.distance in (2 << 150, 3 << 150, 5 << 150):
                answer(walk, candidate)
                continue
            fresh = [node(distance + n, f"30.{walk.asked}.{n}.1") for n in range(8)]
            answer(walk, candidate, *fresh)
        self.assertTrue(walk.finished)
        self.assertLessEqual(walk.asked, DEFAULT_LIMITS.dht_lookup_queries)

    def test_the_paths_are_disjoint(self) -> None:
        walk = lookup(replace(DEFAULT_LIMITS, dht_paths=4))
        walk.seed([node(1000 + n) for n in range(4)])
        common = [node(n) for n in range(1, 5)]
        firsts = [take(walk) for _ in range(4)]
        self.assertEqual(len({id(each.path) for each in firsts}), 4)
        # All of them name the same: whoever does so first has it in its path.
        for first in firsts:
            answer(walk, first, *common)
        seconds = []
        while (candidate := walk.take()) is not None:
            seconds.append(candidate)
        named = [each for each in seconds if each.distance < 5]
        self.assertEqual({id(each.path) for each in named}, {id(firsts[0].path)})

    def test_with_one_node_to_begin_with_the_paths_part_at_its_answer(self) -> None:
        walk = lookup(DEFAULT_LIMITS)
        walk.seed_addresses([PeerAddress("20.0.0.1", 1)])
        host = take(walk)
        self.assertIsNone(host.node_id)
        walk.answered(host, node(1 << 155).id, [node(n) for n in range(1, 9)], None)
        taken = []
        while walk.ready:
            taken.append(take(walk))
        self.assertEqual(len({id(each.path) for each in taken}), DEFAULT_LIMITS.dht_paths)
        self.assertEqual(host.node_id, node(1 << 155).id)
        self.assertEqual(host.distance, 1 << 155)

    def test_a_host_to_begin_with_is_asked_twice(self) -> None:
        walk = lookup()
        walk.seed_addresses([PeerAddress("20.0.0.1", 1)])
        host = take(walk)
        self.assertIsNone(walk.take())
        walk.failed(host)
        self.assertFalse(walk.finished)
        self.assertIs(take(walk), host)
        # The answers to both come: it counts once.
        walk.answered(host, node(5).id, [node(3)], None)
        walk.answered(host, node(5).id, [node(2)], None)
        self.assertEqual((walk.replied, walk.waiting, walk.in_flight), (1, 0, 0))
        self.assertEqual(take(walk).distance, 3)

    def test_a_host_that_is_silent_twice_is_given_up(self) -> None:
        walk = lookup()
        walk.seed_addresses([PeerAddress("20.0.0.1", 1)])
        walk.failed(take(walk))
        walk.failed(take(walk))
        self.assertTrue(walk.finished)
        self.assertEqual(walk.asked, 2)

    def test_one_node_of_an_address_and_of_a_24(self) -> None:
        walk = lookup()
        walk.seed([node(1, "20.1.1.1"), node(2, "20.1.1.1", 2), node(3, "20.1.1.200"), node(4, "20.1.2.1")])
        taken = [take(walk), take(walk)]
        self.assertEqual([each.distance for each in taken], [1, 4])
        for each in taken:
            answer(walk, each)
        self.assertTrue(walk.finished)

    def test_one_node_of_a_64(self) -> None:
        walk = lookup()
        walk.seed([node(1, "2600:1::1"), node(2, "2600:1::2"), node(3, "2600:1:0:1::1")])
        self.assertEqual([take(walk).distance, take(walk).distance], [1, 3])

    def test_local_nodes_are_counted_by_address_and_port(self) -> None:
        walk = lookup()
        walk.seed([node(1, "127.0.0.1", 1), node(2, "127.0.0.1", 2), node(3, "127.0.0.2", 1)])
        self.assertEqual([take(walk).distance for _ in range(3)], [1, 2, 3])

    def test_a_neighbour_of_one_that_failed_has_one_try(self) -> None:
        walk = lookup()
        walk.seed([node(n, f"20.1.1.{n}") for n in range(1, 6)])
        walk.failed(take(walk))
        second = take(walk)
        self.assertEqual(second.distance, 2)
        walk.failed(second)
        # More would make us send to a /24 whatever a stranger likes.
        self.assertTrue(walk.finished)

    def test_who_was_named_with_a_wrong_id_is_asked_as_what_it_is(self) -> None:
        walk = lookup()
        honest = node(20, "20.1.1.1")
        walk.seed([node(1, "20.1.1.1"), node(2, "20.1.1.1"), honest])
        liar = take(walk)
        self.assertEqual(liar.distance, 1)
        walk.misnamed(liar, honest.id)
        again = take(walk)
        self.assertEqual(again.node_id, honest.id)
        answer(walk, again)
        self.assertTrue(walk.finished)
        self.assertEqual([each.distance for each in walk.closest], [20])

    def test_who_has_another_id_each_time_is_asked_twice_at_most(self) -> None:
        walk = lookup()
        walk.seed([node(n, "20.1.1.1") for n in range(1, 9)])
        asked = 0
        while (candidate := walk.take()) is not None:
            asked += 1
            walk.misnamed(candidate, node(100 + asked).id)
        self.assertEqual(asked, 2)
        self.assertEqual(walk.closest, [])

    def test_bound_ids_close_to_the_target_are_looked_for_beside_made_up_ones(self) -> None:
        walk = lookup()
        made_up = [node(n) for n in range(1, 12)]
        local = [node(100 + n, f"10.0.0.{n}") for n in range(6)]  # exempt, so as good as bound
        walk.seed([*made_up, *local])
        asked = []
        while (candidate := walk.take()) is not None:
            asked.append(candidate.distance)
            answer(walk, candidate)
        self.assertEqual(asked, [*range(1, 9), 100, 101, 102, 103])
        self.assertEqual(len(walk.keepers()), 12)

    def test_nodes_of_one_answer_are_bounded(self) -> None:
        walk = lookup()
        walk.seed([node(1 << 150)])
        answer(walk, take(walk), *[node(n) for n in range(1, 200)])
        self.assertEqual(len(walk._known), 1 + ONE_PATH.dht_nodes_per_answer)

    def test_of_too_many_nodes_the_closest_are_taken(self) -> None:
        walk = lookup()
        walk.seed([node(1000)])
        answer(walk, take(walk), *[node(n) for n in range(40, 10, -1)])
        most = DEFAULT_LIMITS.dht_nodes_per_answer
        self.assertEqual(len(walk._paths[0].candidates), most)
        self.assertEqual(
            sorted(each.distance for each in walk._paths[0].candidates), list(range(11, 11 + most))
        )

    def test_what_the_guard_refuses_is_not_asked(self) -> None:
        walk = Lookup(
            TARGET, ONE_PATH, lambda address: place(address)[1], lambda info: info.address.port != 6
        )
        walk.seed([node(1 << 150)])
        answer(walk, take(walk), node(1, port=6), node(2))
        self.assertEqual(take(walk).distance, 2)
        self.assertIsNone(walk.take())

    def test_put_aside_it_is_not_counted(self) -> None:
        walk = lookup()
        walk.seed([node(1)])
        candidate = take(walk)
        walk.put_aside(candidate)
        self.assertEqual((walk.asked, walk.waiting, walk.in_flight), (0, 0, 0))
        self.assertIsNone(walk.take())
        walk.put_back(candidate)
        self.assertIs(take(walk), candidate)
        self.assertEqual((walk.asked, walk.waiting, walk.in_flight), (1, 1, 1))

    @given(st.randoms(use_true_random=False))
    def test_whatever_strangers_do_it_ends_within_its_bounds(self, random: object) -> None:
        """Answers, failures, lies and stalls in any order."""
        chance = random.randrange  # type: ignore[attr-defined]
        limits = replace(DEFAULT_LIMITS, dht_lookup_queries=40)
        walk = lookup(limits)
        walk.seed([node(1 << chance(160)) for _ in range(chance(10))])
        walk.seed_addresses([PeerAddress("20.0.0.1", 1 + n) for n in range(chance(3))])
        flying: list[Candidate] = []
        while True:
            while (candidate := walk.take()) is not None:
                flying.append(candidate)
                self.assertLessEqual(walk.in_flight, limits.dht_in_flight)
            if not flying:
                break
            each = flying[chance(len(flying))]
            what = chance(5)
            if what == 0 and not each.stalled:
                walk.stalled(each)
                continue
            flying.remove(each)
            if what == 1:
                walk.failed(each)
            elif what == 2 and each.node_id is not None:
                walk.misnamed(each, chance(1 << 160).to_bytes(20, "big"))
            else:
                named = [
                    node((each.distance >> chance(9)) % (1 << 159) + chance(9)) for _ in range(chance(20))
                ]
                walk.answered(each, each.node_id or node(chance(1 << 160)).id, named, None)
        self.assertTrue(walk.finished)
        self.assertEqual((walk.in_flight, walk.waiting), (0, 0))
        self.assertLessEqual(walk.asked, limits.dht_lookup_queries)
        self.assertLessEqual(len(walk._known), limits.dht_lookup_queries * CLOSEST)
        self.assertEqual([e.distance for e in walk.closest], sorted(e.distance for e in walk.closest))
        self.assertLessEqual(len(walk.closest), CLOSEST)
