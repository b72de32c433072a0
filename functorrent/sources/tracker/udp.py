"""Announces to UDP trackers (BEP 15): one socket per family, one connection id per tracker, for all magnets.

Laws of this file:

- An announce is queued (at its server), pending (sent, in `_pending` by transaction id), or over.
  `done` is called once, unless it was cancelled.
- A server has at most one connect under way; all its announces wait for that. So a tracker that is dead
  holds no place among the announces in flight.
- At most `Limits.udp_in_flight` announces that were sent once are in flight, taken from the servers in
  turn. One that had to be sent again no longer counts (it is not in anybody's socket buffer), but its
  server then gets only `_DOUBTED` at once until it answers.
- What does not come from the server asked, with the transaction id it was asked with, is dropped.
"""

from __future__ import annotations

import socket
from collections import OrderedDict, deque
from typing import Any

from twisted.internet.defer import Deferred, succeed

from functorrent.errors import TrackerError, TrackerFailed, TrackerProtocolError, TrackerTimedOut
from functorrent.limits import Limits
from functorrent.sources.tracker.announce import Announce
from functorrent.sources.tracker.transactions import TransactionIds
from functorrent.sources.tracker.udp_server import (
    Done,
    UdpAnnounce,
    UdpConnect,
    UdpServer,
    encode_announce,
    read_answer,
)
from functorrent.sources.udp_socket import UdpSockets
from functorrent.text import printable
from functorrent.wire import udp_tracker as wire

#: Unanswered announces at once to a server that has left one unanswered.
_DOUBTED = 4
#: How often what is overdue is looked for; one timer for all.
_SWEEP = 0.25
#: How long a server that was dead is tried, before those who wait for it fail.
_PROBE = (1.0, 2.0)
#: Servers whose connection ids and health are remembered; and `stopped` waiting for a connection id.
_MAX_SERVERS = 10_000
_MAX_FAREWELLS = 1000


class UdpTrackers:
    """All UDP trackers of the process. Opens no socket before the first announce."""

    def __init__(self, reactor: Any, clock: Any, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._ids = TransactionIds()
        self._sockets = UdpSockets(reactor, limits.udp_receive_buffer, self.received)
        self._servers: OrderedDict[tuple[str, int], UdpServer] = OrderedDict()
        self._pending: dict[int, UdpAnnounce | UdpConnect] = {}
        self._ready: deque[UdpServer] = deque()
        self._fresh = 0
        self._timer: Any = None
        self._farewells = 0
        self._drained: Deferred[None] | None = None
        self._closed = False

    # -- what lookups use ----------------------------------------------------------------------

    def server(self, host: str, port: int) -> UdpServer:
        """The server at an IP literal."""
        if ":" in host:  # as recvfrom will write it
            host = socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, host))
        server = self._servers.get((host, port))
        if server is None:
            server = self._servers[host, port] = UdpServer((host, port), self._limits.udp_in_flight)
            if len(self._servers) > _MAX_SERVERS:
                self._servers.popitem(last=False)
        return server

    def announce(self, server: UdpServer, announce: Announce, done: Done) -> UdpAnnounce:
        """Announce `started`; `done` gets it and the Answer or the error, perhaps before
        this returns."""
        ask = UdpAnnounce(server, announce, done)
        now = self._clock.seconds()
        if server.health.is_down(now) and server.connect is None and not server.health.may_probe(now):
            ask.finish(TrackerTimedOut(server.health.why))
        elif (
            server.expires > now
            and not server.queue
            and server.in_flight < server.window
            and self._fresh < self._limits.udp_in_flight
        ):
            self._send(ask, now)
        else:
            server.queue[ask] = None
            self._wake(server, now)
        return ask

    def cancel(self, ask: UdpAnnounce) -> None:
        """Forget an announce; harmless for one that is over."""
        ask.done = None
        if ask in ask.server.queue:
            del ask.server.queue[ask]
        elif self._unpend(ask):
            self._wake(ask.server, self._clock.seconds())

    def stopped(self, server: UdpServer, announce: Announce) -> None:
        """Tell the tracker that we left: one datagram, whose answer nobody waits for."""
        now = self._clock.seconds()
        if server.expires > now:
            self._part(server, announce)
        elif not server.health.is_down(now) and self._farewells < _MAX_FAREWELLS and not self._closed:
            self._farewells += 1
            server.farewells.append(announce)
            self._wake(server, now)

    def _part(self, server: UdpServer, announce: Announce) -> None:
        packet = encode_announce(server, announce, self._ids.take(), wire.STOPPED)
        self._sockets.write(server.address, packet)

    def drain(self) -> Deferred[None]:
        """Fires when no `stopped` waits for a connection id any more."""
        if not self._farewells:
            return succeed(None)
        self._drained = Deferred()
        return self._drained

    def close(self) -> Deferred[None]:
        """Forget everything and close the sockets."""
        self._closed = True
        self._pending.clear()
        self._ready.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return self._sockets.close()

    # -- sending -------------------------------------------------------------------------------

    def _wake(self, server: UdpServer, now: float) -> None:
        """The server has something to send, or room to send it."""
        if server.expires > now:
            if server.queue and not server.listed:
                server.listed = True
                self._ready.append(server)
            self._pump(now)
        elif server.connect is None and (server.queue or server.farewells):
            down = server.health.is_down(now)
            server.connect = UdpConnect(server, _PROBE if down else self._limits.udp_retransmit, now)
            self._pend(server.connect, now)
            self._transmit(server.connect, wire.ConnectRequest(server.connect.transaction_id).encode())

    def _pump(self, now: float) -> None:
        ready = self._ready
        while ready and self._fresh < self._limits.udp_in_flight:
            server = ready.popleft()
            if server.queue and server.expires > now and server.in_flight < server.window:
                ask, _ = server.queue.popitem(last=False)
                ready.append(server)
                self._send(ask, now)
            else:
                server.listed = False
                if server.expires <= now:
                    self._wake(server, now)

    def _send(self, ask: UdpAnnounce, now: float) -> None:
        server = ask.server
        server.in_flight += 1
        if ask.attempt == 0:
            ask.sent = now
            self._fresh += 1
        self._pend(ask, now)
        self._transmit(ask, encode_announce(server, ask.announce, ask.transaction_id, wire.STARTED))

    def _pend(self, entry: UdpAnnounce | UdpConnect, now: float) -> None:
        transaction_id = self._ids.take()
        while transaction_id in self._pending:
            transaction_id = self._ids.take()
        entry.transaction_id = transaction_id
        waits = entry.schedule if isinstance(entry, UdpConnect) else self._limits.udp_retransmit
        entry.due = now + waits[entry.attempt]
        self._pending[transaction_id] = entry
        if self._timer is None and not self._closed:
            self._timer = self._clock.callLater(_SWEEP, self._sweep)

    def _unpend(self, ask: UdpAnnounce) -> bool:
        if self._pending.get(ask.transaction_id) is not ask:
            return False
        del self._pending[ask.transaction_id]
        ask.server.in_flight -= 1
        if ask.attempt == 0:
            self._fresh -= 1
        return True

    def _transmit(self, entry: UdpAnnounce | UdpConnect, data: bytes) -> None:
        error = self._sockets.write(entry.server.address, data)
        if error is not None:
            self._failed(entry, TrackerFailed(error))

    # -- what comes back -----------------------------------------------------------------------

    def received(self, data: bytes, address: Any) -> None:
        """A datagram from anybody."""
        try:
            action, transaction_id = wire.decode_head(data)
        except TrackerProtocolError:
            return
        entry = self._pending.get(transaction_id)
        if entry is None or entry.server.address != address:
            return
        server = entry.server
        now = self._clock.seconds()
        server.health.alive(now)
        server.window = self._limits.udp_in_flight
        try:
            answer = wire.decode_body(action, transaction_id, data)
        except TrackerProtocolError as error:
            self._failed(entry, TrackerFailed(str(error)))
            return
        if isinstance(answer, wire.AnnounceAnswer) and isinstance(entry, UdpAnnounce):
            self._unpend(entry)
            if server.queue or self._ready:
                self._wake(server, now)
            entry.finish(read_answer(server, answer, self._limits))
        elif isinstance(answer, wire.ConnectAnswer) and isinstance(entry, UdpConnect):
            del self._pending[entry.transaction_id]
            self._connected(server, answer.connection_id, now)
        elif isinstance(answer, wire.ErrorAnswer):
            self._refused(entry, answer.message, now)
        else:
            self._failed(entry, TrackerFailed("an answer to something that was not asked"))

    def _connected(self, server: UdpServer, connection_id: int, now: float) -> None:
        server.connect = None
        server.connection_id = connection_id
        server.expires = now + self._limits.udp_connection_id_life
        farewells, server.farewells = server.farewells, []
        for announce in farewells:
            self._part(server, announce)
        self._said(len(farewells))
        self._wake(server, now)

    def _refused(self, entry: UdpAnnounce | UdpConnect, message: bytes, now: float) -> None:
        server = entry.server
        if isinstance(entry, UdpAnnounce) and not entry.reconnected and b"connection" in message.lower():
            # It has forgotten our connection id (a restart): another one, once.
            entry.reconnected = True
            self._unpend(entry)
            if server.connect is None and entry.sent >= server.expires - self._limits.udp_connection_id_life:
                server.expires = 0.0
            entry.attempt = 0
            server.queue[entry] = None
            self._wake(server, now)
            return
        words = printable(message.rstrip(b"\0"))
        why = f"the tracker refused: {words}" if words else "the tracker refused, without a reason"
        self._failed(entry, TrackerFailed(why))

    def _failed(self, entry: UdpAnnounce | UdpConnect, error: TrackerError) -> None:
        """An announce is over; with a connect, all that wait for it."""
        server = entry.server
        if isinstance(entry, UdpAnnounce):
            self._unpend(entry)
            self._wake(server, self._clock.seconds())
            entry.finish(error)
            return
        self._pending.pop(entry.transaction_id, None)
        server.connect = None
        said, server.farewells = len(server.farewells), []
        self._said(said)
        queue, server.queue = server.queue, OrderedDict()
        for ask in queue:
            ask.finish(error)

    def _said(self, number: int) -> None:
        self._farewells -= number
        if not self._farewells and self._drained is not None:
            drained, self._drained = self._drained, None
            drained.callback(None)

    # -- time ----------------------------------------------------------------------------------

    def _sweep(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        for entry in [entry for entry in self._pending.values() if entry.due <= now]:
            if self._pending.get(entry.transaction_id) is entry:  # another one's failure may end it
                self._overdue(entry, now)
        self._pump(now)
        if (self._pending or self._ready) and self._timer is None and not self._closed:
            self._timer = self._clock.callLater(_SWEEP, self._sweep)

    def _overdue(self, entry: UdpAnnounce | UdpConnect, now: float) -> None:
        server = entry.server
        if isinstance(entry, UdpConnect):
            entry.attempt += 1
            if entry.attempt < len(entry.schedule):
                entry.due = now + entry.schedule[entry.attempt]
                self._transmit(entry, wire.ConnectRequest(entry.transaction_id).encode())
                return
            self._gave_up(server, entry.sent, now)
            self._failed(entry, TrackerTimedOut("it did not answer"))
            return
        server.window = _DOUBTED
        if entry.attempt == 0:
            self._fresh -= 1
        entry.attempt += 1
        if entry.attempt == len(self._limits.udp_retransmit):
            self._gave_up(server, entry.sent, now)
            self._failed(entry, TrackerTimedOut("it did not answer"))
        elif server.expires > now:
            entry.due = now + self._limits.udp_retransmit[entry.attempt]
            self._transmit(entry, encode_announce(server, entry.announce, entry.transaction_id, wire.STARTED))
        else:
            self._unpend(entry)
            server.queue[entry] = None
            self._wake(server, now)

    def _gave_up(self, server: UdpServer, asked: float, now: float) -> None:
        server.health.failed(now, asked, "it did not answer, to another magnet either")
        if server.health.is_down(now):
            server.expires = 0.0
