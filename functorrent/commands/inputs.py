"""Where the command's magnets come from: arguments, files, and streams (a pipe or a terminal)."""

from __future__ import annotations

import os
import stat
from collections import deque
from typing import TYPE_CHECKING, Any

from functorrent.errors import UsageError
from functorrent.lines import SLICE, Line, LineReader, LineSplitter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STDIN = "-"
#: Files are not counted beyond this size: a progress bar is not worth reading them twice.
_COUNTED = 256 << 20


class _Arguments:
    name = None
    waiting = False

    def __init__(self, texts: Sequence[str], max_line: int) -> None:
        # Bad UTF-8 comes as lone surrogates, which nothing else here wants to meet.
        clean = [os.fsencode(text).decode("utf-8", "replace").strip() for text in texts]
        self._lines = deque(Line(0, text, len(text) > max_line) for text in clean)

    def next(self) -> Line | None:
        return self._lines.popleft() if self._lines else None

    def close(self) -> None:
        self._lines.clear()


class _File:
    waiting = False

    def __init__(self, name: str, descriptor: int, max_line: int) -> None:
        self.name = name
        reader = LineReader(descriptor, max_line)
        self.next = reader.next
        self.close = reader.close


class Stream:
    """Lines of a pipe or a terminal, read by the reactor when it says that there is something.

    The descriptor is not made non-blocking: that would change it for the shell, too. A read after the
    reactor's word does not block. While lines wait to be taken nothing is read, so a fast writer
    waits. It is an IReadDescriptor.
    """

    def __init__(self, name: str, descriptor: int, max_line: int) -> None:
        self.name = name
        #: Whether `next` waits for input itself, where no reactor runs.
        self.blocking = False
        self._descriptor = descriptor
        self._splitter = LineSplitter(max_line)
        self._ready: deque[Line] = deque()
        self._error: OSError | None = None
        self._reactor: Any = None
        self._wake: Callable[[], None] = lambda: None

    def attach(self, reactor: Any, wake: Callable[[], None]) -> None:
        """From now on read through this reactor (IReactorFDSet), and call `wake` when there is more."""
        self._reactor = reactor
        self._wake = wake

    @property
    def waiting(self) -> bool:
        """Whether more may come."""
        return self._descriptor >= 0

    def next(self) -> Line | None:
        """The next line; None: none now. Raises OSError where reading failed."""
        while self.blocking and not self._ready and self.waiting:
            self._read()
        if self._ready:
            return self._ready.popleft()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self.waiting and self._reactor is not None:
            self._reactor.addReader(self)
        return None

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, SLICE)
        except BlockingIOError:
            return
        except OSError as error:
            self._error, data = error, b""
        self._ready.extend(self._splitter.feed(data) if data else self._splitter.finish())
        if not data:
            self.close()

    def close(self) -> None:
        """Read no more."""
        if self._descriptor >= 0:
            if self._reactor is not None:
                self._reactor.removeReader(self)
            if self._descriptor > 2:
                os.close(self._descriptor)
            self._descriptor = -1

    def doRead(self) -> None:
        """The reactor's word that there is something to read."""
        self._read()
        if self.waiting and self._ready:
            self._reactor.removeReader(self)
        if self._ready or not self.waiting:
            self._wake()

    def fileno(self) -> int:
        """For the reactor."""
        return self._descriptor

    def connectionLost(self, reason: object) -> None:
        """The writer has hung up and all of it is read (poll says so apart), or the reactor is stopping."""
        if self.waiting:
            self._ready.extend(self._splitter.finish())
            self.close()
            self._wake()

    def logPrefix(self) -> str:
        """For the reactor."""
        return "input"


class Inputs:
    """All magnets of a run, in order: arguments first, then the files."""

    def __init__(self, arguments: Sequence[str], files: Sequence[str], max_line: int) -> None:
        """Opens the files. Raises UsageError where one cannot be read."""
        if not arguments and not files:
            raise UsageError("nothing to do: give a magnet link in quotes, or -i FILE")
        if files.count(STDIN) > 1:
            raise UsageError("-i -: stdin can be read only once")
        #: Lines that all inputs have together, about; None where that cannot be known.
        self.total: int | None = len(arguments)
        self.streams: list[Stream] = []
        #: Lines given out.
        self.taken = 0
        #: Inputs that could not be read to their end: words for each, taken away by the reader.
        self.problems: list[str] = []
        self.source: str | None = None
        self._sources: deque[_Arguments | _File | Stream] = deque([_Arguments(arguments, max_line)])
        self._counted: list[str] = []
        for name in files:
            self._sources.append(self._open(name, max_line))

    def _open(self, name: str, max_line: int) -> _File | Stream:
        descriptor = 0
        try:
            if name != STDIN:
                descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(0, "it is a folder")
        except OSError as error:
            raise UsageError(f"-i {name}: cannot be read: {error.strerror}") from None
        if stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode) or os.isatty(descriptor):
            stream = Stream(name, descriptor, max_line)
            self.streams.append(stream)
            self.total = None
            return stream
        if status.st_size > _COUNTED or name == STDIN:
            self.total = None
        else:
            self._counted.append(name)
        return _File(name, descriptor, max_line)

    def count(self) -> int | None:
        """How many lines there are, about: line ends of regular files. None where nobody knows."""
        if self.total is not None:
            for name in self._counted:
                self.total += _line_ends(name)
            self._counted.clear()
        return self.total

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return not self._sources

    def next(self) -> Line | None:
        """The next line (`source` then says where it came from); None: none now, see `ended`."""
        while self._sources:
            source = self._sources[0]
            try:
                line = source.next()
            except OSError as error:
                self.problems.append(f"{source.name}: cannot be read on: {error.strerror}")
                source.close()
            else:
                if line is not None:
                    self.source = source.name
                    self.taken += 1
                    return line
                if source.waiting:
                    return None
            self._sources.popleft()
        return None

    def close(self) -> None:
        """Nothing more is wanted."""
        while self._sources:
            self._sources.popleft().close()


def _line_ends(name: str) -> int:
    ends = 0
    try:
        with open(name, "rb", buffering=0) as file:
            while data := file.read(1 << 20):
                ends += data.count(b"\n")
    except OSError:
        pass
    return ends
