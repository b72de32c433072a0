"""The watch folder: a file with magnets put into it is fetched, and renamed when all of it has ended.

Laws. A file is taken when its size has not changed for 2 s, or at once when it is older than that (it
was renamed into the folder). `X` becomes `X.done` when every line of it has ended; until then it stays as
it is, so a stop or a crash at any time means that it is taken again. Lines that failed stand in
`X.errors`, with reasons as comments, so that it can be put into the folder again. Only regular files
are taken: no links, no folders, no pipes. Folders are polled: that is portable, and works on network
file systems.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.logger import Logger

from functorrent.lines import Line, LineReader
from functorrent.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from functorrent.daemon.feed import Submission
    from functorrent.interfaces import IWallClock

ENDINGS = (".magnet", ".txt")
#: Seconds without a change after which a file is whole, and between two looks at the folder.
SETTLED = 2.0
INTERVAL = 1.0


class Identity(NamedTuple):
    """What changes when a file does."""

    device: int
    number: int
    size: int
    modified: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class WatchedFile:
    """One file that was taken: a `Submission`."""

    log = Logger()

    def __init__(
        self,
        path: str,
        max_line: int,
        released: Callable[[WatchedFile, Identity | None], None],
    ) -> None:
        """Opens it. Raises OSError. `released` is called when it has ended; with the file's identity
        where it stands there still and must not be taken again."""
        self.path = path
        self.name = os.path.basename(path)
        self._released = released
        self._part = os.path.join(os.path.dirname(path), f".{self.name}.errors.part")
        self._has_errors = False
        # Non-blocking: it may have become a pipe since the folder was listed.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise OSError(0, "not a regular file")
        self._identity = Identity.of(status)
        self._reader = LineReader(descriptor, max_line)
        self.next = self._reader.next
        self._remove_part()

    def failed(self, line: Line, reason: str) -> None:
        """Write it into the errors, beside the file."""
        # An overlong line is not whole, so nobody shall take it for a magnet.
        text = line.text if _is_magnet(line) else f"# {printable(line.text)}"
        self._note(f"# line {line.number}: {printable(reason, 500)}\n{text}\n")

    def unreadable(self, reason: str) -> None:
        """Say so in the errors."""
        self._note(f"# the file could not be read to its end: {printable(reason)}\n")

    def _note(self, words: str) -> None:
        try:
            # Opened each time: thousands of files may be under way.
            with open(self._part, "a", encoding="utf-8") as file:
                file.write(words)
            self._has_errors = True
        except OSError as error:
            self.log.warn(
                "errors of {name} cannot be written: {error}", name=printable(self.name), error=error.strerror
            )

    def ended(self) -> None:
        """Every line has ended: rename it, unless it is another file by now."""
        self._reader.close()
        left: Identity | None = None
        try:
            if Identity.of(os.lstat(self.path)) != self._identity:
                self.log.info("{name} has changed, and is taken again", name=printable(self.name))
                self._remove_part()
            else:
                left = self._identity
                free = self._free_name()
                os.rename(self.path, free + ".done")
                left = None
                if self._has_errors:
                    os.rename(self._part, free + ".errors")
        except FileNotFoundError:
            # Taken away meanwhile: whoever did that wants nothing more of it.
            self._remove_part()
        except OSError as error:
            self.log.warn(
                "{name} has ended but cannot be renamed: {error}",
                name=printable(self.name),
                error=error.strerror,
            )
        self._released(self, left)

    def _free_name(self) -> str:
        """The path whose .done and .errors are both not there yet."""
        free, number = self.path, 1
        while os.path.lexists(free + ".done") or os.path.lexists(free + ".errors"):
            number += 1
            free = f"{self.path}.{number}"
        return free

    def close(self) -> None:
        """The daemon stops: it will be taken again."""
        self._reader.close()
        self._remove_part()

    def _remove_part(self) -> None:
        self._has_errors = False
        try:
            os.unlink(self._part)
        except OSError:
            pass


def _is_magnet(line: Line) -> bool:
    from functorrent.errors import InvalidMagnet
    from functorrent.magnet import Magnet

    try:
        Magnet.parse(line.text)
    except InvalidMagnet:
        return False
    return not line.too_long


class WatchFolder:
    """Looks at a folder every second and submits the files that are whole.

    `clock` is IReactorTime, `wall` tells how old files are.
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        wall: IWallClock,
        path: str,
        submit: Callable[[Submission], None],
        max_line: int,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._path = path
        self._submit = submit
        self._max_line = max_line
        self._timer: Any = None
        #: By name: files that may still be written, and since when they have not changed.
        self._young: dict[str, tuple[Identity, float]] = {}
        #: By name: files under way.
        self._taken: dict[str, WatchedFile] = {}
        #: By name: files that cannot be taken, or not renamed; left alone until they change.
        self._left: dict[str, Identity] = {}
        self._gone = False

    def start(self) -> None:
        """Look now, and every second."""
        self._timer = self._clock.callLater(0, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = self._clock.callLater(INTERVAL, self._look)
        try:
            found = self._list()
        except OSError as error:
            if not self._gone:
                self._gone = True
                self.log.warn(
                    "watch folder {path} cannot be read: {error}; looking again every second",
                    path=printable(self._path, 500),
                    error=error.strerror,
                )
            return
        if self._gone:
            self._gone = False
            self.log.info("watch folder {path} is there again", path=printable(self._path, 500))
        for known in (self._young, self._left):
            for name in [name for name in known if name not in found]:
                del known[name]
        for name, status in found.items():
            self._consider(name, status)

    def _list(self) -> dict[str, os.stat_result]:
        found = {}
        with os.scandir(self._path) as entries:
            for entry in entries:
                if entry.name.endswith(ENDINGS) and not entry.name.startswith("."):
                    try:
                        if entry.is_file(follow_symlinks=False):
                            found[entry.name] = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
        return found

    def _consider(self, name: str, status: os.stat_result) -> None:
        identity = Identity.of(status)
        # An empty file is one whose writer has not begun.
        if name in self._taken or not identity.size or self._left.get(name) == identity:
            return
        now = self._clock.seconds()
        young = self._young.get(name)
        if young is None or young[0] != identity:
            self._young[name] = (identity, now)
            if self._wall.now() - status.st_mtime < SETTLED:
                return
        elif now - young[1] < SETTLED:
            return
        self._young.pop(name, None)
        self._take(name, identity)

    def _take(self, name: str, identity: Identity) -> None:
        try:
            file = WatchedFile(os.path.join(self._path, name), self._max_line, self._released)
        except OSError as error:
            self._left[name] = identity
            self.log.warn("{name} cannot be read: {error}", name=printable(name), error=error.strerror)
            return
        self._taken[name] = file
        self._submit(file)

    def _released(self, file: WatchedFile, left: Identity | None) -> None:
        self._taken.pop(file.name, None)
        if left is not None:
            self._left[file.name] = left
