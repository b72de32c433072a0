"""Fetches that peers help with names: who is kept for that, what it costs others, and when it ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred

from functorrent.fetch.result import Metadata
from functorrent.interfaces import PeerAddress, SourceReport
from functorrent.limits import DEFAULT_LIMITS
from functorrent.peer.ut_pex import UtPex
from functorrent.testing import behaviours
from functorrent.testing.seeder import SeederProtocol
from tests.fetch.bed import INFO, FetchCase, peer, tracker_report
from tests.naming import Names

LIMITS = DEFAULT_LIMITS


class Case(FetchCase):
    def setUp(self) -> None:
        super().setUp()

        def race(infohash: bytes) -> Any:
            fetch = self.core.fetches.get(infohash)
            return fetch.race if fetch is not None and not fetch.race.over else None

        extension = UtPex(self.core.deadlines, race, self.limits)
        ut_metadata = self.core.table.extensions["ut_metadata"]
        self.core.table = type(self.core.table)([ut_metadata, extension], "0.1")

    def start(self, *addresses: PeerAddress, released: Any = None) -> Deferred[Metadata]:
        """A fetch whose source has named these, and is at work still."""
        self.fetch = self.factory(released=released)
        self.race = self.fetch.race
        result = self.fetch.fetch()
        self.source.say(*addresses)
        return result

    def lacking(self, *numbers: int, says: Iterable[PeerAddress] | None = None, **how: Any) -> None:
        for number in numbers:
            messages = [] if says is None else [says]
            self.network.seeder(peer(number), INFO, Names(*messages, **how))


class HelpTests(Case):
    def test_one_without_metadata_names_one_that_has_it(self) -> None:
        self.lacking(1, says=[peer(2)])
        self.network.seeder(peer(2), INFO)
        result = self.start(peer(1))
        self.source.finish(tracker_report(1))
        self.assertLess(self.run_until_told(result), 2)
        report = self.fetched(result).report
        self.assertEqual(self.outcomes(report.peers), {"fetched": 1, "no_metadata": 1})
        self.assert_nothing_left()

    def test_names_of_names(self) -> None:
        """As far as it goes, each kept while the next is asked."""
        for number in range(1, 6):
            self.lacking(number, says=[peer(number + 1)])
        self.network.seeder(peer(6), INFO)
        result = self.start(peer(1))
        self.source.finish(tracker_report(1))
        self.assertLess(self.run_until_told(result), 7)
        self.assertEqual(self.outcomes(self.fetched(result).report.peers), {"fetched": 1, "no_metadata": 5})
        self.assert_nothing_left()

    def test_one_with_metadata_names_others(self) -> None:
        """It sends one block and no more; those it names have them all."""
        stalls = [behaviours.ClosesAfter(0), Names([peer(2)], metadata=True)]
        self.network.seeder(peer(1), INFO, *stalls)
        self.network.seeder(peer(2), INFO)
        result = self.start(peer(1))
        self.source.finish(tracker_report(1))
        self.assertLess(self.run_until_told(result), 2)
        self.fetched(result)
        self.assert_nothing_left()

    def test_a_slow_peer_beside_those_that_are_kept(self) -> None:
        """It is the last that has the metadata, so it may take its time."""
        self.lacking(1, 2)
        self.network.seeder(peer(3), INFO, behaviours.Trickle(180.0, after=300))
        result = self.start(peer(1), peer(2), peer(3))
        self.source.finish(tracker_report(3))
        self.assertGreater(self.run_until_told(result), LIMITS.progress_timeout)
        self.fetched(result)
        self.assert_nothing_left()

    def test_one_that_gets_the_metadata_itself(self) -> None:
        """Ten seconds later, while a source is at work still."""

        class GetsIt(behaviours.Behaviour):
            has = False

            def extended_items(self, peer: SeederProtocol, items: dict[str, Any]) -> dict[str, Any]:
                if not self.has:
                    self.has = True
                    del items["metadata_size"]
                    peer.seeder.clock.callLater(10, peer.send_extended_handshake)
                return items

        self.network.seeder(peer(1), INFO, GetsIt())
        result = self.start(peer(1))
        self.run_for(9)
        self.assertEqual(self.race.exchanging, 0)
        self.run_for(2)
        self.assertEqual(self.outcomes(self.fetched(result).report.peers), {"fetched": 1})
        self.assert_nothing_left()


class EndTests(Case):
    def test_nobody_says_anything(self) -> None:
        """The end waits for the first message, and not for the time limit."""
        self.lacking(1, 2, 3)
        result = self.start(peer(1), peer(2), peer(3))
        self.source.finish(tracker_report(3))
        took = self.run_until_told(result)
        self.assertGreaterEqual(took, LIMITS.pex_wait)
        self.assertLess(took, LIMITS.pex_wait + 1)
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"no_metadata": 3})
        self.assert_nothing_left()

    def test_others_are_tried_longer_than_that(self) -> None:
        """Nothing is added to the time of a fetch whose other peers are slow to fail."""
        for number in range(2, 10):
            self.network.answers[peer(number)] = "silent"
        self.lacking(1)
        result = self.start(*[peer(number) for number in range(1, 10)])
        self.source.finish(tracker_report(9))
        took = self.run_until_told(result)
        self.assertGreaterEqual(took, LIMITS.connect_timeout)
        self.assertLess(took, LIMITS.connect_timeout + 1)
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"timed_out": 8, "no_metadata": 1})

    def test_those_named_are_no_use(self) -> None:
        self.lacking(1, says=[peer(2), peer(3)])
        self.network.answers[peer(2)] = "refused"
        self.network.seeder(peer(3), INFO, behaviours.CorruptBlock(0))
        result = self.start(peer(1))
        self.source.finish(tracker_report(1))
        took = self.run_until_told(result)
        # Who has said its say is waited for no more.
        self.assertLess(took, 3)
        self.assertEqual(
            self.outcomes(self.failed(result).report.peers), {"no_metadata": 1, "refused": 1, "bad_data": 1}
        )
        self.assert_nothing_left()

    def test_one_that_never_greeted_is_tried_again_meanwhile(self) -> None:
        """Peers that are kept are nobody to wait for with that."""
        self.lacking(1)
        self.network.seeder(peer(2), INFO, behaviours.NeverSpeaks())
        result = self.start(peer(1), peer(2))
        self.run_for(LIMITS.handshake_timeout + 2)
        self.assertEqual(self.network.dialed.count(peer(2)), 2)
        self.source.finish(tracker_report(2))
        self.run_until_told(result)
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"timed_out": 1, "no_metadata": 1})

    def test_the_time_limit(self) -> None:
        """They are kept while a source is at work, and counted as what they are."""
        self.lacking(1, 2)
        result = self.start(peer(1), peer(2))
        self.run_for(59)
        self.assertEqual(len(self.network.open), 2)
        self.assertTrue(self.race.hungry)
        self.assertFalse(self.race.exhausted)
        self.run_for(2)
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"no_metadata": 2})
        self.assert_nothing_left()

    def test_cancelled(self) -> None:
        self.lacking(1)
        result = self.start(peer(1))
        self.run_for(10)
        result.cancel()
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"no_metadata": 1})
        self.assert_nothing_left()

    def test_a_source_ends_long_after(self) -> None:
        self.lacking(1)
        result = self.start(peer(1))
        self.run_for(20)
        self.source.finish(tracker_report(1))
        self.assertLess(self.run_until_told(result), 1)
        self.failed(result)
        self.assert_nothing_left()


class CostTests(Case):
    limits = replace(DEFAULT_LIMITS, max_peers_per_magnet=4)

    def test_they_take_no_place_of_others(self) -> None:
        """Four of four places could be theirs; the one that has it all is dialed, all the same."""
        self.lacking(1, 2, 3, 4)
        self.network.seeder(peer(5), INFO)
        result = self.start(peer(1), peer(2), peer(3), peer(4))
        self.run_for(1)
        self.assertEqual((len(self.network.open), self.race.exchanging), (4, 0))
        self.source.say(peer(5))
        self.run_for(1)
        self.fetched(result)
        self.assert_nothing_left()

    def test_they_hold_no_slot(self) -> None:
        released: list[int] = []
        self.lacking(1)
        self.start(peer(1), released=lambda: released.append(1)).addErrback(lambda _: None)
        self.run_for(0.25)
        self.assertEqual(released, [1])
        self.fetch.cancel()

    def test_no_more_than_a_few_of_a_fetch(self) -> None:
        self.lacking(*range(1, 21))
        result = self.start(*[peer(number) for number in range(1, 21)])
        self.run_for(2)
        self.assertEqual(len(self.network.open), LIMITS.max_pex_kept)
        self.assertEqual(self.race.counts["no_metadata"], 20 - LIMITS.max_pex_kept)
        self.source.finish(tracker_report(20))
        self.run_until_told(result)
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"no_metadata": 20})

    def test_where_sockets_are_scarce_none_is_kept(self) -> None:
        self.lacking(1)
        self.core.dialer.most_sockets = 3
        self.start(peer(1)).addErrback(lambda _: None)
        self.run_for(1)
        self.assertEqual(self.network.open, set())
        self.assertEqual(self.race.counts["no_metadata"], 1)
        self.fetch.cancel()

    def test_where_they_become_scarce_those_kept_go(self) -> None:
        self.lacking(1)
        self.start(peer(1)).addErrback(lambda _: None)
        self.run_for(10)
        self.assertEqual(len(self.network.open), 1)
        self.core.dialer.most_sockets = 3
        self.run_for(LIMITS.progress_timeout + 1)
        self.assertEqual(self.network.open, set())
        self.fetch.cancel()


class HostileTests(Case):
    def test_a_flood_beside_an_honest_peer(self) -> None:
        """Thousands of names that lead nowhere: bounded, and last in line."""
        junk = [peer(number, 1000 + number % 7) for number in range(200, 5000)]
        for address in junk:
            self.network.answers[address] = "refused"
        flood = [junk[n : n + 90] for n in range(0, len(junk), 90)]
        self.network.seeder(peer(1), INFO, Names(*flood, after=0.0))
        self.network.seeder(peer(2), INFO)
        result = self.start(peer(1))
        self.run_for(1)
        self.assertEqual(self.race.counts["bad_data"], 1)
        self.assertLessEqual(len(self.network.dialed), 1 + LIMITS.max_pex_peers)
        self.source.say(peer(2))
        self.run_for(1)
        self.fetched(result)
        self.assert_nothing_left()

    def test_many_liars(self) -> None:
        """Each names as many as it may: together they stay under the bound."""
        for liar in range(1, 11):
            self.lacking(liar, says=[peer(liar * 100 + number) for number in range(60)])
        for number in range(100, 2000):
            self.network.answers[peer(number)] = "refused"
        result = self.start(*[peer(liar) for liar in range(1, 11)])
        self.source.finish(tracker_report(10))
        self.assertLess(self.run_until_told(result), 10)
        report = self.failed(result).report
        counts = report.peers
        self.assertLessEqual(counts["found"], 10 + LIMITS.max_hearsay)
        self.assertEqual(counts["no_metadata"], 10)
        # They are told apart from what the tracker named.
        heard = counts["found"] - 10
        self.assertIn(
            f"answered with 10 peers; {heard} peers were named by other peers: ", report.reason or ""
        )
        self.assertEqual(report.sources[-1], SourceReport("pex", heard))
        self.assert_nothing_left()

    def test_local_addresses(self) -> None:
        self.lacking(1, says=[PeerAddress(host, 80) for host in ("127.0.0.1", "192.168.0.1", "10.0.0.1")])
        result = self.start(peer(1))
        self.source.finish(tracker_report(1))
        self.run_until_told(result)
        self.assertEqual(self.network.dialed, [peer(1)])
        self.assertEqual(
            self.outcomes(self.failed(result).report.peers), {"not_allowed": 3, "no_metadata": 1}
        )
