"""The daemon's services, with a fetcher whose fetches end when the test says so."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.daemon.feed import Feed, GivenMagnets
from functorrent.daemon.service import STOP_PATIENCE, FetchService
from functorrent.errors import UsageError
from tests.commands_bed import FakeFetcher, FakeFolder, infohash, magnet


class FetchServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.fetcher = FakeFetcher(self.clock)
        self.output = FakeFolder()
        self.feed = Feed(self.clock, self.output, 1000)
        self.words: list[str] = []
        self.service = FetchService(self.clock, self.fetcher, self.feed, 10, self.words.append)

    def test_fetches_what_is_submitted_before_and_after_the_start(self) -> None:
        self.feed.submit(GivenMagnets([magnet(1)]))
        self.service.startService()
        self.assertEqual(self.fetcher.order, [])
        self.fetcher.starting.callback(None)
        self.feed.submit(GivenMagnets([magnet(2), magnet(2)]))
        self.assertEqual(self.fetcher.order, [infohash(1), infohash(2)])
        self.assertEqual(len(self.fetcher.joined), 1)
        self.fetcher.succeed(1)
        self.fetcher.succeed(2)
        self.assertEqual([written[0] for written in self.output.written], [infohash(1), infohash(2)])
        self.feed.submit(GivenMagnets([magnet(3)]))
        self.assertEqual(self.fetcher.order[2:], [infohash(3)])

    def test_stops(self) -> None:
        self.feed.submit(GivenMagnets([magnet(1)]))
        self.service.startService()
        self.fetcher.starting.callback(None)
        self.fetcher.stopping = Deferred()
        fetch = self.fetcher.fetches[infohash(1)]
        stopped = self.service.stopService()
        self.assertTrue(fetch.called, "cancelled")
        self.assertNoResult(stopped)
        self.fetcher.stopping.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.fetcher.stopped, 1)

    def test_a_stop_does_not_wait_for_ever(self) -> None:
        self.service.startService()
        self.fetcher.stopping = Deferred()
        stopped = self.service.stopService()
        self.clock.advance(STOP_PATIENCE)
        self.successResultOf(stopped)
        self.assertLess(STOP_PATIENCE, 10)

    def test_a_stop_before_the_fetcher_runs(self) -> None:
        self.feed.submit(GivenMagnets([magnet(1)]))
        self.service.startService()
        self.successResultOf(self.service.stopService())
        self.fetcher.starting.callback(None)
        self.assertEqual(self.fetcher.order, [])
        self.assertIsNone(self.service._batch)

    def test_a_fetcher_that_cannot_start(self) -> None:
        self.service.startService()
        self.fetcher.starting.errback(UsageError("--listen tcp:1: in use"))
        self.assertEqual(self.words, ["--listen tcp:1: in use"])
