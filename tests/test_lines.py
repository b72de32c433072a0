"""Lines of magnets out of slices of bytes."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.lines import Line, LineReader, LineSplitter
from tests.commands_bed import FolderTestCase


def split(data: bytes, sizes: list[int] | None = None, max_line: int = 100) -> list[Line]:
    splitter = LineSplitter(max_line)
    lines = []
    for size in sizes or []:
        lines += splitter.feed(data[:size])
        data = data[size:]
    lines += splitter.feed(data)
    return lines + splitter.finish()


class LineSplitterTests(SynchronousTestCase):
    def test_skips_blanks_and_comments_but_counts_them(self) -> None:
        self.assertEqual(split(b"a\n\n  \n# no\n b \r\nc"), [Line(1, "a"), Line(5, "b"), Line(6, "c")])

    def test_byte_order_marks(self) -> None:
        self.assertEqual(split(b"\xef\xbb\xbfa\nb\n"), [Line(1, "a"), Line(2, "b")])
        self.assertEqual(split("a\r\nb".encode("utf-16")), [Line(1, "a"), Line(2, "b")])
        self.assertEqual(split(b"\xfe\xff" + "a\né".encode("utf-16-be")), [Line(1, "a"), Line(2, "é")])

    def test_bad_utf8_is_replaced(self) -> None:
        self.assertEqual(split(b"dn=\xff\n"), [Line(1, "dn=\ufffd")])

    def test_a_file_shorter_than_a_byte_order_mark(self) -> None:
        self.assertEqual(split(b"a"), [Line(1, "a")])
        self.assertEqual(split(b"a\n"), [Line(1, "a")])
        self.assertEqual(split(b""), [])

    def test_an_overlong_line_is_told_once_and_not_kept(self) -> None:
        splitter = LineSplitter(100)
        lines = []
        for _ in range(50):
            lines += splitter.feed(b"x" * 60)
            self.assertLessEqual(len(splitter._rest), 160)
        self.assertEqual(lines, [Line(1, "x" * 80, True)])
        self.assertEqual(splitter.feed(b"x\nnext\n"), [Line(2, "next")])
        self.assertEqual(split(b"y" * 101 + b"\nz"), [Line(1, "y" * 80, True), Line(2, "z")])

    @given(st.binary(max_size=300), st.lists(st.integers(0, 20)))
    @settings(deadline=None, derandomize=True, max_examples=100)
    def test_slices_make_no_difference(self, data: bytes, sizes: list[int]) -> None:
        self.assertEqual([line.number for line in split(data, sizes)], [line.number for line in split(data)])
        if data[:2] != b"\xff\xfe" and data[:2] != b"\xfe\xff":
            self.assertEqual(split(data, sizes, 1000), split(data, max_line=1000))


class LineReaderTests(FolderTestCase):
    def open(self, data: bytes) -> LineReader:
        path = os.path.join(self.folder(), "lines")
        with open(path, "wb") as file:
            file.write(data)
        return LineReader(os.open(path, os.O_RDONLY), 1000)

    def test_reads_to_the_end_and_closes(self) -> None:
        reader = self.open(b"one\n" * 40_000 + b"last")
        numbers = []
        while line := reader.next():
            numbers.append(line.number)
        self.assertEqual(numbers, list(range(1, 40_002)))
        self.assertEqual(reader.consumed, 160_004)
        self.assertIsNone(reader.next())
        self.assertEqual(reader._descriptor, -1)

    def test_keeps_no_more_than_a_slice(self) -> None:
        reader = self.open(b"one\n" * 40_000)
        reader.next()
        self.assertEqual(reader.consumed, 64 * 1024)
        reader.close()
