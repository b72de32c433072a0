"""Servers known to hang up after each response: asked without treq, and no less wary of what they say."""

from __future__ import annotations

import gzip
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.client import URI

from functorrent.sources.http import HttpFailed, HttpUnreachable
from functorrent.sources.http_stack import _GuardedEndpoint
from tests.sources import test_http as kept
from tests.sources.fakes import response


class _Closing(kept._Http):
    def get(self, url: str = kept.URL, trusted: bool = False, max_body: int = 20_000) -> Deferred[Any]:
        """As `_Http` does, from a server that has shown that it hangs up."""
        for each in (url, "http://t.example/b", "http://127.0.0.1/"):
            try:
                uri = URI.fromBytes(each.encode())
            except ValueError:
                continue
            stack = self.client.stack(trusted)
            stack.note_closing("/".join(each.split("/", 3)[:3]), _GuardedEndpoint(stack, uri))
        return super().get(url, trusted, max_body)

    def request(self, number: int = -1) -> bytes:
        return self.network.connections[number].value()


class Honest(_Closing):
    def test_what_is_sent(self) -> None:
        self.serve(response(b"hello", b"X-A: b"))
        status, headers, body = self.successResultOf(
            self.get(kept.URL + "?info_hash=%20%00%2B%7e+~;x==&a=%zz")
        )
        self.assertEqual((status, headers.getRawHeaders("x-a"), body), (200, ["b"], b"hello"))
        lines = self.request().split(b"\r\n")
        self.assertEqual(lines[0], b"GET /announce?info_hash=%20%00%2B%7e+~;x==&a=%zz HTTP/1.0")
        self.assertEqual(lines[1], b"Host: t.example")
        self.assertIn(b"Accept-Encoding: gzip", lines)
        self.assertIn(b"Connection: close", lines)
        self.assertEqual(lines[-2:], [b"", b""])
        self.assertTrue(self.network.connections[0].closed)
        self.quiet()

    def test_a_port_of_its_own_is_named(self) -> None:
        self.network.serve(kept.HOST, 6969, lambda _: response(b"x"))
        self.successResultOf(self.get("http://t.example:6969/announce"))
        self.assertIn(b"Host: t.example:6969\r\n", self.request())
        self.network.serve(kept.HOST, 80, lambda _: response(b"x"))
        self.successResultOf(self.get("http://t.example:80/announce"))
        self.assertIn(b"Host: t.example\r\n", self.request())

    def test_a_connection_each(self) -> None:
        self.serve(response(b"x"))
        for _ in range(3):
            self.successResultOf(self.get())
        self.assertEqual(len(self.network.connections), 3)

    def test_learned_from_a_server_that_hangs_up(self) -> None:
        self.serve(response(b"x"))
        self.network.advance(1)
        for kind in (b" HTTP/1.1\r\n", b" HTTP/1.0\r\n"):
            self.successResultOf(super(_Closing, self).get())
            self.assertIn(kind, self.request())
            self.network.connections[-1].hang_up()
            self.network.settle()

    def test_in_small_pieces(self) -> None:
        self.serve(None)
        d = self.get()
        for byte in response(b"hello", b"X-A: b"):
            self.network.connections[0].respond(bytes((byte,)))
        self.assertEqual(self.successResultOf(d)[2], b"hello")

    def test_no_body(self) -> None:
        self.serve(response(b""))
        self.assertEqual(self.successResultOf(self.get())[2], b"")
        self.quiet()

    def test_more_than_it_said(self) -> None:
        self.serve(response(b"hello") + b" and more\r\n\r\n")
        self.assertEqual(self.successResultOf(self.get())[2], b"hello")
        self.quiet()

    def test_the_end_of_the_connection_ends_a_body_without_a_length(self) -> None:
        for clean in (True, False):
            self.serve(b"HTTP/1.0 200 OK\r\n\r\nhello")
            d = self.get()
            self.network.connections[-1].hang_up(clean)
            self.network.settle()
            if clean:
                self.assertEqual(self.successResultOf(d)[2], b"hello")
        self.refused(d, HttpUnreachable)

    def test_gzip(self) -> None:
        for name in (b"gzip", b"x-gzip"):
            self.serve(response(gzip.compress(b"hello"), b"Content-Encoding: " + name))
            self.assertEqual(self.successResultOf(self.get())[2], b"hello")

    def test_other_statuses_are_results(self) -> None:
        self.serve(response(b"no", status=b"404 Not Found"))
        self.assertEqual(self.successResultOf(self.get())[0], 404)

    def test_redirects(self) -> None:
        self.serve(response(b"", b"Location: /b?c=%20", status=b"302 Found"), response(b"there"))
        self.assertEqual(self.successResultOf(self.get())[2], b"there")
        self.assertIn(b"GET /b?c=%20 HTTP/1.0\r\n", self.request())
        self.quiet()

    def test_one_that_speaks_http_1_1_all_the_same(self) -> None:
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        continued = b"HTTP/1.1 100 Continue\r\n\r\n" + response(b"hello")
        for odd in (chunked, continued, response(b"hello", b"X-A: b\r\n c")):
            self.setUp()
            self.serve(odd)
            for _ in range(2):
                self.assertEqual(self.successResultOf(self.get())[2], b"hello")
            kinds = [self.request(number).split(b"\r\n")[0][-8:] for number in range(3)]
            self.assertEqual(kinds, [b"HTTP/1.0", b"HTTP/1.1", b"HTTP/1.1"])


class Liars(_Closing, kept.Liars):
    def test_a_redirect_loop(self) -> None:
        self.serve(response(b"", b"Location: /announce", status=b"302 Found"))
        self.assertIn("3 redirects", self.refused(self.get()))
        self.assertEqual(len(self.network.connections), 4)

    def test_lengths_that_are_none(self) -> None:
        for length in (b"-1", b"+5", b"5_0", b"", b"five"):
            self.serve(b"HTTP/1.0 200 OK\r\nContent-Length: " + length + b"\r\n\r\nhello")
            self.refused(self.get(), HttpFailed)

    def test_two_lengths(self) -> None:
        self.serve(response(b"hello", b"Content-Length: 6"))
        self.refused(self.get(), HttpFailed)
        self.serve(response(b"hello", b"Content-Length: 5"))
        self.assertEqual(self.successResultOf(self.get())[2], b"hello")

    def test_a_status_that_is_none(self) -> None:
        for status in (b"20", b"2000", b"abc", b"", b"-20 OK"):
            self.serve(b"HTTP/1.0 " + status + b"\r\n\r\nhello")
            self.refused(self.get(), HttpFailed)

    def test_a_line_without_an_end(self) -> None:
        self.serve(b"HTTP/1.0 200 " + b"x" * 40_000)
        self.refused(self.get(), HttpFailed)

    def test_a_header_that_is_none(self) -> None:
        self.serve(b"HTTP/1.0 200 OK\r\nno header\r\n\r\nhello")
        self.refused(self.get(), HttpFailed)


class Deadlines(_Closing, kept.Deadlines):
    """The same."""


class Cancelling(_Closing, kept.Cancelling):
    """The same."""


class Taking(kept.Taking):
    """The same of servers that have shown that they hang up."""

    def before(self, max_body: int) -> None:
        stack = self.client.stack(False, max_body)
        uri = URI.fromBytes(kept.URL.encode())
        stack.note_closing("http://t.example", _GuardedEndpoint(stack, uri))

    def test_that_they_were_asked_so(self) -> None:
        self.serve(response(b"x"))
        self.successResultOf(self.taken())
        self.assertIn(b" HTTP/1.0", self.network.connections[0].value())
