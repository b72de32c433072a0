"""Lists of extra trackers: as they are published, hostile ones, and what is kept of them."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import TrackerUnsupported
from functorrent.limits import Limits
from functorrent.sources.extra.lists import ListTooLong, TrackerList, keep, load, read_file
from functorrent.sources.tracker.address import parse_tracker

LIMITS = Limits()
URL = "https://lists.example/best.txt?key=secret"
A, B, C = "udp://a.example:1337/announce", "http://b.example/announce", "https://c.example:8443/announce"


def urls(text: str | bytes, limits: Limits = LIMITS) -> tuple[str, ...]:
    data = text if isinstance(text, bytes) else text.encode()
    return TrackerList.parse(data, limits).urls


class ParseTests(SynchronousTestCase):
    def test_as_they_are_published(self) -> None:
        for text in (
            f"{A}\n\n{B}\n\n{C}\n\n",
            f"{A}\r\n{B}\r\n{C}",
            f"{A},{B},{C}",
            f"{A}, {B} ,\n{C},",
            f"\ufeff{A}\n# a comment\n  {B}  # another\n\t{C}\n#{B}/x",
            f"{A} {B} {C}",
        ):
            self.assertEqual(urls(text), (A, B, C), text)

    def test_what_is_not_split(self) -> None:
        for url in ("http://a.example/announce?x=1,2", "http://a.example/a#b", "udp://a.example:1/a,b"):
            self.assertEqual(urls(url), (url,))

    def test_what_cannot_be_used(self) -> None:
        found = TrackerList.parse(
            f"{A}\nwss://t.example\nnonsense\nudp://no.port/\n<html>\nhttp://\n{A}\nftp://x\n".encode(),
            LIMITS,
        )
        self.assertEqual((found.urls, found.skipped), ((A,), 6))
        self.assertEqual(str(found), "1 tracker, 6 entries skipped that cannot be used")
        self.assertEqual(urls(b"\xff\xfe\0u\0d\0p"), ())

    def test_something_else_is_not_read_to_its_end(self) -> None:
        """A megabyte of it would hold the reactor."""
        junk = "\n".join(f"word{number}" for number in range(5000))
        found = TrackerList.parse(f"{A}\n{junk}\nhttp://late.example/announce".encode(), LIMITS)
        self.assertEqual((found.urls, found.skipped), ((A,), 2000))
        self.assertEqual((urls(""), urls("#\n\n,,,")), ((), ()))

    def test_how_many(self) -> None:
        text = "\n".join(f"udp://{n}.example:80/" for n in range(1000)).encode()
        found = TrackerList.parse(text, LIMITS)
        self.assertEqual(
            (len(found.urls), found.left_out), (LIMITS.extra_trackers, 1000 - LIMITS.extra_trackers)
        )
        self.assertEqual(str(found), "200 trackers, 800 more left out")

    def test_how_long(self) -> None:
        limits = Limits(extra_list=100)
        self.assertEqual(urls("#" * 100, limits), ())
        self.assertRaises(ListTooLong, TrackerList.parse, b"#" * 101, limits)

    @given(st.binary(max_size=300) | st.text("udphttps:/.ab,# \n\r\t%é", max_size=300).map(str.encode))
    def test_fuzz(self, data: bytes) -> None:
        found = TrackerList.parse(data, LIMITS)
        for url in found.urls:
            try:
                parse_tracker(url)
            except TrackerUnsupported as error:
                raise AssertionError(url) from error
            self.assertNotRegex(url, r"\s")


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = str(self.folder / "list")

    def test_no_more_is_read_than_is_needed(self) -> None:
        Path(self.path).write_bytes(b"#" * 1000)
        self.assertEqual(len(read_file(self.path, Limits(extra_list=100))), 101)

    def test_only_a_file(self) -> None:
        os.mkfifo(self.path)
        for path in (self.path, str(self.folder), "/dev/zero", self.path + "x"):
            self.assertRaises(OSError, read_file, path, LIMITS)

    def test_kept(self) -> None:
        keep(self.path, URL, (A, B), 1000.0)
        kept = load(self.path, URL, LIMITS)
        self.assertEqual(kept, (TrackerList((A, B)), 1000.0))
        self.assertEqual(os.listdir(self.folder), ["list"])
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)
        self.assertNotIn(b"secret", Path(self.path).read_bytes())

    def test_of_another_list(self) -> None:
        keep(self.path, URL, (A,), None)
        self.assertIsNone(load(self.path, URL + "x", LIMITS))

    def test_damaged(self) -> None:
        keep(self.path, URL, (A,), None)
        data = Path(self.path).read_bytes()
        for other in (
            b"",
            data[:10],
            b"\0" * 100,
            data[: data.index(b"\n") + 1],
            data + b"x" * LIMITS.extra_list,
        ):
            Path(self.path).write_bytes(other)
            self.assertIsNone(load(self.path, URL, LIMITS), other[:80])
        self.assertIsNone(load(str(self.folder / "none"), URL, LIMITS))
        self.assertIsNone(load(str(self.folder), URL, LIMITS))

    def test_not_written(self) -> None:
        """As it was before, and nothing beside it."""
        self.assertRaises(OSError, keep, str(self.folder / "none" / "list"), URL, (A,), None)
        keep(self.path, URL, (A,), 1000.0)
        self.patch(os, "replace", self.full)
        self.assertRaises(OSError, keep, self.path, URL, (B,), 2000.0)
        self.assertEqual(load(self.path, URL, LIMITS), (TrackerList((A,)), 1000.0))
        self.assertEqual(os.listdir(self.folder), ["list"])

    def full(self, *_: str) -> None:
        raise OSError(28, "No space left on device")
