"""The race of one magnet's peers: every outcome, redials, liars, callers, bounds, memory."""

from __future__ import annotations

import errno
from dataclasses import replace
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from functorrent.errors import PeerError
from functorrent.fetch.race import Race
from functorrent.fetch.result import Metadata
from functorrent.fetch.settings import FetchSettings
from functorrent.interfaces import IMetadataSink, IPeerExchangeSink, PeerAddress
from functorrent.limits import DEFAULT_LIMITS
from functorrent.peer.listener import ICalledFor
from functorrent.peer.protocol import IPeerOwner
from functorrent.testing import behaviours, sample_info
from functorrent.wire.metadata import MetadataReject
from tests.fetch.bed import BIG, INFO, FetchCase, Source, peer, tracker_report


class Case(FetchCase):
    def start(self, info: bytes = INFO, **magnet: Any) -> Deferred[Metadata]:
        self.fetch = self.factory(info, **magnet)
        self.race = self.fetch.race
        return self.fetch.fetch()

    def race_of(self, *addresses: PeerAddress, info: bytes = INFO) -> Deferred[Metadata]:
        """A fetch whose one source has named these peers, and is finished."""
        result = self.start(info)
        self.source.say(*addresses)
        self.source.finish(tracker_report(len(addresses)))
        return result

    def outcome(self, behaviour: Any, info: bytes = INFO) -> str:
        """What becomes of the one peer there is."""
        address = peer(len(self.network.answers))
        if isinstance(behaviour, behaviours.Behaviour):
            self.network.seeder(address, info, behaviour)
        else:
            self.network.answers[address] = behaviour
        result = self.race_of(address, info=info)
        self.run_until_told(result)
        error = self.failed(result)
        self.assertEqual(error.report.peers["found"], 1)
        (outcome,) = self.outcomes(error.report.peers)
        self.assert_nothing_left()
        return outcome


class OutcomeTests(Case):
    def test_what_it_is(self) -> None:
        race = self.factory().race
        self.assertIsInstance(race, Race)
        for interface in (IPeerExchangeSink, IPeerOwner, ICalledFor):
            verifyObject(interface, race)
        verifyObject(IMetadataSink, race.exchange)

    def test_fetched(self) -> None:
        self.network.seeder(peer(1), INFO)
        result = self.race_of(peer(1))
        self.run_for(1)
        metadata = self.fetched(result)
        self.assertEqual(self.outcomes(metadata.report.peers), {"fetched": 1})
        self.assert_nothing_left()

    def test_dials_that_come_to_nothing(self) -> None:
        self.assertEqual(self.outcome("refused"), "refused")
        self.assertEqual(self.outcome("silent"), "timed_out")
        self.assertEqual(self.outcome(errno.ENETUNREACH), "unreachable")
        self.assertEqual(self.outcome(errno.EHOSTUNREACH), "unreachable")
        self.assertEqual(self.outcome(errno.ETIMEDOUT), "timed_out")

    def test_peers_that_are_of_no_use(self) -> None:
        for behaviour, outcome in (
            (behaviours.NeverSpeaks(), "timed_out"),
            (behaviours.SpeaksGarbage(), "not_bittorrent"),
            (behaviours.WrongInfohash(), "wrong_infohash"),
            (behaviours.SelfPeerId(), "self"),
            (behaviours.NoExtensionBit(), "no_extensions"),
            (behaviours.NoMetadata(), "no_metadata"),
            (behaviours.ClaimsSize(None), "no_metadata"),
            (behaviours.ClaimsSize(0), "no_metadata"),
            (behaviours.ClaimsSize(-1), "bad_data"),
            (behaviours.ClaimsSize(2**63), "bad_data"),
            (behaviours.HostileBencode(), "bad_data"),
            (behaviours.DataBeforeHandshake(), "bad_data"),
            (behaviours.CorruptBlock(), "bad_data"),
            (behaviours.WrongBlockLength(), "bad_data"),
            (behaviours.UnrequestedBlock(), "bad_data"),
            (behaviours.RejectsEverything(), "rejected"),
            (behaviours.ClosesAfter(0), "stalled"),
        ):
            with self.subTest(behaviour=behaviour):
                self.assertEqual(self.outcome(behaviour), outcome, behaviour)

    def test_one_that_hangs_up(self) -> None:
        class HangsUp(behaviours.Behaviour):
            def connected(self, peer: Any) -> bool:
                peer.drop()
                return True

        self.assertEqual(self.outcome(HangsUp()), "closed")

    def test_one_that_hangs_up_when_asked(self) -> None:
        class HangsUp(behaviours.Behaviour):
            def answers(self, peer: Any, piece: int, answers: Any) -> Any:
                peer.drop()
                return []

        self.assertEqual(self.outcome(HangsUp()), "closed")

    def test_odd_but_honest(self) -> None:
        info = sample_info(50_000)
        for behaviour in (
            behaviours.SendsFirst(),
            behaviours.RejectsFirst(1),
            behaviours.BlockSizeAsTotal(),
            behaviours.WholeInOneMessage(),
        ):
            self.network.seeder(peer(1), info, behaviour)
            result = self.race_of(peer(1), info=info)
            self.run_for(5)
            self.assertTrue(result.called, behaviour)
            self.fetched(result, info)
            self.assert_nothing_left()

    def test_addresses_that_are_not_allowed(self) -> None:
        result = self.race_of(
            PeerAddress("127.0.0.1", 5), PeerAddress("10.0.0.1", 5), PeerAddress("224.0.0.1", 5), peer(1, 0)
        )
        error = self.failed(result)
        self.assertEqual(self.outcomes(error.report.peers), {"not_allowed": 4})
        self.assertEqual(self.network.dialed, [])

    def test_ourselves(self) -> None:
        self.core = self.make_core(FetchSettings(allow_local=True), self.limits, [self.source])
        self.core.identity.port = 7000
        result = self.race_of(PeerAddress("127.0.0.1", 7000), PeerAddress("::1", 7000))
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"self": 2})
        self.assertEqual(self.network.dialed, [])

    def test_what_the_end_finds_unfinished(self) -> None:
        """The winner ends all; who was dialed, connected or waiting was not waited for."""
        self.network.seeder(peer(1), INFO)
        self.network.seeder(peer(2), INFO, behaviours.NeverSpeaks())
        self.core.dialer.most_sockets = 3
        result = self.race_of(*[peer(number) for number in range(1, 10)])
        self.run_for(1)
        counts = self.fetched(result).report.peers
        self.assertEqual(self.outcomes(counts), {"fetched": 1, "cancelled": 8})
        self.assert_nothing_left()

    def test_cancelled(self) -> None:
        self.network.seeder(peer(2), INFO, behaviours.NeverSpeaks())
        self.network.seeder(peer(3), INFO, behaviours.ClosesAfter(0))
        result = self.race_of(*[peer(number) for number in range(5)])
        self.run_for(0.5)
        result.cancel()
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"cancelled": 5})
        self.assert_nothing_left()

    def test_the_time_limit(self) -> None:
        """Those who had all the time there was did not use it."""
        self.core = self.make_core(FetchSettings(timeout=3.0), self.limits, [self.source])
        self.network.seeder(peer(2), INFO, behaviours.NeverSpeaks())
        self.network.seeder(peer(3), INFO, behaviours.ClosesAfter(0))
        self.core.dialer.most_sockets = 3
        result = self.race_of(*[peer(number) for number in range(1, 6)])
        self.run_until_told(result)
        self.assertEqual(
            self.outcomes(self.failed(result).report.peers), {"cancelled": 2, "timed_out": 2, "stalled": 1}
        )
        self.assert_nothing_left()

    def test_an_outcome_of_a_plugins_own(self) -> None:
        class Odd(PeerError):
            outcome = "odd"

        self.network.seeder(peer(1), INFO, behaviours.ClosesAfter(0))
        result = self.race_of(peer(1))
        self.run_for(1)
        next(iter(self.race._peers)).abort(Odd("x"))
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"bad_data": 1})


class CandidateTests(Case):
    def test_each_once(self) -> None:
        result = self.start()
        self.network.answers[peer(1)] = "refused"
        for _ in range(3):
            self.source.say(peer(1), peer(1))
            self.run_for(1)
        self.source.finish()
        self.assertEqual(self.failed(result).report.peers["found"], 1)
        self.assertEqual(self.network.dialed, [peer(1)])

    def test_no_more_than_so_many(self) -> None:
        self.core = self.make_core(FetchSettings(), replace(self.limits, max_candidates=10), [self.source])
        for number in range(100):
            self.network.answers[peer(number)] = "refused"
        result = self.race_of(*[peer(number) for number in range(100)])
        self.run_until_told(result)
        self.assertEqual(self.failed(result).report.peers["found"], 10)

    @staticmethod
    def refuse(asked: list[str], host: str, race: Any) -> bool:
        asked.append(host)
        return False

    def test_hosts_looked_at(self) -> None:
        """However many there are, a look at who may be dialed is short."""
        self.core.dialer.most_sockets = self.core.dialer.sockets = 1
        self.race_of(*[peer(number) for number in range(500)])
        asked: list[str] = []
        for _ in range(20):
            self.race.next_dial(partial(self.refuse, asked))
        # Each time others, so that none is never looked at.
        self.assertEqual((len(asked), len(set(asked))), (20 * 32, 500))

    def test_so_many_at_once(self) -> None:
        self.race_of(*[peer(number) for number in range(100)])
        self.assertEqual(len(self.network.open), self.limits.max_peers_per_magnet)

    def test_dialed_the_moment_they_are_named(self) -> None:
        self.network.seeder(peer(1), INFO)
        result = self.start()
        self.source.say(peer(1))
        self.run_for(1)
        self.fetched(result)
        self.assertEqual(self.source.cancelled, 1)

    def test_named_too_late(self) -> None:
        self.network.seeder(peer(1), INFO)
        result = self.start()
        sink = self.source.finds[0][1]
        self.source.say(peer(1))
        self.run_for(1)
        sink.peers([peer(2)])
        self.assertEqual(self.fetched(result).report.peers["found"], 1)

    def test_a_local_one_that_somebody_on_our_subnet_names_as_well(self) -> None:
        """Refused when a tracker, or a peer, names it; not for that when it speaks to us itself."""
        local = [PeerAddress("192.168.1.5", 6881), PeerAddress("192.168.1.6", 6881)]
        self.network.seeder(local[1], INFO)
        result = self.start()
        sink = self.source.finds[0][1]
        for _ in range(2):
            sink.peers(local)
            sink.peers(local, hearsay=True)
        self.run_for(1)
        self.assertEqual((self.network.dialed, self.race.counts["not_allowed"]), ([], 2))
        for _ in range(2):
            sink.peers(local[1:], on_link=True)
        self.run_for(1)
        report = self.fetched(result).report
        self.assertEqual(self.network.dialed, local[1:])
        self.assertEqual(self.outcomes(report.peers), {"fetched": 1, "not_allowed": 1})
        self.assertEqual(self.race.local, 1)

    def test_an_honest_one_behind_many_dead_ones(self) -> None:
        """The connect time limit shrinks when many candidates wait (DESIGN section 4)."""
        self.network.seeder(peer(400), INFO)
        result = self.race_of(*[peer(number) for number in range(401)])
        self.assertLess(self.run_until_told(result), 20)
        self.fetched(result)

    def test_few_are_waited_for_as_long_as_ever(self) -> None:
        result = self.race_of(*[peer(number) for number in range(40)])
        self.assertGreaterEqual(self.run_until_told(result), self.limits.connect_timeout)
        self.failed(result)

    def test_a_machine_short_of_sockets_fails_no_magnet(self) -> None:
        self.network.answers[peer(1)] = errno.EMFILE
        result = self.race_of(peer(1))
        self.run_for(3)
        self.assertFalse(result.called)
        self.assertLessEqual(len(self.network.dialed), 61)
        self.network.seeder(peer(1), INFO)
        self.run_for(1)
        self.fetched(result)
        self.assert_nothing_left()

    def test_a_machine_short_of_sockets_to_the_end(self) -> None:
        self.network.answers[peer(1)] = errno.EMFILE
        result = self.race_of(peer(1))
        self.run_until_told(result)
        self.failed(result)
        self.assert_nothing_left()

    def test_one_host_with_many_dead_ports(self) -> None:
        result = self.race_of(*[PeerAddress("93.184.0.1", port) for port in range(1000, 1100)], peer(7))
        self.run_for(1)
        self.assertIn(peer(7), self.network.dialed)
        self.assertEqual(len(self.network.open), self.limits.max_unanswered_per_host + 1)
        asked: list[str] = []
        self.race.next_dial(partial(self.refuse, asked))
        self.assertEqual(asked, ["93.184.0.1"])
        self.run_until_told(result)
        self.failed(result)


class HearsayTests(Case):
    """Peers that peers have named."""

    limits = replace(DEFAULT_LIMITS, max_peers_per_magnet=4, max_hearsay=5)

    def hear(self, *addresses: PeerAddress, **how: Any) -> None:
        self.source.finds[0][1].peers(addresses, hearsay=True, **how)

    def test_after_all_others(self) -> None:
        """Those that are named later, too, as long as hearsay waits."""
        result = self.start()
        for number in range(30):
            self.network.answers[peer(number)] = "refused"
        # The first dials take up all places there are.
        self.source.say(*[peer(number) for number in range(4)])
        self.hear(peer(10), peer(11))
        self.source.say(*[peer(number) for number in range(4, 8)])
        self.source.finish()
        self.run_until_told(result)
        order = [*[peer(number) for number in range(8)], peer(10), peer(11)]
        self.assertEqual(self.network.dialed, order)
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"refused": 10})
        self.assert_nothing_left()

    def test_dialed_at_once_where_there_is_no_other(self) -> None:
        self.network.seeder(peer(1), INFO)
        result = self.start()
        self.hear(peer(1))
        self.assertEqual(self.network.dialed, [peer(1)])
        self.run_for(1)
        self.fetched(result)

    def test_no_more_than_so_many(self) -> None:
        """Whoever names them, and however often; others are not counted against them."""
        result = self.start()
        for number in range(100):
            self.network.answers[peer(number)] = "refused"
        for number in range(50):
            self.hear(peer(number), peer(0))
        self.source.say(*[peer(number) for number in range(50, 60)])
        self.source.finish()
        self.run_until_told(result)
        self.assertEqual(self.failed(result).report.peers["found"], 5 + 10)

    def test_not_counted_when_known_already(self) -> None:
        result = self.start()
        for number in range(20):
            self.network.answers[peer(number)] = "refused"
        self.source.say(*[peer(number) for number in range(10)])
        self.hear(*[peer(number) for number in range(20)])
        self.source.finish()
        self.run_until_told(result)
        self.assertEqual(self.failed(result).report.peers["found"], 10 + 5)

    def test_one_that_a_tracker_names_as_well(self) -> None:
        """It moves up, and is dialed once."""
        result = self.start()
        for number in range(30):
            self.network.answers[peer(number)] = "refused"
        self.source.say(*[peer(number) for number in range(4)])
        self.hear(peer(10), peer(11), peer(12))
        for _ in range(2):
            self.source.say(peer(11))
        self.hear(peer(11))
        self.source.finish()
        self.run_until_told(result)
        self.assertEqual(self.network.dialed[4:], [peer(11), peer(10), peer(12)])
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"refused": 7})

    def test_the_guard(self) -> None:
        """A peer may not send us where a tracker may not."""
        result = self.start()
        hosts = ("127.0.0.1", "10.0.0.1", "224.0.0.1", "0.0.0.0", "169.254.169.254")
        self.hear(*[PeerAddress(host, 80) for host in hosts])
        self.source.finish()
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"not_allowed": 5})
        self.assertEqual(self.network.dialed, [])

    def test_on_our_own_subnet(self) -> None:
        """Local addresses pass where whoever names them was met there; what is no host never does."""
        for hearsay in (False, True):
            self.network.dialed.clear()
            result = self.start()
            sink = self.source.finds[-1][1]
            local = PeerAddress("192.168.1.5", 6881)
            self.network.answers[local] = "refused"
            sink.peers([local, PeerAddress("224.0.0.1", 6881)], hearsay=hearsay, on_link=True)
            self.source.finish()
            self.run_until_told(result)
            self.assertEqual(
                self.outcomes(self.failed(result).report.peers), {"refused": 1, "not_allowed": 1}
            )
            self.assertEqual(self.network.dialed, [local])

    def test_those_left_over_are_counted(self) -> None:
        result = self.start()
        self.source.say(*[peer(number) for number in range(4)])
        self.hear(peer(10), peer(11))
        self.run_for(1)
        self.assertTrue(self.race.wants_dial() is False and not self.race.idle)
        result.cancel()
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"cancelled": 6})
        self.assert_nothing_left()

    def test_time_for_each_is_shorter_where_many_wait(self) -> None:
        """Hearsay counts as waiting, too."""
        self.core = self.make_core(FetchSettings(), replace(self.limits, max_hearsay=16), [self.source])
        result = self.start()
        self.source.say(*[peer(number) for number in range(4)])
        self.hear(*[peer(number) for number in range(10, 26)])
        self.source.finish()
        took = self.run_until_told(result)
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"timed_out": 20})
        # Five rounds, of which the later are shorter.
        self.assertLess(took, 4 * DEFAULT_LIMITS.connect_timeout)


class RedialTests(Case):
    def test_one_that_closes_after_a_few_blocks(self) -> None:
        for blocks in (1, 2, 3):
            self.network.dialed.clear()
            self.network.seeder(peer(1), BIG, behaviours.ClosesAfter(blocks))
            result = self.race_of(peer(1), info=BIG)
            self.run_for(10)
            counts = self.fetched(result, BIG).report.peers
            self.assertEqual(self.outcomes(counts), {"fetched": 1})
            self.assertEqual(len(self.network.dialed), -(-7 // blocks))
            self.assert_nothing_left()

    def test_one_that_closes_after_a_few_and_then_for_good(self) -> None:
        class Twice(behaviours.ClosesAfter):
            def answers(self, peer: Any, piece: int, answers: Any) -> Any:
                if len(peer.seeder.connections) > 2:
                    peer.drop()
                    return []
                return super().answers(peer, piece, answers)

        self.network.seeder(peer(1), BIG, Twice(2))
        result = self.race_of(peer(1), info=BIG)
        self.run_until_told(result)
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"closed": 1})
        self.assertEqual(len(self.network.dialed), 3)

    def test_one_that_was_seen_to_lie_is_not_called_again(self) -> None:
        self.network.seeder(peer(1), BIG, behaviours.CorruptBlock(3))
        result = self.race_of(peer(1), info=BIG)
        self.run_until_told(result)
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"bad_data": 1})
        self.assertEqual(len(self.network.dialed), 1)

    def test_one_that_keeps_us_busy(self) -> None:
        """A block of another size each time, and a hang-up: no loop without end."""

        class Busy(behaviours.ClosesAfter):
            def extended_items(self, peer: Any, items: Any) -> Any:
                return {**items, "metadata_size": 100_000 + len(peer.seeder.connections)}

        self.network.latency = 1 / 1024
        self.network.seeder(peer(1), BIG, Busy(1))
        result = self.race_of(peer(1), info=BIG)
        self.run_until_told(result)
        self.failed(result)
        self.assertLess(len(self.network.dialed), 2000)
        self.assert_nothing_left()

    def test_one_that_does_not_greet_is_tried_once_more(self) -> None:
        class Shy(behaviours.Behaviour):
            def connected(self, peer: Any) -> bool:
                if len(peer.seeder.connections) == 1:
                    peer.drop()
                    return True
                return False

        self.network.seeder(peer(1), INFO, Shy())
        result = self.race_of(peer(1))
        self.run_for(2)
        self.assertEqual(self.outcomes(self.fetched(result).report.peers), {"fetched": 1})
        self.assert_nothing_left()

    def test_the_second_time_it_has_less_time_to_greet(self) -> None:
        self.network.seeder(peer(1), INFO, behaviours.NeverSpeaks())
        result = self.race_of(peer(1))
        took = self.run_until_told(result)
        limits = self.limits
        self.assertGreater(took, limits.handshake_timeout + limits.second_handshake_timeout)
        self.assertLess(took, limits.handshake_timeout + limits.second_handshake_timeout + 1.5)
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"timed_out": 1})
        self.assertEqual(len(self.network.dialed), 2)

    def test_ended_before_it_is_tried_once_more(self) -> None:
        class HangsUp(behaviours.Behaviour):
            def connected(self, peer: Any) -> bool:
                peer.drop()
                return True

        for others in ((), (peer(2),)):
            self.network.seeder(peer(1), INFO, HangsUp())
            result = self.race_of(peer(1), *others)
            self.run_for(0.25)
            self.assertEqual(len(self.race._again), 1)
            result.cancel()
            counts = self.failed(result).report.peers
            self.assertEqual((counts["closed"], counts["cancelled"]), (1, len(others)))
            self.assert_nothing_left()

    def test_but_not_while_another_is_left(self) -> None:
        self.network.seeder(peer(1), INFO, behaviours.SpeaksGarbage(b""), behaviours.NeverSpeaks())

        class HangsUp(behaviours.Behaviour):
            def connected(self, peer: Any) -> bool:
                peer.drop()
                return True

        self.network.seeder(peer(2), INFO, HangsUp())
        self.race_of(peer(1), peer(2))
        self.run_for(4)
        self.assertEqual(self.network.dialed.count(peer(2)), 1)


class LiarTests(Case):
    """One honest peer is enough."""

    def check(self, *liars: Any, info: bytes = BIG, within: float = 10.0, honest_first: bool = False) -> Any:
        addresses = []
        for number, liar in enumerate(liars):
            self.network.seeder(peer(number), info, *liar)
            addresses.append(peer(number))
        self.network.seeder(peer(100), info)
        result = self.start(info)
        if honest_first:
            self.source.say(peer(100))
        self.source.say(*addresses)
        if not honest_first:
            self.run_for(0.5)
            self.source.say(peer(100))
        self.source.finish(tracker_report(len(addresses) + 1))
        took = self.run_until_told(result)
        metadata = self.fetched(result, info)
        self.assertLess(took, within, liars)
        self.assert_nothing_left()
        return metadata.report.peers

    def test_beside_each_kind(self) -> None:
        for liar in (
            behaviours.ClaimsSize(99_999),
            behaviours.ClaimsSize(100_001),
            behaviours.ClaimsSize(32 * 1024 * 1024),
            behaviours.CorruptBlock(0),
            behaviours.CorruptBlock(6),
            behaviours.CorruptBlock(None),
            behaviours.WrongBlockLength(-1),
            behaviours.WrongBlockLength(1),
            behaviours.UnrequestedBlock(),
            behaviours.RejectsEverything(),
            behaviours.NeverSpeaks(),
            behaviours.ClosesAfter(0),
            behaviours.ClosesAfter(1),
            behaviours.HostileBencode(),
            behaviours.DataBeforeHandshake(),
            behaviours.OneBlockEvery(4.0),
            behaviours.Trickle(100.0),
        ):
            for honest_first in (False, True):
                with self.subTest(liar=liar):
                    self.check([liar], honest_first=honest_first)

    def test_beside_many_of_a_kind(self) -> None:
        for make in (
            lambda: behaviours.CorruptBlock(None),
            lambda: behaviours.ClosesAfter(0),
            lambda: behaviours.RejectsEverything(),
            lambda: behaviours.OneBlockEvery(4.0),
        ):
            self.check(*[[make()] for _ in range(8)])

    def test_one_block_and_many_that_never_answer(self) -> None:
        """Whoever is asked in vain holds up nobody."""
        self.check(*[[behaviours.ClosesAfter(0)] for _ in range(20)], info=INFO)

    def test_many_that_never_answer_and_one_that_offers_on_and_on(self) -> None:
        """It is idle each time, and must not put off the asking of others."""

        class Offers(behaviours.ClosesAfter):
            def answers(self, peer: Any, piece: int, answers: Any) -> Any:
                for later in range(1, 200):
                    peer.seeder.clock.callLater(later / 4, self.again, peer)
                return [MetadataReject(piece)]

            def again(self, peer: Any) -> None:
                if peer.failure is None:
                    peer.send_extended_handshake()

        mute = [[behaviours.ClosesAfter(0)] for _ in range(20)]
        self.check(*mute, [Offers(0)], info=INFO)

    def test_many_that_keep_saying_their_handshake(self) -> None:
        class Chatty(behaviours.ClosesAfter):
            def extended_handshake(self, peer: Any, handshake: Any) -> None:
                self.again(peer)

            def again(self, peer: Any) -> None:
                if peer.failure is None:
                    peer.send_extended_handshake()
                    peer.seeder.clock.callLater(1.0, self.again, peer)

        self.check(*[[Chatty(0)] for _ in range(20)], info=INFO)

    def test_all_lie(self) -> None:
        addresses = [peer(number) for number in range(6)]
        for address in addresses:
            self.network.seeder(address, BIG, behaviours.CorruptBlock(2))
        result = self.race_of(*addresses, info=BIG)
        self.run_until_told(result)
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"bad_data": 6})
        self.assert_nothing_left()


class SlowTests(Case):
    def test_a_lone_slow_peer(self) -> None:
        """It sends, if slowly, and there is no other."""
        self.network.seeder(peer(1), INFO, behaviours.Trickle(180.0, after=300))
        result = self.race_of(peer(1))
        self.assertGreater(self.run_until_told(result), self.limits.progress_timeout)
        self.fetched(result)

    def test_slow_beside_others(self) -> None:
        self.network.seeder(peer(1), INFO, behaviours.Trickle(180.0, after=300))
        self.network.seeder(peer(2), INFO, behaviours.NeverSpeaks())
        self.race_of(peer(1), peer(2))
        assert not self.race.is_lone(next(iter(self.race._peers), None))  # type: ignore[arg-type]


class PromptTests(Case):
    """What becomes free is asked of others at once, not when somebody next looks."""

    def took(self, *hows: Any) -> float:
        addresses = []
        for number, how in enumerate(hows):
            self.network.seeder(peer(number), BIG, *how)
            addresses.append(peer(number))
        result = self.race_of(*addresses, info=BIG)
        took = self.run_until_told(result)
        self.fetched(result, BIG)
        return took

    def test_of_one_that_hung_up(self) -> None:
        class Leaves(behaviours.ClosesAfter):
            def answers(self, peer: Any, piece: int, answers: Any) -> Any:
                peer.seeder.clock.callLater(0.25, peer.drop)
                return []

        self.assertLess(
            self.took([Leaves(0)], [Leaves(0)], [Leaves(0)], [behaviours.OneBlockEvery(0.01)]), 0.7
        )

    def test_of_one_that_rejects(self) -> None:
        self.assertLess(self.took([behaviours.RejectsEverything()], []), 0.5)

    def test_when_a_whole_was_wrong(self) -> None:
        for piece in (0, 3, None):
            self.assertLess(self.took([behaviours.CorruptBlock(piece)], []), 0.7)

    def test_nothing_is_kept_of_those_that_are_gone(self) -> None:
        self.network.seeder(peer(1), BIG, behaviours.ClosesAfter(0))
        self.network.seeder(peer(2), BIG, behaviours.WrongBlockLength())
        result = self.race_of(peer(1), peer(2), info=BIG)
        self.run_for(1)
        self.assertEqual(len(self.race.exchange._requesters), 1)
        result.cancel()
        self.failed(result)
        self.assertEqual(self.race.exchange._requesters, [])

    def test_nothing_is_kept_of_what_was_fetched(self) -> None:
        """The race may outlive it for a while."""
        self.network.seeder(peer(1), BIG)
        result = self.race_of(peer(1), info=BIG)
        self.run_for(2)
        self.fetched(result, BIG)
        assembly = self.race.exchange.assembly
        self.assertEqual((assembly.held, assembly.verified, assembly._wholes()), (0, None, []))


class FloodTests(Case):
    def test_rejects_nobody_asked_for(self) -> None:
        """Each would have all others asked anew."""
        asked: list[Any] = []
        self.network.seeder(peer(1), INFO, behaviours.ClosesAfter(0))
        self.network.seeder(peer(2), INFO, behaviours.ClosesAfter(0))
        self.race_of(peer(1), peer(2))
        self.run_for(0.5)
        exchange = self.race.exchange
        requester = exchange._requesters[0]
        self.patch(exchange, "_ask", asked.append)
        for _ in range(100):
            exchange.rejected(requester, 77)
        self.assertEqual(asked, [])


class TwoSourcesTests(Case):
    def test_the_same_peers_of_two(self) -> None:
        other = Source("others")
        self.core.sources = [self.source, other]
        self.network.answers[peer(1)] = "refused"
        result = self.start()
        for source in (self.source, other):
            source.say(peer(1))
            source.finish()
        self.run_until_told(result)
        self.assertEqual(self.failed(result).report.peers["found"], 1)


class BlockCountTests(Case):
    def test_stats(self) -> None:
        self.network.seeder(peer(1), BIG)
        result = self.race_of(peer(1), PeerAddress("10.0.0.1", 1), info=BIG)
        self.run_for(2)
        self.fetched(result, BIG)
        stats = self.core.stats
        self.assertEqual((stats.blocks, stats.peers_tried, stats.peers_connected), (7, 1, 1))
        self.assertEqual((stats.peers_found, stats.fetches, stats.fetched, stats.failed), (2, 1, 1, 0))
