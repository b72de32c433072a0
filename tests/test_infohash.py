"""Tests of functorrent.infohash."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from hashlib import sha1, sha256

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent import infohash

quick = settings(deadline=None, derandomize=True, max_examples=100)

NOT_V1 = [
    "",
    "0" * 39,
    "0" * 41,
    "0" * 42,
    "0" * 64,
    "g" * 40,
    " " + "0" * 39,
    "00 " * 13 + "0",
    "0x" + "0" * 38,
    "+" + "0" * 39,
    "0_" * 20,
    "٠" * 40,  # Arabic zeros: digits to str.isdigit
    "０" * 40,  # full-width zeros
    "1" * 32,  # 1 is no digit of base32
    "A" * 31 + "-",
    "A" * 31 + " ",
    # Padding: shorter than an infohash, but 32 characters that base32 reads.
    "A" * 26 + "======",
    "A" * 28 + "====",
    "A" * 29 + "===",
    "A" * 31 + "=",
    "=" * 32,
    # str.upper makes plain letters of these.
    "A" * 31 + "ı",
    "A" * 31 + "ſ",
    "A" * 31 + "ß",
    "A" * 30 + "ﬃ" + "A",
]


def taken(parse: Callable[[str], bytes], texts: Iterable[str]) -> list[str]:
    """Those of `texts` for which `parse` does not raise ValueError."""
    good = []
    for text in texts:
        try:
            parse(text)
        except ValueError:
            continue
        good.append(text)
    return good


class InfohashTests(SynchronousTestCase):
    """from_text, v2_from_text and matches."""

    @given(st.binary(min_size=20, max_size=20))
    @quick
    def test_v1(self, digest: bytes) -> None:
        """Hex and base32, in either case, give the bytes back."""
        texts = (digest.hex(), base64.b32encode(digest).decode())
        for text in texts:
            self.assertEqual(infohash.from_text(text.lower()), digest)
            self.assertEqual(infohash.from_text(text.upper()), digest)

    def test_mixed_case(self) -> None:
        """Case may change within one infohash."""
        self.assertEqual(infohash.from_text("aB" * 20), b"\xab" * 20)
        self.assertEqual(infohash.from_text("mY" * 16), base64.b32decode("MY" * 16))

    def test_not_v1(self) -> None:
        """Other lengths, digits and alphabets raise ValueError, and nothing else is ever returned."""
        self.assertEqual(taken(infohash.from_text, NOT_V1), [])

    @given(st.binary(min_size=32, max_size=32))
    @quick
    def test_v2(self, digest: bytes) -> None:
        """64 hex digits in either case give 32 bytes back."""
        self.assertEqual(infohash.v2_from_text(digest.hex()), digest)
        self.assertEqual(infohash.v2_from_text(digest.hex().upper()), digest)

    def test_not_v2(self) -> None:
        """Other lengths and digits raise ValueError."""
        texts = ("", "0" * 63, "0" * 66, "0" * 40, "z" * 64, " " * 64, "０" * 64, "0" * 63 + "\n")
        self.assertEqual(taken(infohash.v2_from_text, texts), [])

    @given(st.text(min_size=32, max_size=64))
    @quick
    def test_fuzz(self, text: str) -> None:
        """Any text is an infohash of the right length, or a ValueError."""
        for parse, length in ((infohash.from_text, 20), (infohash.v2_from_text, 32)):
            try:
                self.assertEqual(len(parse(text)), length)
            except ValueError:
                pass

    def test_matches(self) -> None:
        """SHA-1 for 20 bytes, SHA-256 for 32."""
        info = b"d4:name1:ae"
        v1, v2 = sha1(info).digest(), sha256(info).digest()
        self.assertTrue(infohash.matches(v1, info))
        self.assertTrue(infohash.matches(v2, info))
        self.assertFalse(infohash.matches(v1, info + b" "))
        self.assertFalse(infohash.matches(v2, info[:-1]))

    def test_truncated_v2_does_not_match(self) -> None:
        """The first 20 bytes of a SHA-256 stand in handshakes, but never verify anything."""
        info = b"d4:name1:ae"
        self.assertFalse(infohash.matches(sha256(info).digest()[:20], info))
        self.assertFalse(infohash.matches(b"", info))
