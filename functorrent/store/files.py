"""The output folder: .torrent files written whole or not at all (DESIGN section 5, Files).

A file is written under a secret temporary name in the folder and renamed, so nobody ever sees a part of
one. Nothing is synced to disk here: the command does not promise that, and the daemon's store is the
truth, from which it writes a file again that is missing or empty.
"""

from __future__ import annotations

import errno
import os
import stat
from itertools import count
from secrets import token_hex

from functorrent.errors import OutputError
from functorrent.infohash import matches
from functorrent.metainfo.torrent import MAX_TORRENT, holds
from functorrent.store.filenames import NameTemplate, told_apart
from functorrent.text import printable

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
#: A FIFO that bears the name must not hang us.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
#: File systems without hard links say so in these ways.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES)

_WORDS = {
    errno.ENOSPC: "no space is left on the disk",
    errno.EDQUOT: "your quota of disk space is used up",
    errno.EACCES: "you may not write there",
    errno.EPERM: "you may not write there",
    errno.EROFS: "the file system is read-only",
    errno.ENOENT: "the folder is not there",
    errno.ENOTDIR: "a part of the path is no folder",
    errno.EEXIST: "there is a file of that name",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EISDIR: "there is a folder of that name",
    errno.EMFILE: "too many files are open",
    errno.ENFILE: "too many files are open",
}


class TorrentFolder:
    """Writes .torrent files into one folder, and finds those that are there.

    `directory`: the folder, made by `prepare`. `template`: file names, with ``{infohash}`` and
    ``{name}``; UsageError where it is none. `shard`: files go into folders of the folder by the
    infohash's first digits, ``ab/cd/abcd....torrent``: 65,536 of them, made as needed, because a
    million files in one folder are slow to list everywhere. `owner`: a word of letters and digits that
    temporary files bear, by which `clear` knows those that were left by an earlier process.
    """

    def __init__(
        self,
        directory: str,
        template: str = "{infohash}.torrent",
        *,
        shard: bool = False,
        owner: str = "",
    ) -> None:
        self.directory = directory
        self._template = NameTemplate(template)
        self._prefix = os.path.join(directory, "")
        self._shard = shard
        self._mode: int | None = None
        self._mark = f".functorrent-{owner}-" if owner else ".functorrent-"
        self._token = token_hex(8)
        self._temporaries = count(1)

    @property
    def needs_name(self) -> bool:
        """Whether a file's name has the torrent's in it."""
        return self._template.has_name

    def prepare(self) -> None:
        """Make the folder where it is missing, and see that files can be written. Raises OutputError.

        Call it before the process becomes a daemon: files get the permissions that the umask of now
        gives, and twistd sets another one.
        """
        probe = self._temporary()
        try:
            os.makedirs(self.directory, exist_ok=True)
            # What the kernel makes of 0666 tells the umask; reading it otherwise would change it.
            descriptor = os.open(probe, _NEW, 0o666)
            try:
                self._mode = stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o666
            finally:
                os.close(descriptor)
                os.unlink(probe)
        except OSError as error:
            raise OutputError(
                f"cannot write into the folder {printable(self.directory)}: {_words(error)}"
            ) from None

    def clear(self) -> int:
        """Remove the temporary files that earlier processes of `owner` left; how many. Raises OutputError."""
        removed = 0
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith(self._mark) and name.endswith(".part") and self._token not in name:
                        os.unlink(entry.path)
                        removed += 1
        except OSError as error:
            raise OutputError(
                f"cannot clear the folder {printable(self.directory)}: {_words(error)}"
            ) from None
        return removed

    def existing(self, infohash: bytes, name: str | None = None) -> str | None:
        """The path of a valid .torrent file for this infohash that `write` would have made, or None.

        Where the template has ``{name}``, only the torrent itself tells its file's name, and a folder of
        a million files is not searched: the file is found if `name` (the magnet's ``dn``) is the
        torrent's own name, else it counts as missing and is fetched and written again.
        """
        if self._template.has_name and not name:
            return None
        folder = self._folder(infohash)
        file_name = self._template.fill(infohash, name or "")
        path = folder + file_name
        if self._holds(path, infohash):
            return path
        if not self._template.has_infohash:
            path = folder + told_apart(file_name, infohash)
            if self._holds(path, infohash):
                return path
        return None

    def write(self, infohash: bytes, name: str, torrent: bytes) -> str:
        """Write a .torrent file and return its path; a file of the same torrent is replaced.

        `name` is the torrent's own. `torrent` must hold an info dictionary that hashes to `infohash`:
        that is checked once more. Raises OutputError; then nothing is left behind.
        """
        start = torrent.find(b"4:info") + 6
        # Where the info dictionary is the last key, its hash says all; else it has to be found first.
        if not matches(infohash, memoryview(torrent)[start:-1]) and not holds(torrent, infohash):
            raise OutputError(
                f"not written: the .torrent made for {infohash.hex()} does not have its infohash"
            )
        if self._mode is None:
            self.prepare()
        folder = self._folder(infohash)
        path = folder + self._template.fill(infohash, name)
        temporary = self._temporary()
        try:
            descriptor = os.open(temporary, _NEW, 0o600)
            try:
                try:
                    written = os.write(descriptor, torrent)
                    while written < len(torrent):
                        written += os.write(descriptor, memoryview(torrent)[written:])
                    os.fchmod(descriptor, self._mode or 0o600)
                finally:
                    os.close(descriptor)
                if self._shard and not os.path.isdir(folder):
                    # Only now: that the temporary file is there tells that the folder itself is.
                    self._make_shard(folder)
                if self._template.has_infohash:
                    os.rename(temporary, path)
                else:
                    path = self._place(temporary, path, infohash)
            except BaseException:
                _remove(temporary)
                raise
        except OSError as error:
            raise OutputError(f"cannot write {printable(path, 500)}: {_words(error)}") from None
        return path

    def _place(self, temporary: str, path: str, infohash: bytes) -> str:
        """Give the temporary file a name that no other torrent's file has; returns the path."""
        folder, file_name = os.path.split(path)
        candidates = [path, *(os.path.join(folder, told_apart(file_name, infohash, n)) for n in (8, 40))]
        for path in candidates:
            try:
                # Unlike a rename, a link never replaces what another process just wrote.
                os.link(temporary, path)
            except OSError as error:
                if error.errno == errno.EEXIST or os.path.lexists(path):
                    if not self._holds(path, infohash):
                        continue
                elif error.errno not in _NO_LINKS:
                    raise
                os.rename(temporary, path)
            else:
                os.unlink(temporary)
            return path
        # Only files that are damaged, or no files, bear this torrent's whole infohash.
        os.rename(temporary, path)
        return path

    def _folder(self, infohash: bytes) -> str:
        """Where the file of this torrent goes, with a slash at its end."""
        if not self._shard:
            return self._prefix
        digits = infohash.hex()
        return f"{self._prefix}{digits[:2]}/{digits[2:4]}/"

    def _make_shard(self, folder: str) -> None:
        # Who may read files may list folders; the umask of a daemonized twistd would keep all others out.
        mode = (self._mode or 0o600) | 0o700
        mode |= (mode & 0o044) >> 2
        for path in (os.path.dirname(folder[:-1]), folder[:-1]):
            try:
                os.mkdir(path)
            except FileExistsError:
                continue
            # A folder of a group's gives its group to what is made in it: that bit stays.
            os.chmod(path, (os.stat(path).st_mode & stat.S_ISGID) | mode)

    def _temporary(self) -> str:
        # O_EXCL is the lock; that nobody can guess it keeps others from taking it first.
        return f"{self._prefix}{self._mark}{self._token}-{next(self._temporaries)}.part"

    @staticmethod
    def _holds(path: str, infohash: bytes) -> bool:
        # Nearly always there is nothing yet: an answer is cheaper than an exception.
        if not os.access(path, os.F_OK):
            return False
        try:
            descriptor = os.open(path, _READ)
        except OSError:
            return False
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_TORRENT:
                return False
            return holds(os.read(descriptor, status.st_size + 1), infohash)
        except OSError:
            return False
        finally:
            os.close(descriptor)


def _words(error: OSError) -> str:
    """What went wrong, for whoever owns the folder."""
    return _WORDS.get(error.errno or 0) or error.strerror or str(error)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
