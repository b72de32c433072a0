"""`functorrent peers`, with sources that the tests hold in hand."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from functorrent.addresses import AddressGuard
from functorrent.commands import peers as module
from functorrent.commands.peers import OPTIONS, Listing
from functorrent.interfaces import IPeerSink, PeerAddress, SourceReport, TrackerReport
from functorrent.magnet import Magnet
from functorrent.options import COMMAND, options_of
from tests.commands_bed import Screen, magnet


def address(number: int, host: str = "93.184.216.") -> PeerAddress:
    return PeerAddress(f"{host}{number}", 6881)


class Source:
    """Is asked once, and answers when the test says so."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[Magnet] = []
        self.sink: Any = None
        self.so_far = SourceReport(name)
        self.cancelled = False

    def find(self, magnet: Magnet, sink: Any) -> Deferred[SourceReport]:
        self.asked.append(magnet)
        self.sink = sink

        def cancel(lookup: Deferred[SourceReport]) -> None:
            self.cancelled = True
            lookup.callback(self.so_far)

        self.lookup: Deferred[SourceReport] = Deferred(cancel)
        return self.lookup


class Bag:
    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class Fetcher:
    """What `Listing` uses of one."""

    def __init__(self, *sources: Any, trackers: tuple[str, ...] = (), allow_local: bool = False) -> None:
        self.clock = Clock()
        self.core = Bag(clock=self.clock, sources=sources, guard=AddressGuard(allow_local))
        self.settings = Bag(timeout=60.0, trackers=trackers)
        self.stopped = 0

    def start(self) -> Deferred[None]:
        return succeed(None)

    def stop(self) -> Deferred[None]:
        self.stopped += 1
        return succeed(None)


class ListingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.trackers, self.dht = Source("trackers"), Source("dht")
        self.screen = Screen()

    def run_listing(
        self, fetcher: Fetcher, extra: str = "", *, as_json: bool = False, quiet: bool = False
    ) -> Deferred[int]:
        listing = Listing(Magnet.parse(magnet(1, extra)), self.screen.console, as_json=as_json, quiet=quiet)
        return Deferred.fromCoroutine(listing.run(fetcher))

    def test_each_peer_of_each_source_is_a_line(self) -> None:
        fetcher = Fetcher(self.trackers, self.dht)
        running = self.run_listing(fetcher, "&tr=udp://t.example:1")
        self.trackers.sink.peers([address(1), address(2), address(1)])
        self.assertEqual(self.screen.out, ["93.184.216.1:6881\ttrackers", "93.184.216.2:6881\ttrackers"])
        self.dht.sink.peers([address(2), PeerAddress("2606:4700::1111", 80)])
        self.dht.sink.peers([address(2)], hearsay=True)
        self.assertEqual(
            self.screen.out[2:], ["93.184.216.2:6881\tdht", "[2606:4700::1111]:80\tdht"], "as they come"
        )
        self.trackers.lookup.callback(
            SourceReport("trackers", 2, (TrackerReport("udp://t.example:1", "ok", 2),))
        )
        self.assertNoResult(running)
        self.dht.lookup.callback(SourceReport("dht", 2, detail="31 DHT nodes asked, 2 peers found"))
        self.assertEqual(self.successResultOf(running), 0)
        self.assertEqual(
            self.screen.err,
            [
                (
                    "functorrent: 3 peers found; 1 tracker answered with 2 peers; "
                    "31 DHT nodes asked, 2 peers found"
                )
            ],
        )
        self.assertEqual((fetcher.stopped, fetcher.clock.getDelayedCalls()), (1, []))

    def test_nobody_knows_any(self) -> None:
        running = self.run_listing(Fetcher(self.dht))
        self.dht.lookup.callback(SourceReport("dht", detail="31 DHT nodes asked, none knew a peer"))
        self.assertEqual(self.successResultOf(running), 1)
        self.assertEqual(self.screen.out, [])
        self.assertEqual(
            self.screen.err,
            ["functorrent: 0 peers found; no trackers; 31 DHT nodes asked, none knew a peer"],
        )

    def test_json(self) -> None:
        fetcher = Fetcher(self.dht)
        running = self.run_listing(fetcher, as_json=True, quiet=True)
        fetcher.clock.advance(0.25)
        self.dht.sink.peers([address(1), PeerAddress("2606:4700::1111", 80)])
        self.dht.lookup.callback(SourceReport("dht", 2))
        self.assertEqual(self.successResultOf(running), 0)
        self.assertEqual(
            [json.loads(line) for line in self.screen.out],
            [
                {"host": "93.184.216.1", "port": 6881, "source": "dht", "seconds": 0.25},
                {"host": "2606:4700::1111", "port": 80, "source": "dht", "seconds": 0.25},
            ],
        )
        self.assertEqual(self.screen.err, [])

    def test_addresses_that_are_not_allowed_are_left_out(self) -> None:
        """Who gives the list to another program must not have it call his own machine."""
        running = self.run_listing(Fetcher(self.dht))
        self.dht.sink.peers([address(1, "127.0.0."), address(2, "10.0.0."), PeerAddress("93.184.216.1", 0)])
        self.dht.sink.peers([address(3, "192.168.1.")], on_link=True)
        self.dht.lookup.callback(SourceReport("dht", 4))
        self.assertEqual(self.successResultOf(running), 0)
        self.assertEqual(self.screen.out, ["192.168.1.3:6881\tdht"])
        self.assertIn(
            "3 peers at addresses that are not allowed left out (--allow-local)", self.screen.err[0]
        )

    def test_allow_local(self) -> None:
        running = self.run_listing(Fetcher(self.dht, allow_local=True))
        self.dht.sink.peers([address(1, "127.0.0.")])
        self.dht.lookup.callback(SourceReport("dht", 1))
        self.assertEqual(self.successResultOf(running), 0)
        self.assertEqual(self.screen.out, ["127.0.0.1:6881\tdht"])

    def test_it_ends_in_time(self) -> None:
        fetcher = Fetcher(self.trackers, self.dht)
        running = self.run_listing(fetcher)
        self.trackers.lookup.callback(SourceReport("trackers"))
        self.dht.sink.peers([address(1)])
        self.dht.so_far = SourceReport("dht", 1, detail="9 DHT nodes asked, 1 peer found")
        fetcher.clock.advance(60)
        self.assertEqual(self.successResultOf(running), 0)
        self.assertTrue(self.dht.cancelled)
        self.assertTrue(self.screen.err[0].endswith("9 DHT nodes asked, 1 peer found; stopped after 60 s"))

    def test_interrupted(self) -> None:
        """What was found is said; nothing is left running."""
        fetcher = Fetcher(self.dht)
        running = self.run_listing(fetcher)
        self.dht.sink.peers([address(1)])
        self.dht.so_far = SourceReport("dht", 1, detail="9 DHT nodes asked, 1 peer found")
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.assertEqual(self.screen.out, ["93.184.216.1:6881\tdht"])
        self.assertEqual(
            self.screen.err,
            ["functorrent: 1 peer found; no trackers; 9 DHT nodes asked, 1 peer found; interrupted"],
        )
        self.assertEqual((fetcher.stopped, fetcher.clock.getDelayedCalls()), (1, []))

    def test_trackers_that_the_user_typed(self) -> None:
        fetcher = Fetcher(self.trackers, trackers=("udp://own.example:1", "udp://t.example:1"))
        self.run_listing(fetcher, "&tr=udp://t.example:1")
        self.assertEqual(self.trackers.asked[0].trackers, (("udp://t.example:1",), ("udp://own.example:1",)))

    def test_a_source_that_breaks(self) -> None:
        """... takes no other along, whatever it raises and whenever."""

        class Broken(Source):
            def find(self, magnet: Magnet, sink: Any) -> Deferred[SourceReport]:
                raise ZeroDivisionError("\x1b[2J")

        later = Source("later")
        running = self.run_listing(Fetcher(Broken("broken\x1b"), later, self.dht))
        later.lookup.errback(Failure(ZeroDivisionError("no")))
        self.dht.sink.peers([address(1)])
        self.dht.lookup.callback(SourceReport("dht", 1))
        self.assertEqual(self.successResultOf(running), 0)
        self.assertEqual(
            self.screen.err[:2],
            [
                "functorrent: the source broken\\x1b failed: \\x1b[2J",
                "functorrent: the source later failed: no",
            ],
        )

    def test_endless_peers(self) -> None:
        self.patch(module, "_MOST", 50)
        self.run_listing(Fetcher(self.dht))
        for _ in range(3):
            self.dht.sink.peers(PeerAddress("93.184.216.1", port) for port in range(1, 60_000))
        self.assertEqual(len(self.screen.out), 50)

    def test_the_sink(self) -> None:
        self.run_listing(Fetcher(self.dht))
        self.assertTrue(verifyObject(IPeerSink, self.dht.sink))
        self.assertTrue(self.dht.sink.hungry)
        self.assertIs(self.dht.sink.whole(b"de"), False)


class OptionTests(SynchronousTestCase):
    def test_they_are_those_of_fetch(self) -> None:
        self.assertEqual(OPTIONS - {option.name for option in options_of(COMMAND)}, set())
