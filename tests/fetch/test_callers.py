"""Peers that call us while a magnet is fetched."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha1
from typing import Any

from twisted.internet.defer import Deferred

from functorrent.errors import PeerClosed
from functorrent.fetch.exchange import Exchange
from functorrent.fetch.result import Metadata
from functorrent.fetch.settings import FetchSettings
from functorrent.peer.listener import PeerListener
from functorrent.testing import ScriptedSeeder, behaviours, sample_info
from functorrent.wire.handshake import Handshake
from tests.fetch.bed import BIG, INFO, FetchCase, peer, tracker_report


class CallerTests(FetchCase):
    def setUp(self) -> None:
        super().setUp()
        core = self.core
        core.identity.port = 7000

        def wanted(infohash: bytes) -> Any:
            fetch = core.fetches.get(infohash)
            return fetch.race if fetch is not None and not fetch.race.over else None

        self.listener = PeerListener(self.clock, core.deadlines, core.table, wanted, core.identity.peer_id)

    def start(self, info: bytes = INFO) -> Deferred[Metadata]:
        self.fetch = self.factory(info)
        self.race = self.fetch.race
        return self.fetch.fetch()

    def caller(self, info: bytes, *how: behaviours.Behaviour, **more: Any) -> ScriptedSeeder:
        seeder = ScriptedSeeder(info, *how, clock=self.network.clock, **more)
        self.network.call(self.listener, seeder)
        return seeder

    def test_a_seeder_that_can_only_call(self) -> None:
        result = self.start(BIG)
        self.run_for(0.5)
        self.caller(BIG)
        self.run_for(1)
        metadata = self.fetched(result, BIG)
        self.assertEqual(metadata.report.peers["found"], 1)
        self.assertEqual(self.outcomes(metadata.report.peers), {"fetched": 1})
        self.assert_nothing_left()

    def test_while_we_wait_for_one(self) -> None:
        result = self.start()
        self.source.finish(tracker_report(0, announced=True))
        self.run_for(5)
        self.caller(INFO)
        self.run_for(1)
        self.fetched(result)

    def test_one_that_is_there_when_the_wait_ends(self) -> None:
        result = self.start(BIG)
        self.source.finish(tracker_report(0, announced=True))
        self.run_for(self.core.settings.linger - 1)
        self.caller(BIG, behaviours.OneBlockEvery(1.0))
        self.run_for(20)
        self.fetched(result, BIG)

    def test_one_that_comes_to_nothing(self) -> None:
        result = self.start()
        self.source.finish(tracker_report(0, announced=True))
        self.run_for(5)
        self.caller(INFO, behaviours.NoMetadata())
        took = 5 + self.run_until_told(result)
        self.assertIn(round(took, 1), (10.0, 10.1, 10.2, 10.3))
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"no_metadata": 1})
        self.assert_nothing_left()

    def test_one_that_is_expected(self) -> None:
        """It has called, and is about to be handed over: a fetch with nothing else to go by waits for it."""
        self.core.expects = lambda infohash: infohash == sha1(BIG).digest()
        result = self.start(BIG)
        self.source.finish()
        self.run_for(1)
        self.assertNoResult(result)
        self.caller(BIG)
        self.run_for(1)
        self.fetched(result, BIG)
        self.assert_nothing_left()

    def test_one_that_is_expected_and_does_not_come(self) -> None:
        self.core.expects = lambda infohash: True
        result = self.start()
        self.source.finish()
        took = self.run_until_told(result)
        self.assertIn(round(took, 1), (10.0, 10.1, 10.2, 10.3))
        self.failed(result)
        self.assert_nothing_left()

    def test_nobody_is_expected(self) -> None:
        result = self.start()
        self.source.finish()
        self.assertLess(self.run_until_told(result), 1.0)
        self.failed(result)

    def test_another_torrent(self) -> None:
        self.start()
        seeder = self.caller(BIG)
        self.run_for(1)
        self.assertIsNotNone(seeder.connections[0].failure)
        self.assertEqual(self.race.counts["found"], 0)

    def test_ourselves(self) -> None:
        """The end that dials is the one that is counted."""
        result = self.start()
        self.network.answers[peer(1)] = self.listener
        self.source.say(peer(1))
        self.source.finish()
        self.run_until_told(result)
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"self": 1})
        self.assert_nothing_left()

    def test_no_more_than_so_many(self) -> None:
        self.start()
        seeders = [self.caller(INFO, behaviours.ClosesAfter(0)) for _ in range(30)]
        self.run_for(1)
        standing = [each for each in seeders if each.connections[0].failure is None]
        self.assertEqual((len(standing), self.race.counts["found"]), (20, 20))
        standing[0].connections[0].drop()
        self.run_for(1)
        self.caller(INFO, behaviours.ClosesAfter(0))
        self.run_for(0.5)
        self.assertEqual(self.race.counts["found"], 21)

    def test_callers_leave_room_to_dial(self) -> None:
        """Their sockets are not the dialer's."""
        self.start()
        for _ in range(5):
            self.caller(INFO, behaviours.ClosesAfter(0))
        self.run_for(0.5)
        self.assertEqual(self.core.dialer.sockets, 0)

    def test_one_that_gave_blocks_and_went_is_not_dialed(self) -> None:
        """Where it called from is no place to call it."""
        self.start(BIG)
        self.caller(BIG, behaviours.ClosesAfter(2))
        self.run_for(2)
        self.assertEqual(self.network.dialed, [])
        self.assertEqual(self.race.counts["closed"], 1)

    def test_and_its_blocks_count(self) -> None:
        result = self.start(BIG)
        for _ in range(4):
            seeder = self.caller(BIG, behaviours.ClosesAfter(2))
            self.run_for(1)
            self.assertLessEqual(len(seeder.requests), 7)
        self.fetched(result, BIG)

    def test_a_liar_that_calls_again(self) -> None:
        """Callers are blamed by connection: others may stand behind the same address."""
        result = self.start(BIG)
        for _ in range(3):
            self.caller(BIG, behaviours.CorruptBlock(None))
            self.run_for(1)
        self.caller(BIG)
        self.run_for(2)
        counts = self.fetched(result, BIG).report.peers
        self.assertEqual(self.outcomes(counts), {"bad_data": 3, "fetched": 1})

    def test_a_second_greeting(self) -> None:
        self.start()
        seeder = self.caller(INFO, behaviours.ClosesAfter(0))
        self.run_for(0.5)
        (joined,) = self.race._peers
        joined._handshake(Handshake(self.fetch.infohash, seeder.peer_id))
        self.run_for(0.5)
        self.assertFalse(joined.over)
        self.assertRaises(PeerClosed, self.race.peer_called, joined, Handshake(bytes(20), bytes(20)))

    def test_too_late(self) -> None:
        result = self.start()
        result.cancel()
        self.failed(result)
        seeder = self.caller(INFO)
        self.run_for(0.5)
        self.assertIsNotNone(seeder.connections[0].failure)

    def test_too_late_by_a_moment(self) -> None:
        result = self.start()
        result.cancel()
        self.failed(result)
        self.assertRaises(PeerClosed, self.race.peer_joined, None)


class MemoryTests(FetchCase):
    """Large info dictionaries share one budget."""

    def setUp(self) -> None:
        super().setUp()
        limits = replace(self.limits, max_assembling=150_000)
        self.core = self.make_core(FetchSettings(), limits, [self.source])

    def fetch(self, info: bytes, number: int, *how: behaviours.Behaviour) -> Deferred[Metadata]:
        self.network.seeder(peer(number), info, *how)
        result = self.factory(info).fetch()
        self.source.say(peer(number))
        self.source.finish(tracker_report(1))
        return result

    def test_one_waits_for_the_other(self) -> None:
        infos = [sample_info(100_000, name) for name in ("first", "second", "third")]
        results = [
            self.fetch(info, number, behaviours.OneBlockEvery(0.5)) for number, info in enumerate(infos)
        ]
        self.run_for(3)
        self.assertGreater(self.core.budget.held, 0)
        self.assertLessEqual(self.core.budget.held, 100_000)
        self.assertEqual(len(self.core.budget._waiting), 2)
        self.run_for(15)
        for result, info in zip(results, infos, strict=True):
            self.fetched(result, info)
        self.assert_nothing_left()

    def test_one_that_waits_is_cancelled(self) -> None:
        first = self.fetch(BIG, 1, behaviours.OneBlockEvery(0.5))
        second = self.fetch(sample_info(100_000, "second"), 2)
        self.run_for(1)
        second.cancel()
        self.failed(second)
        self.run_for(5)
        self.fetched(first, BIG)
        self.assert_nothing_left()

    def test_the_younger_gives_way_and_goes_on_later(self) -> None:
        first = self.fetch(BIG, 1, behaviours.OneBlockEvery(1.0))
        self.run_for(2)
        younger = sample_info(60_000, "second")
        second = self.fetch(younger, 2, behaviours.OneBlockEvery(1.0))
        seeder = self.network.answers[peer(2)]
        assert isinstance(seeder, ScriptedSeeder)
        self.run_for(1.5)
        # As though much more were held than was claimed.
        self.core.budget.limit = 60_000
        self.run_for(1)
        self.assertEqual(len(self.core.budget._waiting), 1)
        (waiting,) = self.core.budget._waiting
        assert isinstance(waiting, Exchange)
        self.assertEqual(waiting.assembly.held, 0)
        requests = len(seeder.requests)
        self.run_for(2)
        # What was asked for before still comes; no more is asked.
        self.assertEqual(len(seeder.requests), requests)
        self.core.budget.limit = 150_000
        self.run_for(10)
        self.fetched(first, BIG)
        self.fetched(second, younger)
        self.assert_nothing_left()
