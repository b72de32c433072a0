"""Tracker URLs, HTTP announces and their answers, the hostile ones too."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import TrackerFailed, TrackerUnsupported
from functorrent.interfaces import PeerAddress
from functorrent.limits import Limits
from functorrent.sources.tracker.address import parse_tracker
from functorrent.sources.tracker.announce import Announce, Answer, announce_url, parse_answer
from functorrent.sources.tracker.memory import Memory
from functorrent.wire.bencode import encode
from functorrent.wire.udp_tracker import encode_options

quick = settings(deadline=None, derandomize=True, max_examples=100)
LIMITS = Limits(max_peers_per_announce=3)
V4 = b"\x01\x02\x03\x04\x1a\xe1"
V6 = bytes(range(16)) + b"\x1a\xe1"


class Urls(SynchronousTestCase):
    def test_udp(self) -> None:
        tracker = parse_tracker("udp://T.example:6969/announce?a=b c")
        self.assertEqual((tracker.scheme, tracker.host, tracker.port), ("udp", "t.example", 6969))
        self.assertEqual(tracker.options, encode_options("/announce?a=b%20c"))
        self.assertEqual(parse_tracker("udp://t.example:6969").options, b"")

    def test_http(self) -> None:
        self.assertEqual(parse_tracker("http://t.example/announce").base, "http://t.example:80/announce?")
        self.assertEqual(parse_tracker("HTTPS://t.example").base, "https://t.example:443/?")
        tracker = parse_tracker("http://[2606:4700::1]:8080/a?passkey=x%20&y")
        self.assertEqual(tracker.base, "http://[2606:4700::1]:8080/a?passkey=x%20&y&")
        self.assertEqual((tracker.host, tracker.given), ("2606:4700::1", {"passkey", "y"}))

    def test_names_in_other_scripts(self) -> None:
        self.assertEqual(parse_tracker("http://bücher.example/").host, "xn--bcher-kva.example")

    def test_secrets_are_not_shown(self) -> None:
        self.assertNotIn(
            "d41d8cd9", parse_tracker("http://t.example/d41d8cd98f00b204e9800998ecf8427e/announce").shown
        )

    def test_unusable(self) -> None:
        for url in (
            "wss://t.example/", "ws://t.example/", "nonsense", "", "udp://t.example/announce", "udp://:80/",
            "http:///a", "http://t.example:0/", "http://t.example:99999/", "http://[::1/", "ftp://t.example/",
            "http://a b/", "http://t.example/" + "x" * 3000, "http://\u202e..\ud800/", "dht://x",
        ):  # fmt: skip
            self.assertRaises(TrackerUnsupported, parse_tracker, url)

    @quick
    @given(st.text(max_size=40), st.sampled_from(["", "udp://", "http://", "https://"]))
    def test_nothing_but_its_error(self, text: str, scheme: str) -> None:
        try:
            tracker = parse_tracker(scheme + text)
        except TrackerUnsupported:
            return
        self.assertTrue(tracker.host.isascii())
        self.assertRegex(tracker.base, r"\A[!-~]*\Z")


class Asking(SynchronousTestCase):
    def url(self, base: str, event: str = "started", tracker_id: bytes | None = None) -> str:
        infohash = bytes(range(0x18, 0x2C))
        announce = Announce(parse_tracker(base), infohash, b"-FT0001-abcdefghijk~", 6881, 0xAB, tracker_id)
        return announce_url(announce, event)

    def test_every_parameter(self) -> None:
        self.assertEqual(
            self.url("http://t.example/announce"),
            "http://t.example:80/announce?info_hash=%18%19%1A%1B%1C%1D%1E%1F%20%21%22%23%24%25%26%27%28%29%2A%2B"
            "&peer_id=-FT0001-abcdefghijk~&port=6881&uploaded=0&downloaded=0&left=16384&compact=1&numwant=200"
            "&event=started&key=000000ab",
        )

    def test_those_of_the_url_stay(self) -> None:
        url = self.url("http://t.example/a?passkey=1&key=2&numwant=5")
        self.assertTrue(url.startswith("http://t.example:80/a?passkey=1&key=2&numwant=5&info_hash="))
        self.assertEqual((url.count("key="), url.count("numwant=")), (2, 1))

    def test_tracker_id_and_stopped(self) -> None:
        url = self.url("http://t.example/", "stopped", b"a&b")
        self.assertTrue(url.endswith("&event=stopped&key=000000ab&trackerid=a%26b"))
        self.assertIn("&numwant=0&", url)


class Answers(SynchronousTestCase):
    def parse(self, **fields: Any) -> Answer:
        return parse_answer(encode({key.replace("_", " "): value for key, value in fields.items()}), LIMITS)

    def refused(self, body: bytes) -> str:
        return str(self.assertRaises(TrackerFailed, parse_answer, body, LIMITS))

    def test_compact(self) -> None:
        answer = self.parse(peers=V4 + b"xyz", peers6=V6 + b"x", complete=5, incomplete=6)
        self.assertEqual(
            [str(peer) for peer in answer.peers()], ["1.2.3.4:6881", "[1:203:405:607:809:a0b:c0d:e0f]:6881"]
        )
        self.assertEqual((answer.seeders, answer.leechers, len(answer)), (5, 6, 2))

    def test_only_peers6(self) -> None:
        self.assertEqual(len(self.parse(peers6=V6).peers()), 1)

    def test_dictionaries(self) -> None:
        good = {"ip": "1.2.3.4", "port": 6881, "peer id": "x" * 20}
        six = {"ip": "2606:4700:0::1", "port": 1}
        bad: list[Any] = [
            {"ip": "localhost", "port": 1}, {"ip": "1.2.3", "port": 1}, {"ip": "::ffff:1.2.3.4.5", "port": 1},
            {"ip": "1.2.3.4", "port": -1}, {"ip": "1.2.3.4", "port": 65536}, {"port": 1}, {"ip": "1.2.3.4"},
            {"ip": "1.2.3.4", "port": "1"}, {"ip": 5, "port": 1}, {"ip": b"\xff", "port": 1}, 5, "x", [],
        ]  # fmt: skip
        for item in bad:
            answer = self.parse(peers=[item, good, six])
            self.assertEqual(
                answer.peers(), [PeerAddress("1.2.3.4", 6881), PeerAddress("2606:4700::1", 1)], item
            )

    def test_peers_are_capped(self) -> None:
        self.assertEqual(len(self.parse(peers=V4 * 9).peers()), 3)
        self.assertEqual(len(self.parse(peers=b"", peers6=V6 * 9).peers()), 3)
        self.assertEqual(len(self.parse(peers=[{"ip": "1.2.3.4", "port": 1}] * 9).peers()), 3)

    def test_min_interval_before_interval(self) -> None:
        self.assertEqual(self.parse(peers=b"", interval=9, min_interval=5).interval, 5)
        self.assertEqual(self.parse(peers=b"", interval=9).interval, 9)
        odds: list[Any] = [-5, "x", 2**40, []]
        for odd in odds:
            self.assertEqual(self.parse(peers=b"", interval=odd, complete=odd).interval, None)

    def test_tracker_id(self) -> None:
        self.assertEqual(self.parse(peers=b"", tracker_id="x").tracker_id, b"x")
        self.assertEqual(self.parse(peers=b"", tracker_id="x" * 257).tracker_id, None)

    def test_failure_reason(self) -> None:
        self.assertIn("go away", self.refused(encode({"failure reason": "go away"})))
        self.assertIn("\\x1b", self.refused(encode({"failure reason": "\x1b[2J"})))
        self.assertIn("without", self.refused(encode({"failure reason": 5})))

    def test_no_answer(self) -> None:
        for body in (
            b"",
            b"<html>",
            b"le",
            b"i5e",
            b"d5:peers6:abce",
            b"d5:peers0:5:peers0:e",
            b"d1:a1:b-6:",
            b"de",
        ):
            self.refused(body)
        self.refused(b"l" * 100_000)
        self.assertIn("later", self.refused(encode({"warning message": "later"})))

    def test_too_many_values(self) -> None:
        self.refused(b"d5:peersl" + b"de" * 30_000 + b"ee")

    @quick
    @given(st.binary(max_size=80))
    def test_nothing_but_its_error(self, data: bytes) -> None:
        for body in (data, b"d5:peers" + data + b"e", b"d5:peersld" + data + b"eee"):
            try:
                parse_answer(body, LIMITS).peers()
            except TrackerFailed:
                pass


class Remembering(SynchronousTestCase):
    def setUp(self) -> None:
        self.memory = Memory(Limits(min_interval=30, max_interval=100, remembered_announces=2))

    def test_for_its_interval(self) -> None:
        answer = Answer(V4, interval=50)
        self.memory.keep("u", b"h", answer, 1000)
        self.assertEqual(self.memory.recall("u", b"h", 1049), answer)
        self.assertEqual(self.memory.recall("u", b"h", 1050), None)
        self.assertEqual(self.memory.recall("u", b"i", 1000), None)
        self.assertEqual(self.memory.recall("v", b"h", 1000), None)

    def test_within_limits(self) -> None:
        for interval, kept in ((0, 30), (10**9, 100)):
            self.memory.keep("u", b"h", Answer(V4, interval=interval), 0)
            self.assertIsNotNone(self.memory.recall("u", b"h", kept - 1))
            self.assertIsNone(self.memory.recall("u", b"h", kept))

    def test_nothing_to_honour(self) -> None:
        self.memory.keep("u", b"h", Answer(V4), 0)
        self.assertIsNone(self.memory.recall("u", b"h", 0))

    def test_bounded(self) -> None:
        for name in (b"a", b"b", b"a", b"c"):
            self.memory.keep("u", name, Answer(V4 * 500, V6 * 500, interval=50), 0)
        self.assertIsNone(self.memory.recall("u", b"b", 0))
        kept = self.memory.recall("u", b"a", 0)
        assert kept is not None
        self.assertEqual((len(kept.peers4), len(kept.peers6)), (600, 1800))
