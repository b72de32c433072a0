"""The watch folder: magnets in files that are put into it are accepted, and the files renamed.

Laws. A file is taken when its size has not changed for 2 s, or at once when it is older than that (it
was renamed into the folder). `X` becomes `X.done` when every line of it was accepted, which means: is in
the store; until then it stays as it is, so a stop or a crash at any time means that it is taken again, and
that is harmless. Lines that are no magnets stand in `X.errors`, with reasons as comments. Only regular
files are taken: no links, no folders, no pipes. Folders are polled: that is portable, and works on
network file systems. All that may block is done in threads.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from functorrent.daemon.health import Health
from functorrent.daemon.intake import accept
from functorrent.daemon.interfaces import IIntake, IQueue
from functorrent.daemon.watched import Identity, WatchedFile
from functorrent.errors import QueueClosed
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.store.jobs import NewJob
from functorrent.text import plural, printable

if TYPE_CHECKING:
    from functorrent.interfaces import IWallClock

ENDINGS = (".magnet", ".txt")
#: Seconds without a change after which a file is whole, and between two looks at the folder.
SETTLED = 2.0
INTERVAL = 1.0
#: Files read at once: a short one does not wait for one of a million lines.
_AT_ONCE = 4


@implementer(IIntake)
class WatchFolder:
    """Looks at a folder every second and submits what the files that are whole name.

    `clock` is IReactorTime, `wall` tells how old files are; `run(function, *arguments)` calls it in a
    thread, and gives a Deferred of the result.
    """

    name = "watch folder"
    log = Logger()

    def __init__(
        self,
        clock: Any,
        wall: IWallClock,
        health: Health,
        path: str,
        run: Callable[..., Deferred[Any]],
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._health = health
        self._path = path
        self._run = run
        self._limits = limits
        self._queue: IQueue | None = None
        self._timer: Any = None
        #: By name: files that may still be written, and since when they have not changed.
        self._young: dict[str, tuple[Identity, float]] = {}
        #: Names of files that are whole: those that wait, and those too that are being read.
        self._waiting: deque[str] = deque()
        self._taken: dict[str, Identity] = {}
        self._reading: set[Deferred[None]] = set()
        #: Submissions that wait for the store.
        self._accepting: set[Deferred[Any]] = set()
        #: By name: files that cannot be read, or not renamed; left alone until they change.
        self._left: dict[str, Identity] = {}

    def start(self, queue: IQueue) -> None:
        """Look now, and every second."""
        self._queue = queue
        self._timer = self._clock.callLater(0, self._look)

    def stop(self) -> Deferred[None]:
        """Look no more. Fires when no file is open."""
        self._queue = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for accepting in list(self._accepting):
            accepting.cancel()
        return DeferredList(list(self._reading)).addCallback(lambda _: None)

    # -- the folder ----------------------------------------------------------------------------

    def _look(self) -> None:
        self._timer = None
        self._run(_list, self._path).addCallbacks(self._found, self._gone).addErrback(
            lambda failure: self.log.failure("the watch folder broke", failure)
        ).addBoth(self._look_again)

    def _look_again(self, _: object) -> None:
        if self._queue is not None:
            self._timer = self._clock.callLater(INTERVAL, self._look)

    def _gone(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, OSError):
            failure.raiseException()
        path = printable(self._path, 500)
        self._health.ill(
            "watch", f"the watch folder {path} cannot be read: {error.strerror}; looking again every second"
        )

    def _found(self, found: dict[str, os.stat_result]) -> None:
        self._health.well("watch")
        for known in (self._young, self._left):
            for name in [name for name in known if name not in found]:
                del known[name]
        for name, status in found.items():
            self._consider(name, status)
        self._read_on()

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
        self._taken[name] = identity
        self._waiting.append(name)

    # -- files ---------------------------------------------------------------------------------

    def _read_on(self) -> None:
        while self._waiting and len(self._reading) < _AT_ONCE and self._queue is not None:
            name = self._waiting.popleft()
            reading = Deferred.fromCoroutine(self._read(name, self._queue))
            self._reading.add(reading)
            reading.addErrback(self._broke, name).addCallback(self._ended, name, reading)

    def _ended(self, _: object, name: str, reading: Deferred[None]) -> None:
        self._reading.discard(reading)
        self._taken.pop(name, None)
        self._read_on()

    def _broke(self, failure: Failure, name: str) -> None:
        self._left[name] = self._taken[name]
        self.log.failure("{name} cannot be taken", failure, name=printable(name))

    async def _read(self, name: str, queue: IQueue) -> None:
        """Take one file, to its end or ours."""
        try:
            path = os.path.join(self._path, name)
            file = await self._run(WatchedFile, path, self._limits.max_magnet)
        except OSError as error:
            self._leave(name, "read", error)
            return
        finished = False
        try:
            finished = await self._accept_all(file, queue)
        except (QueueClosed, CancelledError):
            # It will be taken again.
            pass
        except OSError as error:
            self._leave(name, "read and renamed", error)
        finally:
            if not finished:
                await self._run(file.close)

    async def _accept_all(self, file: WatchedFile, queue: IQueue) -> bool:
        """Whether every line was accepted, and the file renamed."""
        accepted, end = 0, False
        while not end:
            jobs, end = await self._run(file.batch, self._limits.lines_at_once)
            if self._queue is None:
                return False
            if jobs:
                await self._accept(queue, jobs)
                accepted += len(jobs)
        if not await self._run(file.finish):
            self.log.info("{name} has changed, and is taken again", name=printable(file.name))
        else:
            self.log.info(
                "{name}: {magnets} accepted",
                name=printable(file.name),
                magnets=plural(accepted, "magnet"),
            )
        return True

    def _accept(self, queue: IQueue, jobs: list[NewJob]) -> Deferred[Any]:
        accepting = Deferred.fromCoroutine(accept(self._clock, self._health, self.name, queue, jobs))
        self._accepting.add(accepting)

        def settled(result: Any) -> Any:
            self._accepting.discard(accepting)
            return result

        return accepting.addBoth(settled)

    def _leave(self, name: str, what: str, error: OSError) -> None:
        self._left[name] = self._taken[name]
        self.log.warn(
            "{name} cannot be {what}: {error}; it is left alone until it changes",
            name=printable(name),
            what=what,
            error=error.strerror,
        )


def _list(path: str) -> dict[str, os.stat_result]:
    """The files of a folder that may be taken."""
    found = {}
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.endswith(ENDINGS) and not entry.name.startswith("."):
                try:
                    if entry.is_file(follow_symlinks=False):
                        found[entry.name] = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
    return found
