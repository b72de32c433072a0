"""`/api/v1/events`: server-sent events (the HTML standard's EventSource)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from functorrent.web.events import EventHub, Stream
from functorrent.web.problems import Problem
from functorrent.web.queries import arguments
from functorrent.web.request import WebRequest

if TYPE_CHECKING:
    from functorrent.web.context import WebContext


def event_routes(app: Klein, context: WebContext, hub: EventHub) -> None:
    """Add it to `app`."""

    @app.route("/api/v1/events", methods=["GET"])
    async def events(request: WebRequest) -> None:
        arguments(request, ())
        if hub.full:
            raise Problem(429, "Too many streams of events are open already.", retry_after=10)
        place = _place(request, hub)
        request.setHeader(b"Content-Type", b"text/event-stream")
        # nginx would gather them.
        request.setHeader(b"X-Accel-Buffering", b"no")
        if request.method == b"HEAD":
            request.send_nothing(200)
            return
        ended: Deferred[None] = Deferred()
        stream = Stream(request.write, lambda: ended.callback(None), place)
        request.registerProducer(_Flow(hub, stream), True)
        # At once, so that the client knows that it is heard.
        request.write(b"retry: 3000\n\n")
        hub.join(stream)
        try:
            # Until the hub closes; Klein cancels this when the client is gone.
            await ended
        finally:
            hub.leave(stream)
            request.unregisterProducer()
        request.finish()


def _place(request: WebRequest, hub: EventHub) -> int:
    """Where the stream begins: -1 for `reset`."""
    last = request.getHeader(b"Last-Event-ID")
    if last is None:
        return hub.last
    place = hub.place_of(last.decode("latin-1"))
    return -1 if place is None else place


@implementer(IPushProducer)
class _Flow:
    """Tells a stream whether its client reads."""

    def __init__(self, hub: EventHub, stream: Stream) -> None:
        self._hub = hub
        self._stream = stream

    def pauseProducing(self) -> None:
        """The client does not read."""
        self._stream.ready = False

    def resumeProducing(self) -> None:
        """It does again."""
        self._hub.resumed(self._stream)

    def stopProducing(self) -> None:
        """The client is gone."""
        self._hub.leave(self._stream)
