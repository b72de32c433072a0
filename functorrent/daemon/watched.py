"""One file of the watch folder, as a thread reads it. Everything here blocks; nothing is shared."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from twisted.logger import Logger

from functorrent.errors import InvalidMagnet
from functorrent.lines import Line, LineReader
from functorrent.magnet import Magnet
from functorrent.store.jobs import NewJob
from functorrent.text import printable


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
    """A file that was taken: read with `batch` until that says it is the end, then `finish`ed.

    Methods raise OSError; then `close` it.
    """

    log = Logger()

    def __init__(self, path: str, max_line: int) -> None:
        """Opens it."""
        self.path = path
        self.name = os.path.basename(path)
        self._max_line = max_line
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
        # What a crash left.
        self._remove_part()

    def batch(self, lines: int) -> tuple[list[NewJob], bool]:
        """The magnets of up to so many further lines, and whether that was the end.

        Lines that are none are noted in the errors beside the file.
        """
        jobs: list[NewJob] = []
        wrong: list[str] = []
        line: Line | None = None
        for _ in range(lines):
            line = self._reader.next()
            if line is None:
                break
            try:
                if line.too_long:
                    raise InvalidMagnet(f"a line of more than {self._max_line} characters")
                magnet = Magnet.parse(line.text)
            except InvalidMagnet as error:
                # What is left of an overlong line is nothing to be mended.
                shown = f"{'# ' if line.too_long else ''}{printable(line.text, 1000)}"
                wrong.append(f"# line {line.number}: {printable(str(error), 500)}\n{shown}\n")
            else:
                jobs.append(NewJob(magnet, source=self.name, line=line.number))
        if wrong:
            with open(self._part, "a", encoding="utf-8") as file:
                file.writelines(wrong)
            self._has_errors = True
        return jobs, line is None

    def finish(self) -> bool:
        """Every line was accepted or noted: rename it. False where it is another file by now."""
        self._reader.close()
        try:
            if Identity.of(os.lstat(self.path)) != self._identity:
                self._remove_part()
                return False
            free = self._free_name()
            if self._has_errors:
                # First: a crash between the two writes them twice, and loses none.
                os.rename(self._part, free + ".errors")
                self.log.warn(
                    "{name}: some lines are no magnets; they stand in {errors}",
                    name=printable(self.name),
                    errors=printable(os.path.basename(free) + ".errors"),
                )
            os.rename(self.path, free + ".done")
        except FileNotFoundError:
            # Taken away meanwhile: whoever did that wants nothing more of it.
            self._remove_part()
        return True

    def _free_name(self) -> str:
        """The path whose .done and .errors are both not there yet."""
        free, number = self.path, 1
        while os.path.lexists(free + ".done") or os.path.lexists(free + ".errors"):
            number += 1
            free = f"{self.path}.{number}"
        return free

    def close(self) -> None:
        """It has not come to its end: it will be taken again."""
        self._reader.close()
        self._remove_part()

    def _remove_part(self) -> None:
        self._has_errors = False
        try:
            os.unlink(self._part)
        except OSError:
            pass
