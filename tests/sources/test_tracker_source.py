"""TrackerSource as a whole, over a network in memory: UDP, HTTP, tiers, etiquette, dead and lying ones."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from functorrent.addresses import AddressGuard
from functorrent.interfaces import IIdentity, IPeerSink, PeerAddress, SourceContext, SourceReport
from functorrent.limits import Limits
from functorrent.magnet import Magnet
from functorrent.sources.http import HttpClient
from functorrent.sources.tracker import TrackerSource, TrackerSourceMaker
from functorrent.sources.tracker.health import Health
from functorrent.wire.bencode import encode
from functorrent.wire.udp_tracker import (
    STARTED,
    STOPPED,
    AnnounceAnswer,
    AnnounceRequest,
    ConnectAnswer,
    ErrorAnswer,
    encode_answer,
)
from tests.sources.fakes import Names, Network, UdpTracker, response

HOST = "93.184.216.34"
V6HOST = "2606:2800:220:1::1"
PEER = PeerAddress("8.8.8.8", 6881)
UDP = "udp://t.example:6969/announce"
HTTP = "http://t.example/announce"


@implementer(IPeerSink)
class Sink:
    def __init__(self) -> None:
        self.found: list[PeerAddress] = []
        self.hungry = True

    def peers(self, addresses: Iterable[PeerAddress]) -> None:
        self.found.extend(addresses)


@implementer(IIdentity)
class Identity:
    port: int | None = 6881
    key = 0xCAFE

    def peer_id(self, infohash: bytes) -> bytes:
        return b"-FT0001-" + infohash[:12]


def infohash(number: int) -> bytes:
    return number.to_bytes(20, "big")


class _Trackers(SynchronousTestCase):
    limits = Limits()
    guard = AddressGuard()

    def setUp(self) -> None:
        self.network = Network()
        self.names = Names(self.guard, {"t.example": [HOST], "local.example": ["127.0.0.1"]})
        self.identity = Identity()
        self.client = HttpClient(self.network, self.network, self.names, self.guard, self.limits)
        self.source = self.make()
        self.sink = Sink()

    def make(self, trusted: frozenset[str] = frozenset()) -> TrackerSource:
        context = SourceContext(
            self.network,
            self.network,
            self.names,
            self.guard,
            self.limits,
            self.identity,
            lambda: self.client,
        )
        return TrackerSourceMaker(trusted).make(context)

    def magnet(self, number: int, *trackers: str) -> Magnet:
        tiers = tuple((url,) for url in trackers)
        return Magnet(infohash(number), None, None, tiers, (), (), (), (), None, (), "")

    def find(self, *trackers: str, number: int = 1, sink: Any = None) -> Deferred[SourceReport]:
        d = self.source.find(self.magnet(number, *trackers), sink or self.sink)
        self.network.settle()
        return d

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.25)):
            self.network.advance(0.25)
            self.network.settle()

    def statuses(self, d: Deferred[SourceReport]) -> list[str]:
        return [tracker.status for tracker in self.successResultOf(d).trackers]

    def quiet(self) -> None:
        stopped = self.source.stop()
        self.network.settle()
        self.successResultOf(stopped)
        self.client.stop()
        self.network.settle()
        self.assertEqual(self.network.getDelayedCalls(), [])
        self.assertFalse(any(port.open for port in self.network.udp_ports))


class Udp(_Trackers):
    def setUp(self) -> None:
        super().setUp()
        self.tracker = UdpTracker(self.network)

    def test_peers_and_report(self) -> None:
        report = self.successResultOf(self.find(UDP))
        self.assertEqual(self.sink.found, [PEER])
        [line] = report.trackers
        self.assertEqual(
            (line.url, line.status, line.peers, line.seeders, line.leechers, line.error),
            (UDP, "ok", 1, 2, 1, None),
        )
        self.assertEqual((report.source, report.peers, report.announced), ("trackers", 1, True))
        [asked] = self.tracker.announces
        self.assertEqual(
            (asked.infohash, asked.peer_id, asked.port, asked.event, asked.left, asked.key, asked.num_want),
            (infohash(1), self.identity.peer_id(infohash(1)), 6881, STARTED, 16384, 0xCAFE, 200),
        )
        self.assertEqual(asked.options, b"\x02\x09/announce")
        self.quiet()

    def test_nothing_opens_before_the_first_find(self) -> None:
        self.assertEqual(self.network.udp_ports, [])
        self.quiet()

    def test_where_we_do_not_listen(self) -> None:
        self.identity.port = None
        self.assertFalse(self.successResultOf(self.find(UDP)).announced)
        self.assertEqual(self.tracker.announces[0].port, 1)

    def test_one_socket_one_connect_one_resolution_for_all(self) -> None:
        found = [self.source.find(self.magnet(n, UDP), self.sink) for n in range(20)]
        self.network.settle()
        for d in found:
            self.successResultOf(d)
        self.assertEqual((len(self.network.udp_ports), self.tracker.connects), (1, 1))
        asked = len(self.names.asked)
        self.find(UDP, number=50)
        self.assertEqual(len(self.names.asked), asked)

    def test_connection_ids_are_renewed(self) -> None:
        self.find(UDP)
        self.wait(54)
        self.find(UDP, number=2)
        self.assertEqual((self.tracker.connects, self.tracker.announces[-1].connection_id), (1, 1001))
        self.wait(2)
        self.find(UDP, number=3)
        self.assertEqual((self.tracker.connects, self.tracker.announces[-1].connection_id), (2, 1002))

    def test_transaction_ids_are_not_guessable(self) -> None:
        for number in range(30):
            self.find(UDP, number=number)
        ids = [request.transaction_id for request in self.tracker.announces]
        self.assertEqual(len(set(ids)), 30)
        self.assertTrue(any(abs(a - b) > 2**24 for a, b in pairwise(ids)))

    def test_stopped(self) -> None:
        self.find(UDP)
        self.source.ended(infohash(1))
        self.source.ended(infohash(1))
        self.network.settle()
        self.assertEqual(self.tracker.events(), [STARTED, STOPPED])
        self.assertEqual(self.tracker.announces[1].infohash, infohash(1))
        self.assertEqual(self.tracker.announces[1].num_want, 0)
        self.quiet()

    def test_stopped_with_a_new_connection_id(self) -> None:
        self.find(UDP)
        self.wait(56)
        self.source.ended(infohash(1))
        self.network.settle()
        self.assertEqual(self.tracker.events(), [STARTED, STOPPED])
        self.assertEqual(self.tracker.announces[1].connection_id, 1002)
        self.quiet()

    def test_stopped_at_stop(self) -> None:
        self.find(UDP)
        self.wait(56)
        self.quiet()
        self.assertEqual(self.tracker.events(), [STARTED, STOPPED])

    def test_stop_does_not_wait_long(self) -> None:
        self.find(UDP)
        self.wait(56)
        self.tracker.lose = 1000
        stopped = self.source.stop()
        self.network.settle()
        self.assertNoResult(stopped)
        self.network.advance(self.limits.stop_timeout)
        self.successResultOf(stopped)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_no_stopped_where_nothing_was_accepted(self) -> None:
        self.tracker.answer = lambda request: ErrorAnswer(request.transaction_id, b"no")
        self.find(UDP)
        self.source.ended(infohash(1))
        self.tracker.answer = lambda request: None
        d = self.find(UDP, number=2)
        d.cancel()
        self.source.ended(infohash(2))
        self.assertEqual(self.tracker.events(), [STARTED, STARTED])

    def test_a_lost_packet_costs_a_second(self) -> None:
        self.tracker.lose = 1
        d = self.find(UDP)
        self.wait(1.25)
        self.assertEqual(self.statuses(d), ["ok"])
        self.find(UDP, number=2)
        self.tracker.lose = 2
        d = self.find(UDP, number=3)
        self.wait(1.25)
        self.assertNoResult(d)
        self.wait(2.25)
        self.assertEqual(self.statuses(d), ["ok"])

    def test_refused(self) -> None:
        self.tracker.answer = lambda request: ErrorAnswer(request.transaction_id, b"not \x1b here\0")
        [line] = self.successResultOf(self.find(UDP)).trackers
        self.assertEqual((line.status, line.error), ("failed", "the tracker refused: not \\x1b here"))

    def test_opentracker_refuses_with_eight_bytes(self) -> None:
        self.tracker.answer = lambda request: (
            request.transaction_id.to_bytes(4, "big").rjust(8, b"\0").replace(b"\0\0\0\0", b"\0\0\0\1", 1)
        )
        [line] = self.successResultOf(self.find(UDP)).trackers
        self.assertEqual((line.status, line.error), ("failed", "the tracker refused, without a reason"))

    def test_too_short_is_no_wait(self) -> None:
        self.tracker.answer = lambda request: encode_answer(
            AnnounceAnswer(request.transaction_id, 1, 1, 1, b"")
        )[:19]
        [line] = self.successResultOf(self.find(UDP)).trackers
        self.assertIn("19 bytes", str(line.error))

    def test_a_forgotten_connection_id_is_renewed_once(self) -> None:
        self.find(UDP)

        def answer(request: AnnounceRequest) -> Any:
            if request.connection_id == 1001:
                return ErrorAnswer(request.transaction_id, b"Connection ID missmatch.")
            return self.tracker.ok(request)

        self.tracker.answer = answer
        self.assertEqual(self.statuses(self.find(UDP, number=2)), ["ok"])
        self.assertEqual(self.tracker.connects, 2)
        self.tracker.answer = lambda request: ErrorAnswer(request.transaction_id, b"bad connection id")
        self.assertEqual(self.statuses(self.find(UDP, number=3)), ["failed"])
        self.assertEqual(self.tracker.connects, 3)

    def test_forged_answers_are_dropped(self) -> None:
        self.tracker.answer = lambda request: None
        d = self.find(UDP)
        port, asked = self.network.udp_ports[0], self.tracker.announces[0]
        good = encode_answer(self.tracker.ok(asked))  # type: ignore[arg-type]
        for data, address in (
            (good, ("93.184.216.35", 6969)),
            (good, (HOST, 6970)),
            (encode_answer(AnnounceAnswer(asked.transaction_id ^ 1, 1, 1, 1, b"")), (HOST, 6969)),
            (good[:7], (HOST, 6969)),
            (b"", (HOST, 6969)),
        ):
            port.deliver(data, address)
            self.assertNoResult(d)
        port.deliver(good, (HOST, 6969))
        self.successResultOf(d)
        port.deliver(good, (HOST, 6969))
        self.assertEqual(len(self.sink.found), 1)

    def test_the_wrong_kind_of_answer(self) -> None:
        self.tracker.answer = lambda request: ConnectAnswer(request.transaction_id, 5)
        self.assertEqual(self.statuses(self.find(UDP)), ["failed"])

    def test_peers_are_capped(self) -> None:
        self.tracker.peers = self.tracker.peers * 1300 + b"xx"
        self.assertEqual(self.successResultOf(self.find(UDP)).peers, 1000)

    def test_interval_is_honoured(self) -> None:
        self.find(UDP)
        self.source.ended(infohash(1))
        again = Sink()
        report = self.successResultOf(self.find(UDP, sink=again))
        self.assertEqual((again.found, report.trackers[0].status, report.announced), ([PEER], "ok", False))
        self.source.ended(infohash(1))
        self.network.settle()
        self.assertEqual(self.tracker.events(), [STARTED, STOPPED])
        self.wait(1800)
        self.find(UDP)
        self.assertEqual(self.tracker.events(), [STARTED, STOPPED, STARTED])

    def test_at_most_so_many_in_flight(self) -> None:
        self.find(UDP)
        self.tracker.answer = lambda request: None
        for number in range(2, 302):
            self.find(UDP, number=number)
        self.assertEqual(len(self.tracker.announces), 101)
        self.tracker.answer = self.tracker.ok
        self.wait(3)
        self.assertEqual(len({request.infohash for request in self.tracker.announces}), 301)

    def test_so_many_of_all_trackers_together(self) -> None:
        other = UdpTracker(self.network, port=1)
        for tracker in (self.tracker, other):
            tracker.answer = lambda request: None
        for number in range(1, 81):
            self.find(UDP, number=number)
            self.find("udp://t.example:1", number=number)
        self.assertEqual(len(self.tracker.announces) + len(other.announces), 100)
        for tracker in (self.tracker, other):
            tracker.answer = tracker.ok
        self.wait(4)
        self.assertEqual({len({r.infohash for r in t.announces}) for t in (self.tracker, other)}, {80})

    def test_a_refusal_makes_room_for_the_next(self) -> None:
        self.tracker.answer = lambda request: None
        for number in range(150):
            self.find(UDP, number=number)
        self.assertEqual(len(self.tracker.announces), 100)
        no = ErrorAnswer(self.tracker.announces[0].transaction_id, b"no")
        self.network.udp_ports[0].deliver(encode_answer(no), (HOST, 6969))
        self.assertEqual(len(self.tracker.announces), 101)

    def test_one_that_owes_answers_is_asked_a_few_at_a_time(self) -> None:
        self.tracker.answer = lambda request: None
        for number in range(10):
            self.find(UDP, number=number)
        self.wait(1.25)
        before = len(self.tracker.announces)
        for number in range(10, 40):
            self.find(UDP, number=number)
        self.assertEqual(len(self.tracker.announces), before)
        self.tracker.answer = self.tracker.ok
        self.wait(4)
        self.assertEqual(len({request.infohash for request in self.tracker.announces}), 40)

    def test_ourselves(self) -> None:
        self.guard.set_own({6969}, frozenset((HOST,)))
        self.addCleanup(self.guard.set_own, set(), frozenset())
        self.assertEqual(self.statuses(self.find(UDP)), ["not_allowed"])

    def test_both_families(self) -> None:
        six = UdpTracker(self.network, V6HOST)
        six.peers = bytes.fromhex("20014860486000000000000000008888 1ae1")
        self.names.table["t.example"] = [V6HOST, HOST]
        report = self.successResultOf(self.find(UDP))
        self.assertEqual(
            {str(peer) for peer in self.sink.found}, {"8.8.8.8:6881", "[2001:4860:4860::8888]:6881"}
        )
        self.assertEqual(
            (len(report.trackers), report.trackers[0].peers, report.trackers[0].status), (1, 2, "ok")
        )
        self.assertEqual([port.interface for port in self.network.udp_ports], ["::", ""])
        self.source.ended(infohash(1))
        self.network.settle()
        self.assertEqual((six.events(), self.tracker.events()), ([STARTED, STOPPED], [STARTED, STOPPED]))
        again = Sink()
        self.find(UDP, sink=again)
        self.assertEqual(len(again.found), 2)

    def test_a_dead_family_is_not_waited_for_long(self) -> None:
        self.names.table["t.example"] = [V6HOST, HOST]
        d = self.find(UDP)
        self.assertEqual(self.sink.found, [PEER])
        self.assertNoResult(d)
        self.wait(2)
        self.assertEqual(self.statuses(d), ["ok"])
        self.quiet()

    def test_an_unreachable_family_is_not_waited_for_at_all(self) -> None:
        self.names.table["t.example"] = [V6HOST, HOST]
        write = self.network.listenUDP

        def listen(port: int, protocol: Any, interface: str = "", maxPacketSize: int = 0) -> Any:
            opened = write(port, protocol, interface, maxPacketSize)
            if interface == "::":

                def refuse(data: bytes, address: Any) -> None:
                    raise OSError(101, "Network is unreachable")

                opened.write = refuse  # type: ignore[method-assign]
            return opened

        self.network.listenUDP = listen  # type: ignore[method-assign]
        self.assertEqual(self.statuses(self.find(UDP)), ["ok"])
        [line] = self.successResultOf(self.find(f"udp://[{V6HOST}]:6969", number=2)).trackers
        self.assertIn("unreachable", str(line.error))

    def test_a_burst_of_answers_does_not_hold_the_reactor(self) -> None:
        """As a Port does: it takes datagrams while it has read less than its maxThroughput."""
        self.find(UDP)
        [port] = self.network.udp_ports
        usual = port.maxThroughput
        left = 1000

        def turn() -> None:
            nonlocal left
            read = 0
            while read < port.maxThroughput and left:
                # Nobody's, and each takes 4 ms.
                self.network.rightNow += 0.004
                port.protocol.datagramReceived(b"x" * 20, (HOST, 6969))
                read, left = read + 20, left - 1

        turn()
        self.assertEqual(left, 1000 - 8)
        for _ in range(3):
            self.network.advance(0)
            self.assertEqual(port.maxThroughput, usual)
            turn()
        self.assertEqual(left, 1000 - 4 * 8)
        # Closed in the middle of a turn: Twisted's -1 stays.
        port.maxThroughput = -1
        self.network.advance(0)
        self.assertEqual(port.maxThroughput, -1)

    def test_a_full_buffer_is_a_lost_packet(self) -> None:
        self.find(UDP)
        port = self.network.udp_ports[0]
        write, failing = port.write, [True]

        def full(data: bytes, address: Any) -> None:
            if failing.pop():
                raise BlockingIOError(11, "full")
            write(data, address)

        port.write = full  # type: ignore[method-assign]
        self.source._desk.udp._sockets._send[False] = full
        failing[:] = [False, True]
        d = self.find(UDP, number=2)
        self.assertNoResult(d)
        self.wait(1.25)
        self.assertEqual(self.statuses(d), ["ok"])


class Dead(_Trackers):
    def test_gives_up(self) -> None:
        d = self.find(UDP)
        self.wait(29)
        self.assertNoResult(d)
        self.wait(2)
        [line] = self.successResultOf(d).trackers
        self.assertEqual((line.status, line.error), ("timed_out", "it did not answer"))
        times = [when for when, _, _ in self.network.udp_ports[0].sent]
        self.assertEqual(times, [0, 1, 3, 7, 15])
        self.quiet()

    def test_all_who_wait_fail_with_it_and_later_ones_at_once(self) -> None:
        waiting = [self.find(UDP, number=n) for n in range(500)]
        self.assertEqual(len(self.network.udp_ports[0].sent), 1)
        self.wait(31)
        for d in waiting:
            self.assertEqual(self.statuses(d), ["timed_out"])
        d = self.find(UDP, number=1000)
        self.assertEqual(self.statuses(d), ["timed_out"])
        self.assertEqual(len(self.network.udp_ports[0].sent), 5)

    def test_one_that_lives_again_is_noticed(self) -> None:
        self.find(UDP)
        self.wait(31)
        UdpTracker(self.network)
        self.wait(5)
        self.assertEqual(self.statuses(self.find(UDP, number=2)), ["ok"])
        self.assertEqual(self.statuses(self.find(UDP, number=3)), ["ok"])

    def test_a_probe_is_short_and_others_wait_for_it(self) -> None:
        self.find(UDP)
        self.wait(35)
        probe, other = self.find(UDP, number=2), self.find(UDP, number=3)
        self.assertNoResult(other)
        self.wait(3.5)
        self.assertEqual(self.statuses(probe) + self.statuses(other), ["timed_out"] * 2)

    def test_it_does_not_block_live_ones(self) -> None:
        dying = UdpTracker(self.network, port=1)
        UdpTracker(self.network)
        dead = "udp://t.example:1"
        self.find(dead)
        dying.answer = lambda request: None
        for number in range(10, 400):
            self.find(dead, number=number)
        self.wait(1.5)
        self.assertEqual(self.statuses(self.find(UDP, number=1000)), ["ok"])
        # ... and while it owes us answers it is asked a few at a time.
        before = len(dying.announces)
        self.wait(0.75)
        self.assertEqual(len(dying.announces), before)

    def test_no_such_name(self) -> None:
        [line] = self.successResultOf(self.find("udp://nowhere.example:1")).trackers
        self.assertEqual((line.status, line.error), ("failed", "nowhere.example has no address"))


class Knowing(SynchronousTestCase):
    def test_a_late_failure_is_no_news_of_one_that_answered_since(self) -> None:
        health = Health()
        health.alive(10.0)
        health.failed(now=20.0, asked=9.0, why="late")
        self.assertFalse(health.is_down(20.0))
        health.failed(now=30.0, asked=11.0, why="dead")
        self.assertTrue(health.is_down(89.0))
        self.assertFalse(health.is_down(90.0))


class Http(_Trackers):
    def setUp(self) -> None:
        super().setUp()
        self.requests: list[bytes] = []
        self.body = encode(
            {"peers": b"\x08\x08\x08\x08\x1a\xe1", "interval": 1800, "complete": 3, "tracker id": "tid"}
        )
        self.network.serve(HOST, 80, self.answer)

    def answer(self, request: bytes) -> bytes | None:
        self.requests.append(request)
        return response(self.body)

    def test_peers_and_report(self) -> None:
        report = self.successResultOf(self.find(HTTP))
        self.assertEqual((self.sink.found, report.announced), ([PEER], True))
        [line] = report.trackers
        self.assertEqual((line.status, line.peers, line.seeders, line.leechers), ("ok", 1, 3, None))
        self.assertIn(b"&event=started&", self.requests[0])
        self.quiet()

    def test_stopped_with_the_tracker_id(self) -> None:
        self.find(HTTP)
        self.source.ended(infohash(1))
        self.network.settle()
        self.assertIn(b"&event=stopped&", self.requests[1])
        self.quiet()
        self.assertEqual(len(self.requests), 2)

    def test_the_tracker_id_goes_along_the_next_time(self) -> None:
        self.find(HTTP)
        self.wait(1800)
        self.find(HTTP)
        self.assertNotIn(b"trackerid", self.requests[0])
        self.assertIn(b"&trackerid=tid ", self.requests[-1])

    def test_failures(self) -> None:
        for body, words in (
            (encode({"failure reason": "go"}), "the tracker refused: go"),
            (b"<html>", "not a tracker's"),
        ):
            self.body = body
            [line] = self.successResultOf(self.find(HTTP, number=len(body))).trackers
            self.assertEqual(line.status, "failed")
            self.assertIn(words, str(line.error))

    def test_statuses(self) -> None:
        self.network.serve(HOST, 80, lambda _: response(b"<html>", status=b"503 Busy"))
        [line] = self.successResultOf(self.find(HTTP)).trackers
        self.assertEqual((line.status, line.error), ("failed", "HTTP status 503"))
        why = response(encode({"failure reason": "banned"}), status=b"403 Forbidden")
        self.network.serve(HOST, 80, lambda _: why)
        self.client.stop()
        [line] = self.successResultOf(self.find(HTTP, number=2)).trackers
        self.assertEqual(line.error, "the tracker refused: banned")

    def test_local_ones_are_refused_unless_typed(self) -> None:
        self.network.serve("127.0.0.1", 80, self.answer)
        UdpTracker(self.network, "127.0.0.1")
        local = (
            "http://local.example/a",
            "http://127.0.0.1/a",
            "udp://local.example:6969",
            "udp://127.0.0.1:6969",
        )
        report = self.successResultOf(self.find(*local))
        self.assertEqual([line.status for line in report.trackers], ["not_allowed"] * 4)
        for line in report.trackers:
            self.assertIn("--allow-local", str(line.error))
        self.assertEqual(self.network.dialled, [])
        self.source = self.make(frozenset(local))
        d = self.find(*local)
        self.wait(0.5)
        self.assertEqual(self.statuses(d), ["ok"] * 4)

    def test_a_redirect_to_loopback(self) -> None:
        self.network.serve(HOST, 80, lambda _: response(b"", b"Location: http://127.0.0.1/", status=b"302 x"))
        self.assertEqual(self.statuses(self.find(HTTP)), ["not_allowed"])

    def test_unusable_ones_do_not_fail_the_magnet(self) -> None:
        report = self.successResultOf(
            self.find("wss://t.example/?passkey=0123456789abcdef", "nonsense", HTTP)
        )
        self.assertEqual([line.status for line in report.trackers], ["unsupported", "unsupported", "ok"])
        self.assertNotIn("0123456789abcdef", report.trackers[0].url)
        self.assertTrue(all(line.error for line in report.trackers[:2]))

    def test_no_trackers(self) -> None:
        self.assertEqual(self.successResultOf(self.find()).trackers, ())
        self.assertEqual(self.statuses(self.find("wss://x/")), ["unsupported"])

    def test_too_many_trackers(self) -> None:
        d = self.find(*(f"http://t.example/{n}" for n in range(150)))
        self.wait(20)
        self.assertEqual(len(self.statuses(d)), 100)

    def test_one_that_hangs_blocks_neither_others_nor_for_ever(self) -> None:
        self.network.serve("9.9.9.9", 80, lambda _: None)
        self.names.table["mute.example"] = ["9.9.9.9"]
        mute = [self.find("http://mute.example/", number=n) for n in range(80)]
        dialled = self.network.dialled.count(("9.9.9.9", 80))
        self.assertEqual(dialled, 50)
        self.assertEqual(self.statuses(self.find(HTTP, number=100)), ["ok"])
        self.wait(15.25)
        for d in mute:
            self.assertEqual(self.statuses(d), ["timed_out"])
        self.assertEqual(self.statuses(self.find("http://mute.example/", number=200)), ["timed_out"])
        self.assertEqual(self.network.dialled.count(("9.9.9.9", 80)), 50)
        self.network.serve("9.9.9.9", 80, self.answer)
        self.wait(5)
        self.assertEqual(self.statuses(self.find("http://mute.example/", number=300)), ["ok"])
        self.assertEqual(self.statuses(self.find("http://mute.example/", number=301)), ["ok"])

    def test_stop_does_not_wait_long(self) -> None:
        self.find(HTTP)
        self.network.serve(HOST, 80, lambda _: None)
        self.client.stop()
        self.network.settle()
        stopped = self.source.stop()
        self.network.settle()
        self.assertNoResult(stopped)
        self.network.advance(self.limits.stop_timeout)
        self.network.settle()
        self.successResultOf(stopped)
        self.assertTrue(self.network.connections[-1].closed)
        self.client.stop()
        self.network.settle()
        self.assertEqual(self.network.getDelayedCalls(), [])


class Order(_Trackers):
    def setUp(self) -> None:
        super().setUp()
        self.udp = UdpTracker(self.network)
        self.http = 0
        self.network.serve(HOST, 80, self.answer)

    def answer(self, request: bytes) -> bytes:
        self.http += 1
        return response(encode({"peers": b""}))

    def test_http_waits_for_a_moment(self) -> None:
        d = self.find(HTTP, UDP)
        self.assertEqual((len(self.udp.announces), self.http), (1, 0))
        self.network.advance(0.29)
        self.assertEqual(self.http, 0)
        self.network.advance(0.02)
        self.network.settle()
        self.assertEqual(self.http, 1)
        self.assertEqual(self.statuses(d), ["ok", "ok"])

    def test_http_waits_longer_while_peers_are_tried(self) -> None:
        self.sink.hungry = False
        self.find(HTTP, UDP)
        self.network.advance(0.31)
        self.assertEqual(self.http, 0)
        self.sink.hungry = True
        self.network.advance(0.3)
        self.assertEqual(self.http, 1)

    def test_but_not_for_ever(self) -> None:
        self.sink.hungry = False
        self.find(HTTP, UDP)
        for _ in range(8):
            self.network.advance(0.3)
        self.assertEqual(self.http, 0)
        for _ in range(3):
            self.network.advance(0.3)
        self.assertEqual(self.http, 1)

    def test_but_not_where_there_is_no_usable_udp_one(self) -> None:
        self.find(HTTP, "udp://nonsense")
        self.assertEqual(self.http, 1)

    def test_nor_when_one_failed(self) -> None:
        self.udp.answer = lambda request: ErrorAnswer(request.transaction_id, b"no")
        self.find(HTTP, UDP)
        self.assertEqual(self.http, 1)

    def test_nor_when_one_knows_nobody(self) -> None:
        self.udp.peers = b""
        self.find(HTTP, UDP)
        self.assertEqual(self.http, 1)

    def test_a_dead_first_tier(self) -> None:
        dead = [f"udp://t.example:{port}" for port in range(1, 31)]
        d = self.find(*dead, UDP)
        self.wait(3.25)
        self.assertEqual(self.sink.found, [PEER])
        self.wait(31)
        self.assertEqual(self.statuses(d), ["timed_out"] * 30 + ["ok"])

    def test_a_few_at_a_time(self) -> None:
        self.find(*(f"udp://t.example:{port}" for port in range(1, 31)))
        self.assertEqual(len(self.network.udp_ports[0].sent), 10)

    def test_cancelling(self) -> None:
        d = self.find(UDP, HTTP, "udp://t.example:1", "wss://x/")
        self.udp.answer = lambda request: None
        d.cancel()
        report = self.successResultOf(d)
        self.assertEqual(
            [line.status for line in report.trackers], ["ok", "cancelled", "cancelled", "unsupported"]
        )
        self.assertEqual((report.peers, report.announced), (1, True))
        self.quiet()

    def test_cancelling_while_everything_hangs(self) -> None:
        self.names.held["slow.example"] = []
        self.network.silent.add(("9.9.9.9", 80))
        self.udp.answer = lambda request: None
        self.network.serve("9.9.9.8", 80, lambda _: None)
        urls = (UDP, "udp://slow.example:1", "http://9.9.9.9/", "http://slow.example/", "http://9.9.9.8/")
        d = self.find(*urls)
        self.wait(0.5)
        d.cancel()
        self.network.settle()
        self.assertEqual(self.statuses(d), ["cancelled"] * 5)
        self.assertTrue(self.network.connections[0].closed)
        self.assertEqual([waiting.called for waiting, _ in self.names.held["slow.example"]], [True, True])
        self.quiet()
        self.names.release("slow.example")
        self.assertEqual(self.udp.events(), [STARTED])

    def test_a_sink_that_cancels(self) -> None:
        class Enough(Sink):
            def peers(self, addresses: Iterable[PeerAddress]) -> None:
                super().peers(addresses)
                found.cancel()

        sink = Enough()
        found = self.source.find(self.magnet(1, UDP, HTTP), sink)
        self.network.settle()
        self.assertEqual(self.statuses(found), ["ok", "cancelled"])
        self.source.ended(infohash(1))
        self.network.settle()
        self.assertEqual(self.udp.events(), [STARTED, STOPPED])
        self.assertEqual(self.http, 0)
        self.quiet()

    def test_after_stop(self) -> None:
        self.quiet()
        self.assertEqual(self.statuses(self.find(UDP, HTTP)), ["cancelled", "cancelled"])
        self.assertEqual(self.network.udp_ports, [])

    def test_stop_cancels(self) -> None:
        self.udp.answer = lambda request: None
        d = self.find(UDP)
        self.quiet()
        self.assertEqual(self.statuses(d), ["cancelled"])
        self.successResultOf(self.source.stop())

    def test_a_v2_magnet(self) -> None:
        magnet = Magnet(None, b"v" * 32, None, ((UDP,),), (), (), (), (), None, (), "")
        self.source.find(magnet, self.sink)
        self.network.settle()
        self.assertEqual(self.udp.announces[0].infohash, b"v" * 20)
