"""`Body`: what comes after a request's headers, read by its handler while it arrives.

twisted.web keeps a whole body before anybody sees it. Here a bounded part waits, and the socket is
paused until the handler has read it: nobody sends faster than the store commits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.defer import Deferred

from functorrent.web.problems import Problem


class Body:
    """The bytes of one request's body.

    `declared`: its Content-Length, None where it comes in chunks. `flow(on)` lets the socket be read, or
    pauses it, when more than `buffer` bytes wait.
    """

    def __init__(self, declared: int | None, buffer: int, flow: Callable[[bool], None]) -> None:
        self.declared = declared
        #: Whether all of it has come.
        self.complete = declared == 0
        #: Whether the socket is paused, for the handler has not read what came.
        self.paused = False
        self._buffer = buffer
        self._flow = flow
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._received = 0
        self._cap: int | None = None
        self._error: Exception | None = None
        self._reader: Deferred[None] | None = None

    # -- for its handler -----------------------------------------------------------------------

    def open(self, cap: int) -> None:
        """The handler wants it, up to `cap` bytes. Raises a Problem (413) where it is known to be longer."""
        self._cap = cap
        if max(self.declared or 0, self._received) > cap:
            raise _too_large(cap)

    async def read(self) -> bytes:
        """The next bytes; b"" at the end. Raises what went wrong: a Problem."""
        while not self._chunks:
            # First what came before the error: good lines ahead of it count.
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            self._reader = Deferred()
            try:
                await self._reader
            finally:
                self._reader = None
        chunk = self._chunks.popleft()
        self._waiting -= len(chunk)
        if self.paused and self._waiting <= self._buffer // 2:
            self.paused = False
            self._flow(True)
        return chunk

    async def read_all(self, cap: int) -> bytes:
        """All of it. Raises a Problem: 413 where it is longer than `cap`, or what went wrong."""
        self.open(cap)
        pieces = []
        while piece := await self.read():
            pieces.append(piece)
        return b"".join(pieces)

    # -- for the connection --------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Some of it has come."""
        if self._error is not None or not data:
            return
        self._received += len(data)
        if self._cap is not None and self._received > self._cap:
            self.fail(_too_large(self._cap))
            return
        self._chunks.append(data)
        self._waiting += len(data)
        if self._waiting > self._buffer and not self.paused:
            self.paused = True
            self._flow(False)
        self._wake()

    def end(self) -> None:
        """All of it has come."""
        self.complete = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """No more of it will come."""
        if self._error is None and not self.complete:
            self._error = error
            self._wake()

    def drop(self) -> None:
        """Nobody will read any more of it."""
        self._chunks.clear()
        self._waiting = 0
        self.fail(Problem(400, "The rest of the request did not come."))

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.callback(None)


def _too_large(cap: int) -> Problem:
    size = f"{cap // (1024 * 1024)} MiB" if cap >= 1024 * 1024 else f"{cap // 1024} KiB"
    return Problem(413, f"The body of this request is too large: it may have {size}.")
