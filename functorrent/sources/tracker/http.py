"""Announces to HTTP trackers (BEP 3): bounded for each server, the dead ones known.

Laws of this file: an announce is queued (at its server), running, or over; `done` is called once, unless
it was cancelled. A server has at most `Limits.http_in_flight` running; queues are apart, so a dead server
never blocks a live one. When one fails that has answered nothing meanwhile, all that queue for it fail.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from functorrent.errors import AddressNotAllowed, FunctorrentError, TrackerFailed, TrackerTimedOut
from functorrent.limits import Limits
from functorrent.sources.http import HttpTimedOut, HttpUnreachable
from functorrent.sources.tracker.announce import Announce, Answer, announce_url, parse_answer
from functorrent.sources.tracker.health import Health
from functorrent.text import printable

_MAX_SERVERS = 10_000
_MAX_FAREWELLS = 1000
#: A `stopped` nobody waits for is not worth a whole announce's patience.
_FAREWELL_TIMEOUT = 5.0


class _Server:
    """What trackers of one scheme, host and port share."""

    __slots__ = ("farewells", "health", "in_flight", "queue")

    def __init__(self) -> None:
        self.health = Health()
        self.in_flight = 0
        self.queue: OrderedDict[HttpAnnounce, None] = OrderedDict()
        self.farewells: deque[Announce] = deque()


class HttpAnnounce:
    """An announce queued or running; `done` is None once it is over."""

    __slots__ = ("announce", "done", "request", "sent", "server")

    def __init__(self, server: _Server, announce: Announce, done: Done) -> None:
        self.server = server
        self.announce = announce
        self.done: Done | None = done
        self.request: Deferred[Any] | None = None
        self.sent = 0.0

    def finish(self, outcome: Answer | FunctorrentError) -> None:
        done, self.done = self.done, None
        if done is not None:
            done(self, outcome)


Done = Callable[[HttpAnnounce, Answer | FunctorrentError], None]


class HttpTrackers:
    """All HTTP trackers of the process; `agent()` gives the HttpClient, made at first use."""

    def __init__(self, agent: Callable[[], Any], clock: Any, limits: Limits) -> None:
        self._agent = agent
        self._clock = clock
        self._limits = limits
        self._servers: OrderedDict[tuple[str, str, int, bool], _Server] = OrderedDict()
        self._farewells: set[Deferred[Any]] = set()
        self._waiting = 0
        self._drained: Deferred[None] | None = None

    # -- what lookups use ----------------------------------------------------------------------

    def announce(self, announce: Announce, done: Done) -> HttpAnnounce:
        """Announce `started`; `done` gets it and the Answer or the error, perhaps before
        this returns."""
        server = self._server(announce)
        ask = HttpAnnounce(server, announce, done)
        now = self._clock.seconds()
        if server.health.is_down(now) and not server.health.may_probe(now):
            ask.finish(TrackerTimedOut(server.health.why))
        elif server.in_flight < self._limits.http_in_flight:
            self._send(ask)
        else:
            server.queue[ask] = None
        return ask

    def cancel(self, ask: HttpAnnounce) -> None:
        """Forget an announce; harmless for one that is over."""
        ask.done = None
        ask.server.queue.pop(ask, None)
        request, ask.request = ask.request, None
        if request is not None:
            request.cancel()

    def stopped(self, announce: Announce) -> None:
        """Tell the tracker that we left; nobody waits for its answer."""
        server = self._server(announce)
        if not server.health.is_down(self._clock.seconds()) and self._waiting < _MAX_FAREWELLS:
            self._waiting += 1
            server.farewells.append(announce)
            self._next(server)

    def drain(self) -> Deferred[None]:
        """Fires when every `stopped` is out and answered."""
        if not self._waiting:
            return succeed(None)
        self._drained = Deferred()
        return self._drained

    def close(self) -> None:
        """Give up the `stopped` that are still out."""
        for server in self._servers.values():
            server.farewells.clear()
        for request in list(self._farewells):
            request.cancel()

    # -- one server ----------------------------------------------------------------------------

    def _server(self, announce: Announce) -> _Server:
        origin = announce.tracker.origin
        server = self._servers.get(origin)
        if server is None:
            server = self._servers[origin] = _Server()
            if len(self._servers) > _MAX_SERVERS:
                self._servers.popitem(last=False)
        return server

    def _get(self, announce: Announce, event: str, timeout: float) -> Deferred[Any]:
        request: Deferred[Any] = self._agent().get(
            announce_url(announce, event),
            trusted=announce.tracker.trusted,
            timeout=timeout,
            max_body=self._limits.http_body,
        )
        return request

    def _send(self, ask: HttpAnnounce) -> None:
        ask.server.in_flight += 1
        ask.sent = self._clock.seconds()
        ask.request = request = self._get(ask.announce, "started", self._limits.http_timeout)
        request.addCallbacks(self._answered, self._failed, callbackArgs=(ask,), errbackArgs=(ask,))

    def _next(self, server: _Server) -> None:
        """Send what the server has room for, announces first."""
        while server.in_flight < self._limits.http_in_flight:
            if server.queue:
                self._send(server.queue.popitem(last=False)[0])
            elif server.farewells:
                self._part(server, server.farewells.popleft())
            else:
                return

    def _answered(self, response: tuple[int, Any, bytes], ask: HttpAnnounce) -> None:
        server, ask.request = ask.server, None
        server.in_flight -= 1
        server.health.alive(self._clock.seconds())
        self._next(server)
        status, _, body = response
        outcome: Answer | FunctorrentError
        try:
            # Some trackers give their reason with a status of 4xx, so the body comes first.
            outcome = parse_answer(body, self._limits)
        except TrackerFailed as error:
            refused = str(error).startswith("the tracker refused")
            outcome = error if status == 200 or refused else TrackerFailed(f"HTTP status {status}")
        ask.finish(outcome)

    def _failed(self, failure: Failure, ask: HttpAnnounce) -> None:
        server, ask.request = ask.server, None
        server.in_flight -= 1
        if ask.done is None:  # cancelled
            self._next(server)
            return
        error = failure.value
        outcome: FunctorrentError
        if isinstance(error, AddressNotAllowed):
            outcome = error
        elif isinstance(error, HttpTimedOut):
            outcome = TrackerTimedOut(f"it did not answer: {error}")
        elif isinstance(error, FunctorrentError):
            outcome = TrackerFailed(printable(str(error)))
        else:
            outcome = TrackerFailed("shutting down")
        gone: list[HttpAnnounce] = []
        if isinstance(error, HttpUnreachable):
            now = self._clock.seconds()
            server.health.failed(now, ask.sent, f"{outcome} (to another magnet)")
            if server.health.is_down(now):
                gone = list(server.queue)
                server.queue.clear()
                self._waiting -= len(server.farewells)
                server.farewells.clear()
                self._said()
        self._next(server)
        ask.finish(outcome)
        for other in gone:
            other.finish(outcome)

    # -- the end -------------------------------------------------------------------------------

    def _part(self, server: _Server, announce: Announce) -> None:
        server.in_flight += 1
        request = self._get(announce, "stopped", _FAREWELL_TIMEOUT)
        self._farewells.add(request)

        def parted(_: Any) -> None:
            self._farewells.discard(request)
            server.in_flight -= 1
            self._waiting -= 1
            self._next(server)
            self._said()

        request.addBoth(parted)

    def _said(self) -> None:
        if not self._waiting and self._drained is not None:
            drained, self._drained = self._drained, None
            drained.callback(None)
