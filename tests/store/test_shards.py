"""TorrentFolder as the daemon has it: folders within the folder, and temporary files that bear an owner."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import OutputError
from functorrent.store import files
from functorrent.store.files import TorrentFolder
from tests.store.test_files import sample


class ShardTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()
        self.infohash, self.torrent = sample("a")
        self.digits = self.infohash.hex()

    def folder(self, template: str = "{infohash}.torrent") -> TorrentFolder:
        folder = TorrentFolder(self.path, template, shard=True)
        folder.prepare()
        return folder

    def test_two_folders_deep_by_the_infohash(self) -> None:
        folder = self.folder()
        path = folder.write(self.infohash, "a", self.torrent)
        shard = os.path.join(self.path, self.digits[:2], self.digits[2:4])
        self.assertEqual(path, os.path.join(shard, f"{self.digits}.torrent"))
        self.assertEqual(folder.existing(self.infohash), path)
        self.assertEqual(folder.write(self.infohash, "a", self.torrent), path)
        self.assertEqual(
            (os.listdir(shard), os.listdir(self.path)), ([os.path.basename(path)], [self.digits[:2]])
        )

    def test_names_are_sharded_by_the_infohash_too(self) -> None:
        folder = self.folder("{name}.torrent")
        path = folder.write(self.infohash, "../a", self.torrent)
        shard = os.path.join(self.path, self.digits[:2], self.digits[2:4])
        self.assertEqual(path, os.path.join(shard, "_a.torrent"))
        self.assertEqual(folder.existing(self.infohash, "../a"), path)

    def test_a_clash_within_a_shard(self) -> None:
        folder = self.folder("{name}.torrent")
        shard = os.path.join(self.path, self.digits[:2], self.digits[2:4])
        os.makedirs(shard)
        with open(os.path.join(shard, "a.torrent"), "wb") as file:
            file.write(b"mine")
        path = folder.write(self.infohash, "a", self.torrent)
        self.assertEqual(path, os.path.join(shard, f"a.{self.digits[:8]}.torrent"))
        self.assertEqual(folder.existing(self.infohash, "a"), path)

    def test_who_may_read_files_may_enter_folders(self) -> None:
        """Whatever umask the daemon has by then."""
        for mask, mode in ((0o022, 0o755), (0o027, 0o750), (0o077, 0o700)):
            self.path = self.mktemp()
            before = os.umask(mask)
            try:
                folder = self.folder()
                os.umask(0o077)
                path = folder.write(self.infohash, "a", self.torrent)
            finally:
                os.umask(before)
            made = [os.path.dirname(path), os.path.dirname(os.path.dirname(path))]
            self.assertEqual([stat.S_IMODE(os.stat(each).st_mode) for each in made], [mode, mode])

    def test_an_output_folder_that_is_gone_is_not_made_again(self) -> None:
        """Where a disk was unmounted, files must not fill the one below."""
        folder = self.folder()
        os.rmdir(self.path)
        with self.assertRaisesRegex(OutputError, "the folder is not there"):
            folder.write(self.infohash, "a", self.torrent)
        self.assertFalse(os.path.exists(self.path))

    def test_a_shard_that_cannot_be_made(self) -> None:
        folder = self.folder()

        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "full")

        self.patch(files.os, "mkdir", full)
        with self.assertRaisesRegex(OutputError, "no space is left"):
            folder.write(self.infohash, "a", self.torrent)
        self.assertEqual(os.listdir(self.path), [])


class OwnerTests(SynchronousTestCase):
    """Temporary files that a killed process left."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.infohash, self.torrent = sample("a")

    def killed_in_the_middle(self, **how: Any) -> None:
        """A process that dies before it renames."""
        folder = TorrentFolder(self.path, **how)
        folder.prepare()
        self.patch(files.os, "rename", lambda *_: None)
        folder.write(self.infohash, "a", self.torrent)
        self.doCleanups()

    def test_only_the_owners_own_are_removed(self) -> None:
        self.killed_in_the_middle(owner="abc")
        self.killed_in_the_middle(owner="abc")
        self.killed_in_the_middle(owner="abcd")
        self.killed_in_the_middle()
        for name in ("x.part", ".functorrent-abc-1.torrent"):
            with open(os.path.join(self.path, name), "wb"):
                pass
        left = set(os.listdir(self.path))
        self.assertEqual(len(left), 6)
        folder = TorrentFolder(self.path, owner="abc")
        self.assertEqual(folder.clear(), 2)
        gone = left - set(os.listdir(self.path))
        self.assertTrue(all(name.startswith(".functorrent-abc-") and name.endswith(".part") for name in gone))
        self.assertEqual((len(gone), folder.clear()), (2, 0))

    def test_what_it_writes_itself_is_left(self) -> None:
        folder = TorrentFolder(self.path, owner="abc")
        folder.prepare()
        rename = os.rename
        cleared = []

        def between(old: str, new: str) -> None:
            cleared.append(folder.clear())
            rename(old, new)

        self.patch(files.os, "rename", between)
        folder.write(self.infohash, "a", self.torrent)
        self.assertEqual(cleared, [0])
        self.assertEqual(len(os.listdir(self.path)), 1)

    def test_a_folder_that_is_gone(self) -> None:
        with self.assertRaisesRegex(OutputError, "the folder is not there"):
            TorrentFolder(self.path, owner="abc").clear()
