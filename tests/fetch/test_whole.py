"""A whole info dictionary from elsewhere than a peer (`IPeerSink.whole`): what else of the magnet ends."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from functorrent.errors import NotAnInfoDictionary
from functorrent.fetch.result import Metadata
from functorrent.interfaces import IPeerSink, SourceReport
from functorrent.magnet import Magnet
from functorrent.testing import behaviours, sample_info, sample_magnet
from functorrent.wire.bencode import decode, encode
from tests.fetch.bed import BIG, INFO, FetchCase, Source, peer, tracker_report

TRACKER = "http://tracker.example/announce"


class Case(FetchCase):
    def setUp(self) -> None:
        super().setUp()
        self.web = Source("web sources")
        self.core.sources = [self.source, self.web]

    def start(self, info: bytes = INFO, **magnet: Any) -> Deferred[Metadata]:
        self.fetch = self.factory(info, **magnet)
        return self.fetch.fetch()

    def whole(self, info: bytes) -> bool:
        """The web source has this."""
        sink: IPeerSink = self.web.finds[-1][1]
        return sink.whole(info)


class WholeTests(Case):
    def test_the_fetch_is_over(self) -> None:
        result = self.start(trackers=[TRACKER])
        self.web.so_far = SourceReport("web sources", detail="a.example had the .torrent")
        self.run_for(1)
        self.assertIs(self.whole(INFO), True)
        metadata = self.fetched(result)
        self.assertEqual(metadata.report.sources, (self.source.so_far, self.web.so_far))
        self.assertIsNone(metadata.report.reason)
        self.assertEqual(metadata.report.to_json()["sources"][0]["detail"], "a.example had the .torrent")
        torrent: Any = decode(metadata.torrent_bytes)
        self.assertEqual(torrent[b"announce"], TRACKER.encode())
        self.assertEqual(
            metadata.torrent_bytes, b"d8:announce%d:%b4:info%be" % (len(TRACKER), TRACKER.encode(), INFO)
        )
        self.assertEqual((self.core.stats.fetched, self.core.stats.failed), (1, 0))
        self.assertEqual((self.source.cancelled, self.web.cancelled), (1, 1))
        self.assertEqual((self.source.told, self.web.told), ([self.fetch.infohash],) * 2)
        self.assert_nothing_left()

    def test_all_else_ends(self) -> None:
        """Dials, exchanges, callers, candidates: each as exactly one outcome, and no socket stays."""
        result = self.start(BIG)
        seeder = self.network.seeder(peer(1), BIG, behaviours.OneBlockEvery(0.4))
        self.network.seeder(peer(2), BIG, behaviours.NeverSpeaks())
        self.network.answers[peer(3)] = "refused"
        self.source.say(*(peer(number) for number in range(1, 90)))
        self.run_for(1)
        self.assertTrue(seeder.connections)
        self.assertGreater(self.core.budget.held, 0)
        self.assertTrue(self.whole(BIG))
        counts = self.fetched(result, BIG).report.peers
        self.assertEqual(self.outcomes(counts), {"refused": 1, "cancelled": 88})
        self.assert_nothing_left()

    def test_a_wrong_one_changes_nothing(self) -> None:
        result = self.start()
        for wrong in (b"", b"de", sample_info(2_000, "other"), INFO[:-1], INFO + b"e"):
            self.assertIs(self.whole(wrong), False)
        self.assertFalse(result.called)
        self.web.finish()
        self.network.seeder(peer(1), INFO)
        self.source.say(peer(1))
        self.run_for(1)
        self.assertEqual(self.outcomes(self.fetched(result).report.peers), {"fetched": 1})
        self.assert_nothing_left()

    def test_too_late(self) -> None:
        result = self.start()
        self.network.seeder(peer(1), INFO)
        self.source.say(peer(1))
        self.run_for(1)
        self.fetched(result)
        self.assertIs(self.whole(INFO), False)
        result = self.start()
        self.failed_by_cancelling(result)
        self.assertIs(self.whole(INFO), False)
        self.assertEqual((self.core.stats.fetched, self.core.stats.failed), (1, 1))
        self.assert_nothing_left()

    def failed_by_cancelling(self, result: Deferred[Metadata]) -> None:
        result.cancel()
        self.failed(result)

    def test_twice(self) -> None:
        result = self.start()
        self.assertEqual([self.whole(INFO), self.whole(INFO)], [True, False])
        self.fetched(result)

    def test_it_ends_the_wait_for_callers(self) -> None:
        self.core.identity.port = 6881
        result = self.start()
        self.source.finish(tracker_report(announced=True))
        web = self.web.finds[-1][1]
        self.web.finish()
        self.run_for(1)
        self.assertFalse(result.called)
        self.assertTrue(web.whole(INFO))
        self.fetched(result)
        self.assert_nothing_left()

    def test_a_long_one_is_read_in_slices(self) -> None:
        info = encode(
            {
                "files": [{"length": 1, "path": ["x"]}] * 20_000,
                "name": "n",
                "piece length": 16384,
                "pieces": b"x" * 20,
            }
        )
        result = self.start(info)
        self.assertTrue(self.whole(info))
        self.assertFalse(result.called)
        self.assertEqual((self.source.cancelled, self.web.cancelled), (1, 1))
        self.run_for(1)
        self.assertEqual(self.fetched(result, info).summary.files, 20_000)
        self.assert_nothing_left()

    def test_what_hashes_right_and_is_none(self) -> None:
        result = self.start(b"le")
        self.assertTrue(self.whole(b"le"))
        error = self.failureResultOf(result, NotAnInfoDictionary).value
        self.check_counts(error.report.peers)
        self.assertIn("the hash matches", str(error))
        self.assert_nothing_left()

    def test_from_within_find(self) -> None:
        """A source that has it at once; who is asked after it is not asked, and its own lookup is ended."""
        web, source = self.web, self.source
        cancelled: list[object] = []

        def find(magnet: Magnet, sink: IPeerSink) -> Deferred[SourceReport]:
            self.assertTrue(sink.whole(INFO))
            return Deferred(cancelled.append)

        web.find = find  # type: ignore[method-assign]
        self.core.sources = [web, source]
        self.fetched(self.start())
        self.assertEqual((len(cancelled), source.finds), (1, []))
        self.assert_nothing_left()

    def test_why_it_failed(self) -> None:
        """The web source's words are in the sentence."""
        result = self.start()
        self.source.finish(SourceReport("tests"))
        self.web.finish(SourceReport("web sources", detail="a.example has no such torrent (404)"))
        self.assertEqual(str(self.failed(result)), "no trackers; a.example has no such torrent (404)")


class JoiningTests(Case):
    def test_a_duplicate_that_names_a_web_source(self) -> None:
        result = self.start()
        for key in ("xs", "as", "ws"):
            joining = Magnet.parse(f"{sample_magnet(INFO)}&{key}=http://a.example/{key}.torrent")
            self.fetch.join(joining)
            asked = self.web.finds[-1][0]
            self.assertEqual(
                (asked.exact_sources + asked.acceptable_sources + asked.web_seeds, asked.trackers),
                ((f"http://a.example/{key}.torrent",), ()),
            )
        self.assertEqual(len(self.web.finds), 4)
        self.fetch.join(joining)
        self.assertEqual(len(self.web.finds), 4)
        for _, _, lookup in self.web.finds[1:]:
            lookup.callback(SourceReport("web sources"))
        self.assertEqual(self.fetch.magnet.exact_sources, ("http://a.example/xs.torrent",))
        self.assertTrue(self.web.finds[0][1].whole(INFO))
        self.assertIn(b"8:url-listl27:http://a.example/ws.torrent", self.fetched(result).torrent_bytes)
