"""MetadataClientFactory: sources good and bad, names, slots, linger, the ends, long info dictionaries."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any
from weakref import ref

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.protocol import ClientFactory
from twisted.internet.testing import StringTransport

from functorrent.errors import FetchFailed, NotAnInfoDictionary, UnsupportedMagnet
from functorrent.fetch import factory as module
from functorrent.fetch.factory import MetadataClientFactory
from functorrent.fetch.reading import Reading
from functorrent.fetch.result import Metadata
from functorrent.fetch.settings import FetchSettings
from functorrent.interfaces import PeerAddress, SourceReport, TrackerReport
from functorrent.magnet import Magnet
from functorrent.metainfo import Metainfo, SummarySteps
from functorrent.testing import behaviours, sample_magnet
from functorrent.wire.bencode import decode, encode
from tests.fetch.bed import BIG, INFO, FetchCase, Source, peer, tracker_report
from tests.peer.bed import Extension

TRACKER = "http://tracker.example/announce"


class Case(FetchCase):
    def with_settings(self, **settings: Any) -> None:
        self.core = self.make_core(FetchSettings(**settings), self.limits, [self.source])

    def start(self, info: bytes = INFO, **magnet: Any) -> Deferred[Metadata]:
        self.fetch = self.factory(info, **magnet)
        return self.fetch.fetch()

    def finish_with(self, info: bytes = INFO, *, number: int = 1) -> None:
        """The source names one honest peer and is finished."""
        self.network.seeder(peer(number), info)
        self.source.say(peer(number))
        self.source.finish(tracker_report(1))
        self.run_for(2)


class FetchTests(Case):
    def test_what_it_is(self) -> None:
        factory = self.factory()
        self.assertIsInstance(factory, ClientFactory)
        self.assertFalse(factory.noisy)

    def test_from_magnet_to_metadata(self) -> None:
        self.clock.advance(100)
        result = self.start(trackers=[TRACKER], name="other")
        self.assertEqual(self.source.finds[0][0], self.fetch.magnet)
        self.run_for(1)
        self.finish_with()
        metadata = self.fetched(result)
        self.assertEqual(metadata.infohash, self.fetch.infohash)
        torrent: Any = decode(metadata.torrent_bytes)
        self.assertEqual(torrent[b"announce"], TRACKER.encode())
        self.assertIn(b"4:info" + INFO, metadata.torrent_bytes)
        self.assertEqual(metadata.name, metadata.summary.name)
        self.assertIsNone(metadata.report.reason)
        self.assertGreater(metadata.report.seconds, 1.0)
        self.assertLess(metadata.report.seconds, 1.2)
        self.assertEqual([each.status for each in metadata.report.trackers], ["ok"])
        self.assertEqual(self.source.told, [self.fetch.infohash])
        self.assertEqual((self.core.stats.fetched, self.core.stats.failed), (1, 0))
        self.assert_nothing_left()

    def test_what_has_ended_is_gone(self) -> None:
        """Fetch, race and exchange refer to each other while it is on; nothing waits for the collector."""
        self.core.sources = []
        gc.disable()
        self.addCleanup(gc.enable)
        self.failed(self.start(released=lambda: None))
        left = [ref(each) for each in (self.fetch, self.fetch.race, self.fetch.race.exchange)]
        del self.fetch
        self.assertEqual([each() for each in left], [None] * 3)

    def test_v2_alone(self) -> None:
        magnet = Magnet.parse("magnet:?xt=urn:btmh:1220" + "ab" * 32)
        error = self.assertRaises(UnsupportedMagnet, MetadataClientFactory, magnet, self.core)
        self.assertIn("cannot be fetched yet", str(error))

    def test_a_hybrid_by_its_v1_infohash(self) -> None:
        magnet = Magnet.parse(sample_magnet(INFO) + "&xt=urn:btmh:1220" + "ab" * 32)
        self.fetch = MetadataClientFactory(magnet, self.core)
        result = self.fetch.fetch()
        self.finish_with()
        self.fetched(result)

    def test_it_ends_at_once_when_all_was_tried(self) -> None:
        result = self.start()
        self.network.answers[peer(1)] = "refused"
        self.source.say(peer(1))
        self.run_for(1)
        self.assertFalse(result.called)
        self.source.finish(tracker_report(1))
        error = self.failed(result)
        self.assertEqual(str(error), "1 tracker answered with 1 peer: it refused the connection")
        self.assertEqual(error.report.reason, str(error))
        self.assertEqual((self.core.stats.fetched, self.core.stats.failed), (0, 1))
        self.assert_nothing_left()

    def test_nothing_to_try(self) -> None:
        self.core.sources = []
        self.assertEqual(str(self.failed(self.start())), "the magnet names no trackers and no peers")
        self.assert_nothing_left()

    def test_the_time_limit(self) -> None:
        self.with_settings(timeout=7.0)
        trackers = (TrackerReport(TRACKER, "cancelled"), TrackerReport(TRACKER, "ok", 1))
        self.source.so_far = SourceReport("trackers", 1, trackers)
        result = self.start()
        self.source.say(peer(1))
        self.assertIn(round(self.run_until_told(result), 1), (7.0, 7.1, 7.2, 7.3))
        error = self.failed(result)
        self.assertIn("gave up after 7 s", str(error))
        # It had all the time there was.
        self.assertEqual([each.status for each in error.report.trackers], ["timed_out", "ok"])
        self.assertEqual(self.source.cancelled, 1)
        self.assert_nothing_left()

    def test_cancelled(self) -> None:
        """The report says what was tried so far."""
        self.source.so_far = tracker_report(2)
        self.network.answers[peer(1)] = "refused"
        result = self.start()
        self.source.say(peer(1), peer(2))
        self.run_for(1)
        result.cancel()
        error = self.failed(result)
        self.assertEqual(
            str(error),
            "interrupted; so far: 1 tracker answered with 2 peers: 1 refused the connection, "
            "1 was not waited for",
        )
        self.assert_nothing_left()

    def test_cancelled_twice(self) -> None:
        result = self.start()
        self.fetch.cancel()
        self.fetch.cancel()
        result.cancel()
        self.failed(result)
        self.assertEqual(self.core.stats.failed, 1)

    def test_as_a_factory_in_anothers_hands(self) -> None:
        """A connection that somebody else made with it is a peer like any other."""
        result = self.start()
        protocol = self.fetch.buildProtocol(IPv4Address("TCP", "93.184.9.9", 6881))
        assert protocol is not None
        transport = StringTransport()
        protocol.makeConnection(transport)
        self.assertEqual(transport.value()[:20], b"\x13BitTorrent protocol")
        self.assertEqual(self.core.dialer.sockets, 1)
        protocol.dataReceived(b"garbage")
        self.source.finish()
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"not_bittorrent": 1})
        self.assertIsNone(self.fetch.buildProtocol(IPv4Address("TCP", "93.184.9.9", 6881)))
        self.assert_nothing_left()


class SourceTests(Case):
    def test_peers_after_the_end(self) -> None:
        result = self.start()
        self.source.finish()
        self.failed(result)
        self.source.say(peer(1))
        self.assertEqual(self.network.dialed, [])

    def test_one_that_raises(self) -> None:
        class Broken(Source):
            def find(self, magnet: Any, sink: Any) -> Any:
                raise ZeroDivisionError

        class Nameless:
            def find(self, magnet: Any, sink: Any) -> Any:
                raise ZeroDivisionError

        self.core.sources = [Broken(), Nameless(), self.source]  # type: ignore[list-item]
        result = self.start()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.finish_with()
        self.fetched(result)
        # A source without `ended` is a bug, too.
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_one_that_gives_no_deferred(self) -> None:
        class Odd(Source):
            def find(self, magnet: Any, sink: Any) -> Any:
                return None

        self.core.sources = [Odd(), self.source]
        result = self.start()
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.finish_with()
        self.fetched(result)

    def test_one_that_fails(self) -> None:
        class Failing(Source):
            def find(self, magnet: Any, sink: Any) -> Any:
                return fail(ZeroDivisionError())

        self.core.sources = [Failing(), self.source]
        result = self.start()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.finish_with()
        self.fetched(result)

    def test_one_that_reports_nonsense(self) -> None:
        for nonsense in (None, "5 peers", 7):
            result = self.start()
            self.source.finds[-1][2].callback(nonsense)  # type: ignore[arg-type]
            self.assertEqual(str(self.failed(result)), "the magnet names no trackers and no peers")

    def test_one_that_hangs(self) -> None:
        other = Source()
        self.core.sources = [self.source, other]
        result = self.start()
        self.source.finish()
        self.assertGreater(self.run_until_told(result), 50)
        self.failed(result)
        self.assertEqual(other.cancelled, 1)

    def test_one_that_has_nothing_to_say_when_cancelled(self) -> None:
        """A plain Deferred fails with CancelledError; that is nobody's bug."""

        class Plain(Source):
            def find(self, magnet: Any, sink: Any) -> Any:
                return Deferred()

        self.core.sources = [Plain()]
        result = self.start()
        result.cancel()
        self.failed(result)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_one_that_gives_up_by_itself(self) -> None:
        result = self.start()
        self.source.finds[0][2].errback(CancelledError())
        self.failed(result)
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_one_that_cannot_end(self) -> None:
        class Stuck(Source):
            def _cancel(self, lookup: Any) -> None:
                raise ZeroDivisionError

            def ended(self, infohash: bytes) -> None:
                raise ZeroDivisionError

        self.core.sources = [Stuck(), self.source]
        result = self.start()
        result.cancel()
        self.failed(result)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(self.source.told, [self.fetch.infohash])
        self.assert_nothing_left()

    def test_one_that_answers_at_once(self) -> None:
        self.source.at_once = [peer(1)]
        self.network.seeder(peer(1), INFO)
        result = self.start()
        self.run_for(1)
        self.fetched(result)

    def test_one_that_knows_nobody_at_once(self) -> None:
        self.source.at_once = []
        self.assertEqual(str(self.failed(self.start())), "1 tracker answered but knows no peers")

    def test_reports_of_all(self) -> None:
        other = Source("directory")
        self.core.sources = [self.source, other]
        result = self.start()
        self.source.finish(tracker_report(0))
        other.finish(SourceReport("directory", 0, detail="the directory did not answer"))
        error = self.failed(result)
        self.assertEqual(str(error), "1 tracker answered but knows no peers; the directory did not answer")
        self.assertEqual([each.source for each in error.report.sources], ["directory"])
        self.assertEqual(len(error.report.trackers), 1)

    def test_a_plugins_peers_are_not_the_trackers(self) -> None:
        other = Source("directory")
        self.core.sources = [self.source, other]
        self.network.answers.update({peer(1): "refused", peer(2): "refused"})
        result = self.start()
        self.source.say(peer(1))
        self.source.finish(tracker_report(1))
        other.say(peer(2))
        other.finish(SourceReport("directory", 1))
        self.run_for(1)
        self.assertEqual(
            str(self.failed(result)),
            "1 tracker answered with 1 peer; directory found 1 peer: 2 refused the connection",
        )


class NamedPeerTests(Case):
    """Peers that the magnet names (x.pe), and those the user typed."""

    def setUp(self) -> None:
        super().setUp()
        self.names.table["peer.example"] = ["93.184.5.5", "2001:4860::5", "93.184.5.6"]

    def test_an_address(self) -> None:
        self.network.seeder(peer(1), INFO)
        result = self.start(peers=[peer(1)])
        self.run_for(1)
        self.fetched(result)
        self.assertEqual(self.names.asked, [(peer(1).host, False)])

    def test_a_name(self) -> None:
        self.network.seeder(PeerAddress("2001:4860::5", 7), INFO)
        result = self.start(peers=[("peer.example", 7)])
        self.run_for(1)
        counts = self.fetched(result).report.peers
        # It stands for one peer; two of its addresses are tried.
        self.assertEqual(counts["found"], 2)

    def test_a_name_that_takes_its_time(self) -> None:
        held = self.names.held["slow.example"] = Deferred()
        result = self.start(peers=[("slow.example", 7)])
        self.source.finish()
        self.run_for(3)
        self.assertFalse(result.called)
        self.network.seeder(peer(1, 7), INFO)
        held.callback([peer(1).host])
        self.run_for(1)
        self.fetched(result)

    def test_a_name_without_address(self) -> None:
        result = self.start(peers=[("nowhere.example", 7)])
        self.source.finish()
        error = self.failed(result)
        self.assertEqual(self.outcomes(error.report.peers), {"unreachable": 1})
        self.assertEqual(str(error), "1 peer was given: it could not be reached")

    def test_a_name_that_is_not_allowed(self) -> None:
        self.names.table["local.example"] = ["10.0.0.5"]
        result = self.start(peers=[("local.example", 7), ("127.0.0.1", 7)])
        self.source.finish()
        error = self.failed(result)
        self.assertEqual(self.outcomes(error.report.peers), {"not_allowed": 2})
        self.assertEqual(
            str(error), "2 peers were given: 2 are at local addresses (refused without --allow-local)"
        )

    def test_a_resolver_that_breaks(self) -> None:
        held = self.names.held["slow.example"] = Deferred()
        result = self.start(peers=[("slow.example", 7)])
        self.source.finish()
        held.errback(ZeroDivisionError())
        self.assertEqual(self.outcomes(self.failed(result).report.peers), {"unreachable": 1})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_names_at_the_end(self) -> None:
        self.names.held["slow.example"] = Deferred()
        result = self.start(peers=[("slow.example", 7)])
        result.cancel()
        self.assertEqual(self.failed(result).report.peers["found"], 0)
        self.assert_nothing_left()

    def test_a_name_that_comes_too_late(self) -> None:
        held: Deferred[list[str]] = Deferred(lambda _: None)
        self.names.held["slow.example"] = held
        result = self.start(peers=[("slow.example", 7)])
        self.patch(held, "cancel", lambda: None)
        result.cancel()
        self.failed(result)
        held.callback([peer(1).host])
        self.assertEqual(self.network.dialed, [])

    def test_what_the_user_typed(self) -> None:
        """Trusted: it may be local."""
        self.core.extra_peers = (PeerAddress("127.0.0.1", 7),)
        self.network.answers[PeerAddress("127.0.0.1", 7)] = "refused"
        result = self.start()
        self.source.finish(tracker_report(0))
        self.run_for(1)
        self.assertEqual(
            str(self.failed(result)),
            "1 tracker answered but knows no peers; 1 peer was given: it refused the connection",
        )

    def test_named_twice_it_is_given_once(self) -> None:
        self.network.answers[peer(1)] = "refused"
        result = self.start(peers=[peer(1)])
        self.source.say(peer(1))
        self.source.finish(tracker_report(1))
        self.run_for(1)
        self.assertEqual(
            str(self.failed(result)),
            "1 tracker answered but knows no further peers; 1 peer was given: it refused the connection",
        )

    def test_given_after_a_tracker_named_it(self) -> None:
        held = self.names.held["slow.example"] = Deferred()
        self.network.answers[peer(1, 7)] = "refused"
        result = self.start(peers=[("slow.example", 7)])
        self.source.say(peer(1, 7))
        self.source.finish(tracker_report(1))
        held.callback([peer(1).host])
        self.run_for(1)
        self.assertEqual(
            str(self.failed(result)), "1 tracker answered with 1 peer: it refused the connection"
        )


class TrackerTests(Case):
    def test_further_trackers(self) -> None:
        self.with_settings(trackers=("udp://further.example:1", TRACKER))
        result = self.start(trackers=[TRACKER])
        magnet = self.source.finds[0][0]
        self.assertEqual(magnet.all_trackers(), [TRACKER, "udp://further.example:1"])
        self.finish_with()
        torrent = self.fetched(result).torrent_bytes
        self.assertNotIn(b"further", torrent)

    def test_further_trackers_saved(self) -> None:
        self.with_settings(trackers=("udp://further.example:1",), save_trackers=True)
        result = self.start(trackers=[TRACKER])
        self.finish_with()
        torrent: Any = decode(self.fetched(result).torrent_bytes)
        self.assertEqual(torrent[b"announce-list"], [[TRACKER.encode()], [b"udp://further.example:1"]])


class JoinTests(Case):
    """The same torrent once more, while it is fetched."""

    def join(self, **magnet: Any) -> None:
        self.fetch.join(Magnet.parse(sample_magnet(INFO, **magnet)))

    def test_its_further_trackers_are_asked(self) -> None:
        result = self.start(trackers=[TRACKER])
        self.join(trackers=[TRACKER, "udp://two.example:1"], name="a name")
        self.assertEqual(len(self.source.finds), 2)
        self.assertEqual(self.source.finds[1][0].all_trackers(), ["udp://two.example:1"])
        self.source.finish(tracker_report(0))
        self.assertFalse(result.called)
        self.network.seeder(peer(1), INFO)
        self.source.finds[0][1].peers([peer(1)])
        self.run_for(1)
        torrent: Any = decode(self.fetched(result).torrent_bytes)
        self.assertEqual(len(torrent[b"announce-list"]), 2)

    def test_its_further_peers_are_dialed(self) -> None:
        self.network.seeder(peer(2), INFO)
        result = self.start(peers=[peer(1)])
        self.join(peers=[peer(1), peer(2)])
        self.run_for(1)
        self.fetched(result)
        self.assertEqual(self.network.dialed, [peer(1), peer(2)])

    def test_nothing_new(self) -> None:
        """A million duplicates cost no lookup each."""
        self.start(trackers=[TRACKER], peers=[peer(1)])
        for _ in range(10):
            self.join(trackers=[TRACKER], peers=[peer(1)])
            self.join()
        self.assertEqual((len(self.source.finds), len(self.names.asked)), (1, 1))

    def test_they_do_not_add_up_without_end(self) -> None:
        self.start()
        for number in range(60):
            self.join(
                trackers=[f"udp://t{number}-{each}.example:1" for each in range(10)],
                peers=[peer(number * 20 + each) for each in range(20)],
            )
        self.assertEqual(len(self.fetch.magnet.all_trackers()), self.limits.max_trackers)
        self.assertEqual(len(self.fetch.magnet.peers), 500)
        self.assertLessEqual(len(self.source.finds), 26)

    def test_too_late(self) -> None:
        result = self.start()
        result.cancel()
        self.failed(result)
        self.join(trackers=[TRACKER])
        self.assertEqual(len(self.source.finds), 1)

    def test_while_we_wait_for_callers(self) -> None:
        self.core.identity.port = 7000
        result = self.start()
        self.source.finish(tracker_report(0, announced=True))
        self.run_for(1)
        self.join(trackers=[TRACKER])
        self.finish_with()
        self.fetched(result)


class SlotTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.released = 0

    def release(self) -> None:
        self.released += 1

    def begin(self, *addresses: PeerAddress) -> Deferred[Metadata]:
        self.fetch = self.factory(released=self.release)
        result = self.fetch.fetch()
        if addresses:
            self.source.say(*addresses)
        return result

    def test_given_up_where_nobody_answers(self) -> None:
        self.begin(peer(1))
        self.run_for(self.limits.slot_patience - 0.1)
        self.assertEqual(self.released, 0)
        self.run_for(0.2)
        self.assertEqual(self.released, 1)
        self.run_for(30)
        self.assertEqual(self.released, 1)

    def test_kept_while_a_peer_is_there(self) -> None:
        self.network.seeder(peer(1), BIG, behaviours.OneBlockEvery(1.0), infohash=self.factory().infohash)
        self.begin(peer(1))
        self.run_for(3)
        self.assertEqual(self.released, 0)

    def test_given_up_when_that_peer_is_gone(self) -> None:
        self.network.seeder(peer(1), INFO, behaviours.ClosesAfter(0))
        self.begin(peer(1), peer(2))
        self.run_for(4)
        self.assertEqual(self.released, 0)
        self.run_for(4)
        self.assertEqual(self.released, 1)

    def test_given_up_though_one_was_there_for_a_while(self) -> None:
        class Leaves(behaviours.ClosesAfter):
            def extended_handshake(self, peer: Any, handshake: Any) -> None:
                peer.seeder.clock.callLater(1.0, peer.drop)

        self.network.seeder(peer(1), INFO, Leaves(0))
        self.begin(peer(1), peer(2))
        self.run_for(0.9)
        self.assertEqual(self.released, 0)
        self.run_for(1)
        self.assertEqual(self.released, 1)

    def test_given_up_when_that_peer_is_of_no_use(self) -> None:
        self.network.seeder(peer(1), INFO, behaviours.NoMetadata())
        self.begin(peer(1), peer(2))
        self.run_for(1.5)
        self.assertEqual(self.released, 1)

    def test_given_up_at_once_when_all_known_peers_are_dead(self) -> None:
        self.network.answers[peer(1)] = "refused"
        self.begin(peer(1))
        self.run_for(0.1)
        self.assertEqual(self.released, 1)

    def test_not_given_up_before_a_source_has_said_anything(self) -> None:
        self.begin()
        self.run_for(0.1)
        self.assertEqual(self.released, 0)

    def test_given_up_while_we_wait_for_callers(self) -> None:
        self.core.identity.port = 7000
        result = self.begin()
        self.source.finish(tracker_report(0, announced=True))
        self.assertEqual(self.released, 1)
        self.run_until_told(result)
        self.assertEqual(self.released, 1)
        self.failed(result)

    def test_not_told_of_once_it_has_ended(self) -> None:
        self.network.seeder(peer(1), INFO)
        result = self.begin(peer(1))
        self.run_for(5)
        self.fetched(result)
        self.assertEqual(self.released, 0)
        self.assert_nothing_left()

    def test_one_that_gave_its_slot_up_goes_on(self) -> None:
        result = self.begin(peer(1))
        self.run_for(2)
        self.assertEqual(self.released, 1)
        self.network.seeder(peer(2), INFO)
        self.source.say(peer(2))
        self.run_for(1)
        self.fetched(result)


class LingerTests(Case):
    """Where we listen and an announce was accepted, peers may call us."""

    def setUp(self) -> None:
        super().setUp()
        self.core.identity.port = 7000

    def test_we_wait(self) -> None:
        result = self.start()
        self.source.finish(tracker_report(0, announced=True))
        took = self.run_until_told(result)
        self.assertIn(round(took, 1), (10.0, 10.1, 10.2, 10.3))
        error = self.failed(result)
        self.assertEqual(
            str(error), "1 tracker answered but knows no peers; nobody connected to us within 10 s"
        )
        self.assert_nothing_left()

    def test_not_where_nobody_knows_of_us(self) -> None:
        result = self.start()
        self.source.finish(tracker_report(0))
        self.assertNotIn("connected to us", str(self.failed(result)))

    def test_not_where_we_do_not_listen(self) -> None:
        self.core.identity.port = None
        result = self.start()
        self.source.finish(tracker_report(0, announced=True))
        self.failed(result)

    def test_not_longer_than_the_whole(self) -> None:
        self.core = self.make_core(FetchSettings(timeout=4.0), self.limits, [self.source])
        self.core.identity.port = 7000
        result = self.start()
        self.source.finish(tracker_report(0, announced=True))
        self.assertIn(round(self.run_until_told(result), 1), (4.0, 4.1, 4.2, 4.3))
        self.assertIn("gave up after 4 s", str(self.failed(result)))

    def test_cancelled_meanwhile(self) -> None:
        result = self.start()
        self.source.finish(tracker_report(0, announced=True))
        self.run_for(1)
        result.cancel()
        self.failed(result)
        self.assert_nothing_left()


class InfoTests(Case):
    """What hashes right is read; large ones in slices."""

    def setUp(self) -> None:
        super().setUp()
        self.core = self.make_core(FetchSettings(), replace(self.limits, parse_at_once=50_000), [self.source])

    def test_in_slices(self) -> None:
        result = self.start(BIG)
        self.network.seeder(peer(1), BIG)
        self.source.say(peer(1))
        self.run_for(2)
        metadata = self.fetched(result, BIG)
        self.assertEqual(metadata.torrent_bytes[-len(BIG) - 1 : -1], BIG)
        self.assertEqual(Metainfo.parse(metadata.torrent_bytes).info_bytes, BIG)
        self.assertEqual(self.core.stats.fetched, 1)
        self.assert_nothing_left()

    def not_a_dictionary(self, info: bytes) -> None:
        result = self.start(info)
        self.network.seeder(peer(1), info)
        self.source.say(peer(1), peer(2))
        self.run_for(2)
        failure = self.failureResultOf(result, NotAnInfoDictionary)
        error = failure.value
        self.assertIsInstance(error, FetchFailed)
        self.assertIn("the hash matches, but", str(error))
        self.check_counts(error.report.peers)
        self.assertEqual(error.report.peers["fetched"], 1)
        self.assertEqual((self.core.stats.fetched, self.core.stats.failed), (0, 1))
        self.assert_nothing_left()

    def test_no_dictionary(self) -> None:
        self.not_a_dictionary(b"this is no bencode at all")

    def test_a_list(self) -> None:
        self.not_a_dictionary(b"li1ee")

    def test_no_dictionary_in_slices(self) -> None:
        self.not_a_dictionary(b"li1e" * 20_000)

    def test_a_list_in_slices(self) -> None:
        self.not_a_dictionary(b"l" + b"i1e" * 20_000 + b"e")

    def large(self) -> tuple[bytes, Deferred[Metadata]]:
        """A fetch whose info dictionary takes several turns to read, in the middle of that."""
        info = encode(
            {
                "files": [{"length": 1, "path": [str(number)]} for number in range(20_000)],
                "name": "many",
                "piece length": 16_384,
                "pieces": bytes(40),
            }
        )
        result = self.start(info)
        self.network.seeder(peer(1), info)
        self.source.say(peer(1))
        self.network.run(20, lambda: self.fetch._reading is not None)
        self.assertFalse(result.called)
        return info, result

    def test_one_slice_a_turn(self) -> None:
        slices: list[float] = []
        original = Reading.step

        def step(reading: Any) -> None:
            slices.append(self.clock.seconds())
            original(reading)

        self.patch(Reading, "step", step)
        info, result = self.large()
        self.clock.advance(0)
        self.assertGreater(len(slices), 5)
        self.assertEqual(self.fetched(result, info).summary.files, 20_000)

    def test_cancelled_while_it_is_read(self) -> None:
        _, result = self.large()
        result.cancel()
        self.assertIn("interrupted", str(self.failed(result)))
        self.assertEqual((self.core.stats.fetched, self.core.stats.failed), (0, 1))
        self.assert_nothing_left()

    def test_it_is_still_on_while_it_is_read(self) -> None:
        """So that stopping the fetcher ends it, and a duplicate joins it."""
        _, result = self.large()
        self.assertIn(self.fetch.infohash, self.core.fetches)
        self.fetch.join(Magnet.parse(sample_magnet(INFO, trackers=[TRACKER])))
        self.assertEqual(len(self.source.finds), 1)
        result.cancel()
        self.failed(result)

    def test_bugs_of_ours_are_told(self) -> None:
        """Whoever waits hears of it, and waits no longer."""
        for name, info in (
            ("summarize", INFO),
            ("torrent_bytes", INFO),
            ("torrent_bytes", BIG),
        ):

            def broken(*args: Any, **more: Any) -> Any:
                raise ZeroDivisionError

            patch = self.patch(module, name, broken)
            result = self.start(info)
            self.network.seeder(peer(1), info)
            self.source.say(peer(1))
            self.run_for(2)
            self.failureResultOf(result, ZeroDivisionError)
            patch.restore()
            self.assert_nothing_left()
        self.assertEqual(self.core.stats.failed, 3)

    def test_bugs_of_ours_in_slices(self) -> None:
        for name in ("__next__", "result"):
            result = self.start(BIG)

            def broken(self: Any) -> Any:
                raise ZeroDivisionError

            patch = self.patch(SummarySteps, name, broken)
            self.network.seeder(peer(1), BIG)
            self.source.say(peer(1))
            self.run_for(2)
            self.failureResultOf(result, ZeroDivisionError)
            patch.restore()
            self.assert_nothing_left()


class PluginTests(Case):
    def test_a_broken_plugin_beside_ours(self) -> None:
        broken = Extension("x_broken", extended_handshake=ZeroDivisionError())
        self.core = self.make_core(FetchSettings(), self.limits, [self.source], broken)
        result = self.start()
        self.finish_with()
        self.fetched(result)
        self.flushLoggedErrors(ZeroDivisionError)
