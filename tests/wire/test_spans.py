"""Spans: where a value stands, in whatever a stranger calls a .torrent file."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import BencodeError
from functorrent.testing import sample_info
from functorrent.wire.bencode import encode
from functorrent.wire.lenient import raw_span
from functorrent.wire.spans import find_span

INFO = sample_info(2_000)
VALUES: Any = st.recursive(
    st.integers() | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.binary(min_size=1, max_size=12), inner, max_size=5)
    ),
    max_leaves=30,
)


def find(data: bytes, key: bytes = b"info", **how: int) -> tuple[tuple[int, int] | None, int]:
    """The span, and in how many slices it was found."""
    steps = find_span(data, key, **how)
    slices = 1
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value, slices
        slices += 1


class SpanTests(SynchronousTestCase):
    def value(self, data: bytes, key: bytes = b"info") -> bytes | None:
        span, _ = find(data, key)
        return None if span is None else data[slice(*span)]

    def refused(self, data: bytes, words: str, **how: int) -> None:
        with self.assertRaises(BencodeError) as caught:
            find(data, **how)
        self.assertIn(words, str(caught.exception))

    def test_wherever_it_stands(self) -> None:
        around = {b"announce": b"http://t.example/", b"nodes": [[b"h", 1]], b"url-list": []}
        self.assertEqual(self.value(encode({**around, b"info": {b"a": 1}})), b"d1:ai1ee")
        self.assertEqual(self.value(b"d5:nodesle4:info" + INFO + b"8:announce1:xe"), INFO)
        self.assertEqual(self.value(b"d4:info" + INFO + b"e"), INFO)

    def test_what_follows_does_not_matter(self) -> None:
        for tail in (b"", b"e", b"e\r\n", b"<html>", b"4:infodee"):
            self.assertEqual(self.value(b"d4:info" + INFO + tail), INFO)

    def test_not_there(self) -> None:
        for data in (
            b"de",
            b"d1:a4:infoe",
            b"d1:ad4:infodeee",
            b"d9:info-hash1:xe",
            b"d3:inf2:oxe",
            b"d0:0:e",
        ):
            self.assertIsNone(self.value(data), data)

    def test_odd_values_have_ends(self) -> None:
        """What a strict reader refuses: leading zeros, unsorted and repeated keys, long numbers, depth."""
        for value in (
            b"d1:bi1e1:ai02e1:ai-0ee",
            b"d1:a003:xyze",
            b"di" + b"9" * 1000 + b"ei1ee",
            b"l" * 5000 + b"e" * 5000,
            b"di1ei2ee",
        ):
            self.assertEqual(self.value(b"d4:info" + value + b"e"), value)

    def test_what_is_none(self) -> None:
        self.refused(b"", "ends in the middle")
        self.refused(b"<html>", "not a dictionary")
        self.refused(b"l4:infoe", "not a dictionary")
        for end in range(1, len(INFO) + 6):
            self.refused((b"d4:info" + INFO)[:end], "")
        for data, words in (
            (b"d4:infox", "no value begins"),
            (b"d4:infoe", "no value begins"),
            (b"di1e4:infodee", "not a byte string"),
            (b"d4:infoi1", "no end"),
            (b"d4:info" + b"1" * 30 + b":x", "no end"),
            (b"d" + b"1" * 30 + b":x", "no end"),
            (b"d9999999999999999999:", "ends in the middle"),
            (b"d4:info9999999999999999999:", "ends in the middle"),
            (b"d4:info5:abcd", "ends in the middle"),
        ):
            self.refused(data, words)

    def test_slices(self) -> None:
        data = encode({b"info": {b"files": [b"x"] * 1000}})
        span, slices = find(data, pause=100)
        self.assertEqual(span, (7, len(data) - 1))
        self.assertEqual(slices, 11)

    def test_the_budget(self) -> None:
        for data in (b"d4:info" + b"l" * 2000, b"d4:infol" + b"0:" * 2000, b"d" + b"0:0:" * 2000):
            self.refused(data, "too many values", tokens=1000, pause=100)
        span, _ = find(b"d4:infol" + b"0:" * 990 + b"ee", tokens=1000, pause=100)
        self.assertIsNotNone(span)

    def test_a_slice_is_short(self) -> None:
        """The reactor waits for none longer than for any other work."""
        data = encode({b"info": {b"files": [{b"length": 1, b"path": [b"some name"]}] * 20_000}})
        steps = find_span(data, b"info")
        longest = []
        while True:
            began = time.perf_counter()
            ended = next(steps, "end")
            longest.append(time.perf_counter() - began)
            if ended == "end":
                break
        # The median, since the machine may be busy with something else.
        self.assertLess(sorted(longest)[len(longest) // 2], 0.03)
        self.assertGreater(len(longest), 5)

    @given(st.dictionaries(st.binary(max_size=12), VALUES, max_size=6), VALUES, st.integers(1, 50))
    def test_as_the_reader_has_it(self, around: dict[bytes, Any], value: Any, pause: int) -> None:
        data = encode({**around, b"info": value})
        self.assertEqual(find(data, pause=pause)[0], raw_span(data, b"info"))

    @given(st.binary(max_size=200) | st.text("deil0123456789:ainfo-", max_size=200).map(str.encode))
    def test_fuzz(self, data: bytes) -> None:
        for whole in (data, b"d" + data, b"d4:info" + data):
            try:
                span, _ = find(whole, tokens=1000, pause=7)
            except BencodeError:
                continue
            if span is not None:
                start, end = span
                self.assertTrue(0 < start < end <= len(whole))
