"""Tests of functorrent.sources.dht.saved: what comes back, and files that must not."""

from __future__ import annotations

import os
import stat
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import OutputError
from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS
from functorrent.sources.dht.saved import SavedTable, load, save
from functorrent.wire.bencode import decode, encode
from functorrent.wire.krpc import NodeInfo

quick = settings(deadline=None, derandomize=True, max_examples=100)
A, B = b"a" * 20, b"b" * 20
TABLE = SavedTable(
    A,
    B,
    tuple(NodeInfo(bytes([n]) * 20, PeerAddress(f"8.8.{n}.8", 6881 + n)) for n in range(20)),
    tuple(NodeInfo(bytes([n]) * 20, PeerAddress(f"2a02::{n + 1:x}", 6881 + n)) for n in range(20)),
    1_790_000_000,
)


class Saved(SynchronousTestCase):
    def setUp(self) -> None:
        folder = self.mktemp()
        os.makedirs(folder)
        self.path = os.path.join(folder, "dht")

    def write(self, data: bytes) -> None:
        with open(self.path, "wb") as file:
            file.write(data)

    def read(self) -> bytes:
        with open(self.path, "rb") as file:
            return file.read()

    def refused(self, path: str | None = None) -> None:
        error = self.assertRaises(OutputError, save, path or self.path, TABLE)
        self.assertIn(path or self.path, str(error))

    def test_comes_back(self) -> None:
        save(self.path, TABLE)
        self.assertEqual(load(self.path), TABLE)
        # As any reader of bencode would have it.
        self.assertEqual(encode(decode(self.read())), self.read())

    def test_again_and_again(self) -> None:
        save(self.path, TABLE)
        save(self.path, SavedTable(B, A))
        self.assertEqual(load(self.path), SavedTable(B, A))
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["dht"])

    def test_folder_is_made(self) -> None:
        path = os.path.join(os.path.dirname(self.path), "new", "er", "dht")
        save(path, TABLE)
        self.assertEqual(load(path), TABLE)

    def test_for_its_owner_alone(self) -> None:
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        save(self.path, TABLE)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)

    def test_no_more_than_is_read_back(self) -> None:
        """More nodes than are kept: the first ones, in a file that is not too large."""
        many = tuple(NodeInfo(A, PeerAddress("8.8.8.8", port)) for port in range(1, 5000))
        more = tuple(NodeInfo(A, PeerAddress("2a02::1", port)) for port in range(1, 5000))
        save(self.path, SavedTable(A, B, many, more))
        got = load(self.path)
        most = DEFAULT_LIMITS.dht_saved_nodes
        self.assertEqual(got, SavedTable(A, B, many[:most], more[:most]))
        self.assertLess(os.path.getsize(self.path), DEFAULT_LIMITS.dht_table_file)

    def test_what_is_no_table(self) -> None:
        self.assertIsNone(load(self.path))
        for data in (b"", b"\0" * 500, b"le", b"de", b"d6:format23:functorrent DHT table 1", b"x" * 10_000):
            self.write(data)
            self.assertIsNone(load(self.path), data)

    def test_cut_short_anywhere(self) -> None:
        save(self.path, SavedTable(A, B, TABLE.nodes4[:2], TABLE.nodes6[:2], 7))
        whole = self.read()
        for end in range(len(whole)):
            self.write(whole[:end])
            self.assertIsNone(load(self.path), end)
            # ... and it is written again.
            save(self.path, TABLE)
        self.assertEqual(load(self.path), TABLE)

    def test_hostile_contents(self) -> None:
        """Well-formed, and wrong in one thing each."""
        good: dict[str, Any] = {
            "format": b"functorrent DHT table 1",
            "id4": A,
            "id6": B,
            "nodes4": b"",
            "nodes6": b"",
            "time": 1,
        }
        self.write(encode(good))
        self.assertEqual(load(self.path), SavedTable(A, B, time=1))
        for key, value in (
            ("format", b"functorrent DHT table 2"),
            ("format", 1),
            ("id4", A[:19]),
            ("id4", 20),
            ("id6", b""),
            ("id6", [B]),
            ("nodes4", [b""]),
            ("nodes4", 1),
            ("nodes6", {}),
            ("time", b"1"),
            ("time", -1),
            ("x", [[[[[]]]]]),
            ("x", [0] * 1000),
        ):
            self.write(encode({**good, key: value}))
            self.assertIsNone(load(self.path), (key, value))
        for key in good:
            self.write(encode({each: good[each] for each in good if each != key}))
            self.assertIsNone(load(self.path), key)

    def test_nodes_that_are_none(self) -> None:
        """Port 0 and stray bytes are left out, the others come."""
        node = A + b"\x08\x08\x08\x08"
        save(self.path, SavedTable(A, B))
        data = self.read().replace(b"6:nodes40:", b"6:nodes457:" + node + b"\0\0" + node + b"\1\1" + b"stray")
        self.write(data)
        got = load(self.path)
        assert got is not None
        self.assertEqual(got.nodes4, (NodeInfo(A, PeerAddress("8.8.8.8", 257)),))

    def test_huge(self) -> None:
        """It is not read to its end: here it has none."""
        save(self.path, TABLE)
        os.truncate(self.path, 1 << 40)
        self.assertIsNone(load(self.path))

    def test_no_plain_files(self) -> None:
        """A FIFO hangs nobody, a folder and a device are not read; and they stay."""
        os.mkfifo(self.path)
        self.assertIsNone(load(self.path))
        self.refused()
        self.assertTrue(stat.S_ISFIFO(os.stat(self.path).st_mode))
        os.unlink(self.path)
        os.mkdir(self.path)
        self.assertIsNone(load(self.path))
        self.refused()
        self.assertIsNone(load("/dev/zero"))
        self.refused("/dev/null")

    def test_a_file_of_another_kind_stays(self) -> None:
        """A typing error in an option costs nobody a file."""
        for data in (b"d8:announce3:xyze", b"my diary", b"d6:format9:something"):
            self.write(data)
            self.assertIsNone(load(self.path))
            self.refused()
            self.assertEqual(self.read(), data)

    def test_what_a_crash_leaves_is_replaced(self) -> None:
        """Empty, or of the right length and full of zeros."""
        for data in (b"", bytes(5000)):
            self.write(data)
            save(self.path, TABLE)
            self.assertEqual(load(self.path), TABLE)

    def test_ours_of_another_version_is_replaced(self) -> None:
        self.write(encode({"format": b"functorrent DHT table 9", "what": [b"ever"]}))
        self.assertIsNone(load(self.path))
        save(self.path, TABLE)
        self.assertEqual(load(self.path), TABLE)

    def test_not_writable(self) -> None:
        """Said in words, and nothing is left behind."""
        self.write(b"")
        self.refused(os.path.join(self.path, "dht"))
        self.refused("/proc/no/such/dht")
        self.refused("/proc/nothing-can-be-made-here")
        self.refused("\0")
        self.assertIsNone(load("\0"))
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["dht"])

    def test_a_disk_that_is_full(self) -> None:
        """The old file stays, and no part of a new one."""
        save(self.path, TABLE)

        def full(new: str, old: str) -> None:
            raise OSError(28, "No space left on device")

        self.patch(os, "replace", full)
        self.refused()
        self.assertEqual(load(self.path), TABLE)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["dht"])

    @quick
    @given(st.data())
    def test_damaged(self, data: st.DataObject) -> None:
        """A few bytes changed: a table with nodes in the right shape, or none; never an exception."""
        save(self.path, TABLE)
        broken = bytearray(self.read())
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(broken) - 1))
            broken[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        self.write(bytes(broken))
        got = load(self.path)
        if got is not None:
            self.assertEqual({len(got.id4), len(got.id6), *(len(node.id) for node in got.nodes4)}, {20})
        os.unlink(self.path)
