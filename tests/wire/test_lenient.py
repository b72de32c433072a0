"""Tests of functorrent.wire.lenient."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import BencodeError, LocalProtocolError
from functorrent.wire import bencode, lenient
from tests.wire.test_bencode import NOT_BENCODE, nearly_bencode, quick, values


class LenientTests(SynchronousTestCase):
    """scan_info, ScanSteps and raw_span: the grammar of info dictionaries."""

    def test_plain(self) -> None:
        """A well-formed dictionary gives its value, its end, its spans, and no warnings."""
        data = b"d1:ai0e1:bl2:xyd1:ci-7eee1:c3:abce"
        scan = lenient.scan_info(data)
        self.assertEqual(scan.value, {b"a": 0, b"b": [b"xy", {b"c": -7}], b"c": b"abc"})
        self.assertEqual((scan.end, scan.warnings, scan.repeated), (len(data), (), frozenset()))
        spans = {key: data[start:end] for key, (start, end) in scan.spans.items()}
        self.assertEqual(spans, {b"a": b"i0e", b"b": b"l2:xyd1:ci-7eee", b"c": b"3:abc"})

    def test_oddities(self) -> None:
        """What a strict reader would refuse is kept, and said."""
        for data, value, warning in [
            (b"d1:bi1e1:ai2ee", {b"b": 1, b"a": 2}, lenient.UNSORTED),
            (b"d1:ai1e1:ai2ee", {b"a": 1}, lenient.REPEATED),
            (b"d1:ale1:ai2ee", {b"a": []}, lenient.REPEATED),
            (b"d1:ai1e1:alee", {b"a": 1}, lenient.REPEATED),
            (b"d1:ai007ee", {b"a": 7}, lenient.ZEROS),
            (b"d1:ai-0ee", {b"a": 0}, lenient.ZEROS),
            (b"d1:ai-07ee", {b"a": -7}, lenient.ZEROS),
            (b"d1:ai00ee", {b"a": 0}, lenient.ZEROS),
            (b"d1:a03:xyze", {b"a": b"xyz"}, lenient.ZEROS),
            (b"d01:a1:xe", {b"a": b"x"}, lenient.ZEROS),
            (b"d1:ai" + b"9" * 400 + b"ee", {b"a": 10**20}, lenient.LONG_NUMBER),
            (b"d1:ai-" + b"9" * 5000 + b"ee", {b"a": -(10**20)}, lenient.LONG_NUMBER),
            (b"d1:ad1:bi1e1:ai2eee", {b"a": {b"b": 1, b"a": 2}}, lenient.UNSORTED),
        ]:
            scan = lenient.scan_info(data)
            self.assertEqual((scan.value, scan.warnings), (value, (warning,)), msg=repr(data))

    def test_order_is_told_for_each_dictionary(self) -> None:
        """A nested dictionary's keys do not count for the one around it."""
        self.assertEqual(lenient.scan_info(b"d1:ad1:zi1ee1:bi1ee").warnings, ())
        self.assertEqual(lenient.scan_info(b"d0:i1e1:ad0:i1ee1:bl0:0:ee").warnings, ())
        self.assertEqual(lenient.scan_info(b"d1:cd1:ai1ee1:bi1ee").warnings, (lenient.UNSORTED,))

    def test_refused(self) -> None:
        """What no reader can make sense of is refused, and so is all that is no dictionary."""
        odd = {b"d3:keyi1e3:keyi1ee", b"d1:ai1e1:ai2ee", b"d01:ai1ee"}
        for data in (*NOT_BENCODE, b"i1e", b"le", b"1:d", b"d1:ai1_0ee", b"d1:a-1:ee", b"d1:ae", b"dee"):
            if data not in odd:
                with self.assertRaises(BencodeError, msg=repr(data)):
                    lenient.scan_info(data)

    def test_budgets(self) -> None:
        """Depth and items are bounded here, too."""
        lenient.scan_info(b"d1:a" * 100 + b"i1e" + b"e" * 100)
        for bomb in (b"d1:a" * 101 + b"i1e" + b"e" * 101, b"d1:a" * 100_000, b"d1:a" + b"l" * 1_000_000):
            with self.assertRaisesRegex(BencodeError, "within one another"):
                lenient.scan_info(bomb)
        many = b"d1:al" + b"i1e" * 9 + b"ee"
        lenient.scan_info(many, items=10)
        for pause in (1, 3, 100):
            self.assertEqual(len(_steps(many, items=10, pause=pause).value[b"a"]), 9)
            with self.assertRaisesRegex(BencodeError, "too many values"):
                _steps(many, items=9, pause=pause)

    def test_steps(self) -> None:
        """In slices the same comes out, and there are as many pauses as asked for."""
        data = b"d1:al" + b"i1e" * 99 + b"e1:b2:xye"
        steps = lenient.ScanSteps(data, pause=10)
        with self.assertRaises(LocalProtocolError):
            steps.result()
        self.assertEqual(sum(1 for _ in steps), 10)
        self.assertEqual(steps.result(), lenient.scan_info(data))
        steps = lenient.ScanSteps(b"dee")
        self.assertEqual(list(steps), [])
        with self.assertRaises(BencodeError):
            steps.result()

    def test_reduce(self) -> None:
        """Each container below the top one is handed over once, innermost first, and replaced."""
        seen = []

        def reduce(level: int, key: bytes | None, box: Any) -> int:
            seen.append((level, key, box))
            return len(seen)

        scan = lenient.scan_info(b"d1:ald1:xi5eelee1:bdee", reduce=reduce)
        self.assertEqual(seen, [(2, None, {b"x": 5}), (2, None, []), (1, b"a", [1, 2]), (1, b"b", {})])
        self.assertEqual(scan.value, {b"a": 3, b"b": 4})

    def test_raw_span(self) -> None:
        """The span of a key's value is exactly its bytes, odd ones too."""
        info = b"d4:name1:x4:infoi07ee"
        data = b"d8:announce3:url4:info" + info + b"5:otheri1ee"
        start, end = lenient.raw_span(data, b"info")
        self.assertEqual(data[start:end], info)
        self.assertEqual(lenient.raw_span(data + b"\n", b"info"), (start, end))
        for missing in (b"de", b"d1:ad4:infodeee", b"d4:infode4:infodee", b"d4:info"):
            with self.assertRaises(BencodeError):
                lenient.raw_span(missing, b"info")

    @given(st.dictionaries(st.binary(max_size=8), values, max_size=6))
    @quick
    def test_agrees_with_the_strict_grammar(self, value: dict[bytes, Any]) -> None:
        """On valid input both grammars read the same; prefixes are refused."""
        data = bencode.encode(value)
        scan = lenient.scan_info(data)
        self.assertEqual((scan.value, scan.end, scan.warnings), (value, len(data), ()))
        for key, (start, end) in scan.spans.items():
            self.assertEqual(data[start:end], bencode.encode(value[key]))
        for end in range(len(data)):
            with self.assertRaises(BencodeError):
                lenient.scan_info(data[:end])

    @given((st.binary(max_size=60) | nearly_bencode).map(lambda data: b"d" + data))
    @quick
    def test_arbitrary_bytes(self, data: bytes) -> None:
        """Only BencodeError comes out; what the strict grammar takes, this one takes alike."""
        try:
            scan = lenient.scan_info(data)
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


def _steps(data: bytes, *, items: int, pause: int) -> lenient.Scan:
    steps = lenient.ScanSteps(data, items=items, pause=pause)
    for _ in steps:
        pass
    return steps.result()
