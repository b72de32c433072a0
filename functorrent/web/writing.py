"""`write_pieces`: a long answer, written as fast as its client reads it."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from functorrent.web.cooperate import Slices
from functorrent.web.request import WebRequest


async def write_pieces(request: WebRequest, pieces: Iterable[bytes], slices: Slices) -> None:
    """Write `pieces` and finish; no more than the socket's buffer waits in memory."""
    flow = _Flow()
    request.registerProducer(flow, True)
    try:
        for piece in pieces:
            request.write(piece)
            await flow.open()
            await slices.breathe()
    finally:
        request.unregisterProducer()
    request.finish()


@implementer(IPushProducer)
class _Flow:
    """Whether the client reads."""

    def __init__(self) -> None:
        self._paused = False
        self._waiting: Deferred[None] | None = None

    async def open(self) -> None:
        """Wait until it does."""
        if self._paused:
            self._waiting = Deferred()
            await self._waiting

    def pauseProducing(self) -> None:
        """It does not."""
        self._paused = True

    def resumeProducing(self) -> None:
        """It does."""
        self._paused = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.called:
            waiting.callback(None)

    def stopProducing(self) -> None:
        """The client is gone: whoever writes is cancelled."""
