"""What the daemon has to fetch: lines of submissions to magnets, and outcomes back to their lines.

A submission (a watched file, the command line's magnets) is read a line at a time, when the batch has
a slot for it. Lines that name the same torrent, in whatever submissions, wait for one fetch.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.errors import FunctorrentError, InvalidMagnet, OutputError
from functorrent.lines import Line
from functorrent.magnet import Magnet
from functorrent.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from functorrent.fetch.result import Metadata

#: Lines that need no fetch, after which the reactor gets its turn (some 10 ms of work).
_AT_ONCE = 500


class Submission(Protocol):
    """Something that names magnets."""

    name: str

    def next(self) -> Line | None:
        """The next line; None at the end. Raises OSError."""

    def failed(self, line: Line, reason: str) -> None:
        """This line's magnet could not be fetched, or is none."""

    def unreadable(self, reason: str) -> None:
        """It could not be read to its end."""

    def ended(self) -> None:
        """Every line has ended, well or not."""

    def close(self) -> None:
        """The daemon stops; nothing more will be told."""


class GivenMagnets:
    """The magnets of the command line."""

    name = "command line"

    def __init__(self, magnets: list[str]) -> None:
        self._lines = deque(Line(number, text) for number, text in enumerate(magnets, 1))

    def next(self) -> Line | None:
        return self._lines.popleft() if self._lines else None

    def failed(self, line: Line, reason: str) -> None:
        """The log has it."""

    def unreadable(self, reason: str) -> None:
        """Cannot be."""

    def ended(self) -> None:
        """Nobody waits for them."""

    def close(self) -> None:
        self._lines.clear()


class Feed:
    """Submissions in, magnets out, outcomes back.

    `folder` is a TorrentFolder; `clock` IReactorTime. `join` and `wake` are the fetcher's and the
    batch's, set when those run.
    """

    log = Logger()

    def __init__(self, clock: Any, folder: Any, max_line: int) -> None:
        self.join: Callable[[Magnet], object] = lambda magnet: None
        self.wake: Callable[[], None] = lambda: None
        self._clock = clock
        self._folder = folder
        self._max_line = max_line
        self._queue: deque[Submission] = deque()
        #: Infohash in flight, to the line of each submission that waits for it.
        self._waiting: dict[bytes, dict[Submission, Line]] = {}
        #: Lines in flight of each submission that is not done.
        self._open: dict[Submission, int] = {}
        self._pause: Any = None

    def submit(self, submission: Submission) -> None:
        """Take it in; it is read in its turn."""
        self._queue.append(submission)
        self._open[submission] = 0
        self.wake()

    def close(self) -> None:
        """Take nothing more out, and report nothing: the daemon stops."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        for submission in self._open:
            submission.close()
        self._queue.clear()
        self._open.clear()
        self._waiting.clear()

    def pull(self) -> tuple[Magnet, bytes] | None:
        """The next magnet to fetch, with its key; None: none now."""
        for _ in range(_AT_ONCE):
            if not self._queue:
                return None
            submission = self._queue[0]
            try:
                line = submission.next()
            except OSError as error:
                self.log.warn(
                    "{name} cannot be read on: {error}", name=printable(submission.name), error=error.strerror
                )
                submission.unreadable(str(error.strerror))
                line = None
            if line is None:
                self._queue.popleft()
                self._check(submission, read=True)
                continue
            found = self._take(submission, line)
            if found is not None:
                return found
        if self._pause is None:
            self._pause = self._clock.callLater(0, self._go_on)
        return None

    def _go_on(self) -> None:
        self._pause = None
        self.wake()

    def _take(self, submission: Submission, line: Line) -> tuple[Magnet, bytes] | None:
        try:
            if line.too_long:
                raise InvalidMagnet(f"a line of more than {self._max_line} characters")
            magnet = Magnet.parse(line.text)
        except InvalidMagnet as error:
            self.log.warn(
                "{name}, line {number}: {error}",
                name=printable(submission.name),
                number=line.number,
                error=printable(str(error), 300),
            )
            submission.failed(line, str(error))
            return None
        key = magnet.infohash or magnet.infohash_v2 or b""
        waiting = self._waiting.get(key)
        if waiting is not None:
            self.join(magnet)
            # One line of a submission stands for those that repeat it.
            if submission not in waiting:
                waiting[submission] = line
                self._open[submission] += 1
            return None
        if magnet.infohash is not None and self._folder.existing(magnet.infohash, magnet.name):
            return None
        self._waiting[key] = {submission: line}
        self._open[submission] += 1
        return magnet, key

    def finished(self, key: bytes, magnet: Magnet, result: Metadata | Failure) -> None:
        """A magnet has ended."""
        waiting = self._waiting.pop(key, None)
        if waiting is None:
            return
        reason = self._reason(result) if isinstance(result, Failure) else self._write(key, result)
        if reason is not None:
            self.log.info("failed {infohash}: {reason}", infohash=key.hex(), reason=printable(reason, 500))
        for submission, line in waiting.items():
            if reason is not None:
                submission.failed(line, reason)
            self._open[submission] -= 1
            reading = bool(self._queue) and self._queue[0] is submission
            self._check(submission, read=not reading)

    def _write(self, key: bytes, result: Metadata) -> str | None:
        """Write the file. Returns why that failed, or None."""
        try:
            path = self._folder.write(result.infohash, result.name, result.torrent_bytes)
        except OutputError as error:
            return str(error)
        self.log.info(
            "fetched {infohash} {name}: {path}",
            infohash=key.hex(),
            name=printable(result.name, 60),
            path=printable(path, 500),
        )
        return None

    def _reason(self, failure: Failure) -> str:
        if failure.check(FunctorrentError):
            return str(failure.value)
        self.log.failure("a fetch broke", failure)
        return f"internal error ({type(failure.value).__name__}); the log has more"

    def _check(self, submission: Submission, *, read: bool) -> None:
        if read and self._open.get(submission) == 0:
            del self._open[submission]
            submission.ended()
