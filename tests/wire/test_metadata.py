"""Tests of functorrent.wire.metadata."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import MalformedMessage
from functorrent.wire import metadata
from functorrent.wire.bencode import encode
from functorrent.wire.metadata import (
    MetadataData,
    MetadataMessage,
    MetadataReject,
    MetadataRequest,
    decode_metadata,
)
from tests.wire.helpers import quick

pieces = st.integers(0, 10**12)
#: Blocks that look like the end of a header, or like a further one.
blocks = st.binary(max_size=40) | st.sampled_from(
    [b"e", b"ee", b"10:total_sizei5ee", b"d8:msg_typei2e5:piecei0ee"]
)
messages: st.SearchStrategy[MetadataMessage] = st.one_of(
    st.builds(MetadataRequest, pieces),
    st.builds(MetadataReject, pieces),
    st.builds(MetadataData, pieces, st.none() | st.integers(0, 10**18), blocks),
)


class MetadataMessageTests(SynchronousTestCase):
    """decode_metadata and the messages' encode."""

    def test_bytes(self) -> None:
        """The messages as BEP 9 writes them."""
        for payload, message in (
            (b"d8:msg_typei0e5:piecei0ee", MetadataRequest(0)),
            (b"d8:msg_typei1e5:piecei0e10:total_sizei34256eexxxxxxxx", MetadataData(0, 34256, b"xxxxxxxx")),
            (b"d8:msg_typei1e5:piecei7eexx", MetadataData(7, None, b"xx")),
            (b"d8:msg_typei2e5:piecei12ee", MetadataReject(12)),
        ):
            self.assertEqual(decode_metadata(payload), message)
            self.assertEqual(message.encode(), payload)

    @given(messages)
    @quick
    def test_round_trip(self, message: MetadataMessage) -> None:
        """What is encoded is decoded."""
        self.assertEqual(decode_metadata(message.encode()), message)

    @given(messages, st.permutations([b"msg_type", b"piece", b"total_size", b"x"]))
    @quick
    def test_any_order(self, message: MetadataMessage, keys: list[bytes]) -> None:
        """A header with its keys in any order, and one more among them, says the same."""
        kind = {MetadataRequest: 0, MetadataData: 1, MetadataReject: 2}[type(message)]
        size = getattr(message, "total_size", None)
        header = {b"msg_type": kind, b"piece": message.piece, b"total_size": size, b"x": {b"y": [b"e"]}}
        body = b"".join(b"%d:%b%b" % (len(k), k, encode(header[k])) for k in keys if header[k] is not None)
        payload = b"d" + body + b"e" + getattr(message, "block", b"")
        self.assertEqual(decode_metadata(payload), message)

    def test_block_after_the_header(self) -> None:
        """The block begins where the header's parsing ends, whatever the block or the header hold."""
        for header in (b"d8:msg_typei1e5:piecei0ee", b"d1:a2:ee8:msg_typei1e5:piecei0ee"):
            for block in (b"", b"e", b"ee", b"eeee", b"d8:msg_typei1e5:piecei1ee", b"10:total_sizei1ee"):
                message = decode_metadata(header + block)
                assert isinstance(message, MetadataData)
                self.assertEqual((message.piece, message.total_size, message.block), (0, None, block))

    def test_after_requests(self) -> None:
        """Bytes behind a request or a reject are ignored."""
        self.assertEqual(decode_metadata(b"d8:msg_typei0e5:piecei3eexyz"), MetadataRequest(3))
        self.assertEqual(decode_metadata(b"d5:piecei3e8:msg_typei2eexyz"), MetadataReject(3))

    def test_unknown_types(self) -> None:
        """A msg_type of a later BEP is ignored, whatever else is said."""
        for kind in (3, 4, 255, -1, 10**19):
            self.assertIsNone(decode_metadata(b"d8:msg_typei%de5:piecei0ee" % kind))
            self.assertIsNone(decode_metadata(b"d8:msg_typei%dee" % kind))

    def test_total_size(self) -> None:
        """A total_size that is no number counts as absent; any number is passed on."""
        for text, size in (
            (b"i0e", 0),
            (b"i-5e", -5),
            (b"1:5", None),
            (b"le", None),
            (b"i99999999999999999999e", 10**20 - 1),
        ):
            message = decode_metadata(b"d8:msg_typei1e5:piecei0e10:total_size" + text + b"exx")
            self.assertEqual(message, MetadataData(0, size, b"xx"))

    def test_malformed(self) -> None:
        """Headers that say nothing usable."""
        for wrong in (
            b"",
            b"garbage",
            b"le",
            b"i1e",
            b"3:abc",
            b"de",
            b"d",
            b"d8:msg_typei1e",
            b"d8:msg_typei1ee",
            b"d8:msg_typei1e5:piecei-1ee",
            b"d8:msg_typei1e5:piecei00ee",
            b"d8:msg_typei1e5:piecei01ee",
            b"d8:msg_typei1e5:piecei-0ee",
            b"d8:msg_typei1e5:piecei1_0ee",
            b"d8:msg_typei1e5:piece1:0e",
            b"d8:msg_type1:15:piecei0ee",
            b"d8:msg_typei01e5:piecei0ee",
            b"d8:msg_typei1e5:piecei0e10:total_sizei01ee",
            b"d8:msg_typei1e5:piecei0e5:piecei1ee",
            b"d8:msg_typei1e5:piecei" + b"9" * 21 + b"ee",
            b"d1:ad1:bd1:cd1:ddeeee8:msg_typei1e5:piecei0ee",
            b"d1:al" + b"i0e" * 40 + b"e8:msg_typei1e5:piecei0ee",
            b"d1:a1:b-6:",
        ):
            with self.assertRaises(MalformedMessage):
                self.fail(f"{wrong!r} is {decode_metadata(wrong)}")

    def test_errors_are_short(self) -> None:
        """What a stranger sent is not told at length."""
        for wrong in (b"60000:" + b"\x1b" * 60_000, b"l" + b"60000:" + b"a" * 60_000 + b"e"):
            payload = b"d8:msg_typei1e5:piece" + wrong + b"e"
            error = self.assertRaises(MalformedMessage, decode_metadata, payload)
            self.assertLess(len(str(error)), 200)
            self.assertNotIn("\x1b", str(error))

    def test_large_numbers(self) -> None:
        """Numbers the quick way leaves to the general one."""
        for piece in (999_999_999, 1_000_000_000, 10**20 - 1):
            for size in (999_999_999_999_999, 10**15, 10**20 - 1):
                message = MetadataData(piece, size, b"x")
                self.assertEqual(decode_metadata(message.encode()), message)

    @given(
        st.lists(
            st.sampled_from(
                [b"d", b"e", b"8:msg_type", b"5:piece", b"10:total_size", b"i0e", b"i1e", b"i2e", b"x"]
            ),
            max_size=12,
        )
    )
    @quick
    def test_both_ways_agree(self, parts: list[bytes]) -> None:
        """What the quick way takes, the general way takes alike."""
        payload = b"".join(parts)
        quickly = self._result(payload)
        with patch.object(metadata, "_USUAL", lambda payload: None):
            self.assertEqual(self._result(payload), quickly)

    def _result(self, payload: bytes) -> Any:
        try:
            return decode_metadata(payload)
        except MalformedMessage:
            return MalformedMessage

    @given(st.binary(max_size=120) | st.binary(max_size=60).map(b"d8:msg_typei1e5:piecei0".__add__))
    @quick
    def test_fuzz(self, payload: bytes) -> None:
        """Any bytes are a message, None, or MalformedMessage."""
        try:
            message = decode_metadata(payload)
        except MalformedMessage:
            return
        if isinstance(message, MetadataData):
            self.assertTrue(payload.endswith(message.block))
