"""`make_site`: the routes, the doors and the connections of the HTTP side, as one factory to listen with."""

from __future__ import annotations

from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.web.server import Site

from functorrent.deadlines import Deadlines
from functorrent.web.answers import handle_failures
from functorrent.web.api_events import event_routes
from functorrent.web.api_job import job_routes
from functorrent.web.api_magnets import magnet_routes
from functorrent.web.api_session import session_routes
from functorrent.web.api_stats import stats_routes
from functorrent.web.api_torrent import torrent_routes
from functorrent.web.channel import HEADERS, IDLE, Channel
from functorrent.web.context import WebContext
from functorrent.web.doors import Doors
from functorrent.web.events import EventHub
from functorrent.web.hosts import HostGuard
from functorrent.web.openapi import openapi_routes
from functorrent.web.request import WebRequest
from functorrent.web.route import route_of
from functorrent.web.waiters import Waiters


def make_site(context: WebContext) -> WebSite:
    """The HTTP side of the daemon. It hears of changes in the store from now on."""
    app = Klein()
    # Two slashes are not one, and nothing is redirected.
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    handle_failures(app)
    doors = Doors(context.clock, context.wall, context.limits, context.token, HostGuard(context.hosts))
    hub = EventHub(context)
    waiters = Waiters(context)
    magnet_routes(app, context)
    job_routes(app, context, waiters)
    torrent_routes(app, context)
    event_routes(app, context, hub)
    stats_routes(app, context, doors)
    session_routes(app, doors)
    openapi_routes(app, context)
    for add_routes in context.pages:
        add_routes(app, context)
    return WebSite(context, app, doors, hub, waiters)


class WebSite(Site):
    """A factory of connections, bounded in number, that can be closed with them."""

    noisy = False
    requestFactory: Any = WebRequest

    def __init__(
        self, context: WebContext, app: Klein, doors: Doors, hub: EventHub, waiters: Waiters
    ) -> None:
        # Twisted's one idle time is off: Channel has its own.
        Site.__init__(self, app.resource(), timeout=None, reactor=context.clock)
        self.clock = context.clock
        self.limits = context.limits
        self.doors = doors
        self.hub = hub
        self._waiters = waiters
        self.deadlines = Deadlines(context.clock)
        self.closing = False
        self._answered = context.answered
        #: In the order in which they came.
        self._channels: dict[Channel, None] = {}
        self._closed: Deferred[None] | None = None

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A connection; None (Twisted hangs up) when there are too many, all of them with a request."""
        if self.closing or (len(self._channels) >= self.limits.web_connections and not self._make_room()):
            return None
        channel = Channel(self)
        channel.requestFactory = self.requestFactory
        return channel

    def _make_room(self) -> bool:
        # Honest clients send their headers at once: who dawdles for longest is the one to go.
        for phase in (IDLE, HEADERS):
            for channel in self._channels:
                if channel.phase is phase:
                    channel.abort()
                    return True
        return False

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1 alone: the doors and deadlines are its channel's."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """No access log: a line for each request would drown what the log is for."""

    def stopFactory(self) -> None:
        """Nothing was begun."""

    def log(self, request: Any) -> None:
        """A request was answered: see startFactory. It is counted."""
        if self._answered is not None:
            self._answered(request.method.decode("latin-1"), route_of(request), request.code)

    def connected(self, channel: Channel) -> None:
        """A connection has begun."""
        self._channels[channel] = None

    def disconnected(self, channel: Channel) -> None:
        """A connection has ended."""
        self._channels.pop(channel, None)
        if self._closed is not None and not self._channels:
            self._ended()

    def close(self, patience: float) -> Deferred[None]:
        """End the streams and idle connections now, the others when they are answered or `patience` seconds
        are over. Who waits for a job is answered, and no more is read of a body. The Deferred fires when
        none is left."""
        self.closing = True
        self.hub.close()
        self._waiters.close()
        for channel in list(self._channels):
            channel.wind_up()
        done: Deferred[None] = Deferred()
        self._closed = done
        if not self._channels:
            self._ended()
        else:
            self._timer = self.clock.callLater(patience, self._give_up)
        return done

    def _give_up(self) -> None:
        for channel in list(self._channels):
            channel.abort()

    def _ended(self) -> None:
        done, self._closed = self._closed, None
        timer = getattr(self, "_timer", None)
        if timer is not None and timer.active():
            timer.cancel()
        self.deadlines.stop()
        if done is not None:
            done.callback(None)
