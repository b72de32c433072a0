"""ExtraTrackers over a network in memory: who is asked, who is not, and where the list comes from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from functorrent.addresses import AddressGuard
from functorrent.errors import UsageError
from functorrent.interfaces import (
    IPeerSource,
    IPeerSourceMaker,
    IRecallingSource,
    IStartingSource,
    IWallClock,
    PeerAddress,
    SourceContext,
    SourceReport,
)
from functorrent.limits import Limits
from functorrent.magnet import Magnet
from functorrent.sources.extra import ExtraTrackers, ExtraTrackersMaker, providers
from functorrent.sources.extra.lists import load
from functorrent.sources.http import HttpClient
from functorrent.wire.udp_tracker import STARTED, STOPPED
from tests.sources.fakes import Names, Network, UdpTracker, response
from tests.sources.test_tracker_source import Identity, Sink, infohash

HOSTS = {"a.example": ["93.184.216.34"], "b.example": ["93.184.216.35"], "lists.example": ["93.184.216.40"]}
A, B = "udp://a.example:1337/announce", "udp://b.example:1337/announce"
URL = "https://lists.example/best.txt?key=secret".replace("https", "http")
DAY = 86_400.0


@implementer(IWallClock)
class Wall:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.offset = 1_700_000_000.0

    def now(self) -> float:
        return self.offset + self.network.seconds()


class _Extra(SynchronousTestCase):
    limits = Limits()

    def setUp(self) -> None:
        self.network = Network()
        guard = AddressGuard()
        self.names = Names(guard, dict(HOSTS))
        self.client = HttpClient(self.network, self.network, self.names, guard, self.limits)
        self.context = SourceContext(
            self.network, self.network, self.names, guard, self.limits, Identity(), lambda: self.client
        )
        self.a, self.b = (
            UdpTracker(self.network, HOSTS[name][0], 1337) for name in ("a.example", "b.example")
        )
        self.sink = Sink()
        self.wall = Wall(self.network)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = str(self.folder / "list.txt")
        self.cache = str(self.folder / "cache")
        self.warnings: list[str] = []
        globalLogPublisher.addObserver(self._logged)
        self.addCleanup(globalLogPublisher.removeObserver, self._logged)

    def _logged(self, event: Any) -> None:
        if event.get("log_level") is not None and event["log_level"].name == "warn":
            self.warnings.append(event["log_format"].format(**event))

    def start(self, *urls: str) -> ExtraTrackers:
        """With a list in a file."""
        Path(self.path).write_text("\n".join(urls))
        return self.made(ExtraTrackersMaker(self.path))

    def made(self, maker: ExtraTrackersMaker) -> ExtraTrackers:
        self.source = maker.make(self.context)
        self.source.start()
        self.network.settle()
        return self.source

    def magnet(self, number: int, *trackers: str) -> Magnet:
        tiers = tuple((url,) for url in trackers)
        return Magnet(infohash(number), None, None, tiers, (), (), (), (), None, (), "")

    def find(self, *trackers: str, number: int = 1) -> Deferred[SourceReport]:
        d = self.source.find(self.magnet(number, *trackers), self.sink)
        self.network.settle()
        return d

    def asked(self, d: Deferred[SourceReport]) -> list[str]:
        self.report: SourceReport = self.successResultOf(d)
        report = self.report
        self.assertEqual(report.source, "extra trackers")
        return [tracker.url for tracker in report.trackers]

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.25)):
            self.network.advance(0.25)
            self.network.settle()

    def quiet(self) -> None:
        """Nothing is left."""
        stopped = self.source.stop()
        self.network.settle()
        self.successResultOf(stopped)
        self.client.stop()
        self.network.settle()
        self.assertEqual(self.network.getDelayedCalls(), [])
        self.assertFalse(any(port.open for port in self.network.udp_ports))


class AskingTests(_Extra):
    def test_what_it_is(self) -> None:
        source = self.start(A)
        for interface in (IPeerSource, IRecallingSource, IStartingSource):
            verifyObject(interface, source)
        verifyObject(IPeerSourceMaker, ExtraTrackersMaker(self.path))
        self.assertEqual(source.name, "extra trackers")
        self.quiet()

    def test_asked_as_trackers_are(self) -> None:
        self.start(A, B)
        d = self.find("udp://own.example:1/announce")
        self.assertEqual(self.asked(d), [A, B])
        report = self.report
        self.assertEqual((report.peers, report.announced), (2, True))
        self.assertEqual([line.status for line in report.trackers], ["ok", "ok"])
        self.assertEqual(self.sink.found, [PeerAddress("8.8.8.8", 6881)] * 2)
        self.assertEqual(self.a.events(), [STARTED])
        self.quiet()

    def test_stopped_is_owed_and_nothing_else(self) -> None:
        """BEP 27: when its info dictionary says that it is private, the fetch is over, and so is this."""
        self.start(A, B)
        self.b.answer = lambda request: None
        d = self.find()
        d.cancel()
        self.asked(d)
        self.source.ended(infohash(1))
        self.wait(120)
        self.assertEqual(self.a.events(), [STARTED, STOPPED])
        # It was asked and did not answer: it is not asked again, nor told.
        self.assertEqual(self.b.events(), [STARTED])
        self.quiet()

    def test_not_those_that_the_magnet_names(self) -> None:
        self.start(A, B)
        for own in (A, "udp://A.example:1337", "UDP://a.example:1337/announce?x=1"):
            number = len(self.a.announces) + len(self.b.announces) + 1
            self.assertEqual(self.asked(self.find(own, number=number)), [B], own)
            self.assertEqual(self.asked(self.find(own, B, number=number + 1000)), [])
        self.assertEqual(self.a.announces, [])
        self.quiet()

    def test_a_server_named_twice_is_asked_once(self) -> None:
        self.start(A, "udp://a.example:1337", "http://a.example:1337/announce", B)
        d = self.find()
        self.wait(1)
        self.assertEqual(self.asked(d), [A, "http://a.example:1337/announce", B])

    def test_a_magnet_with_a_passkey_is_private(self) -> None:
        self.start(A)
        for url in (
            "https://tracker.example/0123456789abcdef0123456789abcdef/announce",
            "http://tracker.example/announce?passkey=abc",
        ):
            d = self.find(url)
            self.assertEqual(self.asked(d), [])
            self.assertIn("passkey", self.report.detail or "")
        self.assertEqual(self.a.announces, [])
        self.quiet()

    def test_a_duplicate_that_joins_asks_nobody_anew(self) -> None:
        self.start(A)
        self.a.answer = lambda request: None
        first = self.find()
        self.assertEqual(self.asked(self.find("udp://own.example:1/")), [])
        self.assertEqual(len(self.a.announces), 1)
        first.cancel()
        self.source.ended(infohash(1))
        again = self.find()
        self.assertEqual(len(self.a.announces), 2)
        again.cancel()
        self.quiet()

    def test_more_than_a_magnet_may_name(self) -> None:
        self.start(*(f"udp://93.184.1.{n}:1337" for n in range(150)))
        d = self.find()
        d.cancel()
        self.assertEqual(len(self.asked(d)), 150)
        self.quiet()

    def test_strangers_in_the_list_are_guarded(self) -> None:
        self.start("udp://127.0.0.1:1337/announce", A)
        lines = self.successResultOf(self.find()).trackers
        self.assertEqual([line.status for line in lines], ["not_allowed", "ok"])

    def test_what_one_try_learned(self) -> None:
        self.start(A)
        self.asked(self.find())
        self.source.ended(infohash(1))
        learned = self.source.learned(infohash(1), 1000.0)
        assert learned is not None
        self.quiet()
        other = self.made(ExtraTrackersMaker(self.path))
        other.recall(infohash(1), learned, 1010.0)
        self.assertEqual(self.asked(self.find()), [A])
        # It is left alone for its interval; its peers are known.
        self.assertEqual(len([e for e in self.a.events() if e == STARTED]), 1)
        self.quiet()

    def test_stopped(self) -> None:
        self.start(A)
        self.quiet()
        self.assertEqual(self.asked(self.find()), [])


class FileTests(_Extra):
    def test_cannot_be_read(self) -> None:
        for path, words in (
            (self.path, "No such file"),
            (str(self.folder), "Is a directory"),
            ("/dev/null", "not a regular file"),
        ):
            with self.assertRaises(UsageError) as caught:
                ExtraTrackersMaker(path)
            self.assertIn(f"--extra-trackers {path}: ", str(caught.exception))
            self.assertIn(words, str(caught.exception))
        Path(self.path).write_bytes(b"#" * (self.limits.extra_list + 1))
        self.assertRaises(UsageError, ExtraTrackersMaker, self.path)

    def test_read_again_when_it_changes(self) -> None:
        self.start(A)
        self.assertEqual(self.asked(self.find(number=1)), [A])
        Path(self.path).write_text(B)
        self.assertEqual(self.asked(self.find(number=2)), [A])
        self.network.advance(60)
        self.assertEqual(self.asked(self.find(number=3)), [B])
        self.assertEqual(self.warnings, [])
        self.quiet()

    def test_looked_at_once_a_minute(self) -> None:
        self.start(A)
        looks: list[str] = []
        self.network.advance(60)
        self.patch(os, "stat", lambda path: looks.append(path) or self.fail("looked"))
        for n in range(100):
            try:
                self.find(number=n)
            except AssertionError:
                pass
        self.assertEqual(looks, [self.path])

    def test_not_read_again_unless_it_changes(self) -> None:
        self.start(A)
        self.patch(providers, "read_file", lambda *_: self.fail("it was read"))
        for number in range(3):
            self.network.advance(60)
            self.assertEqual(self.asked(self.find(number=number)), [A])
        self.quiet()

    def test_gone_later(self) -> None:
        """The list that is known is used, and that is said once."""
        self.start(A)
        os.unlink(self.path)
        for number in range(3):
            self.network.advance(60)
            self.assertEqual(self.asked(self.find(number=number)), [A])
        self.assertEqual(len(self.warnings), 1)
        self.assertIn("No such file", self.warnings[0])
        Path(self.path).write_text(B)
        self.network.advance(60)
        self.assertEqual(self.asked(self.find(number=9)), [B])
        self.quiet()

    def test_what_is_skipped_is_told_in_one_line(self) -> None:
        self.start(A, "wss://t.example", "nonsense")
        self.assertEqual(len(self.warnings), 1)
        self.assertIn("1 tracker, 2 entries skipped", self.warnings[0])

    def test_an_empty_list(self) -> None:
        self.start("# nothing")
        d = self.find()
        self.assertEqual(self.successResultOf(d).detail, "the list of extra trackers names none")
        self.quiet()


class WebTests(_Extra):
    def setUp(self) -> None:
        super().setUp()
        self.requests: list[bytes] = []
        self.answer: bytes | None = response(f"{A}\n\n{B}\n".encode())
        self.network.serve(HOSTS["lists.example"][0], 80, self.request)

    def request(self, data: bytes) -> bytes | None:
        self.requests.append(data)
        return self.answer

    def maker(self, url: str = URL, wall: bool = True) -> ExtraTrackersMaker:
        return ExtraTrackersMaker(url, self.cache, self.wall if wall else None)

    def begin(self, **how: Any) -> ExtraTrackers:
        return self.made(self.maker(**how))

    def test_fetched_and_kept(self) -> None:
        self.begin()
        self.assertIn(b"GET /best.txt?key=secret ", self.requests[0])
        self.assertEqual(self.asked(self.find()), [A, B])
        kept = load(self.cache, URL, self.limits)
        assert kept is not None
        self.assertEqual((kept[0].urls, kept[1]), ((A, B), self.wall.now()))
        self.quiet()

    def test_nothing_is_opened_before_it_starts(self) -> None:
        source = self.maker().make(self.context)
        self.assertEqual((self.network.dialled, os.listdir(self.folder)), ([], []))
        self.successResultOf(source.stop())

    def test_those_who_come_before_the_list(self) -> None:
        self.answer = None
        self.begin()
        finds = [self.find(number=n) for n in range(100)]
        for d in finds[:10]:
            d.cancel()
            self.assertEqual(self.successResultOf(d).detail, "the list of extra trackers was not here yet")
        self.assertNoResult(finds[10])
        self.network.connections[0].respond(response(A.encode()))
        late = self.source.find(self.magnet(500), self.sink)
        self.network.settle()
        for d in [*finds[10:], late]:
            self.assertEqual(self.asked(d), [A])
        self.quiet()

    def test_they_do_not_all_go_on_in_one_turn(self) -> None:
        self.answer = None
        self.begin()
        for n in range(100):
            self.find(number=n)
        begun: list[Any] = []
        find = self.source._trackers.find
        self.patch(self.source._trackers, "find", lambda *how: begun.append(how) or find(*how))
        self.patch(self.network, "callLater", lambda *_: None)
        self.source._provider.urls = (A,)
        self.source._arrived()
        self.assertEqual(len(begun), 20)

    def test_cancelled_after_the_list_came(self) -> None:
        self.answer = None
        self.begin()
        self.a.answer = lambda request: None
        d = self.find()
        self.network.connections[0].respond(response(A.encode()))
        self.network.settle()
        self.assertNoResult(d)
        d.cancel()
        self.assertEqual([line.status for line in self.successResultOf(d).trackers], ["cancelled"])
        self.quiet()

    def test_stopped_before_the_list(self) -> None:
        self.answer = None
        self.begin()
        d = self.find()
        self.quiet()
        self.assertEqual(self.asked(d), [])
        self.assertTrue(self.network.connections[0].closed)

    def test_once_a_day(self) -> None:
        self.begin()
        self.answer = response(B.encode())
        for hour in range(23):
            self.network.advance(3600)
            self.find(number=hour)
        self.assertEqual(len(self.requests), 1)
        self.network.advance(3601)
        self.asked(self.find(number=100))
        self.assertEqual(len(self.requests), 2)
        self.assertEqual(self.asked(self.find(number=101)), [B])
        self.quiet()

    def test_once_a_day_across_starts(self) -> None:
        self.begin()
        self.quiet()
        self.network.advance(DAY / 2)
        self.begin()
        self.assertEqual(self.asked(self.find()), [A, B])
        self.assertEqual(len(self.requests), 1)
        self.network.advance(DAY / 2 + 1)
        self.find(number=2)
        self.assertEqual(len(self.requests), 2)
        self.quiet()

    def test_an_old_one_is_used_at_once(self) -> None:
        self.begin()
        self.quiet()
        self.network.advance(2 * DAY)
        self.answer = None
        self.begin()
        self.assertEqual(len(self.requests), 2)
        self.assertEqual(self.asked(self.find()), [A, B])
        self.quiet()

    def test_one_from_the_future(self) -> None:
        self.begin()
        self.quiet()
        self.wall.offset -= 10 * DAY
        self.begin()
        self.assertEqual(len(self.requests), 2)
        self.quiet()

    def test_without_the_time_of_day(self) -> None:
        """It is kept all the same, and fetched at each start."""
        for number in (1, 2):
            self.begin(wall=False)
            self.assertEqual(len(self.requests), number)
            self.assertEqual(self.asked(self.find(number=number)), [A, B])
            self.quiet()

    def test_of_another_url(self) -> None:
        self.begin()
        self.quiet()
        self.answer = None
        self.begin(url="http://lists.example/other.txt")
        self.assertNoResult(self.find())
        self.quiet()

    def test_failures(self) -> None:
        """What was kept stays; an hour later it is tried again."""
        self.begin()
        self.quiet()
        self.network.advance(DAY + 1)
        for answer, words in (
            (response(b"gone", status=b"404 Not Found"), "status 404"),
            (response(b"<html>maintenance</html>"), "names no trackers"),
            (response(b"#" * (self.limits.extra_list + 1)), "longer than"),
            (response(b"", b"Location: http://127.0.0.1/", status=b"302 Found"), "a local address"),
            (b"\0\0\0", ""),
        ):
            self.answer = answer
            self.begin()
            if answer == b"\0\0\0":
                self.wait(16)
            self.assertEqual(len(self.warnings), 1, self.warnings)
            self.assertIn(words, self.warnings[0])
            self.assertIn("lists.example could not be had", self.warnings[0])
            self.assertIn("the one before is used", self.warnings[0])
            self.assertNotIn("secret", self.warnings.pop())
            number = len(self.requests)
            self.assertEqual(self.asked(self.find(number=number)), [A, B])
            self.network.advance(3600)
            self.find(number=100 + number)
            self.assertEqual(len(self.requests), number + 1)
            self.warnings.clear()
            self.quiet()
            self.warnings.clear()
        self.assertIsNotNone(load(self.cache, URL, self.limits))

    def test_never_had(self) -> None:
        self.answer = None
        self.begin()
        d = self.find()
        self.wait(16)
        self.assertIn(
            "the list of extra trackers at lists.example could not be had",
            self.successResultOf(d).detail or "",
        )
        later = self.find(number=2)
        self.assertIn("could not be had", self.successResultOf(later).detail or "")
        self.answer = response(A.encode())
        self.network.advance(3600)
        # This one begins the fetch; it does not wait for it, as it did not know that it would go well.
        self.find(number=3)
        self.assertEqual(self.asked(self.find(number=4)), [A])
        self.quiet()

    def test_a_list_on_this_machine(self) -> None:
        """Its URL is the user's."""
        self.network.serve("127.0.0.1", 8000, self.request)
        self.begin(url="http://127.0.0.1:8000/list")
        self.assertEqual(self.asked(self.find()), [A, B])
        self.quiet()

    def test_nowhere_to_keep_it(self) -> None:
        self.made(ExtraTrackersMaker(URL, None, self.wall))
        self.assertEqual(self.asked(self.find()), [A, B])
        self.quiet()
        self.made(ExtraTrackersMaker(URL, str(self.folder / "none" / "cache"), self.wall))
        self.assertEqual(self.asked(self.find()), [A, B])
        self.assertIn("cannot be kept", self.warnings[-1])
        self.quiet()
