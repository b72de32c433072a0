"""WebSource over a client that a test speaks for: turns, failures in words, memory, the ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from functorrent.addresses import AddressGuard
from functorrent.errors import AddressNotAllowed, NameNotResolved
from functorrent.infohash import matches
from functorrent.interfaces import (
    IPeerSink,
    IPeerSource,
    IPeerSourceMaker,
    IQueueingSource,
    SourceContext,
    SourceReport,
)
from functorrent.limits import Limits
from functorrent.magnet import Magnet
from functorrent.sources.http import HttpFailed, HttpTimedOut, HttpTooLong, HttpUnreachable
from functorrent.sources.web import WebSourceMaker
from functorrent.testing import sample_info, sample_magnet
from functorrent.wire.bencode import encode

INFO = sample_info(2_000)
OTHER = sample_info(2_000, "other")
HEAD = b"d8:announce16:http://t.example4:info"


def torrent(info: bytes = INFO) -> bytes:
    return HEAD + info + b"e"


class Get:
    """One GET that a test answers."""

    def __init__(self, url: str, how: dict[str, Any]) -> None:
        self.url = url
        self.how = how
        self.cancelled = False
        self.result: Deferred[Any] = Deferred(self._cancel)

    def _cancel(self, _: object) -> None:
        self.cancelled = True

    @property
    def over(self) -> bool:
        return self.cancelled or self.result.called

    def sends(self, data: bytes) -> None:
        """A piece of the body; where it is refused, the GET has failed."""
        try:
            self.how["take"](data)
        except HttpFailed as error:
            self.result.errback(error)

    def answers(self, body: bytes = b"", status: int = 200) -> None:
        if status == 200:
            self.sends(body)
        if not self.over:
            self.result.callback((status, None, b""))

    def fails(self, error: Exception) -> None:
        self.result.errback(error)


class Agent:
    def __init__(self) -> None:
        self.gets: list[Get] = []
        #: What becomes of a GET at once, by its URL.
        self.at_once: dict[str, Callable[[Get], None]] = {}

    def get(self, url: str, **how: Any) -> Deferred[Any]:
        get = Get(url, how)
        self.gets.append(get)
        if url in self.at_once:
            self.at_once[url](get)
        return get.result

    def running(self) -> list[Get]:
        return [get for get in self.gets if not get.over]


@implementer(IPeerSink)
class Sink:
    """Ends its lookup as a fetch does, when the whole is right."""

    hungry = True

    def __init__(self, infohash: bytes | None) -> None:
        self.infohash = infohash
        self.wholes: list[bytes] = []
        self.lookup: Deferred[SourceReport] | None = None

    def peers(self, addresses: Any, *, hearsay: bool = False, on_link: bool = False) -> None:
        raise AssertionError("a web source names no peers")

    def whole(self, info_bytes: bytes) -> bool:
        self.wholes.append(info_bytes)
        if self.infohash is None or not matches(self.infohash, info_bytes):
            return False
        if self.lookup is not None:
            self.lookup.cancel()
        return True


class _Web(SynchronousTestCase):
    limits = Limits()

    def setUp(self) -> None:
        self.clock = Clock()
        self.agent = Agent()
        self.made = 0

        def agent() -> Agent:
            self.made += 1
            return self.agent

        context: Any = SourceContext(
            reactor=None,
            clock=self.clock,
            resolver=None,  # type: ignore[arg-type]
            guard=AddressGuard(),
            limits=self.limits,
            identity=None,  # type: ignore[arg-type]
            agent=agent,
        )
        self.source = WebSourceMaker().make(context)

    def find(self, *urls: str, key: str = "xs", info: bytes = INFO) -> Deferred[SourceReport]:
        text = sample_magnet(info) + "".join(f"&{key}={url}" for url in urls)
        self.magnet = Magnet.parse(text)
        self.sink = Sink(self.magnet.infohash)
        lookup = self.source.find(self.magnet, self.sink)
        self.sink.lookup = lookup
        return lookup

    def settle(self) -> None:
        for _ in range(1000):
            if not any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
                return
            self.clock.advance(0)
        raise AssertionError("it has no end")

    def report(self, lookup: Deferred[SourceReport]) -> SourceReport:
        report: SourceReport = self.successResultOf(lookup)
        self.assertEqual((report.source, report.peers, report.trackers), ("web sources", 0, ()))
        return report

    def detail(self, lookup: Deferred[SourceReport]) -> str | None:
        return self.report(lookup).detail

    def told(self, end: Callable[[Get], None]) -> str | None:
        """What the report says of one web source that ends like this."""
        lookup = self.find("http://a.example/x?passkey=0123456789abcdef")
        end(self.agent.gets[-1])
        detail = self.detail(lookup)
        self.source.ended(self.magnet.infohash or b"")
        self.nothing_left()
        return detail

    def nothing_left(self) -> None:
        """No GET, no timer, no memory, no place in a table."""
        self.settle()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.agent.running(), [])
        downloads = self.source._downloads
        self.assertEqual((downloads._held, downloads._waiting), (0, 0))
        for table in (downloads._running, downloads._queues, downloads._ready, downloads._busy):
            self.assertEqual(len(table), 0)
        self.assertEqual(len(downloads._files), 0)
        self.assertEqual((self.source._lookups, self.source._asked), ({}, {}))


class OneTests(_Web):
    def test_what_it_is(self) -> None:
        verifyObject(IPeerSourceMaker, WebSourceMaker())
        for interface in (IPeerSource, IQueueingSource):
            verifyObject(interface, self.source)
        self.assertEqual(self.source.name, WebSourceMaker().name)

    def test_nothing_to_ask(self) -> None:
        """Nearly every magnet: no client is made, nothing is kept."""
        for lookup in (self.find(), self.find("urn:x"), self.find("http://a/content/", key="ws")):
            self.assertEqual(self.report(lookup), SourceReport("web sources"))
        self.assertEqual(self.made, 0)
        self.nothing_left()

    def test_from_url_to_info_dictionary(self) -> None:
        for key in ("xs", "as", "ws"):
            lookup = self.find("http://a.example/x.torrent", key=key)
            self.assertNoResult(lookup)
            get = self.agent.gets[-1]
            self.assertEqual(get.url, "http://a.example/x.torrent")
            self.assertIs(get.how["trusted"], False)
            self.assertEqual(get.how["max_body"], 2 * self.limits.max_metadata)
            self.assertEqual(get.how["timeout"], self.limits.web_source_timeout)
            get.answers(torrent())
            self.assertEqual(self.detail(lookup), "a.example had the .torrent")
            self.assertEqual(self.sink.wholes, [INFO])
            self.source.ended(self.magnet.infohash or b"")
            self.nothing_left()

    def test_a_sink_that_does_not_cancel(self) -> None:
        lookup = self.find("http://a.example/x.torrent")
        self.sink.lookup = None
        self.agent.gets[0].answers(torrent())
        self.assertEqual(self.detail(lookup), "a.example had the .torrent")

    def test_torrents_of_all_kinds(self) -> None:
        """Unsorted keys, piece layers, a repeated info, bytes behind the end: the hash decides."""
        for body in (
            b"d4:info" + INFO + b"8:announce16:http://t.exampleee",
            encode({"info": 0, "piece layers": {b"x" * 32: b"y" * 64}}).replace(
                b"4:infoi0e", b"4:info" + INFO
            ),
            b"d4:info" + INFO + b"4:infodee",
            torrent() + b"\r\n",
        ):
            lookup = self.find("http://a.example/x.torrent")
            self.agent.gets[-1].answers(body)
            self.assertEqual(self.detail(lookup), "a.example had the .torrent", body[:40])
            self.source.ended(self.magnet.infohash or b"")
        self.nothing_left()

    def test_words(self) -> None:
        for end, words in (
            (lambda get: get.answers(status=404), "a.example has no such torrent (404)"),
            (lambda get: get.answers(status=410), "a.example has no such torrent (410)"),
            (lambda get: get.answers(status=503), "a.example answered with status 503"),
            (lambda get: get.answers(torrent(OTHER)), "the .torrent at a.example is another torrent"),
            (lambda get: get.answers(b"<html>not here</html>"), "a.example sent no .torrent file"),
            (lambda get: get.answers(b""), "a.example sent no .torrent file"),
            (lambda get: get.answers(b"de"), "a.example sent no .torrent file"),
            (lambda get: get.answers(torrent()[:-100]), "a.example sent no .torrent file"),
            (lambda get: get.fails(HttpTooLong("x")), "a.example sent more than a .torrent file may have"),
            (lambda get: get.fails(HttpTimedOut("no whole ...")), "a.example did not answer in time"),
            (lambda get: get.answers(status=404), "a.example has no such torrent (404)"),
            (
                lambda get: get.fails(HttpUnreachable("connection refused")),
                "a.example failed: connection refused",
            ),
            (lambda get: get.answers(status=404), "a.example has no such torrent (404)"),
            (lambda get: get.fails(HttpFailed("\x1b[31m")), "a.example failed: \\x1b[31m"),
            (lambda get: get.fails(NameNotResolved("x")), "a.example has no address"),
            (
                lambda get: get.fails(AddressNotAllowed("127.0.0.1", "a local address")),
                "a.example leads to 127.0.0.1, a local address",
            ),
        ):
            self.assertEqual(self.told(end), words)

    def test_a_literal_that_is_not_allowed(self) -> None:
        for host in ("127.0.0.1", "[::1]"):
            lookup = self.find(f"http://{host}:8080/x")
            self.agent.gets[-1].fails(AddressNotAllowed(host.strip("[]"), "a local address"))
            self.assertEqual(self.detail(lookup), f"{host} is a local address")

    def test_no_url_is_ever_told(self) -> None:
        lookup = self.find("http://a.example/0123456789abcdef?passkey=fedcba9876543210")
        lookup.cancel()
        self.assertEqual(self.detail(lookup), "a.example had not answered yet")

    def test_a_page_is_refused_at_its_first_byte(self) -> None:
        lookup = self.find("http://a.example/x")
        get = self.agent.gets[0]
        get.sends(b"")
        self.assertFalse(get.over)
        get.sends(b"<")
        self.assertTrue(get.over)
        self.assertEqual(self.detail(lookup), "a.example sent no .torrent file")

    def test_cancelled(self) -> None:
        lookup = self.find("http://a.example/x", "http://b.example/y")
        get = self.agent.gets[0]
        lookup.cancel()
        self.assertTrue(get.cancelled)
        self.assertEqual(self.detail(lookup), "a.example had not answered yet")
        self.source.ended(self.magnet.infohash or b"")
        self.nothing_left()

    def test_stop(self) -> None:
        lookup = self.find("http://a.example/x")
        waiting = [self.find("http://a.example/x", info=sample_info(200, f"{n}")) for n in range(10)]
        self.successResultOf(self.source.stop())
        for each in (lookup, *waiting):
            self.report(each)
        self.assertEqual(self.agent.running(), [])
        self.assertEqual(len(self.agent.gets), self.limits.web_sources_per_server)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.report(self.find("http://a.example/x")), SourceReport("web sources"))

    def test_a_bug_of_ours_is_no_silence(self) -> None:
        lookup = self.find("http://a.example/x")
        self.agent.gets[0].fails(ZeroDivisionError())
        self.assertEqual(self.detail(lookup), "a.example failed: ")


class SeveralTests(_Web):
    URLS = [f"http://{host}.example/x" for host in "abcdefghijklmnop"]

    def test_one_after_the_other(self) -> None:
        lookup = self.find(*self.URLS[:3])
        self.assertEqual(len(self.agent.gets), 1)
        self.agent.gets[0].answers(status=404)
        self.assertEqual([get.url for get in self.agent.gets], self.URLS[:2])
        self.agent.gets[1].answers(torrent(OTHER))
        self.agent.gets[2].answers(torrent())
        self.assertEqual(self.detail(lookup), "c.example had the .torrent")

    def test_all_in_vain(self) -> None:
        lookup = self.find(*self.URLS[:2])
        self.agent.gets[0].answers(status=404)
        self.assertNoResult(lookup)
        self.agent.gets[1].answers(torrent(OTHER))
        self.assertEqual(
            self.detail(lookup),
            "a.example has no such torrent (404); the .torrent at b.example is another torrent",
        )
        self.source.ended(self.magnet.infohash or b"")
        self.nothing_left()

    def test_a_slow_one_is_not_waited_for(self) -> None:
        lookup = self.find(*self.URLS[:3])
        self.clock.advance(self.limits.web_source_patience)
        self.assertEqual(len(self.agent.running()), 2)
        self.agent.gets[1].answers(torrent())
        self.assertEqual(self.detail(lookup), "b.example had the .torrent")
        self.assertTrue(self.agent.gets[0].cancelled)
        self.source.ended(self.magnet.infohash or b"")
        self.nothing_left()

    def test_ends_at_once(self) -> None:
        """Also where every GET fails before it has begun."""
        for url in self.URLS[:3]:
            self.agent.at_once[url] = lambda get: get.fails(AddressNotAllowed("::1", "a local address"))
        detail = self.detail(self.find(*self.URLS[:3])) or ""
        self.assertEqual(detail.count("leads to ::1, a local address"), 3)
        self.source.ended(self.magnet.infohash or b"")
        self.nothing_left()

    def test_some_at_once_then_one_that_waits(self) -> None:
        self.agent.at_once[self.URLS[0]] = lambda get: get.answers(status=404)
        lookup = self.find(*self.URLS[:3])
        self.assertEqual([get.url for get in self.agent.gets], self.URLS[:2])
        self.clock.advance(self.limits.web_source_patience)
        self.assertEqual([get.url for get in self.agent.gets], self.URLS[:3])
        lookup.cancel()
        self.source.ended(self.magnet.infohash or b"")
        self.nothing_left()

    def test_hundreds(self) -> None:
        """Of a hostile magnet; its duplicates that join have no further room."""
        lookup = self.find(*(f"http://{n}.example/x" for n in range(400)))
        number = self.limits.web_sources_per_magnet
        for n in range(number):
            self.agent.gets[n].answers(status=404)
        self.assertEqual(
            self.detail(lookup),
            "0.example has no such torrent (404); 1.example has no such torrent (404); "
            f"2.example has no such torrent (404); {number - 3} further web sources were of no use, either",
        )
        self.report(self.find("http://new.example/x"))
        self.assertEqual(len(self.agent.gets), number)

    def test_a_duplicate_joins(self) -> None:
        first = self.find(*self.URLS[:1])
        self.report(self.find(*self.URLS[:1]))
        second = self.find(*self.URLS[:2])
        self.assertEqual([get.url for get in self.agent.gets], self.URLS[:2])
        for lookup in (first, second):
            lookup.cancel()
        self.source.ended(self.magnet.infohash or b"")
        self.nothing_left()
        # At the next try, all may be asked again.
        again = self.find(*self.URLS[:1])
        self.assertEqual(len(self.agent.gets), 3)
        again.cancel()


class TurnTests(_Web):
    limits = Limits(
        web_sources_at_once=6, web_sources_per_server=2, web_sources_waiting=20, web_source_failures=2
    )

    def many(self, number: int, host: str = "a.example") -> list[Deferred[SourceReport]]:
        """So many magnets that name a file there."""
        begun = self.count = getattr(self, "count", 0) + number
        return [
            self.find(f"http://{host}/{n}", info=sample_info(200, f"magnet {begun - n}"))
            for n in range(number)
        ]

    def test_so_many_of_one_server(self) -> None:
        lookups = self.many(8)
        self.assertEqual(len(self.agent.gets), 2)
        for n in range(8):
            self.agent.gets[n].answers(status=404)
            self.assertLessEqual(len(self.agent.running()), 2)
        self.assertEqual(self.agent.running(), [])
        for lookup in lookups:
            self.detail(lookup)
        # Kept only while there is more to ask of it.
        self.assertEqual([get.how["keep"] for get in self.agent.gets], [False, False] + [True] * 5 + [False])

    def test_so_many_in_all_and_none_keeps_others_waiting(self) -> None:
        self.many(10, "greedy.example")
        for n in range(8):
            self.many(1, f"{n}.example")
        self.assertEqual(len(self.agent.gets), 6)
        self.assertEqual(sum("greedy" in get.url for get in self.agent.gets), 2)
        for get in self.agent.gets[2:4]:
            get.answers(status=404)
        self.assertEqual(
            [get.url for get in self.agent.running()][4:], ["http://4.example/0", "http://5.example/0"]
        )
        self.source.stop()

    def test_servers_take_turns(self) -> None:
        self.source._downloads._limits = Limits(web_sources_at_once=1)
        self.many(1, "first.example")
        for host in ("a.example", "b.example", "c.example"):
            self.many(3, host)
        for number in range(9):
            self.agent.gets[number].answers(status=404)
        hosts = [get.url.split("/")[2][0] for get in self.agent.gets[1:]]
        self.assertEqual("".join(hosts), "abcabcabc")
        self.source.stop()

    def test_waits(self) -> None:
        lookups = self.many(3)
        self.assertTrue(self.source.waits(self.magnet.infohash or b""))
        self.assertFalse(self.source.waits(b"x" * 20))
        self.agent.gets[0].answers(status=404)
        self.assertFalse(self.source.waits(self.magnet.infohash or b""))
        last = self.many(1, "a.example")
        self.assertTrue(self.source.waits(self.magnet.infohash or b""))
        self.clock.advance(self.limits.web_source_wait)
        self.assertFalse(self.source.waits(self.magnet.infohash or b""))
        for lookup in lookups[1:] + last:
            lookup.cancel()

    def test_a_next_one_is_no_use_while_the_first_waits(self) -> None:
        self.many(2)
        lookup = self.find("http://a.example/x", "http://b.example/x")
        for _ in range(5):
            self.clock.advance(self.limits.web_source_patience)
        self.assertEqual(len(self.agent.gets), 2)
        lookup.cancel()
        self.assertEqual(self.detail(lookup), "a.example had not been asked yet")
        self.source.stop()

    def test_too_many(self) -> None:
        lookups = self.many(23)
        self.assertIn("too many files are waited for", self.detail(lookups[-1]) or "")
        self.assertNoResult(lookups[-2])
        self.source.stop()

    def test_cancelled_while_waiting(self) -> None:
        lookups = self.many(6)
        for lookup in lookups[2:]:
            lookup.cancel()
        self.settle()
        self.assertEqual(len(self.agent.gets), 2)
        for lookup in lookups[:2]:
            lookup.cancel()
        self.settle()
        self.assertEqual(len(self.source._downloads._queues), 0)

    def test_a_place_that_is_free_is_taken(self) -> None:
        lookups = self.many(4)
        lookups[0].cancel()
        self.settle()
        self.assertEqual(len(self.agent.gets), 3)
        self.source.stop()

    def test_a_dead_server(self) -> None:
        """Who waits for it hears at once, a bounded number in a turn of the reactor."""
        lookups = self.many(20)
        self.agent.gets[0].fails(HttpUnreachable("connection refused"))
        self.assertEqual(len(self.agent.gets), 3)
        self.agent.gets[1].fails(HttpTimedOut("x"))
        self.settle()
        self.assertEqual(len(self.agent.gets), 3)
        for lookup in lookups[3:]:
            self.assertEqual(self.detail(lookup), "a.example failed a moment ago")
        self.assertNoResult(lookups[2])
        self.assertEqual(self.detail(self.many(1)[0]), "a.example failed a moment ago")
        self.clock.advance(self.limits.web_source_rest)
        self.many(1)
        self.assertEqual(len(self.agent.gets), 4)
        # It is there again.
        self.agent.gets[3].answers(status=404)
        self.many(2)
        self.assertEqual(len(self.agent.gets), 5)
        self.source.stop()

    def test_many_that_fail_at_once(self) -> None:
        """No recursion, and no standing still."""
        self.source._downloads._limits = Limits(web_sources_at_once=1)
        first = self.find("http://first.example/x")
        urls = [f"http://{n}.example/x" for n in range(2000)]
        for url in urls:
            self.agent.at_once[url] = lambda get: get.fails(AddressNotAllowed("::1", "a local address"))
        lookups = [self.find(url, info=sample_info(200, url)) for url in urls]
        self.agent.gets[0].answers(status=404)
        self.assertLess(sum(lookup.called for lookup in lookups), 100)
        self.settle()
        self.assertTrue(all(lookup.called for lookup in lookups))
        self.detail(first)

    def test_remembered_failures_are_bounded(self) -> None:
        for n in range(1100):
            lookup = self.many(1, f"{n}.example")[0]
            self.agent.gets[-1].fails(NameNotResolved("x"))
            self.detail(lookup)
        self.assertEqual(len(self.source._downloads._failures), 1000)


class MemoryTests(_Web):
    limits = Limits(max_metadata=50_000, web_sources_bytes=0)  # so 200,000 bytes in all

    def held(self) -> int:
        return self.source._downloads._held

    def start(self, number: int) -> list[Deferred[SourceReport]]:
        return [
            self.find(f"http://{n}.example/x", info=sample_info(200, f"memory {n}")) for n in range(number)
        ]

    def test_what_is_held_is_counted(self) -> None:
        (lookup,) = self.start(1)
        self.agent.gets[0].sends(HEAD)
        self.agent.gets[0].sends(b"x" * 1000)
        self.assertEqual(self.held(), len(HEAD) + 1000)
        lookup.cancel()
        self.assertEqual(self.held(), 0)

    def test_the_newest_of_the_larger_ones_gives_way(self) -> None:
        lookups = self.start(4)
        for get, size in zip(self.agent.gets, (90_000, 70_000, 60_000, 10_000), strict=True):
            get.sends(b"d" * size)
        self.assertEqual([lookup.called for lookup in lookups], [False, False, True, False])
        self.assertEqual(self.detail(lookups[2]), "2.example sent too much while others did, too")
        self.assertTrue(self.agent.gets[2].over)
        self.agent.gets[3].sends(b"d" * 15_000)
        self.agent.gets[1].sends(b"d" * 10_000)
        self.agent.gets[0].sends(b"d" * 9_000)
        # It was the first that grew, and the second that gave way; the small one stays.
        self.assertEqual([lookup.called for lookup in lookups], [False, True, True, False])
        self.assertTrue(self.agent.gets[1].cancelled)
        self.assertEqual(self.detail(lookups[1]), "1.example sent too much while others did, too")
        self.assertEqual(self.held(), 124_000)
        self.source.stop()
        self.assertEqual(self.held(), 0)

    def test_never_more_than_the_budget(self) -> None:
        self.start(16)
        for _ in range(14):
            for get in self.agent.running():
                get.sends(b"d" * 7_000)
                self.assertLessEqual(self.held(), 200_000)
        self.assertIn(self.agent.gets[0], self.agent.running())
        self.source.stop()

    def test_an_info_dictionary_over_the_cap(self) -> None:
        info = sample_info(50_001)
        lookup = self.find("http://a.example/x", info=info)
        self.agent.gets[-1].answers(torrent(info))
        self.settle()
        self.assertEqual(self.detail(lookup), "a.example sent more than a .torrent file may have")
        self.assertEqual(self.sink.wholes, [])


class LongTests(_Web):
    """Files that are read in slices, one at a time."""

    LONG = encode({"files": [0] * 40_000, "name": "long"})

    def test_in_slices(self) -> None:
        lookup = self.find("http://a.example/x", info=self.LONG)
        self.agent.gets[0].answers(torrent(self.LONG))
        self.assertNoResult(lookup)
        self.settle()
        self.assertEqual(self.detail(lookup), "a.example had the .torrent")
        self.source.ended(self.magnet.infohash or b"")
        self.nothing_left()

    def test_one_at_a_time(self) -> None:
        lookups = []
        for n in range(5):
            info = encode({"files": [0] * 40_000, "name": f"{n}"})
            lookups.append(self.find(f"http://{n}.example/x", info=info))
            self.agent.gets[-1].answers(torrent(info))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        small = self.find("http://small.example/x")
        self.agent.gets[-1].answers(torrent())
        self.settle()
        for lookup in (*lookups, small):
            self.assertIn("had the .torrent", self.detail(lookup) or "")

    def test_cancelled_while_it_is_read(self) -> None:
        first = self.find("http://a.example/x", info=self.LONG)
        self.agent.gets[0].answers(torrent(self.LONG))
        other = encode({"files": [0] * 40_000, "name": "b"})
        second = self.find("http://b.example/x", info=other)
        self.agent.gets[1].answers(torrent(other))
        first.cancel()
        self.settle()
        self.assertEqual(self.detail(second), "b.example had the .torrent")
        self.assertEqual(self.detail(first), "a.example had not answered yet")

    def test_stopped_while_it_is_read(self) -> None:
        lookup = self.find("http://a.example/x", info=self.LONG)
        self.agent.gets[0].answers(torrent(self.LONG))
        self.source.stop()
        self.report(lookup)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_end(self) -> None:
        lookup = self.find("http://a.example/x")
        self.agent.gets[0].answers(HEAD + b"l" * 100_000)
        self.settle()
        self.assertEqual(self.detail(lookup), "a.example sent no .torrent file")


class CancelledByAStranger(_Web):
    def test_the_client_stops_first(self) -> None:
        """The GETs end with CancelledError while their lookups go on."""
        lookup = self.find("http://a.example/x")
        self.agent.gets[0].fails(CancelledError())
        self.detail(lookup)
