"""GETs of .torrent files for all magnets: few at once, fewer of one server, so many bytes in all.

Laws of this file:

- A download waits, runs, and ends once: with the raw bytes of an info dictionary (hashed by nobody yet), or
  with WebSourceFailed. It runs until its file is read, and what it holds is counted until then.
- Servers have their turns one after the other, so none keeps the others waiting, whatever it does. One
  that fails time and again is left alone for a while; who waits for it is told at once.
- Files are read one at a time, in slices (`wire.spans`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from functorrent.errors import AddressNotAllowed, BencodeError, FunctorrentError, NameNotResolved
from functorrent.interfaces import SourceContext
from functorrent.sources.http import HttpFailed, HttpTimedOut, HttpTooLong, HttpUnreachable
from functorrent.sources.web.place import Place
from functorrent.text import printable
from functorrent.wire.spans import find_span

#: Downloads that begin, or are told that they never will, before the reactor gets its turn.
_AT_ONCE = 50
#: Servers whose failures are remembered.
_MAX_SERVERS = 1000
_GONE = frozenset((404, 410))


class WebSourceFailed(FunctorrentError):
    """A web source was of no use; the message is for the report: "example.org sent no .torrent file"."""


class _NoTorrent(HttpFailed):
    """What is being sent is no .torrent file."""


class _NoRoom(HttpFailed):
    """Others need the memory more."""


class Download:
    """One file for one magnet; `result` fires with the raw bytes of its info dictionary. Cancellable."""

    __slots__ = ("_downloads", "begun", "body", "get", "over", "place", "result")

    def __init__(self, place: Place, downloads: Downloads) -> None:
        self.place = place
        self.begun = False
        self.over = False
        #: What has come of the file. A bytearray grows in place, and is not put together at the end.
        self.body = bytearray()
        self.get: Deferred[Any] | None = None
        self.result: Deferred[bytes] = Deferred(lambda _: downloads.drop(self))
        self._downloads = downloads

    def take(self, data: bytes) -> None:
        """A piece of the file is there."""
        # A page is known by its first byte, and need not come to its end.
        if not self.body and data and data[0] != 0x64:  # 'd'
            raise _NoTorrent
        self.body += data
        self._downloads.grown(self, len(data))


class Downloads:
    """One for the process; opens nothing before the first `fetch`."""

    def __init__(self, context: SourceContext) -> None:
        limits = context.limits
        self._limits = limits
        self._clock: Any = context.clock
        self._agent = context.agent
        self._most = 2 * limits.max_metadata
        self._budget = max(limits.web_sources_bytes, 2 * self._most)
        #: Bytes that those that run hold.
        self._held = 0
        self._running: dict[Download, None] = {}
        #: Those that wait, by server; and the servers whose turn may come, those next first.
        self._queues: dict[str, OrderedDict[Download, None]] = {}
        self._ready: OrderedDict[str, None] = OrderedDict()
        self._busy: dict[str, int] = {}
        self._waiting = 0
        #: How often on end a server failed, and until when it is left alone.
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._files: OrderedDict[Download, Generator[None, None, Any]] = OrderedDict()
        self._filling = False
        self._timers: dict[Any, Any] = {}
        self._stopped = False

    def fetch(self, place: Place) -> Download:
        """Get the file there when its turn comes. May have ended when this returns."""
        download = Download(place, self)
        if self._stopped or self._waiting >= self._limits.web_sources_waiting:
            self._tell(
                download, WebSourceFailed(f"{place.host} was not asked: too many files are waited for")
            )
            return download
        server = place.server
        queue = self._queues.get(server)
        if queue is None:
            queue = self._queues[server] = OrderedDict()
        queue[download] = None
        self._waiting += 1
        if self._busy.get(server, 0) < self._limits.web_sources_per_server:
            self._ready[server] = None
        self._fill()
        return download

    def stop(self) -> None:
        """End everything; what still waits or runs fails."""
        self._stopped = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for download in [*self._running, *(each for queue in self._queues.values() for each in queue)]:
            download.result.cancel()

    # -- turns ---------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Begin what may begin."""
        if self._filling or self._stopped:
            return
        self._filling = True
        try:
            for _ in range(_AT_ONCE):
                if not self._ready or len(self._running) >= self._limits.web_sources_at_once:
                    return
                server = next(iter(self._ready))
                self._ready.move_to_end(server)
                download, _ = self._queues[server].popitem(last=False)
                self._waiting -= 1
                self._left_queue(server)
                if self._rests(server):
                    self._tell(download, WebSourceFailed(f"{download.place.host} failed a moment ago"))
                else:
                    self._begin(download)
        finally:
            self._filling = False
        self._later(self._fill)

    def _begin(self, download: Download) -> None:
        server = download.place.server
        self._running[download] = None
        self._busy[server] = self._busy.get(server, 0) + 1
        if self._busy[server] >= self._limits.web_sources_per_server:
            self._ready.pop(server, None)
        download.begun = True
        download.get = self._agent().get(
            download.place.url,
            trusted=False,
            timeout=self._limits.web_source_timeout,
            max_body=self._most,
            # A connection kept for each server that magnets name would be a socket for each.
            keep=server in self._queues,
            take=download.take,
        )
        download.get.addCallbacks(self._got, self._failed, callbackArgs=(download,), errbackArgs=(download,))

    def _left_queue(self, server: str) -> None:
        if not self._queues[server]:
            del self._queues[server]
            self._ready.pop(server, None)

    def _later(self, call: Any) -> None:
        """Do it in the reactor's next turn, once."""
        if call not in self._timers and not self._stopped:
            self._timers[call] = self._clock.callLater(0, self._now, call)

    def _now(self, call: Any) -> None:
        del self._timers[call]
        call()

    # -- servers that fail ---------------------------------------------------------------------

    def _rests(self, server: str) -> bool:
        number, until = self._failures.get(server, (0, 0.0))
        return number >= self._limits.web_source_failures and self._clock.seconds() < until

    def _server_failed(self, server: str) -> None:
        number, _ = self._failures.pop(server, (0, 0.0))
        self._failures[server] = (number + 1, self._clock.seconds() + self._limits.web_source_rest)
        if len(self._failures) > _MAX_SERVERS:
            self._failures.popitem(last=False)

    # -- memory --------------------------------------------------------------------------------

    def grown(self, download: Download, number: int) -> None:
        """A download holds so many bytes more. Where all hold too much, one of the larger ones ends.

        The newest of those over half its share: who came first goes on, and small files are never in the way.
        """
        if download.over:
            return
        self._held += number
        if self._held <= self._budget:
            return
        half = self._budget // (2 * len(self._running))
        newest = next((each for each in reversed(self._running) if len(each.body) > half), download)
        if newest is download:
            raise _NoRoom
        get, newest.get = newest.get, None
        self._end(newest, _NoRoom())
        if get is not None:
            get.cancel()

    # -- the end of one ------------------------------------------------------------------------

    def _got(self, response: tuple[int, Any, bytes], download: Download) -> None:
        download.get = None
        self._failures.pop(download.place.server, None)
        status = response[0]
        if status != 200:
            host = download.place.host
            words = f"has no such torrent ({status})" if status in _GONE else f"answered with status {status}"
            self._end(download, WebSourceFailed(f"{host} {words}"))
            return
        self._files[download] = find_span(download.body, b"info")
        if len(self._files) == 1:
            self._read()

    def _failed(self, failure: Failure, download: Download) -> None:
        download.get = None
        if download.over:
            return
        if failure.check(HttpUnreachable, NameNotResolved) is not None:
            self._server_failed(download.place.server)
        error = failure.value
        self._end(download, error if isinstance(error, Exception) else WebSourceFailed("failed"))

    def _read(self) -> None:
        """Read the next slice of the first file."""
        if not self._files:
            return
        download, steps = next(iter(self._files.items()))
        outcome: bytes | Exception
        try:
            next(steps)
        except StopIteration as stop:
            outcome = self._info(download.body, stop.value)
        except BencodeError:
            outcome = _NoTorrent()
        else:
            self._later(self._read)
            return
        if self._files:
            self._later(self._read)
        self._end(download, outcome)

    def _info(self, body: bytearray, span: tuple[int, int] | None) -> bytes | Exception:
        if span is None:
            return _NoTorrent()
        start, end = span
        if end - start > self._limits.max_metadata:
            return HttpTooLong()
        with memoryview(body) as view:
            return bytes(view[start:end])

    def drop(self, download: Download) -> None:
        """It is not wanted any more; its `result` is being cancelled."""
        if download.over:
            return
        download.over = True
        if download.begun:
            get, download.get = download.get, None
            if get is not None:
                get.cancel()
            self._free(download)
        else:
            queue = self._queues[download.place.server]
            del queue[download]
            self._waiting -= 1
            self._left_queue(download.place.server)
        # Not now: when all magnets end, none is to begin before its own end.
        self._later(self._fill)

    def _end(self, download: Download, outcome: bytes | Exception) -> None:
        if not download.over:
            self._free(download)
            if isinstance(outcome, Exception) and not isinstance(outcome, WebSourceFailed):
                outcome = WebSourceFailed(_explain(download.place.host, outcome))
            self._tell(download, outcome)
            self._fill()

    def _free(self, download: Download) -> None:
        """It runs no more."""
        server = download.place.server
        del self._running[download]
        self._files.pop(download, None)
        self._held -= len(download.body)
        download.body = bytearray()
        self._busy[server] -= 1
        if not self._busy[server]:
            del self._busy[server]
        if server in self._queues:
            self._ready.setdefault(server, None)

    def _tell(self, download: Download, outcome: bytes | Exception) -> None:
        download.over = True
        if isinstance(outcome, Exception):
            download.result.errback(outcome)
        else:
            download.result.callback(outcome)


def _explain(host: str, error: Exception) -> str:
    """Why there is no file, for people."""
    if isinstance(error, AddressNotAllowed):
        whose = printable(error.host)
        # The host itself, as a literal; or what its name stands for, or it redirects to.
        return (
            f"{host} is {error.why}" if whose == host.strip("[]") else f"{host} leads to {whose}, {error.why}"
        )
    if isinstance(error, NameNotResolved):
        return f"{host} has no address"
    if isinstance(error, _NoTorrent):
        return f"{host} sent no .torrent file"
    if isinstance(error, _NoRoom):
        return f"{host} sent too much while others did, too"
    if isinstance(error, HttpTooLong):
        return f"{host} sent more than a .torrent file may have"
    if isinstance(error, HttpTimedOut):
        return f"{host} did not answer in time"
    return f"{host} failed: {printable(str(error))}"
