"""Tests of functorrent.magnet."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import InvalidMagnet
from functorrent.limits import DEFAULT_LIMITS
from functorrent.magnet import Magnet

quick = settings(deadline=None, derandomize=True, max_examples=100)

HASH = bytes.fromhex("0123456789abcdef0123456789abcdef01234567")
HASH2 = bytes(range(100, 132))
XT = f"xt=urn:btih:{HASH.hex()}"
BASE32 = base64.b32encode(HASH).decode()


def parse(*parts: str) -> Magnet:
    """The magnet with a good infohash and these further parts."""
    return Magnet.parse("magnet:?" + "&".join((XT, *parts)))


class InfohashTests(SynchronousTestCase):
    """Which torrent it is."""

    def test_v1(self) -> None:
        """Hex and base32, in capitals or not, escaped or not, with stray blanks."""
        for xt in [
            XT,
            XT.upper().replace("XT=", "xt="),
            f"XT=URN:BTIH:{HASH.hex()}",
            f"xt=urn:btih:{BASE32}",
            f"xt=urn:btih:{BASE32.lower()}",
            f"xt=urn%3Abtih%3a{HASH.hex()}",
            f"xt=urn:btih:%30{HASH.hex()[1:]}",
            f"xt=%20urn:btih:%20{HASH.hex()}%20",
            f"xt.1=urn:btih:{HASH.hex()}",
            f"dn=x&{XT}",
            f"&&{XT}&",
            f"{XT}&unknown=1&novalue&=x&x.y.z=1",
        ]:
            for link in ("magnet:?" + xt, "MAGNET:?" + xt, f" \tMagnet:?{xt}\r\n"):
                magnet = Magnet.parse(link)
                self.assertEqual((magnet.infohash, magnet.infohash_v2), (HASH, None), msg=link)
                self.assertEqual(magnet.text, link)

    def test_v2_and_hybrid(self) -> None:
        """btmh alone, and beside btih in either order."""
        xt2 = f"xt=urn:btmh:1220{HASH2.hex()}"
        for link, both in [
            (xt2, (None, HASH2)),
            (f"{XT}&{xt2}", (HASH, HASH2)),
            (f"{xt2}&{XT}", (HASH, HASH2)),
        ]:
            magnet = Magnet.parse("magnet:?" + link)
            self.assertEqual((magnet.infohash, magnet.infohash_v2), both)

    def test_several(self) -> None:
        """The first usable of each kind counts; other kinds of links and bad ones are passed over."""
        other = f"xt=urn:btih:{'f' * 40}"
        magnet = Magnet.parse(f"magnet:?xt=urn:sha1:ABC&xt=urn:btih:short&{XT}&{other}&xt=urn:btmh:1220ff")
        self.assertEqual((magnet.infohash, magnet.infohash_v2), (HASH, None))
        self.assertEqual(Magnet.parse(f"magnet:?xt.1={other[3:]}&xt.2={XT[3:]}").infohash, b"\xff" * 20)
        first = f"xt=urn:btmh:1220{HASH2.hex()}"
        self.assertEqual(Magnet.parse(f"magnet:?{first}&xt=urn:btmh:1220{'f' * 64}").infohash_v2, HASH2)

    def test_bare(self) -> None:
        """An infohash alone is a magnet, with blanks around it, too."""
        for text, both in [
            (HASH.hex(), (HASH, None)),
            (f"  {HASH.hex().upper()}\r\n", (HASH, None)),
            (BASE32, (HASH, None)),
            (BASE32.lower(), (HASH, None)),
            (HASH2.hex(), (None, HASH2)),
        ]:
            magnet = Magnet.parse(text)
            self.assertEqual((magnet.infohash, magnet.infohash_v2), both)
            self.assertEqual(magnet, Magnet(*both, None, (), (), (), (), (), None, (), text))

    def test_refused(self) -> None:
        """Each refusal says in plain words what is wrong."""
        h = HASH.hex()
        for text, words in [
            ("", "nothing there"),
            ("  \n", "nothing there"),
            ("magnet:", "begins with magnet:"),
            ("magnet://xt=urn:btih:" + h, "begins with magnet:"),
            ("magnet:?", "has no infohash"),
            ("magnet:?dn=x&tr=http://t/", "has no infohash"),
            ("magnet:?xt=", "has no infohash"),
            ("magnet:?xt=urn:sha1:" + h, "has no infohash"),
            ("magnet:?xt=" + h, "has no infohash"),
            ("magnet:?xt=urn:btih:" + h[1:], "link has 39 characters"),
            ("magnet:?xt=urn:btih:" + h + "0", "link has 41 characters"),
            ("magnet:?xt=urn:btih:", "link has 0 characters"),
            ("magnet:?xt=urn:btih:" + "g" * 40, "do not belong"),
            ("magnet:?xt=urn:btih:" + h[:20] + " " + h[21:], "do not belong"),
            ("magnet:?xt=urn:btih:" + "1" * 32, "do not belong"),
            ("magnet:?xt=urn:btih:" + "A" * 26 + "======", "do not belong"),
            ("magnet:?xt=urn:btih:" + "A" * 31 + "\u0131", "do not belong"),
            ("magnet:?xt=urn:btih:" + "٣" * 40, "do not belong"),
            ("magnet:?xt=urn:btmh:1220" + "a" * 63, "63 characters behind 1220"),
            ("magnet:?xt=urn:btmh:1220" + "g" * 64, "64 hex digits"),
            ("magnet:?xt=urn:btmh:1114" + "a" * 40, "1220 and 64 hex"),
            (h[1:], "this has 39 characters"),
            ("g" * 40, "do not belong"),
            ("g" * 64, "not hex"),
            (h + " " + h, "not a magnet link or an infohash"),
            ("http://example.com/file.torrent", "not a magnet link or an infohash: http://example.com/file"),
            ("\x1b[31m", r"not a magnet link or an infohash: \\x1b"),
            ("x" * 70_000, "too long"),
            ("magnet:?" + XT + "&dn=" + "x" * 70_000, "too long"),
        ]:
            with self.assertRaisesRegex(InvalidMagnet, words, msg=text):
                Magnet.parse(text)


class TrackerTests(SynchronousTestCase):
    """tr and tr.N."""

    def test_tiers(self) -> None:
        """Each plain tr is a tier; tr.N go together by N, where the first of them stood."""
        magnet = parse("tr=http://a/", "tr.1=http://b/", "tr.2=http://c/", "tr.1=http://d/", "tr=http://e/")
        tiers = (("http://a/",), ("http://b/", "http://d/"), ("http://c/",), ("http://e/",))
        self.assertEqual(magnet.trackers, tiers)
        self.assertEqual(magnet.all_trackers(), [f"http://{x}/" for x in "abdce"])
        magnet = parse("TR=http://a/", "tR.0=http://b/", "tr.00=http://c/")
        self.assertEqual(magnet.trackers, (("http://a/",), ("http://b/", "http://c/")))

    def test_escapes(self) -> None:
        """Percent escapes are undone once; bad ones and plus signs are left as they are."""
        for value, url in [
            ("http%3A%2F%2Fa%2fb%3fc=1%26d", "http://a/b?c=1&d"),
            ("http://a/%2520", "http://a/%20"),
            ("http://a/%253A", "http://a/%3A"),
            ("http://a/%zz%", "http://a/%zz%"),
            ("http://a/%%3A%2", "http://a/%:%2"),
            ("http://a/%e4%b8%ad", "http://a/中"),
            ("http://a/%ff", "http://a/\ufffd"),
            ("http://a/x+y=z==", "http://a/x+y=z=="),
            ("%20http://a/%0A", "http://a/"),
        ]:
            self.assertEqual(parse("tr=" + value).trackers, ((url,),))

    def test_html(self) -> None:
        """Links copied out of a page's source have &amp; between their parts."""
        magnet = Magnet.parse(f"magnet:?{XT}&amp;dn=a&amp;tr=http://a/&amp;tr=http://b/")
        self.assertEqual((magnet.name, magnet.trackers), ("a", (("http://a/",), ("http://b/",))))

    def test_kept_and_dropped(self) -> None:
        """Unusable URLs are kept for the report; repeated and empty ones are not."""
        magnet = parse("tr=wss://a", "tr=nonsense", "tr=", "tr=%20", "tr", "tr=wss://a", "tr.1=nonsense")
        self.assertEqual(magnet.trackers, (("wss://a",), ("nonsense",)))
        self.assertEqual(Magnet.parse("magnet:?tr=&" + XT).trackers, ())

    def test_bounded(self) -> None:
        """No more values of a key than the limit are kept."""
        most = DEFAULT_LIMITS.max_magnet_values
        magnet = parse(*(f"tr=u{n}" for n in range(most + 5)), *(f"ws=u{n}" for n in range(most + 5)))
        self.assertEqual(magnet.all_trackers(), [f"u{n}" for n in range(most)])
        self.assertEqual(magnet.web_seeds, tuple(f"u{n}" for n in range(most)))


class OtherKeysTests(SynchronousTestCase):
    """dn, x.pe, ws, xs, as, xl and so."""

    def test_name(self) -> None:
        """dn: escapes and plus signs undone, bad bytes replaced, the first one counts."""
        self.assertEqual(parse("dn=a+b%20c%2B%C3%A9%ff", "dn=z").name, "a b c+é\ufffd")
        self.assertIsNone(parse("dn=").name)
        self.assertIsNone(parse().name)

    def test_peers(self) -> None:
        """x.pe: addresses and names with a port; what is neither is ignored."""
        magnet = parse(
            "x.pe=1.2.3.4:6881",
            "x.pe=%5b2001:DB8:0::1%5D:80",
            "x.pe=[2001:db8::1]:80",
            "x.pe=seed.example.org:65535",
            "x.pe.1=localhost:1",
        )
        self.assertEqual(
            magnet.peers,
            (("1.2.3.4", 6881), ("2001:db8::1", 80), ("seed.example.org", 65535), ("localhost", 1)),
        )
        for bad in [
            "1.2.3.4",
            "1.2.3.4:",
            "1.2.3.4:0",
            "1.2.3.4:65536",
            "1.2.3.4:-1",
            "1.2.3.4:99999999",
            "1.2.3.4:8x",
            ":80",
            "::1:80",
            "[::1]",
            "[::1]:0",
            "[1.2.3.4]:80",
            "[:::]:80",
            "[]:80",
            "a b:80",
            "a/b:80",
            "u@h:80",
            "a%0a:80",
            "1.2.3.4:٣",
            "x" * 254 + ":80",
        ]:
            self.assertEqual(parse("x.pe=" + bad).peers, (), msg=bad)

    def test_urls(self) -> None:
        """ws, xs and as are kept in order, each once."""
        magnet = parse(
            "ws=http%3A//w/1", "ws=http://w/2", "WS=http://w/1", "xs=http://x/", "as=http://a/", "as=%20"
        )
        self.assertEqual(magnet.web_seeds, ("http://w/1", "http://w/2"))
        self.assertEqual(magnet.exact_sources, ("http://x/",))
        self.assertEqual(magnet.acceptable_sources, ("http://a/",))

    def test_length(self) -> None:
        """xl: a plain number, else nothing."""
        self.assertEqual(parse("xl=0").length, 0)
        self.assertEqual(parse("xl=" + "9" * 19).length, 10**19 - 1)
        self.assertEqual(parse("xl=x", "xl=1234567890123").length, 1234567890123)
        for bad in ("", "-1", "+1", "1_0", "1.5", "٣", "9" * 20):
            self.assertIsNone(parse("xl=" + bad).length)

    def test_select_only(self) -> None:
        """so: numbers and ranges; bad ones are left out, and bombs."""
        self.assertEqual(parse("so=0,2,4-6").select_only, ((0, 0), (2, 2), (4, 6)))
        self.assertEqual(parse("so=1%2C3-3").select_only, ((1, 1), (3, 3)))
        for bad in ["", ",", "-", "-1", "1-", "a", "1-2-3", "3-1", "1_0", "0x1", "٣", "1;2", "0-4294967295"]:
            self.assertEqual(parse("so=" + bad).select_only, (), msg=bad)
        most = DEFAULT_LIMITS.max_select
        self.assertEqual(parse(f"so=5-{most + 4}").select_only, ((5, most + 4),))
        self.assertEqual(parse(f"so=5-{most + 5},7").select_only, ((7, 7),))
        self.assertEqual(parse(f"so=1-{most - 1},5,6").select_only, ((1, most - 1), (5, 5)))


class MergedTests(SynchronousTestCase):
    """merged: a duplicate of a magnet adds what it knows."""

    def test_merged(self) -> None:
        """New trackers, peers and URLs come behind ours; what we lack is filled in."""
        one = parse("tr=http://a/", "x.pe=1.2.3.4:5", "ws=http://w/")
        xt2 = f"xt=urn:btmh:1220{HASH2.hex()}"
        two = parse(
            xt2, "dn=two", "tr.1=http://a/", "tr.1=http://b/", "tr=http://c/", "x.pe=1.2.3.4:5", "x.pe=h:6"
        )
        two = Magnet.parse(two.text + "&ws=http://v/&xs=http://x/&as=http://y/&xl=7&so=1")
        both = one.merged(two)
        self.assertEqual((both.infohash, both.infohash_v2, both.name), (HASH, HASH2, "two"))
        self.assertEqual(both.trackers, (("http://a/",), ("http://b/",), ("http://c/",)))
        self.assertEqual(both.peers, (("1.2.3.4", 5), ("h", 6)))
        self.assertEqual(both.web_seeds, ("http://w/", "http://v/"))
        self.assertEqual((both.exact_sources, both.acceptable_sources), (("http://x/",), ("http://y/",)))
        self.assertEqual((both.length, both.select_only, both.text), (7, ((1, 1),), one.text))

    def test_ours_first(self) -> None:
        """What both have stays ours."""
        one = parse("dn=one", "xl=0", "so=1", f"xt=urn:btmh:1220{HASH2.hex()}")
        two = Magnet.parse(f"magnet:?xt=urn:btih:{'f' * 40}&xt=urn:btmh:1220{'f' * 64}&dn=two&xl=8&so=2")
        self.assertEqual(one.merged(two), one)
        self.assertEqual(Magnet.parse(HASH2.hex()).merged(one).infohash, HASH)


words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
urls = words.map(str.strip).filter(bool)


class PropertyTests(SynchronousTestCase):
    """What holds for any link."""

    @given(st.binary(min_size=20, max_size=20), words, st.lists(urls, max_size=5, unique=True), st.booleans())
    @quick
    def test_round_trip(self, infohash: bytes, name: str, trackers: list[str], base32: bool) -> None:
        """What is written by the book is read back."""
        digits = base64.b32encode(infohash).decode() if base32 else infohash.hex()
        link = f"magnet:?xt=urn:btih:{digits}&dn={quote(name, safe='')}"
        link += "".join(f"&tr={quote(url, safe='')}" for url in trackers)
        magnet = Magnet.parse(link)
        self.assertEqual((magnet.infohash, magnet.name), (infohash, name))
        self.assertEqual(magnet.all_trackers(), trackers)
        self.assertEqual(magnet.merged(magnet), magnet)

    @given(
        st.lists(
            st.sampled_from(
                [
                    XT,
                    "magnet:?",
                    "xt=urn:btih:",
                    "xt=urn:btmh:1220",
                    HASH2.hex(),
                    "&",
                    "&amp;",
                    "=",
                    "tr.1=",
                    "tr",
                    "x.pe=[",
                    "]:1",
                    "so=1-",
                    "%",
                    "%3",
                    "dn=",
                    "xl=9",
                    ".",
                    "9",
                    "\u0131",
                    "\ud800",
                    "xt.1=",
                    "ws=",
                ]
            )
            | st.text(max_size=4),
            max_size=20,
        ).map("".join)
    )
    @quick
    def test_fuzz(self, text: str) -> None:
        """Any text is a magnet or an InvalidMagnet whose words can be printed."""
        for link in (text, "magnet:?" + text, f"magnet:?{XT}&{text}"):
            try:
                magnet: Any = Magnet.parse(link)
            except InvalidMagnet as error:
                str(error).encode()
                self.assertNotIn("\n", str(error))
            else:
                self.assertTrue(magnet.infohash or magnet.infohash_v2)
                for host, port in magnet.peers:
                    self.assertTrue(host and 0 < port < 65536)
