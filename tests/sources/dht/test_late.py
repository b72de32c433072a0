"""The DHT a moment late."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from functorrent.interfaces import (
    INodeSource,
    IPeerSource,
    IPeerSourceMaker,
    IQueueingSource,
    IStartingSource,
    PeerAddress,
    SourceReport,
)
from functorrent.magnet import Magnet
from functorrent.sources.dht.late import HEAD_START, LateDht, LateDhtMaker

HASH = "ab" * 20
NAMED = Magnet.parse(f"magnet:?xt=urn:btih:{HASH}&tr=udp://t.example:1")
ALONE = Magnet.parse(HASH)
NODE = PeerAddress("192.0.2.1", 1)


class Inner:
    """The source that is made."""

    def __init__(self) -> None:
        self.started = 0
        self.stopped = 0
        self.node = "the node"
        self.node_port = 6881
        self.finds: list[tuple[Magnet, Any, Deferred[SourceReport]]] = []
        self.told: list[Any] = []

    def make(self, context: Any) -> Inner:
        self.context = context
        return self

    def start(self) -> None:
        self.started += 1

    def find(self, magnet: Magnet, sink: Any) -> Deferred[SourceReport]:
        so_far = SourceReport("dht", detail="so far")
        lookup: Deferred[SourceReport] = Deferred(lambda lookup: lookup.callback(so_far))
        self.finds.append((magnet, sink, lookup))
        return lookup

    def waits(self, infohash: bytes) -> bool:
        return True

    def ended(self, infohash: bytes) -> None:
        self.told.append(infohash)

    def heard_node(self, address: PeerAddress) -> None:
        self.told.append(address)

    def nodes(self, infohash: bytes) -> list[PeerAddress]:
        return [NODE]

    def stop(self) -> Deferred[None]:
        self.stopped += 1
        return succeed(None)


class Context:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock


class LateDhtTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.inner: Any = Inner()
        self.loaded = 0

        def load() -> Any:
            self.loaded += 1
            return self.inner

        self.context: Any = Context(self.clock)
        self.source = LateDhtMaker(load).make(self.context)

    def test_it_is_what_a_dht_source_is(self) -> None:
        for interface in (IPeerSource, IStartingSource, IQueueingSource, INodeSource):
            self.assertTrue(verifyObject(interface, self.source))
        self.assertTrue(verifyObject(IPeerSourceMaker, LateDhtMaker(lambda: self.inner)))

    def test_others_are_asked_first(self) -> None:
        self.source.start()
        sink = object()
        found = self.source.find(NAMED, sink)  # type: ignore[arg-type]
        self.assertEqual(self.loaded, 0)
        self.assertTrue(self.source.waits(bytes.fromhex(HASH)))
        self.assertFalse(self.source.waits(b"other" * 4))
        self.clock.advance(HEAD_START)
        self.assertEqual((self.loaded, self.inner.started, self.inner.context), (1, 1, self.context))
        [(magnet, given, lookup)] = self.inner.finds
        self.assertIs(magnet, NAMED)
        self.assertIs(given, sink)
        self.assertNoResult(found)
        report = SourceReport("dht", 3)
        lookup.callback(report)
        self.assertIs(self.successResultOf(found), report)
        # From now on as if it were not there.
        self.source.find(NAMED, sink)  # type: ignore[arg-type]
        self.assertEqual((len(self.inner.finds), self.loaded), (2, 1))

    def test_who_names_nobody_goes_at_once(self) -> None:
        """... and takes those along who wait."""
        self.source.start()
        waiting = self.source.find(NAMED, None)  # type: ignore[arg-type]
        self.source.find(ALONE, None)  # type: ignore[arg-type]
        self.assertEqual([magnet for magnet, _, _ in self.inner.finds], [NAMED, ALONE])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNoResult(waiting)

    def test_a_peer_that_answers_soon_needs_no_dht(self) -> None:
        self.source.start()
        found = self.source.find(NAMED, None)  # type: ignore[arg-type]
        found.cancel()
        self.assertEqual(self.successResultOf(found), SourceReport("dht"))
        self.source.ended(bytes.fromhex(HASH))
        self.successResultOf(self.source.stop())
        self.clock.advance(1)
        self.assertEqual((self.loaded, self.clock.getDelayedCalls()), (0, []))

    def test_cancelled_later(self) -> None:
        self.source.start()
        found = self.source.find(NAMED, None)  # type: ignore[arg-type]
        self.clock.advance(HEAD_START)
        found.cancel()
        self.assertEqual(self.successResultOf(found), SourceReport("dht", detail="so far"))

    def test_a_lookup_that_breaks(self) -> None:
        self.source.start()
        found = self.source.find(NAMED, None)  # type: ignore[arg-type]
        self.clock.advance(HEAD_START)
        self.inner.finds[0][2].errback(Failure(ZeroDivisionError()))
        self.failureResultOf(found, ZeroDivisionError)

    def test_stopped_while_somebody_waits(self) -> None:
        self.source.start()
        found = self.source.find(NAMED, None)  # type: ignore[arg-type]
        self.successResultOf(self.source.stop())
        self.assertEqual(self.successResultOf(found), SourceReport("dht"))
        self.assertEqual(self.successResultOf(self.source.find(ALONE, None)), SourceReport("dht"))  # type: ignore[arg-type]
        self.assertEqual(self.loaded, 0)

    def test_before_and_after(self) -> None:
        """What else is asked of it."""

        def asked() -> list[Any]:
            source: LateDht = self.source
            source.ended(b"x")
            source.heard_node(NODE)
            return [source.node, source.node_port, list(source.nodes(b"x")), source.waits(b"x")]

        self.assertEqual(asked(), [None, None, [], False])
        self.source.start()
        self.clock.advance(HEAD_START)
        self.assertEqual(asked(), ["the node", 6881, [NODE], True])
        self.assertEqual(self.inner.told, [b"x", NODE])
        self.successResultOf(self.source.stop())
        self.assertEqual(self.inner.stopped, 1)


class ImportTests(SynchronousTestCase):
    def test_it_is_light(self) -> None:
        """Or it would save nothing."""
        code = (
            "import sys, functorrent.sources.dht.late\n"
            "print(sorted(name for name in sys.modules if name.startswith('functorrent.sources.dht.')))"
        )
        root = Path(__file__).parents[3]
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60, check=True
        )
        self.assertEqual(done.stdout, "['functorrent.sources.dht.late']\n")
