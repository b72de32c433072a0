"""What sources may do beside naming peers: make a magnet wait for its turn, know nodes, give the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from functorrent.fetch.result import Metadata
from functorrent.fetch.settings import FetchSettings
from functorrent.interfaces import INodeSource, IQueueingSource, PeerAddress
from functorrent.metainfo import Metainfo
from functorrent.testing import sample_info
from tests.fetch.bed import INFO, FetchCase, Source, peer, tracker_report

PRIVATE = INFO[:-1] + b"7:privatei1ee"
NODES = tuple(PeerAddress(f"93.184.{n}.1", 6881) for n in range(12))


@implementer(IQueueingSource, INodeSource)
class Dht(Source):
    """A source with a queue and nodes."""

    def __init__(self) -> None:
        super().__init__("dht")
        self.waiting = True
        self.broken = False
        self.node_port: int | None = 6881

    def waits(self, infohash: bytes) -> bool:
        if self.broken:
            raise RuntimeError("waits broke")
        return self.waiting

    def heard_node(self, address: PeerAddress) -> None:
        raise NotImplementedError

    def nodes(self, infohash: bytes) -> Sequence[PeerAddress]:
        if self.broken:
            raise RuntimeError("nodes broke")
        return NODES


class LookupsCase(FetchCase):
    def setUp(self) -> None:
        super().setUp()
        self.dht = Dht()
        self.core = self.make_core(FetchSettings(timeout=20.0), self.limits, [self.dht, self.source])

    def start(self, info: bytes = INFO, **magnet: Any) -> Deferred[Metadata]:
        return self.factory(info, **magnet).fetch()


class TurnTests(LookupsCase):
    def test_time_begins_with_the_turn(self) -> None:
        result = self.start()
        self.run_for(45)
        self.assertFalse(result.called)
        self.dht.waiting = False
        # Looked at every ten seconds: from then on it has its whole time.
        took = self.run_until_told(result)
        self.assertGreater(took, 20.0)
        self.assertLess(took, 31.0)
        self.failed(result)
        self.assert_nothing_left()

    def test_no_turn_too_few(self) -> None:
        """Who has had its turn in time gets no more time than others."""
        result = self.start()
        self.run_for(19)
        self.dht.waiting = False
        self.assertLess(self.run_until_told(result), 2.0)
        self.failed(result)

    def test_what_ended_does_not_wait(self) -> None:
        result = self.start()
        self.dht.finish(tracker_report(0))
        self.assertLess(self.run_until_told(result), 21.0)
        self.failed(result)

    def test_a_broken_one(self) -> None:
        self.dht.broken = True
        result = self.start()
        self.assertLess(self.run_until_told(result), 21.0)
        self.failed(result)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class NodeTests(LookupsCase):
    def fetch(self, info: bytes = INFO, **magnet: Any) -> Metadata:
        result = self.start(info, **magnet)
        self.network.seeder(peer(1), info)
        self.source.say(peer(1))
        self.run_for(1)
        return self.fetched(result, info)

    def test_without_trackers(self) -> None:
        metadata = self.fetch()
        self.assertEqual(metadata.nodes, NODES[:8])
        self.assertIn(b"5:nodesll10:93.184.0.1i6881ee", metadata.torrent_bytes)
        self.assertEqual(Metainfo.parse(metadata.torrent_bytes).info_bytes, INFO)

    def test_with_trackers(self) -> None:
        metadata = self.fetch(trackers=["http://tracker.example/announce"])
        self.assertEqual(metadata.nodes, ())
        self.assertNotIn(b"5:nodes", metadata.torrent_bytes)

    def test_private(self) -> None:
        """BEP 27: peers of a private torrent come from its own trackers alone."""
        metadata = self.fetch(PRIVATE)
        self.assertTrue(metadata.summary.private)
        self.assertEqual(metadata.nodes, ())
        self.assertNotIn(b"5:nodes", metadata.torrent_bytes)

    def test_a_broken_one(self) -> None:
        self.dht.broken = True
        self.assertEqual(self.fetch().nodes, ())
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class WholeTests(LookupsCase):
    def test_it_ends_the_fetch(self) -> None:
        result = self.start()
        self.source.say(peer(1))
        sink = self.source.finds[-1][1]
        self.assertFalse(sink.whole(sample_info(3_000)))
        self.assertFalse(result.called)
        self.assertTrue(sink.whole(INFO))
        metadata = self.fetched(result)
        self.assertEqual(self.outcomes(metadata.report.peers), {"cancelled": 1})
        self.assertFalse(sink.whole(INFO))
        self.assert_nothing_left()
