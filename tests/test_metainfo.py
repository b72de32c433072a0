"""Tests of functorrent.metainfo."""

from __future__ import annotations

from hashlib import sha1, sha256
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import InvalidTorrent, LocalProtocolError
from functorrent.magnet import Magnet
from functorrent.metainfo import Metainfo, SummarySteps, holds, list_files, summarize, torrent, torrent_bytes
from functorrent.metainfo import summary as words
from functorrent.wire.bencode import decode, encode
from functorrent.wire.lenient import REPEATED, UNSORTED, ZEROS

quick = settings(deadline=None, derandomize=True, max_examples=100)

INFO = b"d6:lengthi7e4:name1:a12:piece lengthi16384e6:pieces20:" + b"p" * 20 + b"e"
#: A strict reader, or one that encodes again, would change or refuse it.
ODD_INFO = b"d4:name1:a6:lengthi007e4:name1:be"
TREE: dict[bytes, Any] = {
    b"dir": {b"b": {b"": {b"length": 3}}, b"c": {b"": {b"attr": b"p", b"length": 5}}},
    b"a": {b"": {b"length": 4, b"pieces root": b"r" * 32}},
}


def magnet(*parts: str) -> Magnet:
    """A magnet with these parts."""
    return Magnet.parse("&".join(("magnet:?xt=urn:btih:" + "00" * 20, *parts)))


def info(**keys: Any) -> bytes:
    """An info dictionary; underscores in keys stand for blanks."""
    return encode({key.replace("_", " "): value for key, value in keys.items()})


class WriteTests(SynchronousTestCase):
    """torrent_bytes."""

    def test_layout(self) -> None:
        """Every key, in order, to the byte."""
        given = magnet("tr=http://a/", "tr.1=udp://b:1", "tr.1=udp://c:2", "ws=http://w/", "ws=ftp://v/")
        self.assertEqual(
            torrent_bytes(
                INFO, given, trackers=["http://d/"], nodes=[("1.2.3.4", 5), ("::1", 6)], piece_layers=b"de"
            ),
            b"d8:announce9:http://a/13:announce-listl"
            b"l9:http://a/el9:udp://b:19:udp://c:2el9:http://d/ee"
            b"4:info" + INFO + b"5:nodesll7:1.2.3.4i5eel3:::1i6eee12:piece layersde"
            b"8:url-listl9:http://w/8:ftp://v/ee",
        )

    def test_least(self) -> None:
        """Nothing is written that there is no value for; announce-list needs two trackers."""
        self.assertEqual(torrent_bytes(INFO, magnet()), b"d4:info" + INFO + b"e")
        self.assertEqual(
            torrent_bytes(INFO, magnet("tr=udp://a:1")), b"d8:announce9:udp://a:14:info" + INFO + b"e"
        )
        one_tier = torrent_bytes(INFO, magnet("tr.1=udp://a:1", "tr.1=udp://b:1"))
        self.assertIn(b"13:announce-listll9:udp://a:19:udp://b:1ee4:info", one_tier)

    def test_trackers_kept_and_dropped(self) -> None:
        """wss: is kept, nonsense and what is there already is not."""
        parts = [
            "nonsense",
            "http://",
            "http:///x",
            "file:///etc/passwd",
            "http://a b/",
            "http://a/%0ax",
            "http://?",
        ]
        parts += ["WSS://a/", "ws://a", "HTTPS://a", "http://a/?b=c%26d", "http://中/x"]
        file = torrent_bytes(
            INFO, magnet(*("tr=" + part for part in parts)), trackers=["ws://a", "x", "udp://z:1"]
        )
        kept = ["WSS://a/", "ws://a", "HTTPS://a", "http://a/?b=c&d", "http://中/x", "udp://z:1"]
        read: Any = decode(file)
        self.assertEqual(read[b"announce-list"], [[url.encode()] for url in kept])
        seeds = magnet("ws=udp://a", "ws=nonsense", "ws=http://a b")
        self.assertEqual(torrent_bytes(INFO, seeds), b"d4:info" + INFO + b"e")

    def test_info_is_never_encoded_again(self) -> None:
        """Whatever bytes hashed right stand in the file."""
        file = torrent_bytes(ODD_INFO, magnet("tr=http://a/", "ws=http://w/"))
        self.assertIn(b"4:info" + ODD_INFO + b"8:url-list", file)
        self.assertTrue(holds(file, sha1(ODD_INFO).digest()))
        self.assertEqual(Metainfo.parse(file).info_bytes, ODD_INFO)

    def test_surrogates(self) -> None:
        """An argument that was not UTF-8 does not raise."""
        decode(torrent_bytes(INFO, magnet("tr=http://a/\ud800")))


class HoldsTests(SynchronousTestCase):
    """holds: the check before success is told."""

    def test_holds(self) -> None:
        """Files of ours, files of others, v1 and v2 infohashes."""
        for parts in (
            [],
            ["tr=http://a/"],
            ["ws=http://w/"],
            ["tr=http://a/?4:info", "tr=udp://b:1", "ws=http://w/"],
        ):
            for bytes_ in (INFO, ODD_INFO, info(name="4:infode8:url-list")):
                file = torrent_bytes(bytes_, magnet(*parts), nodes=[("h", 1)], piece_layers=b"de")
                self.assertTrue(holds(file, sha1(bytes_).digest()))
                self.assertTrue(holds(file, sha256(bytes_).digest()))
                self.assertFalse(holds(file, sha1(b"other").digest()))
        file = torrent_bytes(INFO, magnet("tr=http://a/", "ws=http://w/"))
        self.patch(torrent, "raw_span", None)
        self.assertTrue(holds(file, sha1(INFO).digest()), "our own files need no scan")
        self.assertTrue(holds(torrent_bytes(INFO, magnet()), sha1(INFO).digest()))

    def test_others_files(self) -> None:
        """Files of other programs, odd ones too."""
        foreign = b"d1:zi1e4:info" + INFO + b"1:ai01ee\n"
        self.assertTrue(holds(foreign, sha1(INFO).digest()))

    def test_damaged(self) -> None:
        """A file cut short, or changed in its info dictionary or around it, does not hold it."""
        infohash = sha1(INFO).digest()
        file = torrent_bytes(INFO, magnet("tr=http://a/", "ws=http://w/"))
        for end in range(len(file)):
            self.assertFalse(holds(file[:end], infohash))
        for bad in (b"", file[1:], file.replace(b"pppp", b"pppq"), file.replace(b"9:", b"8:"), b"x" + file):
            self.assertFalse(holds(bad, infohash))
        self.assertFalse(holds(b"l4:info" + INFO + b"e", infohash))
        self.assertFalse(holds(b"d1:a4:info" + INFO + b"e", infohash))
        self.assertFalse(holds(b"d4:info" + INFO + b"4:info" + INFO + b"e", infohash))
        self.assertFalse(holds(b"d4:info3:abce", sha1(b"3:abc").digest()))


class SummaryTests(SynchronousTestCase):
    """summarize and SummarySteps."""

    def test_single_file(self) -> None:
        """One file of v1."""
        self.assertEqual(summarize(INFO), ("a", 7, 1, False, 16384, "v1", ()))

    def test_files(self) -> None:
        """Several files: padding files are no content."""
        files: list[Any] = [
            {"length": 5, "path": ["x", "a"]},
            {"length": 100, "path": [".pad", "1"], "attr": "xp"},
            {"length": 6, "path": ["b"], "attr": "x"},
            {"length": 7, "path": ["c"], "attr": 1},
        ]
        data = info(files=files, name="n", piece_length=1, private=1, similar=[{"length": 999}])
        self.assertEqual(summarize(data), ("n", 18, 3, True, 1, "v1", ()))
        self.assertEqual(
            list(list_files(data)),
            [(("x", "a"), 5, False), ((".pad", "1"), 100, True), (("b",), 6, False), (("c",), 7, False)],
        )

    def test_v2(self) -> None:
        """A file tree; a hybrid's list and tree are the same content, counted once."""
        data = encode({b"file tree": TREE, b"meta version": 2, b"name": b"n", b"piece length": 16384})
        self.assertEqual(summarize(data), ("n", 7, 2, False, 16384, "v2", ()))
        # Sorted by encode: "a" comes before "dir".
        self.assertEqual(
            list(list_files(data)), [(("a",), 4, False), (("dir", "b"), 3, False), (("dir", "c"), 5, True)]
        )
        hybrid = info(
            file_tree=TREE,
            files=[{"length": 7, "path": ["a"]}],
            meta_version=2,
            name="n",
            piece_length=1,
            pieces="",
        )
        self.assertEqual(summarize(hybrid), ("n", 7, 1, False, 1, "hybrid", ()))
        self.assertEqual(list(list_files(hybrid)), [(("a",), 7, False)])
        self.assertEqual(summarize(info(file_tree=TREE, meta_version=1)).version, "v1")
        # What looks like a tree elsewhere is none.
        other = encode({b"a": TREE, b"file tree": {b"x": {b"": {b"length": 9}, b"y": 5}}, b"z": TREE})
        self.assertEqual(summarize(other)[1:3], (9, 1))
        self.assertEqual(list(list_files(other)), [(("x",), 9, False)])
        self.assertEqual(summarize(encode({b"a": TREE}))[1:3], (0, 0))
        # A file needs a name.
        bare = info(file_tree={"": {"length": 5}}, meta_version=2)
        self.assertEqual((summarize(bare).files, list(list_files(bare))), (0, []))

    def test_names(self) -> None:
        """name.utf-8 comes first; bad bytes are replaced; what is no string is no name."""
        for data, name in [
            (b"d4:name2:\xc3\xa9e", "é"),
            (b"d4:name1:\xffe", "\ufffd"),
            (b"d4:name1:\xe910:name.utf-82:\xc3\xa9e", "é"),
            (b"d4:name1:a10:name.utf-80:e", "a"),
            (b"d4:namei5ee", ""),
            (b"d4:nameld1:ai1eeee", ""),
            (b"de", ""),
        ]:
            summary = summarize(data)
            self.assertEqual(summary.name, name)
            self.assertEqual(words.NO_NAME in summary.warnings, not name)
        paths = b"d5:filesld6:lengthi1e4:pathl1:\xffe10:path.utf-8l2:\xc3\xa9eed6:lengthi2e4:path1:xeee"
        self.assertEqual(list(list_files(paths)), [(("é",), 1, False), ((), 2, False)])

    def test_hostile_sizes(self) -> None:
        """Negative, huge and impossible sizes are bounded, and warned of."""
        most = 2**63 - 1
        for value, size, odd in [
            (0, 0, False),
            (most, most, False),
            (most + 1, 0, True),
            (10**19, 0, True),
            (-1, 0, True),
            ("x", 0, True),
            ([], 0, True),
        ]:
            for data in (
                info(length=value),
                info(files=[{"length": value}]),
                info(file_tree={"a": {"": {"length": value}}}, meta_version=2),
            ):
                summary = summarize(data)
                self.assertEqual((summary.size, summary.files), (size, 1), msg=data)
                self.assertEqual(words.BAD_SIZE in summary.warnings, odd)
                self.assertEqual([entry.size for entry in list_files(data)], [size])
        self.assertEqual(summarize(info(files=[{"length": most}, {"length": most}])).size, most)
        self.assertEqual(
            summarize(info(files=[{}])).warnings, (words.NO_NAME, words.BAD_SIZE, words.BAD_PIECE_LENGTH)
        )
        for value in (0, -1, "x", 2**40 + 1):
            summary = summarize(info(piece_length=value))
            self.assertEqual(summary.piece_length, 0)
            self.assertIn(words.BAD_PIECE_LENGTH, summary.warnings)
        self.assertEqual(summarize(info(piece_length=2**40)).piece_length, 2**40)
        self.assertEqual(summarize(info(private="1")).private, False)

    def test_odd_dictionaries(self) -> None:
        """What hashes right is kept: oddities are warnings."""
        self.assertEqual(
            set(summarize(ODD_INFO).warnings), {REPEATED, UNSORTED, ZEROS, words.BAD_PIECE_LENGTH}
        )
        self.assertEqual(summarize(ODD_INFO)[:3], ("a", 7, 1))
        self.assertIn(words.NO_FILES, summarize(b"de").warnings)
        self.assertIn(words.NO_FILES, summarize(info(files=[])).warnings)
        twice = b"d5:filesld6:lengthi1eee5:filesld6:lengthi2eeee"
        self.assertEqual((summarize(twice).size, [entry.size for entry in list_files(twice)]), (1, [1]))
        for data in (
            info(files=1),
            info(files={"a": {"length": 1}}),
            info(file_tree=[{"length": 1}], meta_version=2),
        ):
            self.assertEqual((summarize(data).files, list(list_files(data))), (0, []), msg=data)

    def test_no_info_dictionary(self) -> None:
        """Bytes that are none fail alike at once, in slices, and for the list of files."""
        for data in (b"", b"i1e", b"le", b"d", INFO[:-1], INFO + b"e", b"d4:name1:a-1:e", b"d1:a" * 200):
            with self.assertRaises(InvalidTorrent, msg=data):
                summarize(data)
            with self.assertRaises(InvalidTorrent):
                list_files(data)
            with self.assertRaises(InvalidTorrent):
                steps = SummarySteps(data)
                list(steps)
                steps.result()

    def test_slices(self) -> None:
        """In slices the same comes out, with pauses in between."""
        data = info(
            files=[{"length": n, "path": ["d", str(n)]} for n in range(1000)], name="n", piece_length=1
        )
        steps = SummarySteps(data, pause=1000)
        with self.assertRaises(LocalProtocolError):
            steps.result()
        self.assertEqual(sum(1 for _ in steps), 5)
        self.assertEqual(steps.result(), summarize(data))
        self.assertEqual(steps.result()[1:3], (499500, 1000))


class ReadTests(SynchronousTestCase):
    """Metainfo.parse."""

    def test_round_trip(self) -> None:
        """What torrent_bytes writes is read back."""
        given = magnet("tr=http://a/", "tr.1=udp://b:1", "tr.1=udp://c:2", "ws=http://w/")
        read = Metainfo.parse(torrent_bytes(INFO, given))
        self.assertEqual((read.infohash, read.infohash_v2), (sha1(INFO).digest(), None))
        self.assertEqual((read.trackers, read.web_seeds), (given.trackers, given.web_seeds))
        self.assertEqual((read.info_bytes, read.summary, read.warnings), (INFO, summarize(INFO), ()))

    def test_versions(self) -> None:
        """Which infohashes a torrent has is told by its info dictionary."""
        v2 = info(file_tree=TREE, meta_version=2, name="n", piece_length=1)
        hybrid = info(file_tree=TREE, files=[], meta_version=2, name="n", piece_length=1, pieces="")
        for data, one, two in [(v2, False, True), (hybrid, True, True), (INFO, True, False)]:
            read = Metainfo.parse(b"d4:info" + data + b"e")
            self.assertEqual(read.infohash, sha1(data).digest() if one else None)
            self.assertEqual(read.infohash_v2, sha256(data).digest() if two else None)

    def test_others_files(self) -> None:
        """Files of other programs: a lone announce, a lone web seed, empty and wrong lists, stray bytes."""
        for around, trackers, seeds in [
            (b"8:announce3:url", (("url",),), ()),
            (b"8:announce3:url13:announce-listle", (("url",),), ()),
            (b"8:announce3:url13:announce-listll1:x0:1:xelei5el1: ee", (("x",),), ()),
            (b"8:announcei5e13:announce-list1:x", (), ()),
            (b"8:announce0:8:url-list3:url", (), ("url",)),
            (b"8:url-listl1:a1:bi5eld1:ai1eeee", (), ("a", "b")),
            (b"8:url-listd1:a1:be", (), ()),
            (b"5:otherl1:ae6:other2ld1:ai1eee", (), ()),
        ]:
            read = Metainfo.parse(b"d" + around + b"4:info" + INFO + b"e")
            self.assertEqual((read.trackers, read.web_seeds), (trackers, seeds), msg=around)
        self.assertEqual(Metainfo.parse(b"d4:info" + INFO + b"e\n").warnings, ("bytes follow the end",))
        self.assertEqual(Metainfo.parse(b"d4:info" + INFO + b"1:ai1ee").warnings, (UNSORTED,))

    def test_nodes(self) -> None:
        """Pairs of a host and a port; anything else there is no node, and harms nothing."""
        nodes = (("192.0.2.1", 6881), ("2001:db8::1", 1), ("router.example", 65535))
        self.assertEqual(Metainfo.parse(torrent_bytes(INFO, magnet(), nodes=nodes)).nodes, nodes)
        for wrong in (
            b"i1e", b"1:x", b"de", b"le", b"l1:xi1ee", b"ll1:xee", b"ll1:xi0eee", b"ll1:xi65536eee",
            b"ll1:xi-1eee", b"ll0:i1eee", b"lli1e1:xee", b"ll1:x1:1ee", b"ll1:xi1ei2eee", b"ld1:xi1eee",
            b"ll300:" + b"x" * 300 + b"i1eee",
        ):  # fmt: skip
            with self.subTest(nodes=wrong):
                self.assertEqual(Metainfo.parse(b"d4:info" + INFO + b"5:nodes" + wrong + b"e").nodes, ())

    def test_refused(self) -> None:
        """What is no .torrent file, or could be read in two ways."""
        for data, told in [
            (b"", "not a .torrent"),
            (b"<html>", "not a .torrent"),
            (b"de", "no info dictionary"),
            (b"d4:info4:spame", "not an info dictionary"),
            (b"d4:info" + INFO, "not a .torrent"),
            (b"d4:info" + INFO + b"4:info" + INFO + b"e", "two info dictionaries"),
        ]:
            with self.assertRaisesRegex(InvalidTorrent, told):
                Metainfo.parse(data)
        self.patch(torrent, "MAX_TORRENT", len(INFO) + 8)
        Metainfo.parse(b"d4:info" + INFO + b"e")
        with self.assertRaisesRegex(InvalidTorrent, "too large"):
            Metainfo.parse(b"d4:info" + INFO + b"ee")

    @given(st.binary(max_size=60), st.integers(0, 200), st.binary(max_size=4))
    @quick
    def test_fuzz(self, data: bytes, at: int, change: bytes) -> None:
        """Any bytes are a Metainfo or an InvalidTorrent; what is read has the hash it names."""
        whole = torrent_bytes(
            info(file_tree=TREE, files=[{"length": 1, "path": ["a"]}]), magnet("tr=http://a/")
        )
        for candidate in (data, b"d4:info" + data + b"e", whole[:at] + change + whole[at + len(change) :]):
            try:
                read = Metainfo.parse(candidate)
            except InvalidTorrent:
                continue
            list(list_files(read.info_bytes))
            self.assertTrue(holds(candidate, read.infohash or read.infohash_v2 or b""))
