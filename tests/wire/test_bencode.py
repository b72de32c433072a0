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


class LenientTests(SynchronousTestCase):
    """scan_info, ScanSteps and raw_span: the grammar of info dictionaries."""

    def test_plain(self) -> None:
        """A well-formed dictionary gives its value, its end, its spans, and no warnings."""
        data = b"d1:ai0e1:bl2:xyd1:ci-7eee1:c3:abce"
        scan = bencode.scan_info(data)
        self.assertEqual(scan.value, {b"a": 0, b"b": [b"xy", {b"c": -7}], b"c": b"abc"})
        self.assertEqual((scan.end, scan.warnings, scan.repeated), (len(data), (), frozenset()))
        spans = {key: data[start:end] for key, (start, end) in scan.spans.items()}
        self.assertEqual(spans, {b"a": b"i0e", b"b": b"l2:xyd1:ci-7eee", b"c": b"3:abc"})

    def test_oddities(self) -> None:
        """What a strict reader would refuse is kept, and said."""
        for data, value, warning in [
            (b"d1:bi1e1:ai2ee", {b"b": 1, b"a": 2}, bencode.UNSORTED),
            (b"d1:ai1e1:ai2ee", {b"a": 1}, bencode.REPEATED),
            (b"d1:ale1:ai2ee", {b"a": []}, bencode.REPEATED),
            (b"d1:ai1e1:alee", {b"a": 1}, bencode.REPEATED),
            (b"d1:ai007ee", {b"a": 7}, bencode.ZEROS),
            (b"d1:ai-0ee", {b"a": 0}, bencode.ZEROS),
            (b"d1:ai-07ee", {b"a": -7}, bencode.ZEROS),
            (b"d1:ai00ee", {b"a": 0}, bencode.ZEROS),
            (b"d1:a03:xyze", {b"a": b"xyz"}, bencode.ZEROS),
            (b"d01:a1:xe", {b"a": b"x"}, bencode.ZEROS),
            (b"d1:ai" + b"9" * 400 + b"ee", {b"a": 10**20}, bencode.LONG_NUMBER),
            (b"d1:ai-" + b"9" * 5000 + b"ee", {b"a": -(10**20)}, bencode.LONG_NUMBER),
            (b"d1:ad1:bi1e1:ai2eee", {b"a": {b"b": 1, b"a": 2}}, bencode.UNSORTED),
        ]:
            scan = bencode.scan_info(data)
            self.assertEqual((scan.value, scan.warnings), (value, (warning,)), msg=repr(data))

    def test_order_is_told_for_each_dictionary(self) -> None:
        """A nested dictionary's keys do not count for the one around it."""
        self.assertEqual(bencode.scan_info(b"d1:ad1:zi1ee1:bi1ee").warnings, ())
        self.assertEqual(bencode.scan_info(b"d0:i1e1:ad0:i1ee1:bl0:0:ee").warnings, ())
        self.assertEqual(bencode.scan_info(b"d1:cd1:ai1ee1:bi1ee").warnings, (bencode.UNSORTED,))

    def test_refused(self) -> None:
        """What no reader can make sense of is refused, and so is all that is no dictionary."""
        odd = {b"d3:keyi1e3:keyi1ee", b"d1:ai1e1:ai2ee", b"d01:ai1ee"}
        for data in (*NOT_BENCODE, b"i1e", b"le", b"1:d", b"d1:ai1_0ee", b"d1:a-1:ee", b"d1:ae", b"dee"):
            if data not in odd:
                with self.assertRaises(BencodeError, msg=repr(data)):
                    bencode.scan_info(data)

    def test_budgets(self) -> None:
        """Depth and items are bounded here, too."""
        bencode.scan_info(b"d1:a" * 100 + b"i1e" + b"e" * 100)
        for bomb in (b"d1:a" * 101 + b"i1e" + b"e" * 101, b"d1:a" * 100_000, b"d1:a" + b"l" * 1_000_000):
            with self.assertRaisesRegex(BencodeError, "within one another"):
                bencode.scan_info(bomb)
        many = b"d1:al" + b"i1e" * 9 + b"ee"
        bencode.scan_info(many, items=10)
        for pause in (1, 3, 100):
            self.assertEqual(len(_steps(many, items=10, pause=pause).value[b"a"]), 9)
            with self.assertRaisesRegex(BencodeError, "too many values"):
                _steps(many, items=9, pause=pause)

    def test_steps(self) -> None:
        """In slices the same comes out, and there are as many pauses as asked for."""
        data = b"d1:al" + b"i1e" * 99 + b"e1:b2:xye"
        steps = bencode.ScanSteps(data, pause=10)
        with self.assertRaises(LocalProtocolError):
            steps.result()
        self.assertEqual(sum(1 for _ in steps), 10)
        self.assertEqual(steps.result(), bencode.scan_info(data))
        steps = bencode.ScanSteps(b"dee")
        self.assertEqual(list(steps), [])
        with self.assertRaises(BencodeError):
            steps.result()

    def test_reduce(self) -> None:
        """Each container below the top one is handed over once, innermost first, and replaced."""
        seen = []

        def reduce(level: int, key: bytes | None, box: Any) -> int:
            seen.append((level, key, box))
            return len(seen)

        scan = bencode.scan_info(b"d1:ald1:xi5eelee1:bdee", reduce=reduce)
        self.assertEqual(seen, [(2, None, {b"x": 5}), (2, None, []), (1, b"a", [1, 2]), (1, b"b", {})])
        self.assertEqual(scan.value, {b"a": 3, b"b": 4})

    def test_raw_span(self) -> None:
        """The span of a key's value is exactly its bytes, odd ones too."""
        info = b"d4:name1:x4:infoi07ee"
        data = b"d8:announce3:url4:info" + info + b"5:otheri1ee"
        start, end = bencode.raw_span(data, b"info")
        self.assertEqual(data[start:end], info)
        self.assertEqual(bencode.raw_span(data + b"\n", b"info"), (start, end))
        for missing in (b"de", b"d1:ad4:infodeee", b"d4:infode4:infodee", b"d4:info"):
            with self.assertRaises(BencodeError):
                bencode.raw_span(missing, b"info")

    @given(st.dictionaries(st.binary(max_size=8), values, max_size=6))
    @quick
    def test_agrees_with_the_strict_grammar(self, value: dict[bytes, Any]) -> None:
        """On valid input both grammars read the same; prefixes are refused."""
        data = bencode.encode(value)
        scan = bencode.scan_info(data)
        self.assertEqual((scan.value, scan.end, scan.warnings), (value, len(data), ()))
        for key, (start, end) in scan.spans.items():
            self.assertEqual(data[start:end], bencode.encode(value[key]))
        for end in range(len(data)):
            with self.assertRaises(BencodeError):
                bencode.scan_info(data[:end])

    @given((st.binary(max_size=60) | nearly_bencode).map(lambda data: b"d" + data))
    @quick
    def test_arbitrary_bytes(self, data: bytes) -> None:
        """Only BencodeError comes out; what the strict grammar takes, this one takes alike."""
        try:
            scan = bencode.scan_info(data)
        except BencodeError:
            with self.assertRaises(BencodeError):
                bencode.decode(data)
            return
        try:
            strict = bencode.decode(data)
        except BencodeError:
            self.assertTrue(scan.warnings)
        else:
            self.assertEqual(scan.value, strict)


def _steps(data: bytes, *, items: int, pause: int) -> bencode.Scan:
    steps = bencode.ScanSteps(data, items=items, pause=pause)
    for _ in steps:
        pass
    return steps.result()
