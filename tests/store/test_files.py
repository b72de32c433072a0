"""Tests of functorrent.store.files and functorrent.store.filenames."""

from __future__ import annotations

import errno
import os
import stat
from hashlib import sha1
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import OutputError, UsageError
from functorrent.metainfo import torrent
from functorrent.store import files
from functorrent.store.filenames import MAX_BYTES, NameTemplate, safe_name, told_apart
from functorrent.store.files import TorrentFolder

quick = settings(deadline=None, derandomize=True, max_examples=100)

HASH = bytes.fromhex("0123456789abcdef0123456789abcdef01234567")


def sample(name: str, length: int = 1) -> tuple[bytes, bytes]:
    """An infohash and a .torrent file that holds it."""
    info = b"d6:lengthi%de4:name%d:%be" % (length, len(name.encode()), name.encode())
    return sha1(info).digest(), b"d4:info" + info + b"e"


class NameTests(SynchronousTestCase):
    """NameTemplate, safe_name and told_apart: pure functions of strings."""

    def test_fields(self) -> None:
        """Both fields, more than once."""
        for template, name in [
            ("{infohash}.torrent", f"{HASH.hex()}.torrent"),
            ("{name}.torrent", "a b.torrent"),
            ("{name} [{infohash}] {name}", f"a b [{HASH.hex()}] a b"),
            ("x.torrent", "x.torrent"),
        ]:
            self.assertEqual(NameTemplate(template).fill(HASH, "a b"), name)
        self.assertEqual(NameTemplate("{infohash}").fill(bytes(range(32)), ""), bytes(range(20)).hex())
        # A name is not a template.
        self.assertEqual(NameTemplate("{name}").fill(HASH, "{infohash}"), "{infohash}")

    def test_wrong_templates(self) -> None:
        """What is no file name within the folder is wrong usage, said before any work."""
        wrong = ["", ".", "..", "a/{name}", "/{name}", "../{name}", "{name}\0", "{name}\n", "{", "}", "{}"]
        wrong += ["{other}", "{name!r}", "{name:>99}", "{{name}}", "{name", "x" * 215]
        wrong += ["{infohash}" * 6, "{name}" * 6]
        for template in wrong:
            with self.assertRaises(UsageError, msg=template):
                NameTemplate(template)
        NameTemplate("x" * 214)

    def test_names_made_safe(self) -> None:
        """Nothing that a stranger names gets out of the folder, hides, or tricks a reader."""
        for name, safe in [
            ("Debian 12.iso", "Debian 12.iso"),
            ("日本語 – é", "日本語 – é"),
            ("e\u0301", "é"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("/etc/passwd", "_etc_passwd"),
            ("a\\b:c*d", "a_b_c_d"),
            ("..", ""),
            (".", ""),
            ("", ""),
            (" . . ", ""),
            (".hidden", "hidden"),
            ("-rf", "rf"),
            ("--", ""),
            ("a.", "a"),
            ("a\n\x1b[31m\0\x7f\x9b", "a__[31m___"),
            ("fdp.\u202eexe", "fdp._exe"),
            ("a\u2028b\ud800", "a_b?".replace("?", "_")),
            ("CON", "_CON"),
            ("nul.txt", "_nul.txt"),
            ("lpt1", "_lpt1"),
            ("console", "console"),
        ]:
            self.assertEqual(safe_name(name, 200), safe, msg=repr(name))

    def test_long_names(self) -> None:
        """Names are cut between characters, so that the whole is a file name, a clash's mark too."""
        self.assertEqual(safe_name("é" * 10, 5), "éé")
        self.assertEqual(safe_name("abc. def", 5), "abc")
        for template in ("{name}.torrent", "{name}-{infohash}-{name}"):
            for name in ("x" * 10_000, "é" * 10_000, "中" * 10_000, "👩" * 10_000):
                filled = NameTemplate(template).fill(HASH, name)
                self.assertLessEqual(len(told_apart(filled, HASH, 40).encode()), MAX_BYTES)
                self.assertGreater(len(told_apart(filled, HASH, 40).encode()), MAX_BYTES - 12)

    def test_told_apart(self) -> None:
        """The mark goes before .torrent."""
        self.assertEqual(told_apart("a.b.torrent", HASH), "a.b.01234567.torrent")
        self.assertEqual(told_apart("a.b", HASH), "a.b.01234567")
        self.assertEqual(told_apart(".torrent", HASH), ".torrent.01234567")

    @given(
        st.text(max_size=300),
        st.sampled_from(["{name}", "{name}.torrent", "x{name}{name}", "{name}{infohash}"]),
    )
    @quick
    def test_any_name(self, name: str, template: str) -> None:
        """Whatever the name: one component of a path, visible, encodable, not too long."""
        filled = NameTemplate(template).fill(HASH, name)
        self.assertEqual(os.path.basename(filled), filled)
        self.assertNotIn(filled, ("", ".", ".."))
        self.assertFalse(filled.startswith((".", "-", " ")))
        self.assertFalse(set(filled) & set("/\\\0\n\x1b\u202e"))
        self.assertLessEqual(len(filled.encode()), MAX_BYTES)


class FolderTests(SynchronousTestCase):
    """TorrentFolder, in a real folder."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.infohash, self.torrent = sample("a")

    def folder(self, template: str = "{infohash}.torrent") -> TorrentFolder:
        """A folder that is ready."""
        folder = TorrentFolder(self.path, template)
        folder.prepare()
        return folder

    def read(self, path: str) -> bytes:
        """A file's bytes."""
        with open(path, "rb") as file:
            return file.read()

    def break_call(self, name: str, number: int) -> None:
        """Let a call of os fail."""

        def failing(*args: Any, **kwargs: Any) -> Any:
            raise OSError(number, os.strerror(number))

        self.patch(files.os, name, failing)

    def test_write(self) -> None:
        """The file is there, whole, under its name, and nothing else is."""
        path = self.folder().write(self.infohash, "a", self.torrent)
        self.assertEqual(path, os.path.join(self.path, f"{self.infohash.hex()}.torrent"))
        self.assertEqual(self.read(path), self.torrent)
        self.assertEqual(len(os.listdir(self.path)), 1)

    def test_prepare(self) -> None:
        """The folder is made, its parents too, and left empty; a second time does no harm."""
        self.path = os.path.join(self.path, "b", "c")
        self.folder()
        self.folder()
        self.assertEqual(os.listdir(self.path), [])

    def test_write_prepares(self) -> None:
        """Without prepare, the first write makes the folder."""
        path = TorrentFolder(self.path).write(self.infohash, "a", self.torrent)
        self.assertEqual(self.read(path), self.torrent)

    def test_mode(self) -> None:
        """Files get 0666 less the umask there was at prepare, whatever a daemon sets later."""
        for mask in (0o022, 0o027, 0o002, 0o077):
            before = os.umask(mask)
            try:
                folder = self.folder()
                os.umask(0o077)
                path = folder.write(self.infohash, "a", self.torrent)
            finally:
                os.umask(before)
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o666 & ~mask)

    def test_temporary_file(self) -> None:
        """Until it is whole, the file has a secret name in the same folder, and is ours alone."""
        seen = []
        folder = self.folder()
        rename = os.rename

        def spy(old: str, new: str) -> None:
            seen.append((old, new))
            rename(old, new)

        modes = []
        write = os.write

        def spy_write(descriptor: int, data: bytes) -> int:
            modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
            # A disk may take less than it was given.
            return write(descriptor, data[:10])

        self.patch(files.os, "rename", spy)
        self.patch(files.os, "write", spy_write)
        path = folder.write(self.infohash, "a", self.torrent)
        folder.write(self.infohash, "a", self.torrent)
        self.assertEqual(self.read(path), self.torrent)
        self.assertEqual([new for _, new in seen], [path, path])
        self.assertNotEqual(seen[0][0], seen[1][0])
        self.assertEqual({os.path.dirname(old) for old, _ in seen}, {self.path})
        self.assertEqual(set(modes), {0o600})

    def test_wrong_bytes_are_not_written(self) -> None:
        """What does not hold the infohash is refused before anything is written."""
        folder = self.folder()
        for wrong in (b"", b"de", self.torrent[:-1], sample("b")[1]):
            with self.assertRaisesRegex(OutputError, "infohash"):
                folder.write(self.infohash, "a", wrong)
        self.assertEqual(os.listdir(self.path), [])

    def test_existing(self) -> None:
        """Only a valid file for that very infohash counts."""
        folder = self.folder()
        self.assertIsNone(folder.existing(self.infohash))
        path = folder.write(self.infohash, "a", self.torrent)
        self.assertEqual(folder.existing(self.infohash), path)
        for bad in (b"", self.torrent[:-1], sample("b")[1]):
            with open(path, "wb") as file:
                file.write(bad)
            self.assertIsNone(folder.existing(self.infohash))
        os.unlink(path)
        os.mkdir(path)
        self.assertIsNone(folder.existing(self.infohash))
        os.rmdir(path)
        os.mkfifo(path)
        self.assertIsNone(folder.existing(self.infohash))
        os.unlink(path)
        folder.write(self.infohash, "a", self.torrent)
        self.patch(files, "MAX_TORRENT", len(self.torrent) - 1)
        self.assertIsNone(folder.existing(self.infohash))
        self.patch(files, "MAX_TORRENT", len(self.torrent))
        self.assertEqual(folder.existing(self.infohash), path)
        self.break_call("read", errno.EIO)
        self.assertIsNone(folder.existing(self.infohash))

    def test_existing_by_name(self) -> None:
        """With {name} a file is found if the magnet's name is the torrent's."""
        folder = self.folder("{name}.torrent")
        path = folder.write(self.infohash, "a", self.torrent)
        self.assertIsNone(folder.existing(self.infohash))
        self.assertIsNone(folder.existing(self.infohash, "b"))
        self.assertEqual(folder.existing(self.infohash, "a"), path)
        other, data = sample("a", 2)
        self.assertIsNone(folder.existing(other, "a"))
        clash = folder.write(other, "a", data)
        self.assertEqual(folder.existing(other, "a"), clash)

    def test_clash(self) -> None:
        """Torrents of one name get files of their own; the same torrent keeps its file."""
        folder = self.folder("{name}.torrent")
        one = folder.write(self.infohash, "../a", self.torrent)
        other, data = sample("a", 2)
        two = folder.write(other, "../a", data)
        self.assertEqual(one, os.path.join(self.path, "_a.torrent"))
        self.assertEqual(two, os.path.join(self.path, f"_a.{other.hex()[:8]}.torrent"))
        for _ in range(2):
            self.assertEqual(folder.write(other, "../a", data), two)
            self.assertEqual(folder.write(self.infohash, "../a", self.torrent), one)
        self.assertEqual((self.read(one), self.read(two)), (self.torrent, data))
        self.assertEqual(sorted(os.listdir(self.path)), sorted(map(os.path.basename, (one, two))))

    def test_clash_of_clashes(self) -> None:
        """Somebody's other files are never replaced, but for one that bears the whole infohash."""
        folder = self.folder("n.torrent")
        mark = self.infohash.hex()
        names = ["n.torrent", f"n.{mark[:8]}.torrent", f"n.{mark}.torrent"]
        for name in names:
            with open(os.path.join(self.path, name), "wb") as file:
                file.write(b"mine")
        path = folder.write(self.infohash, "a", self.torrent)
        self.assertEqual(path, os.path.join(self.path, names[2]))
        self.assertEqual(
            [self.read(os.path.join(self.path, n)) for n in names], [b"mine", b"mine", self.torrent]
        )
        self.assertEqual(sorted(os.listdir(self.path)), sorted(names))

    def test_without_links(self) -> None:
        """File systems without hard links serve, too."""
        for number in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            self.break_call("link", number)
            folder = self.folder("{name}.torrent")
            one = folder.write(self.infohash, "a", self.torrent)
            other, data = sample("a", 2)
            self.assertNotEqual(folder.write(other, "a", data), one)
            self.assertEqual(folder.write(self.infohash, "a", self.torrent), one)
            self.assertEqual(self.read(one), self.torrent)
            self.assertEqual(len(os.listdir(self.path)), 2)

    def test_failures(self) -> None:
        """A full disk and its like are told in plain words, and leave nothing behind."""
        for call in ("write", "fchmod", "rename"):
            for number, told in [
                (errno.ENOSPC, "no space is left"),
                (errno.EDQUOT, "quota"),
                (errno.EROFS, "read-only"),
                (errno.EIO, os.strerror(errno.EIO)),
            ]:
                folder = self.folder()
                self.break_call(call, number)
                with self.assertRaisesRegex(OutputError, told):
                    folder.write(self.infohash, "a", self.torrent)
                self.doCleanups()
                self.assertEqual(os.listdir(self.path), [])
        folder = self.folder("{name}")
        self.break_call("link", errno.ENOSPC)
        with self.assertRaisesRegex(OutputError, "no space is left"):
            folder.write(self.infohash, "a", self.torrent)
        self.assertEqual(os.listdir(self.path), [])

    def test_interrupted(self) -> None:
        """Ctrl-C in the middle leaves nothing behind, either."""
        folder = self.folder()

        def interrupt(*_: Any) -> None:
            raise KeyboardInterrupt

        self.patch(files.os, "rename", interrupt)
        with self.assertRaises(KeyboardInterrupt):
            folder.write(self.infohash, "a", self.torrent)
        self.assertEqual(os.listdir(self.path), [])

    def test_folder_gone(self) -> None:
        """A folder taken away meanwhile, or that cannot be made, is said by its path."""
        folder = self.folder()
        os.rmdir(self.path)
        with self.assertRaisesRegex(OutputError, "the folder is not there"):
            folder.write(self.infohash, "a", self.torrent)
        with open(self.path, "wb"):
            pass
        for path in (self.path, os.path.join(self.path, "x")):
            with self.assertRaisesRegex(OutputError, f"cannot write into the folder {self.path}"):
                TorrentFolder(path).prepare()

    def test_not_writable(self) -> None:
        """A folder one may not write into is said before any work."""
        # Root, as whom containers run tests, may write anywhere.
        self.break_call("open", errno.EACCES)
        with self.assertRaisesRegex(OutputError, "you may not write there"):
            self.folder()

    def test_link_in_the_way(self) -> None:
        """A symbolic link of that name is replaced, not followed."""
        folder = self.folder()
        target = self.mktemp()
        os.symlink(os.path.abspath(target), os.path.join(self.path, f"{self.infohash.hex()}.torrent"))
        path = folder.write(self.infohash, "a", self.torrent)
        self.assertFalse(os.path.islink(path))
        self.assertFalse(os.path.exists(target))

    def test_large_files_are_checked_quickly(self) -> None:
        """Finding one of our own files needs no scan of it."""
        folder = self.folder()
        folder.write(self.infohash, "a", self.torrent)
        self.patch(torrent, "raw_span", None)
        self.assertIsNotNone(folder.existing(self.infohash))
