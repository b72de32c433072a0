"""The .torrent file and the list of files of a fetched magnet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import InvalidTorrent
from functorrent.metainfo.summary import list_files
from functorrent.store.jobs import Job
from functorrent.testing.samples import sample_info
from functorrent.web.api_torrent import disposition
from functorrent.web.cooperate import Slices
from functorrent.web.file_list import FilePage, read_files
from functorrent.wire.bencode import encode
from tests.web.bed import WebTestCase, infohash

PATH = "/api/v1/magnets"
_KEY = b"\xab" * 20
JOB = Job(_KEY, _KEY, None, "", None, None, "fetched", 0, 1, 0.0, 0.0, *(None,) * 7)


def many(files: int, **more: Any) -> bytes:
    entries = [{"length": number, "path": [f"d{number // 10}", f"f{number}"]} for number in range(files)]
    return encode({"files": entries, "name": "many", "piece length": 16384, "pieces": b"x" * 20, **more})


class TorrentTests(WebTestCase):
    def test_the_file(self) -> None:
        info = sample_info(2000, "a name")
        key = self.fetch(info)
        self.submit(f"magnet:?xt=urn:btih:{key}&tr=http%3A%2F%2Ftracker.example%2Fannounce")
        answer = self.ask("GET", f"{PATH}/{key}/torrent")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["content-type"], "application/x-bittorrent")
        self.assertIn(info, answer.body)
        self.assertIn(b"http://tracker.example/announce", answer.body)
        self.assertIn('filename="a name', answer.headers["content-disposition"])

    def test_it_is_known_already(self) -> None:
        key = self.fetch()
        path = f"{PATH}/{key}/torrent"
        tag = self.ask("GET", path).headers["etag"]
        self.assertIn(key, tag)
        for given in (tag, f'"x", W/{tag}', "*"):
            answer = self.ask("GET", path, headers={"If-None-Match": given})
            self.assertEqual((answer.status, answer.body, answer.headers["etag"]), (304, b"", tag))
        self.assertEqual(self.ask("GET", path, headers={"If-None-Match": '"x"'}).status, 200)
        self.submit(f"magnet:?xt=urn:btih:{key}&tr=http%3A%2F%2Ftracker.example%2Fannounce")
        answer = self.ask("GET", path, headers={"If-None-Match": tag})
        self.assertEqual(answer.status, 200, "it has a new tracker in it")

    def test_none_yet(self) -> None:
        [queued, waiting, gone, cancelled] = self.submit(*map(infohash, range(4)))
        self.fail_try(waiting, "nobody answered \x1b[31m")
        self.fail_try(gone, again=None)
        self.ask("DELETE", f"{PATH}/{cancelled}")
        for key, state, words in (
            (queued, "queued", "waits for its turn"),
            (waiting, "waiting", "tried again. The last try: nobody answered \\x1b[31m"),
            (gone, "gave_up", "not tried any more"),
            (cancelled, "cancelled", "cancelled"),
        ):
            for what in ("torrent", "files"):
                told = self.problem(self.ask("GET", f"{PATH}/{key}/{what}"), 404, words)
                self.assertEqual(told["state"], state)
        self.claim(queued)
        self.problem(self.ask("GET", f"{PATH}/{queued}/torrent"), 404, "being fetched")

    def test_names(self) -> None:
        for name, plain, star in (
            ("simple.iso", "simple.iso", None),
            ("../../etc/passwd", "_.._etc_passwd", None),
            ('a"b\\c\r\nX: y', "a_b_c_x0d_x0aX_ y", True),
            ("日本", "__", "%E6%97%A5%E6%9C%AC.torrent"),
            ("\u202egpj.exe", "_u202egpj.exe", None),
            (" . ", "ab" * 20, None),
            (None, "ab" * 20, None),
            ("\ud800", "_ud800", None),
        ):
            header = disposition(replace(JOB, name=name)).decode("ascii")
            self.assertTrue(header.startswith(f'attachment; filename="{plain}.torrent"'), header)
            self.assertNotIn("\n", header)
            self.assertEqual("filename*" in header, star is not None, header)
            if isinstance(star, str):
                self.assertTrue(header.endswith(f"filename*=UTF-8''{star}"), header)
        self.assertLess(len(disposition(replace(JOB, name="日" * 10_000))), 3000)


class FilesTests(WebTestCase):
    def test_pages(self) -> None:
        key = self.fetch(many(7))
        path = f"{PATH}/{key}/files?limit=3"
        first = self.ask("GET", path).json
        self.assertEqual(first["files"][1], {"path": ["d0", "f1"], "size": 1})
        self.assertEqual(first["total"], 7)
        second = self.ask("GET", f"{path}&cursor={first['next']}").json
        third = self.ask("GET", f"{path}&cursor={second['next']}").json
        found = [file["path"][1] for page in (first, second, third) for file in page["files"]]
        self.assertEqual(found, [f"f{number}" for number in range(7)])
        self.assertIsNone(third["next"])
        beyond = self.ask("GET", f"{path}&cursor=fff").json
        self.assertEqual((beyond["files"], beyond["next"]), ([], None))

    def test_exactly_a_page(self) -> None:
        key = self.fetch(many(3))
        self.assertIsNone(self.ask("GET", f"{PATH}/{key}/files?limit=3").json["next"])

    def test_wrong_queries(self) -> None:
        for query in ("limit=0", "limit=501", "cursor=x", "what=1"):
            self.problem(self.ask("GET", f"{PATH}/{infohash(1)}/files?{query}"), 400)


class ReadingTests(SynchronousTestCase):
    def read(self, info: bytes, start: int = 0, limit: int = 100) -> FilePage:
        reading = Deferred.fromCoroutine(read_files(info, start, limit, Slices(Clock(), 1.0)))
        return self.successResultOf(reading)

    def test_as_the_summary_lists_them(self) -> None:
        tree = {
            b"b": {b"": {b"length": 3, b"pieces root": b"x" * 32}},
            b"a": {b"x": {b"": {b"length": 1}}, b"y": {b"": {b"length": 2, b"attr": b"p"}}},
            b"\xff": {b"": {b"length": -1}},
        }
        padded = [
            {b"length": 5, b"path": [b"a"], b"path.utf-8": ["\u00e9".encode()]},
            {b"length": 9, b"path": [b".pad", b"9"], b"attr": b"p"},
            {b"length": b"x", b"path": b"none"},
            b"no dictionary",
        ]
        for value in (
            {b"length": 7, b"name": b"one"},
            {b"files": padded, b"name": b"many"},
            {b"file tree": tree, b"meta version": 2, b"name": b"v2"},
            {b"file tree": tree, b"files": padded, b"name": b"hybrid"},
            {b"collections": [{b"length": 1, b"path": [b"no file"]}], b"files": padded, b"name": b"many"},
            {b"name": b"nothing"},
            {b"files": [], b"length": 7, b"name": b"both"},
        ):
            info = encode(value)
            expected = [(entry.path, entry.size) for entry in list_files(info) if not entry.padding]
            page = self.read(info)
            self.assertEqual(page.files, expected, value)
            self.assertEqual(page.total, len(expected))
            self.assertEqual(self.read(info, 1, 1).files, expected[1:2], value)

    def test_what_is_no_dictionary(self) -> None:
        for data in (b"", b"le", b"d", b"d4:name"):
            reading = Deferred.fromCoroutine(read_files(data, 0, 1, Slices(Clock(), 1.0)))
            self.failureResultOf(reading, InvalidTorrent)

    def test_long_ones_in_slices(self) -> None:
        clock = Clock()
        tree = {b"%d" % number: {b"": {b"length": number}} for number in range(2000)}
        for info in (many(2000), encode({b"file tree": tree, b"meta version": 2, b"name": b"v2"})):
            reading = Deferred.fromCoroutine(read_files(info, 1990, 100, Slices(clock, 0.0)))
            turns = 0
            while not reading.called:
                clock.advance(0)
                turns += 1
            self.assertGreaterEqual(turns, 1)
            page = self.successResultOf(reading)
            self.assertEqual((len(page.files), page.total), (10, 2000))
