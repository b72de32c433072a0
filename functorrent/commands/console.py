"""What the command writes where: results to stdout, words for people to stderr; and its signals."""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import TYPE_CHECKING, Any

from functorrent.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

#: Bytes of results held back at most, and for how long (seconds).
_HELD = 32 * 1024
_HELD_TIME = 0.2


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a descriptor, all of it, also where somebody has made it non-blocking."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


class Console:
    """Results and words of one run.

    `out` writes bytes to stdout and `err` to stderr; `immediate`: results are not held back (stdout
    is a terminal). `failed` is called once when results can no longer be written; what comes after is
    dropped. `clear`, where set, takes a progress line off the terminal.
    """

    def __init__(
        self,
        out: Callable[[bytes], None],
        err: Callable[[bytes], None],
        *,
        immediate: bool = False,
        failed: Callable[[OSError], None] = lambda error: None,
    ) -> None:
        self.clear: Callable[[], None] | None = None
        self.failed = failed
        #: IReactorTime, where one runs.
        self.clock: Any = None
        self._out = out
        self._err = err
        self._immediate = immediate
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._timer: Any = None
        self._broken = False

    @classmethod
    def standard(cls) -> Console:
        """That of this process."""
        return cls(lambda data: write_all(1, data), lambda data: write_all(2, data), immediate=os.isatty(1))

    def result(self, line: str) -> None:
        """One line of results."""
        self.raw(line.encode("utf-8", "surrogateescape") + b"\n")

    def raw(self, data: bytes) -> None:
        """Bytes of results."""
        self._held.append(data)
        self._held_bytes += len(data)
        if self._immediate or self._held_bytes >= _HELD:
            self.flush()
        elif self._timer is None and self.clock is not None:
            self._timer = self.clock.callLater(_HELD_TIME, self.flush)

    def say(self, line: str) -> None:
        """One line for a person."""
        if self.clear is not None:
            self.clear()
        try:
            self._err(line.encode("utf-8", "replace") + b"\n")
        except OSError:
            # stderr is gone: there is nobody to tell.
            pass

    def flush(self) -> None:
        """Write what is held back."""
        if self._timer is not None:
            if self._timer.active():
                self._timer.cancel()
            self._timer = None
        data, self._held, self._held_bytes = b"".join(self._held), [], 0
        if not data or self._broken:
            return
        if self._immediate and self.clear is not None:
            self.clear()
        try:
            self._out(data)
        except OSError as error:
            self._broken = True
            self.failed(error)


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM while no reactor runs; `status` is the exit status for it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Signals:
    """Ctrl-C and SIGTERM. The first ends the run in good order, a second one at once.

    `interrupt` is called with the exit status; as long as it is None, `Interrupted` is raised.
    """

    def __init__(self) -> None:
        self.interrupt: Callable[[int], None] | None = None
        self._caught = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            # Ignored from outside (nohup, a shell's background job): leave it so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        status = 128 + number
        if self.interrupt is None:
            raise Interrupted(status)
        if self._caught:
            os.write(2, b"\n")
            os._exit(status)
        self._caught = True
        self.interrupt(status)


def raise_file_limit() -> None:
    """Allow as many sockets as the system grants: the soft RLIMIT_NOFILE becomes the hard one."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if sys.platform == "darwin" and hard == resource.RLIM_INFINITY:
        # macOS grants no more than OPEN_MAX, whatever it says.
        hard = 10_240
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        except (ValueError, OSError):
            pass


class LogKeeper:
    """A Twisted log observer that keeps errors off the terminal, and the first few of them.

    With FUNCTORRENT_DEBUG=1 every event is written to stderr instead, traces too.
    """

    def __init__(self, say: Callable[[str], None], debug: bool) -> None:
        #: What went wrong, as words for a person.
        self.errors: list[str] = []
        self._say = say
        self._debug = debug

    def begin(self) -> None:
        """Take Twisted's log over from its default, which prints errors."""
        from twisted.logger import globalLogBeginner

        observer: Any = self
        globalLogBeginner.beginLoggingTo([observer], discardBuffer=True, redirectStandardIO=False)

    def __call__(self, event: Any) -> None:
        failure = event.get("log_failure")
        if failure is not None and len(self.errors) < 10:
            self.errors.append(_words(event, failure.value))
        if self._debug:
            from twisted.logger import formatEvent

            self._say(f"debug: {formatEvent(event)}")
            if failure is not None:
                self._say(failure.getTraceback())


def _words(event: Any, error: BaseException) -> str:
    """One line about a logged failure: a bug of ours, or of the plugin that the event names."""
    from functorrent.cli import internal_error

    if not isinstance(event.get("name"), str):
        return internal_error(error)
    from twisted.logger import formatEvent

    why = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"{printable(formatEvent(event))} ({printable(why)}); FUNCTORRENT_DEBUG=1 shows where"
