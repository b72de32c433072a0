"""One magnet's web sources: one after the other, the next also when the one before takes long."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.interfaces import IPeerSink, SourceReport
from functorrent.sources.web.downloads import Download, Downloads, WebSourceFailed
from functorrent.sources.web.place import Place
from functorrent.text import plural

#: Web sources whose failures the report tells.
_TOLD = 3


class Lookup:
    """`deferred` fires with the SourceReport, never fails; cancelled, it does so at once.

    `ended(lookup)` is called when it is over, before that.
    """

    log = Logger()

    __slots__ = (
        "_began", "_clock", "_downloads", "_ended", "_had", "_limits", "_places", "_running", "_sink",
        "_timer", "_words", "deferred", "infohash", "over",
    )  # fmt: skip

    def __init__(
        self,
        downloads: Downloads,
        clock: Any,
        limits: Any,
        infohash: bytes,
        places: Iterable[Place],
        sink: IPeerSink,
        ended: Callable[[Lookup], None],
    ) -> None:
        self.infohash = infohash
        self.over = False
        self.deferred: Deferred[SourceReport] = Deferred(self._cancelled)
        self._downloads = downloads
        self._clock = clock
        self._limits = limits
        self._places = deque(places)
        self._sink = sink
        self._ended = ended
        self._began = clock.seconds()
        self._running: dict[Download, None] = {}
        self._words: list[str] = []
        #: Whose file it may be: known before the fetch is over, for then there is no time to say it.
        self._had: str | None = None
        self._timer: Any = None

    def start(self) -> None:
        """Ask the first."""
        self._next()

    def waits(self, now: float) -> bool:
        """Whether none of its downloads has begun, though it has not waited for long."""
        return (
            not self.over
            and not self._words
            and not any(download.begun for download in self._running)
            and now < self._began + self._limits.web_source_wait
        )

    def _next(self) -> None:
        """Ask the next, where there is one; end where there is nothing left to wait for."""
        self._stop_timer()
        if self._places:
            download = self._downloads.fetch(self._places.popleft())
            self._running[download] = None
            download.result.addCallbacks(
                self._got, self._failed, callbackArgs=(download,), errbackArgs=(download,)
            )
            # One that ended at once has had the next asked already.
            if self._places and download in self._running:
                self._wait()
        elif not self._running:
            self.deferred.callback(self._end())

    def _wait(self) -> None:
        self._timer = self._clock.callLater(self._limits.web_source_patience, self._impatient)

    def _impatient(self) -> None:
        self._timer = None
        if any(download.begun for download in self._running):
            self._next()
        else:
            # It still waits for its turn, behind which the next would wait, too.
            self._wait()

    def _got(self, info_bytes: bytes, download: Download) -> None:
        """An info dictionary; whose, its hash tells."""
        host = download.place.host
        del self._running[download]
        self._had = host
        if self._sink.whole(info_bytes):
            # The fetch is over; who cancels this lookup may have done so already.
            if not self.over:
                self.deferred.callback(self._end())
            return
        self._had = None
        self._of_no_use(f"the .torrent at {host} is another torrent")

    def _failed(self, failure: Failure, download: Download) -> None:
        self._running.pop(download, None)
        if failure.check(WebSourceFailed) is not None:
            self._of_no_use(str(failure.value))
        elif not self.over:
            self.log.failure("a web source could not be asked", failure)
            self._of_no_use(f"{download.place.host} failed")

    def _of_no_use(self, words: str) -> None:
        if not self.over:
            self._words.append(words)
            self._next()

    # -- the end -------------------------------------------------------------------------------

    def _cancelled(self, deferred: Deferred[SourceReport]) -> None:
        deferred.callback(self._end())

    def _end(self) -> SourceReport:
        report = SourceReport("web sources", detail=self._detail())
        self.over = True
        self._stop_timer()
        running, self._running = self._running, {}
        for download in running:
            download.result.cancel()
        self._ended(self)
        return report

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _detail(self) -> str | None:
        """Words for the report."""
        if self._had is not None:
            return f"{self._had} had the .torrent"
        words = self._words + [
            f"{download.place.host} had not {'answered' if download.begun else 'been asked'} yet"
            for download in self._running
        ]
        words = list(dict.fromkeys(words))
        if len(words) > _TOLD + 1:
            further = plural(len(words) - _TOLD, "further web source")
            words = [*words[:_TOLD], f"{further} were of no use, either"]
        return "; ".join(words) or None
