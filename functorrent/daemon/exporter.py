"""`Exporter`: results as .torrent files, always made of what the store has; the store is the truth.

Laws. A result is marked as exported when its file has its name, never before; so what a crash, a full disk
or a missing folder prevented is written later. What fails is tried again for ever, with pauses. A file
that is missing, or empty (a power cut can leave such), is written again: one look at each, slowly, at
start and once a day.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.daemon.health import Backoff, Health
from functorrent.errors import FunctorrentError, OutputError
from functorrent.text import plural, printable

if TYPE_CHECKING:
    from functorrent.store.files import TorrentFolder
    from functorrent.store.interfaces import IStore

#: Results marked as exported in one transaction, and files looked at in one go.
_PAGE = 200
#: Files written at once, each held in memory meanwhile.
_LANES = 4
#: Seconds between two pages of the walk, and between two walks.
_WALK_PAUSE = 0.5
_WALK_EVERY = 86_400.0
#: Seconds before a file that could not be written is tried again, while others can.
_LATER = 60.0


class Exporter(Service):
    """Writes what the store has not exported yet; `wake` says that there is more.

    `run(function, *arguments)`: calls it in a thread of the exporter's own, a Deferred of the result.
    """

    name = "exporter"
    log = Logger()

    def __init__(
        self,
        clock: Any,
        store: IStore,
        folder: TorrentFolder,
        health: Health,
        run: Callable[..., Deferred[Any]],
    ) -> None:
        self._clock = clock
        self._store = store
        self._folder = folder
        self._health = health
        self._run = run
        self._backoff = Backoff()
        self._tasks: list[Deferred[None]] = []
        #: While there is nothing to do: fires when there is.
        self._pause: Deferred[None] | None = None
        self._woken = False
        #: Keys of results whose file could not be written, and when that is tried again.
        self._failing: dict[bytes, float] = {}
        #: Files written again because they were missing, in this walk.
        self._restored = 0

    def startService(self) -> None:
        Service.startService(self)
        self._tasks = [Deferred.fromCoroutine(self._export()), Deferred.fromCoroutine(self._walk())]
        for task in self._tasks:
            task.addErrback(self._broke)

    def stopService(self) -> None:
        """Begin nothing more; a file that is being written is written to its end, in its thread."""
        if self.running:
            Service.stopService(self)
            for task in self._tasks:
                task.cancel()

    def _broke(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("the exporter broke", failure)
            self._health.ill("exporter", "no .torrent files are written any more: the log has the reason")

    def wake(self) -> None:
        """A result was saved."""
        if self._pause is not None:
            self._pause.callback(None)
        else:
            self._woken = True

    # -- what is new ---------------------------------------------------------------------------

    async def _export(self) -> None:
        await self._clear()
        while True:
            self._woken = False
            try:
                keys = await self._store.unexported(_PAGE + len(self._failing))
                now = self._clock.seconds()
                there = set(keys)
                self._failing = {key: due for key, due in self._failing.items() if key in there}
                due = [key for key in keys if self._failing.get(key, now) <= now]
                failed = await self._write_all(due)
            except FunctorrentError as error:
                failed = error
            if failed is not None:
                self._health.ill("output", f".torrent files wait to be written: {failed}")
                await deferLater(self._clock, self._backoff.next())
            elif due:
                self._backoff.reset()
            else:
                if not self._failing:
                    self._health.well("output")
                if not self._woken:
                    await self._rest(min(self._failing.values()) - now if self._failing else None)

    async def _clear(self) -> None:
        try:
            removed = await self._run(self._folder.clear)
        except OutputError as error:
            self._health.ill("output", str(error))
        else:
            if removed:
                self.log.info(
                    "removed {files} that a process that was killed had left",
                    files=plural(removed, "temporary file"),
                )

    async def _write_all(self, keys: list[bytes]) -> FunctorrentError | None:
        """Write their files and mark them; returns why one could not be written, where that is so."""
        paths: dict[bytes, str] = {}
        failures: list[FunctorrentError] = []
        rest = iter(keys)
        lanes = [Deferred.fromCoroutine(self._lane(rest, paths, failures)) for _ in range(_LANES)]
        try:
            while lanes:
                await lanes.pop()
        finally:
            for lane in lanes:
                # Where we stop; what is written by then is marked all the same.
                lane.addErrback(lambda failure: failure.trap(CancelledError))
                lane.cancel()
            if paths:
                await self._store.exported(paths)
        return failures[0] if failures else None

    async def _lane(
        self, keys: Iterator[bytes], paths: dict[bytes, str], failures: list[FunctorrentError]
    ) -> None:
        for key in keys:
            if failures:
                # The disk may be full: not every file must find that out.
                return
            try:
                path = await self._write(key)
            except FunctorrentError as error:
                failures.append(error)
                self._failing[key] = self._clock.seconds() + _LATER
            else:
                self._failing.pop(key, None)
                paths[key] = path

    async def _write(self, key: bytes) -> str:
        """Write one file; its path. Raises StoreError and OutputError."""
        torrent = await self._store.torrent(key)
        name = ""
        if self._folder.needs_name:
            job = await self._store.job(key)
            name = (job.name or "") if job is not None else ""
        if torrent is None:
            raise OutputError(f"the store has no torrent for {key.hex()}")
        path: str = await self._run(self._folder.write, key, name, torrent)
        return path

    def _rest(self, seconds: float | None) -> Deferred[None]:
        """Fires after so many seconds (None: never), or when `wake` is called."""
        pause: Deferred[None] = Deferred()
        self._pause = pause
        timer = None if seconds is None else self._clock.callLater(max(seconds, 0), pause.callback, None)

        def over(result: Any) -> Any:
            self._pause = None
            if timer is not None and timer.active():
                timer.cancel()
            return result

        return pause.addBoth(over)

    # -- what is missing -----------------------------------------------------------------------

    async def _walk(self) -> None:
        """Look at every file that was written, page by page, day by day."""
        after = 0
        while True:
            try:
                page, following = await self._store.exports(after, _PAGE)
                for key, path in await self._run(missing, page):
                    await self._restore(key, path)
            except FunctorrentError as error:
                self._health.ill("missing files", f"missing .torrent files wait to be written: {error}")
                await deferLater(self._clock, _LATER)
                continue
            self._health.well("missing files")
            if following is not None:
                after = following
                await deferLater(self._clock, _WALK_PAUSE)
                continue
            if self._restored:
                self.log.info(
                    "wrote {files} again that were missing", files=plural(self._restored, ".torrent file")
                )
            after = self._restored = 0
            await deferLater(self._clock, _WALK_EVERY)

    async def _restore(self, key: bytes, path: str) -> None:
        written = await self._write(key)
        self._restored += 1
        if written != path:
            self.log.info(
                "{path} was missing, and is {written} now",
                path=printable(path, 500),
                written=printable(written, 500),
            )
            await self._store.exported({key: written})


def missing(page: list[tuple[bytes, str]]) -> list[tuple[bytes, str]]:
    """Those of these files that are not there, or are empty. Blocks: for a thread."""
    return [(key, path) for key, path in page if not _is_there(path)]


def _is_there(path: str) -> bool:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return False
    except OSError:
        # What cannot be looked at now is not written over.
        return True
    return stat.S_ISREG(status.st_mode) and status.st_size > 0
