"""Tests of functorrent.wire.bencode."""

from __future__ import annotations

from typing import Any

import bencodepy
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import BencodeError, LocalProtocolError
from functorrent.wire import bencode

quick = settings(deadline=None, derandomize=True, max_examples=100)

values: st.SearchStrategy[Any] = st.recursive(
    st.integers(-(10**20) + 1, 10**20 - 1) | st.binary(max_size=30),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.binary(max_size=12), inner, max_size=5),
    max_leaves=25,
)
#: Bytes that look like bencode more often than chance would have it.
nearly_bencode = st.lists(
    st.sampled_from([b"d", b"l", b"e", b"i", b"-", b"0", b"1", b"12", b":", b"a", b"1:a", b"i1e", b"_"]),
    max_size=40,
).map(b"".join)

NOT_BENCODE = [
    b"",
    b"e",
    b"x",
    b" i1e",
    b"i1e ",
    b"ie",
    b"i-e",
    b"i-0e",
    b"i00e",
    b"i01e",
    b"i-01e",
    b"i--1e",
    b"i1-1e",
    b"i+1e",
    b"i1_0e",
    b"i 5 e",
    b"i5",
    b"i1.5e",
    b"i\xb2e",
    b"i123456789012345678901e",
    b"i-123456789012345678901e",
    b"1",
    b"1:",
    b"2:a",
    b"12",
    b"123456",
    b"01:a",
    b"00:",
    b"-1:a",
    b"+1:a",
    b"1_0:aaaaaaaaaa",
    b"1 :a",
    b" 1:a",
    b":",
    b"/:aa",
    b"99999999999:a",
    b"100000000:a",
    b"18446744073709551617:a",
    b"l",
    b"li1e",
    b"l1:a",
    b"d",
    b"d1:a",
    b"d1:ae",
    b"d1:ai1e",
    b"di1ei1ee",
    b"dlei1ee",
    b"d-1:ai1ee",
    b"da:" + b"x" * 49 + b"i1ee",
    b"l/:e",
    b"la:" + b"x" * 49 + b"e",
    b"d01:ai1ee",
    b"d9:ae",
    b"d1:a1:b-6:",
    b"d2222222222:l",
    b"d1:ai1e1:ai2ee",
    b"d3:keyi1e3:keyi1ee",
    b"i1ei2e",
    b"lee",
]


class StrictTests(SynchronousTestCase):
    """decode and decode_prefix: the grammar of control messages."""

    def test_values(self) -> None:
        """Each kind of value is read."""
        for data, value in [
            (b"i0e", 0),
            (b"i-1e", -1),
            (b"i999e", 999),
            (b"i1000e", 1000),
            (b"i31235e", 31235),
            (b"i99999999999999999999e", 10**20 - 1),
            (b"i-99999999999999999999e", -(10**20) + 1),
            (b"0:", b""),
            (b"3:abc", b"abc"),
            (b"10:abcdefghij", b"abcdefghij"),
            (b"le", []),
            (b"de", {}),
            (b"llelee", [[], []]),
            (b"d0:0:e", {b"": b""}),
            (b"d1:ad1:bli1eee1:ci2ee", {b"a": {b"b": [1]}, b"c": 2}),
            (b"1500:" + b"x" * 1500, b"x" * 1500),
        ]:
            self.assertEqual(bencode.decode(data), value)

    def test_unsorted_keys_pass(self) -> None:
        """Real peers send them."""
        self.assertEqual(bencode.decode(b"d1:bi1e1:ai2ee"), {b"b": 1, b"a": 2})

    def test_refused(self) -> None:
        """What is not bencode to the letter is refused with a BencodeError."""
        for data in NOT_BENCODE:
            with self.assertRaises(BencodeError, msg=repr(data)):
                bencode.decode(data)

    def test_end_offset(self) -> None:
        """A block may follow a header, even one that looks like bencode."""
        header = b"d8:msg_typei1e5:piecei0ee"
        for block in (b"", b"ee", b"e", b"i1e", b"\x00" * 10):
            value, end = bencode.decode_prefix(b"xx" + header + block, 2)
            self.assertEqual(value, {b"msg_type": 1, b"piece": 0})
            self.assertEqual(end, 2 + len(header))
        self.assertEqual(bencode.decode_prefix(b"i5e3:abc"), (5, 3))
        self.assertEqual(bencode.decode_prefix(b"2:abc"), (b"ab", 4))

    def test_depth(self) -> None:
        """Depth is budgeted, and a bomb is refused without recursion."""
        self.assertEqual(bencode.decode(b"lle" + b"de" + b"e", depth=2), [[], {}])
        bencode.decode(b"l" * 32 + b"e" * 32, depth=32)
        for bomb in (b"l" * 33 + b"e" * 33, b"l" * 1_000_000, b"d1:a" * 250_000, b"ld1:a" * 200_000):
            with self.assertRaisesRegex(BencodeError, "within one another"):
                bencode.decode(bomb, depth=32)
        deep: Any = bencode.decode(b"l" * 100_000 + b"e" * 100_000, depth=100_000, items=100_000)
        for _ in range(99_999):
            (deep,) = deep
        self.assertEqual(deep, [])

    def test_items(self) -> None:
        """Values are counted; keys are not, containers are."""
        self.assertEqual(len(bencode.decode(b"l" + b"i1e" * 9 + b"e", items=10)), 10 - 1)  # type: ignore[arg-type]
        for bomb in (b"l" + b"i1e" * 10 + b"e", b"l" + b"le" * 10 + b"e", b"l" + b"0:" * 10 + b"e"):
            with self.assertRaisesRegex(BencodeError, "too many values"):
                bencode.decode(bomb, items=10)
        bencode.decode(b"d1:ai1e1:bi1ee", items=3)
        with self.assertRaisesRegex(BencodeError, "too many values"):
            bencode.decode(b"d1:ai1e1:bi1ee", items=2)

    @given(values)
    @quick
    def test_oracle(self, value: Any) -> None:
        """What bencode.py encodes is read back, with its end, whatever follows."""
        data = bencodepy.encode(value)
        self.assertEqual(bencode.encode(value), data)
        self.assertEqual(bencode.decode(data), value)
        self.assertEqual(bencodepy.Bencode().decode(data), value)
        self.assertEqual(bencode.decode_prefix(b"?" + data + b"e1:", 1), (value, 1 + len(data)))

    @given(values)
    @quick
    def test_prefixes(self, value: Any) -> None:
        """No prefix of a value is a value."""
        data = bencode.encode(value)
        for end in range(len(data)):
            with self.assertRaises(BencodeError):
                bencode.decode(data[:end])

    @given(st.binary(max_size=60) | nearly_bencode)
    @quick
    def test_arbitrary_bytes(self, data: bytes) -> None:
        """Anything else is a BencodeError; what is taken encodes to the same, save the order of keys."""
        try:
            value = bencode.decode(data)
        except BencodeError:
            return
        self.assertEqual(sorted(bencode.encode(value)), sorted(data))

    def test_encode_refuses(self) -> None:
        """A value that bencode lacks is our own mistake."""
        for value in (1.5, None, {1: 2}, [object()]):
            with self.assertRaises(LocalProtocolError):
                bencode.encode(value)
