"""Where the list of extra trackers comes from: a file that is read again when it changes, or a URL.

Neither waits, and neither has a timer: `look`, called for each magnet, sees whether there is something
to do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.errors import FunctorrentError, UsageError
from functorrent.interfaces import IWallClock, SourceContext
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.sources.extra.lists import ListTooLong, TrackerList, keep, load, read_file
from functorrent.text import printable


class Provider(Protocol):
    """Has a list of trackers.

    `urls`: those of it that are known; `coming`: whether there are none yet, but soon may be; `problem`:
    words for a report where there are none.
    """

    urls: tuple[str, ...]
    coming: bool
    problem: str | None

    def begin(self, context: SourceContext, changed: Callable[[], None]) -> None:
        """The process has begun. `changed()` is called when `coming` is over."""

    def look(self) -> None:
        """Is there something to do? Called often; costs next to nothing."""

    def stop(self) -> None:
        """Leave nothing running."""


class FileList:
    """A file of the user's. Raises UsageError where it cannot be read now; later that is a warning."""

    log = Logger()

    def __init__(self, path: str, limits: Limits = DEFAULT_LIMITS) -> None:
        self.urls: tuple[str, ...] = ()
        self.coming = False
        self.problem: str | None = None
        self._path = path
        self._limits = limits
        self._clock: Any = None
        self._next = 0.0
        #: What is different when the file is.
        self._known: object = None
        #: What was warned of, so that it is said once.
        self._warned: str | None = None
        try:
            self._known = self._identity()
            self._take(self._read())
        except (OSError, ListTooLong) as error:
            raise UsageError(f"--extra-trackers {path}: {_words(error)}") from None

    def begin(self, context: SourceContext, changed: Callable[[], None]) -> None:
        """See `Provider`."""
        self._clock = context.clock
        self._next = self._clock.seconds() + self._limits.extra_file_look

    def look(self) -> None:
        """Read it again if it has changed; looked at once a minute at most."""
        now = self._clock.seconds()
        if now < self._next:
            return
        self._next = now + self._limits.extra_file_look
        try:
            identity = self._identity()
            if identity != self._known:
                self._take(self._read())
                self._known = identity
            self._warned = None
        except (OSError, ListTooLong) as error:
            words = _words(error)
            if words != self._warned:
                self._warned = words
                self.log.warn(
                    "the list of extra trackers {path} cannot be read ({words}); the one before is used",
                    path=printable(self._path),
                    words=words,
                )

    def stop(self) -> None:
        """See `Provider`."""

    def _identity(self) -> tuple[int, int, int]:
        status = os.stat(self._path)
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _read(self) -> TrackerList:
        return TrackerList.parse(read_file(self._path, self._limits), self._limits)

    def _take(self, found: TrackerList) -> None:
        self.urls = found.urls
        self.problem = None if found.urls else "the list of extra trackers names none"
        _tell(self.log, printable(self._path), found)


class WebList:
    """A list at a URL of the user's: read once a day at most, kept in a file between runs.

    What is kept is used while a new one is fetched, and when that fails. `cache`: the file's path, None for
    none. `wall`: without it nobody knows how old that is, so a new one is fetched at each start.
    """

    log = Logger()

    def __init__(
        self,
        url: str,
        cache: str | None,
        wall: IWallClock | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.urls: tuple[str, ...] = ()
        self.coming = False
        self.problem: str | None = None
        self._url = url
        #: All that is shown of it: it may hold a key.
        self._host = printable(urlsplit(url).hostname or "?")
        self._cache = cache
        self._wall = wall
        self._limits = limits
        self._context: SourceContext | None = None
        self._changed: Callable[[], None] = _nothing
        self._get: Deferred[Any] | None = None
        self._due = 0.0

    def begin(self, context: SourceContext, changed: Callable[[], None]) -> None:
        """Take what was kept, and fetch a new list if that is old, or nothing was."""
        self._context = context
        self._changed = changed
        self._due = context.clock.seconds()
        kept = load(self._cache, self._url, self._limits) if self._cache is not None else None
        if kept is not None:
            found, when = kept
            self.urls = found.urls
            if self._wall is not None:
                age = self._wall.now() - when
                # One from the future says nothing.
                self._due += self._limits.extra_list_life - age if age >= 0 else 0.0
        self.coming = not self.urls
        self.look()

    def look(self) -> None:
        """Fetch a new one if it is time."""
        context = self._context
        if self._get is not None or context is None or context.clock.seconds() < self._due:
            return
        self._get = get = context.agent().get(
            self._url,
            trusted=True,
            timeout=self._limits.http_timeout,
            max_body=self._limits.extra_list,
        )
        get.addCallback(self._got).addErrback(self._failed)

    def stop(self) -> None:
        """See `Provider`."""
        self._context = None
        get, self._get = self._get, None
        if get is not None:
            get.cancel()

    def _got(self, response: tuple[int, Any, bytes]) -> None:
        status, _, body = response
        if status != 200:
            raise _NoList(f"the answer has status {status}")
        found = TrackerList.parse(body, self._limits)
        if not found.urls:
            raise _NoList("the answer names no trackers")
        self._get = None
        self.urls = found.urls
        self.problem = None
        self._due = self._now() + self._limits.extra_list_life
        _tell(self.log, self._host, found)
        self._keep()
        self._over()

    def _failed(self, failure: Failure) -> None:
        self._get = None
        if failure.check(CancelledError) is not None or self._context is None:
            return
        if failure.check(FunctorrentError, ListTooLong) is None:
            self.log.failure("the list of extra trackers could not be taken in", failure)
        words = printable(str(failure.value))
        self._due = self._now() + self._limits.extra_list_retry
        self.problem = f"the list of extra trackers at {self._host} could not be had: {words}"
        self.log.warn(
            "the list of extra trackers at {host} could not be had ({words}){kept}",
            host=self._host,
            words=words,
            kept="; the one before is used" if self.urls else "",
        )
        self._over()

    def _over(self) -> None:
        if self.coming:
            self.coming = False
            self._changed()

    def _now(self) -> float:
        now: float = self._context.clock.seconds() if self._context is not None else 0.0
        return now

    def _keep(self) -> None:
        if self._cache is None:
            return
        try:
            keep(self._cache, self._url, self.urls, None if self._wall is None else self._wall.now())
        except OSError as error:
            self.log.warn(
                "the list of extra trackers cannot be kept in {path} ({words})",
                path=printable(self._cache),
                words=_words(error),
            )


class _NoList(FunctorrentError):
    """An answer that is no list of trackers."""


def _words(error: Exception) -> str:
    return printable(getattr(error, "strerror", None) or str(error))


def _tell(log: Logger, where: str, found: TrackerList) -> None:
    if found.skipped or found.left_out or not found.urls:
        log.warn("extra trackers of {where}: {found}", where=where, found=str(found))


def _nothing() -> None:
    """Nobody waits."""
