"""HttpClient against servers that lie, stall, redirect and never end."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

import functorrent
from functorrent.addresses import AddressGuard
from functorrent.errors import AddressNotAllowed, NameNotResolved
from functorrent.limits import Limits
from functorrent.sources.http import (
    HttpClient,
    HttpFailed,
    HttpTimedOut,
    HttpTooLong,
    HttpUnreachable,
    _Body,
)
from tests.sources.fakes import Names, Network, response

HOST, PORT = "93.184.216.34", 80
URL = "http://t.example/announce"


class _Http(SynchronousTestCase):
    limits = Limits(http_body=20_000)

    def setUp(self) -> None:
        self.network = Network()
        self.names = Names(AddressGuard(), {"t.example": [HOST], "local.example": ["127.0.0.1"]})
        self.client = HttpClient(self.network, self.network, self.names, AddressGuard(), self.limits)

    def serve(self, *answers: bytes | None) -> None:
        left = list(answers)
        self.network.serve(HOST, PORT, lambda _: left.pop(0) if len(left) > 1 else left[0])

    def get(self, url: str = URL, trusted: bool = False, max_body: int = 20_000) -> Deferred[Any]:
        d = self.client.get(url, trusted=trusted, timeout=15.0, max_body=max_body)
        self.network.settle()
        return d

    def quiet(self) -> None:
        """No timer is left but those of idle connections, and these go with `stop`."""
        stopped = self.client.stop()
        self.network.settle()
        self.successResultOf(stopped)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def refused(self, d: Deferred[Any], *kinds: type[Exception]) -> str:
        failure = self.failureResultOf(d, *(kinds or (HttpFailed,)))
        self.quiet()
        return str(failure.value)


class Honest(_Http):
    def test_a_body(self) -> None:
        self.serve(response(b"hello", b"X-A: b"))
        status, headers, body = self.successResultOf(self.get())
        self.assertEqual((status, headers.getRawHeaders("x-a"), body), (200, ["b"], b"hello"))
        self.quiet()

    def test_the_url_goes_out_as_it_is(self) -> None:
        self.serve(response(b""))
        self.get(URL + "?info_hash=%20%00%2B%7e+~;x==&a=%zz")
        request = self.network.connections[0].requests()[0]
        self.assertEqual(
            request.split(b"\r\n")[0], b"GET /announce?info_hash=%20%00%2B%7e+~;x==&a=%zz HTTP/1.1"
        )
        self.assertIn(b"Host: t.example", request)
        self.assertEqual(request.lower().count(b"accept-encoding: gzip"), 1)

    def test_connections_are_kept(self) -> None:
        self.serve(response(b"x"))
        for _ in range(3):
            self.successResultOf(self.get())
        self.assertEqual(len(self.network.connections), 1)

    def test_no_cookies(self) -> None:
        self.serve(response(b"x", b"Set-Cookie: a=b"))
        self.get()
        self.get()
        self.assertNotIn(b"ookie", self.network.connections[0].value())

    def test_gzip(self) -> None:
        for name in (b"gzip", b"x-gzip"):
            self.serve(response(gzip.compress(b"hello"), b"Content-Encoding: " + name))
            self.assertEqual(self.successResultOf(self.get())[2], b"hello")

    def test_a_body_without_a_length(self) -> None:
        self.serve(b"HTTP/1.0 200 OK\r\n\r\nhello")
        d = self.get()
        self.network.connections[0].hang_up()
        self.network.settle()
        self.assertEqual(self.successResultOf(d)[2], b"hello")

    def test_other_statuses_are_results(self) -> None:
        self.serve(response(b"no", status=b"404 Not Found"))
        self.assertEqual(self.successResultOf(self.get())[0], 404)

    def test_exactly_the_limit(self) -> None:
        self.serve(response(b"x" * 20_000))
        self.assertEqual(len(self.successResultOf(self.get())[2]), 20_000)
        self.serve(response(gzip.compress(b"x" * 20_000), b"Content-Encoding: gzip"))
        self.assertEqual(len(self.successResultOf(self.get())[2]), 20_000)

    def test_the_next_address_when_one_is_refused(self) -> None:
        self.names.table["two.example"] = ["8.8.8.8", HOST]
        self.serve(response(b"x"))
        d = self.get("http://two.example/")
        self.network.advance(1)
        self.network.settle()
        self.successResultOf(d)

    def test_redirects(self) -> None:
        self.serve(response(b"", b"Location: /b?c=%20", status=b"302 Found"), response(b"there"))
        self.assertEqual(self.successResultOf(self.get())[2], b"there")
        self.assertIn(b"GET /b?c=%20 ", self.network.connections[-1].value())
        self.quiet()

    def test_redirects_with_an_endless_body(self) -> None:
        endless = b"HTTP/1.1 301 Moved\r\nContent-Length: 999999999\r\nLocation: /b\r\n\r\n"
        self.serve(endless, response(b"there"))
        self.assertEqual(self.successResultOf(self.get())[2], b"there")
        self.assertTrue(self.network.connections[0].closed)


class Liars(_Http):
    def test_a_body_over_the_limit(self) -> None:
        self.serve(response(b"x" * 20_001))
        self.assertIn("20000", self.refused(self.get()))

    def test_an_endless_body(self) -> None:
        self.serve(b"HTTP/1.1 200 OK\r\n\r\n")
        d = self.get()
        server = self.network.connections[0]
        sent = 0
        while not server.closed and sent < 1000:
            server.respond(b"x" * 1000)
            sent += 1
        self.assertEqual(sent, 21)
        self.refused(d)

    def test_a_gzip_bomb(self) -> None:
        bomb = gzip.compress(bytes(15_000_000))
        self.assertLess(len(bomb), 20_000)
        self.serve(response(bomb, b"Content-Encoding: gzip"))
        self.assertIn("unpacks", self.refused(self.get()))

    def test_a_bomb_is_not_unpacked_to_be_measured(self) -> None:
        asked: list[int] = []

        class Unpacker:
            eof = False

            def decompress(self, data: bytes, most: int) -> bytes:
                asked.append(most)
                return b"x" * 15_000

        outcomes: list[Any] = []
        body = _Body(20_000, True, outcomes.append)
        body._unpacker = Unpacker()  # type: ignore[assignment]
        body.dataReceived(b"a")
        self.assertEqual((asked, outcomes), ([20_001], []))
        body.dataReceived(b"a")
        self.assertEqual(asked, [20_001, 5_001])
        self.assertIsInstance(outcomes[0], HttpFailed)

    def test_gzip_that_is_long_and_unpacks_to_nothing(self) -> None:
        packed = gzip.compress(b"hello", mtime=0)
        padded = packed[:3] + b"\x08" + packed[4:10] + b"n" * 20_000 + b"\0" + packed[10:]
        self.serve(response(padded, b"Content-Encoding: gzip"))
        self.assertIn("longer", self.refused(self.get()))

    def test_a_bomb_in_a_bomb(self) -> None:
        bomb = gzip.compress(gzip.compress(bytes(15_000_000)))
        for headers in ([b"Content-Encoding: gzip, gzip"], [b"Content-Encoding: gzip"] * 2):
            self.serve(response(bomb, *headers))
            self.assertIn("encoding", self.refused(self.get()))

    def test_gzip_that_is_none(self) -> None:
        self.serve(response(b"hello", b"Content-Encoding: gzip"))
        self.assertIn("gzip", self.refused(self.get()))

    def test_gzip_cut_short(self) -> None:
        self.serve(response(gzip.compress(b"hello")[:-5], b"Content-Encoding: gzip"))
        self.assertIn("cut short", self.refused(self.get()))

    def test_encodings_not_asked_for(self) -> None:
        self.serve(response(b"hello", b"Content-Encoding: br"))
        self.assertIn("encoding", self.refused(self.get()))

    def test_a_redirect_loop(self) -> None:
        self.serve(response(b"", b"Location: /announce", status=b"302 Found"))
        self.assertIn("3 redirects", self.refused(self.get()))
        self.assertEqual(len(self.network.connections[0].requests()), 4)

    def test_a_redirect_to_loopback(self) -> None:
        for target in (
            "http://127.0.0.1:8080/",
            "http://local.example/",
            "http://[::1]/",
            "//[::ffff:7f00:1]/",
        ):
            self.serve(response(b"", b"Location: " + target.encode(), status=b"302 Found"))
            self.refused(self.get(), AddressNotAllowed)
        self.assertEqual(set(self.network.dialled), {(HOST, PORT)})

    def test_what_the_user_typed_may_be_local_but_not_where_it_redirects(self) -> None:
        self.network.serve("127.0.0.1", 80, lambda _: response(b"x"))
        self.assertEqual(self.successResultOf(self.get("http://local.example/", trusted=True))[2], b"x")
        self.refused(self.get("http://local.example/"), AddressNotAllowed)
        self.network.serve(
            "127.0.0.1", 80, lambda _: response(b"", b"Location: http://127.0.0.1/", status=b"302 x")
        )
        self.refused(self.get("http://local.example/", trusted=True), AddressNotAllowed)

    def test_a_trusted_connection_is_not_lent_to_strangers(self) -> None:
        self.network.serve("127.0.0.1", 80, lambda _: response(b"x"))
        self.successResultOf(self.get("http://local.example/", trusted=True))
        self.failureResultOf(self.get("http://local.example/"), AddressNotAllowed)

    def test_rebinding(self) -> None:
        self.serve(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
        self.successResultOf(self.get())
        self.names.table["t.example"] = ["127.0.0.1"]
        self.refused(self.get(), AddressNotAllowed)
        self.assertEqual(self.network.dialled, [(HOST, PORT)])

    def test_a_resolver_that_forgets_the_guard(self) -> None:
        self.names.guard = AddressGuard(allow_local=True)
        self.refused(self.get("http://local.example/"), AddressNotAllowed)

    def test_port_0(self) -> None:
        self.refused(self.get("http://t.example:0/"), AddressNotAllowed)

    def test_redirects_to_other_schemes(self) -> None:
        for target in ("file:///etc/passwd", "gopher://t.example/", "udp://t.example/", "", "http://[x"):
            self.serve(response(b"", b"Location: " + target.encode(), status=b"302 Found"))
            self.assertIn("redirect", self.refused(self.get()))

    def test_endless_headers(self) -> None:
        self.serve(b"HTTP/1.1 200 OK\r\n")
        d = self.get()
        server = self.network.connections[0]
        for number in range(200):
            server.respond(b"X-%d: " % number + b"x" * 1000 + b"\r\n")
        self.assertTrue(server.closed)
        self.network.settle()
        self.refused(d, HttpUnreachable)

    def test_no_http(self) -> None:
        for answer in (b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\0" * 40_000, b"\r\n" * 100):
            self.serve(answer)
            d = self.get()
            self.network.connections[-1].hang_up()
            self.network.settle()
            self.refused(d, HttpFailed)

    def test_hangs_up(self) -> None:
        for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", b"HTTP/1.1 200 OK\r\nConte"):
            self.serve(answer)
            d = self.get()
            self.network.connections[-1].hang_up()
            self.network.settle()
            self.refused(d, HttpUnreachable)

    def test_refused(self) -> None:
        self.assertIn("refused", self.refused(self.get(), HttpUnreachable))

    def test_no_such_name(self) -> None:
        self.refused(self.get("http://nowhere.example/"), NameNotResolved)

    def test_urls_that_are_none(self) -> None:
        for url in (
            "wss://t.example/",
            "http://",
            "http://t.example/ x",
            "http://t.example/é",
            "http://[/",
            "",
        ):
            self.refused(self.get(url), HttpFailed, NameNotResolved)
        for url in ("http://t.example:99999/", "http://t.example:x/"):
            self.refused(self.get(url), HttpFailed, AddressNotAllowed, NameNotResolved)


class Deadlines(_Http):
    def stalled(self) -> Deferred[Any]:
        d = self.get()
        self.network.advance(14.9)
        self.assertNoResult(d)
        self.network.advance(0.2)
        self.network.settle()
        return d

    def test_no_answer_to_the_dial(self) -> None:
        self.network.silent.add((HOST, PORT))
        d = self.get()
        for _ in range(40):
            self.network.advance(0.5)
        self.refused(d, HttpUnreachable)

    def test_no_answer_from_the_name_server(self) -> None:
        self.names.held["t.example"] = []
        self.refused(self.stalled(), HttpTimedOut)

    def test_no_response(self) -> None:
        self.serve(None)
        self.refused(self.stalled(), HttpTimedOut)
        self.assertTrue(self.network.connections[0].closed)

    def test_half_a_body(self) -> None:
        self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
        self.refused(self.stalled(), HttpTimedOut)
        self.assertTrue(self.network.connections[0].closed)

    def test_redirects_share_one_deadline(self) -> None:
        self.serve(response(b"", b"Location: /b", status=b"302 Found"), None)
        self.refused(self.stalled(), HttpTimedOut)


class Cancelling(_Http):
    def cancelled(self, d: Deferred[Any]) -> None:
        d.cancel()
        self.refused(d, CancelledError)

    def test_while_resolving(self) -> None:
        self.names.held["t.example"] = []
        self.cancelled(self.get())

    def test_while_dialling(self) -> None:
        self.network.silent.add((HOST, PORT))
        self.cancelled(self.get())

    def test_while_waiting(self) -> None:
        self.serve(None)
        self.cancelled(self.get())
        self.assertTrue(self.network.connections[0].closed)

    def test_in_the_body(self) -> None:
        self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
        self.cancelled(self.get())
        self.assertTrue(self.network.connections[0].closed)

    def test_by_stop(self) -> None:
        self.serve(None)
        d = self.get()
        self.quiet()
        self.failureResultOf(d, CancelledError)


class Taking(_Http):
    """What a GET for something larger than an announce has."""

    def before(self, max_body: int) -> None:
        """What is known of the server when it is asked."""

    def taken(self, max_body: int = 300_000, **how: Any) -> Deferred[Any]:
        self.seen = bytearray()
        self.before(max_body)
        d = self.client.get(URL, trusted=False, timeout=15.0, max_body=max_body, take=self.seen.extend, **how)
        self.network.settle()
        return d

    def test_a_body_longer_than_an_announce(self) -> None:
        body = bytes(range(256)) * 1000
        for answer in (
            response(body),
            response(gzip.compress(body), b"Content-Encoding: gzip"),
        ):
            self.serve(answer)
            self.assertEqual(self.successResultOf(self.taken())[2], b"")
            self.assertEqual(self.seen, body)
        self.quiet()

    def test_announces_keep_their_cap(self) -> None:
        """What is sent on a connection is capped by what its own callers take, headers and all."""
        self.serve(response(b"x" * 300_000))
        self.successResultOf(self.taken())
        self.serve(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000)
        d = self.get()
        self.network.settle()
        self.assertTrue(self.network.connections[-1].closed)
        self.refused(d)

    def test_a_length_over_the_cap_is_not_waited_for(self) -> None:
        self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 300001\r\n\r\n")
        self.refused(self.taken(), HttpTooLong)
        self.assertTrue(self.network.connections[0].closed)
        self.assertEqual(self.seen, b"")

    def test_who_takes_it_ends_it(self) -> None:
        def refuse(data: bytes) -> None:
            raise HttpFailed("not this")

        self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
        self.before(30_000)
        d = self.client.get(URL, trusted=False, timeout=15.0, max_body=30_000, take=refuse)
        self.network.settle()
        self.assertEqual(self.refused(d), "not this")
        self.assertTrue(self.network.connections[0].closed)

    def test_cancelled_by_who_takes_it(self) -> None:
        self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
        self.before(30_000)
        gets: list[Deferred[Any]] = []
        gets.append(
            self.client.get(
                URL, trusted=False, timeout=15.0, max_body=30_000, take=lambda _: gets[0].cancel()
            )
        )
        self.network.settle()
        self.refused(gets[0], CancelledError)
        self.assertTrue(self.network.connections[0].closed)

    def test_bodies_of_other_statuses_are_not_read(self) -> None:
        self.serve(b"HTTP/1.1 404 Not Found\r\nContent-Length: 999999999\r\n\r\nx")
        self.assertEqual(self.successResultOf(self.taken())[0], 404)
        self.assertEqual(self.seen, b"")
        self.assertTrue(self.network.connections[0].closed)
        self.quiet()

    def test_not_kept(self) -> None:
        self.serve(response(b"x"))
        for _ in range(2):
            self.successResultOf(self.taken(keep=False))
        self.assertEqual(len(self.network.connections), 2)
        self.assertIn(b"onnection: close", self.network.connections[0].value())
        self.assertTrue(self.network.connections[0].closed)

    def test_a_bomb_goes_off_a_little_at_a_time(self) -> None:
        """One packet never unpacks to all that the cap would allow."""
        bomb = gzip.compress(bytes(60_000_000))
        outcomes: list[Any] = []
        seen: list[int] = []
        body = _Body(64 << 20, True, outcomes.append, lambda data: seen.append(len(data)))
        body.dataReceived(bomb)
        self.assertIsInstance(outcomes[0], HttpTooLong)
        self.assertEqual(seen, [])
        honest = gzip.compress(bytes(range(256)) * 40 + b"x" * 20_000)
        body = _Body(64 << 20, True, outcomes.append, lambda data: seen.append(len(data)))
        body.dataReceived(honest)
        self.assertEqual((len(outcomes), sum(seen)), (1, 30_240))

    def test_byte_by_byte(self) -> None:
        body = _Body(10_000, False, lambda _: None)
        for _ in range(5000):
            body.dataReceived(b"x")
        self.assertLess(len(body._chunks), 1100)
        self.assertEqual(b"".join(body._chunks), b"x" * 5000)


class Importing(SynchronousTestCase):
    def test_nothing_expensive_before_it_is_needed(self) -> None:
        script = (
            "import sys, functorrent.sources.http, functorrent.sources.tracker, functorrent.resolver;"
            "bad = {'treq', 'OpenSSL', 'hyperlink', 'twisted.web.client', 'twisted.internet.reactor'};"
            "sys.exit(' '.join(bad & set(sys.modules)) or 0)"
        )
        root = Path(functorrent.__file__).parent.parent
        run = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=root
        )
        self.assertEqual((run.returncode, run.stderr), (0, ""))
