"""One daemon for a store that is a file: a lock that ends with its process, however it ends."""

from __future__ import annotations

import errno
import fcntl
import os

from functorrent.errors import StoreError, StoreLocked
from functorrent.text import printable


class FileLock:
    """An advisory lock (flock) on a file of its own beside the store.

    Not on the database file: closing any descriptor of that one drops the locks that SQLite has on it
    (https://sqlite.org/howtocorrupt.html, section 2.2). The file stays when the lock is gone; removing
    it would let two processes lock two files of one name.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises StoreLocked where another process has it, StoreError where it cannot be made."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"the store's lock ({printable(self.path, 500)}) cannot be made: {error.strerror}; the "
                "folder must be there, and the daemon's user must be allowed to write to it"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise StoreError(
                    f"the store's lock ({printable(self.path, 500)}) cannot be taken: {error.strerror}"
                ) from None
            raise StoreLocked(
                f"another process{holder} has the store ({printable(self.path, 500)}): end it, or give this "
                "daemon another --data folder"
            ) from None
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        except OSError:
            pass  # a full disk: the lock holds, it only does not say whose it is
        self._descriptor = descriptor

    def drop(self) -> None:
        """Let go of it, if it was taken."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _holder(descriptor: int) -> str:
    """`` (pid 123)``, or nothing where the file does not say."""
    try:
        digits = os.pread(descriptor, 20, 0).strip()
    except OSError:
        return ""
    return f" (pid {digits.decode()})" if digits.isdigit() else ""
