"""Where a magnet says that its .torrent is: what is asked, and what is passed over."""

from __future__ import annotations

from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.magnet import Magnet
from functorrent.sources.http import _SENDABLE
from functorrent.sources.web.place import MAX_URL, Place, parse_place, places

HASH = "ab" * 20


def urls(query: str) -> list[str]:
    return [place.url for place in places(Magnet.parse(f"magnet:?xt=urn:btih:{HASH}&{query}"))]


class PlaceTests(SynchronousTestCase):
    def test_which_urls(self) -> None:
        self.assertEqual(urls("xs=http://a/x.torrent"), ["http://a/x.torrent"])
        self.assertEqual(urls("as=https%3A%2F%2Fa%2Fdownload.php%3Fid%3D1"), ["https://a/download.php?id=1"])
        self.assertEqual(urls("ws=http://a/x.torrent"), ["http://a/x.torrent"])
        self.assertEqual(urls("ws=http://a/x.TORRENT%3Fkey%3D1"), ["http://a/x.TORRENT?key=1"])

    def test_what_is_passed_over(self) -> None:
        for query in (
            f"xs=urn:btih:{HASH}",
            "xs=magnet:%3Fxt%3Durn:btih:" + HASH,
            "xs=urn:btpk:00",
            "as=ftp://a/x.torrent",
            "xs=file:///etc/passwd",
            "xs=//a/x.torrent",
            "xs=x.torrent",
            "xs=http:///x.torrent",
            "xs=http://%5B/x",
            "xs=http://a:99999/x",
            "xs=http://user:secret%40a/x.torrent",
            "xs=http://a b/x.torrent",
            "xs=http://a/" + "x" * MAX_URL,
            "ws=http://a/content/",
            "ws=http://a/x.torrent/",
            "ws=http://a/x%3Ff%3D.torrent",
        ):
            self.assertEqual(urls(query), [], query)

    def test_order_and_repetition(self) -> None:
        query = "ws=http://c/3.torrent&as=http://b/2&xs=http://a/1&xs=http://b/2&as=http://A/1&xs=http://a/0"
        self.assertEqual(urls(query), ["http://a/1", "http://b/2", "http://a/0", "http://c/3.torrent"])

    def test_what_can_be_sent(self) -> None:
        for url, sent in (
            ("http://a/b c.torrent", "http://a/b%20c.torrent"),
            ("http://a/b%20c.torrent?x=%zz", "http://a/b%20c.torrent?x=%zz"),
            ("http://a/\u00e4?\u00f6=1#part", "http://a/%C3%A4?%C3%B6=1"),
            ("http://b\u00fccher.example/x", "http://xn--bcher-kva.example/x"),
            ("http://a", "http://a/"),
            ("http://a?b", "http://a/?b"),
            ("HTTP://A:80/x", "http://a/x"),
            ("https://a:80/x", "https://a:80/x"),
            ("http://[::1]:8080/x", "http://[::1]:8080/x"),
            ("http://a/\r\nX: y", "http://a/X:%20y"),
        ):
            place = parse_place(url)
            assert place is not None, url
            self.assertEqual(place.url, sent)
        self.assertIsNone(parse_place("http://a/\udc80"))

    def test_what_is_shown(self) -> None:
        """The host alone: what follows may hold a passkey."""
        self.assertEqual(
            parse_place("http://a.example:8080/passkey/x?key=secret"),
            Place("http://a.example:8080/passkey/x?key=secret", "http://a.example:8080", "a.example"),
        )
        shown = parse_place("http://" + "a" * 250 + "/")
        assert shown is not None
        self.assertLess(len(shown.host), 100)

    @given(st.text(max_size=60), st.sampled_from(["", "http://", "https://", "http://a/", "http://["]))
    def test_fuzz(self, text: str, prefix: str) -> None:
        place = parse_place(prefix + text)
        if place is not None:
            self.assertIsNotNone(_SENDABLE.fullmatch(place.url), place)
            self.assertTrue(place.url.startswith(place.server + "/"))
            self.assertTrue(urlsplit(place.url).hostname)
            self.assertTrue(place.host.isascii() and place.host.isprintable())
