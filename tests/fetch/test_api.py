"""`fetch_metadata`: one magnet from Python; and what is left after it, however it ends."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

import functorrent
from functorrent.errors import FetchFailed, InvalidMagnet, NotAnInfoDictionary, UnsupportedMagnet, UsageError
from functorrent.fetch import fetcher as fetcher_module
from functorrent.fetch.api import fetch_metadata
from functorrent.interfaces import PeerAddress
from functorrent.magnet import Magnet
from functorrent.resolver import GuardedResolver
from functorrent.testing import ScriptedSeeder, behaviours, sample_magnet
from functorrent.wire.bencode import decode
from tests.fetch.bed import INFO, peer
from tests.fetch.reactor import NOTHING, Reactor, use_memory

MAGNET = sample_magnet(INFO)


class ApiTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        use_memory(self, self.reactor)
        self.network = self.reactor.network
        self.patch(fetcher_module, "discover_extensions", list)
        self.patch(fetcher_module, "discover_sources", list)

    def run_until_told(self, result: Deferred[Any]) -> None:
        self.network.run(120, lambda: bool(result.called))

    def assert_nothing_left(self) -> None:
        self.assertEqual(self.reactor.left(), NOTHING)

    def test_it_is_the_public_one(self) -> None:
        self.assertIs(functorrent.fetch_metadata, fetch_metadata)

    def test_fetched(self) -> None:
        self.network.seeder(peer(1), INFO)
        for magnet in (MAGNET, Magnet.parse(MAGNET), Magnet.parse(MAGNET).infohash.hex()):  # type: ignore[union-attr]
            result = fetch_metadata(self.reactor, magnet, peers=[peer(1)])
            self.run_until_told(result)
            metadata = self.successResultOf(result)
            self.assertEqual(metadata.info_bytes, INFO)
            self.assertIsNone(metadata.report.reason)
            self.assert_nothing_left()

    def test_its_trackers_stay_out_of_the_file(self) -> None:
        self.network.seeder(peer(1), INFO)
        result = fetch_metadata(
            self.reactor, MAGNET, peers=[peer(1)], trackers=["wss://tracker.example/announce"]
        )
        self.run_until_told(result)
        torrent: Any = decode(self.successResultOf(result).torrent_bytes)
        self.assertEqual(list(torrent), [b"info"])

    def test_failed(self) -> None:
        self.network.answers[peer(1)] = "refused"
        result = fetch_metadata(self.reactor, MAGNET, peers=[peer(1)])
        self.run_until_told(result)
        error = self.failureResultOf(result, FetchFailed).value
        self.assertEqual(str(error), "1 peer was given: it refused the connection")
        self.assertEqual(error.report.to_json()["peers"]["refused"], 1)
        self.assert_nothing_left()

    def test_the_time_limit(self) -> None:
        self.network.seeder(peer(1), INFO, behaviours.ClosesAfter(0))
        result = fetch_metadata(self.reactor, MAGNET, peers=[peer(1)], timeout=3.0)
        self.run_until_told(result)
        self.assertIn("gave up after 3 s", str(self.failureResultOf(result, FetchFailed).value))
        self.assert_nothing_left()

    def test_no_dictionary(self) -> None:
        info = b"no dictionary at all"
        self.network.seeder(peer(1), info)
        result = fetch_metadata(self.reactor, sample_magnet(info), peers=[peer(1)])
        self.run_until_told(result)
        self.failureResultOf(result, NotAnInfoDictionary)
        self.assert_nothing_left()

    def test_wrong_words(self) -> None:
        for magnet, kind in (
            ("no magnet", InvalidMagnet),
            ("magnet:?xt=urn:btmh:1220" + "ab" * 32, UnsupportedMagnet),
        ):
            self.failureResultOf(fetch_metadata(self.reactor, magnet), kind)
            self.assert_nothing_left()
        result = fetch_metadata(self.reactor, MAGNET, peers=[("224.0.0.1", 5)])
        self.failureResultOf(result, UsageError)
        self.assert_nothing_left()

    def test_what_the_user_types_may_be_local(self) -> None:
        local = PeerAddress("127.0.0.1", 7)
        self.network.seeder(local, INFO)
        result = fetch_metadata(self.reactor, MAGNET, peers=[local])
        self.run_until_told(result)
        self.successResultOf(result)

    def test_what_the_magnet_names_may_not(self) -> None:
        local = PeerAddress("127.0.0.1", 7)
        self.network.seeder(local, INFO)
        magnet = sample_magnet(INFO, peers=[local])
        result = fetch_metadata(self.reactor, magnet)
        self.run_until_told(result)
        self.assertEqual(self.failureResultOf(result, FetchFailed).value.report.peers["not_allowed"], 1)
        result = fetch_metadata(self.reactor, magnet, allow_local=True)
        self.run_until_told(result)
        self.successResultOf(result)

    def test_listening(self) -> None:
        result = fetch_metadata(self.reactor, MAGNET, peers=[peer(1)], listen=True)
        self.assertEqual(len(self.reactor.listening), 1)
        self.network.call(self.reactor.listener, ScriptedSeeder(INFO))
        self.run_until_told(result)
        self.successResultOf(result)
        self.assert_nothing_left()

    def test_not_listening(self) -> None:
        result = fetch_metadata(self.reactor, MAGNET)
        self.assertEqual(self.reactor.tcpServers, [])
        self.run_until_told(result)
        self.failureResultOf(result, FetchFailed)

    def test_cancelled_at_any_time(self) -> None:
        """It leaves no socket, timer or thread."""
        self.network.seeder(peer(1), INFO, behaviours.ClosesAfter(0))
        self.network.seeder(peer(2), INFO, behaviours.NeverSpeaks())
        for moment in (0.0, 0.05, 0.5, 4.0, 6.0):
            result = fetch_metadata(self.reactor, MAGNET, peers=[peer(1), peer(2), peer(3)], listen=True)
            self.network.run(moment)
            result.cancel()
            self.run_until_told(result)
            error = self.failureResultOf(result, FetchFailed).value
            self.assertTrue(str(error).startswith("interrupted; so far: "), error)
            self.assert_nothing_left()
            self.network.run(0.5)
            self.assertEqual(self.network.open, set())

    def test_cancelled_while_it_starts(self) -> None:
        asked: list[Deferred[list[str]]] = []

        def resolve(resolver: Any, host: str, *, trusted: bool = False) -> Deferred[list[str]]:
            asked.append(Deferred())
            return asked[0]

        self.patch(GuardedResolver, "resolve", resolve)
        result = fetch_metadata(self.reactor, MAGNET, peers=[("slow.example", 7)], listen=True)
        result.cancel()
        self.run_until_told(result)
        self.failureResultOf(result, CancelledError)
        self.assert_nothing_left()

    def test_cancelled_twice(self) -> None:
        result = fetch_metadata(self.reactor, MAGNET, peers=[peer(3)], listen=True)
        self.network.run(0.5)
        result.cancel()
        result.cancel()
        self.run_until_told(result)
        self.failureResultOf(result, FetchFailed)
        self.assert_nothing_left()
