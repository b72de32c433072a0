"""Queries under way: transactions, time limits that follow what is measured, rates.

Laws of this file:

- An answer counts only with a transaction id that is open and from the very address that was asked.
- Each call is `stalled` once when it takes longer than most (its asker may go on to the next), `lost`
  once when it takes longer than nearly all; an answer counts until `Limits.dht_forget` all the same,
  so that a network slower than our guess corrects the guess.
- No Deferred and no timer for each call: they are in queues in the order of sending, which one timer
  looks at.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from functorrent.interfaces import PeerAddress
from functorrent.limits import Limits
from functorrent.rates import RateOfEach, Turns
from functorrent.sources.dht.places import place
from functorrent.sources.dht.stats import DhtStats
from functorrent.sources.dht.ways import Ways
from functorrent.wire.krpc import Error, Response

#: Bytes of a transaction id, and how many are drawn of the system's randomness at once.
_ID = 4
_DRAWN = 256 * _ID
#: Shortest time between two looks at the queues.
_GRAIN = 0.02
#: Addresses whose rate is remembered.
_MAX_ADDRESSES = 4096

OPEN, STALLED, LOST, OVER = range(4)


class ICaller(Protocol):
    """Whoever asks. Each is called with the call it is about; none of them may raise."""

    def answered(self, call: Call, response: Response) -> None:
        """The answer is there; perhaps after `stalled` and `lost`, perhaps by another id than asked."""

    def stalled(self, call: Call) -> None:
        """It takes longer than usual, and may come yet."""

    def lost(self, call: Call) -> None:
        """It will hardly come any more; or the node answered with an error."""


class Call:
    """One query. `node_id`: by which id the node was named, None where we asked an address alone."""

    __slots__ = ("address", "caller", "method", "node_id", "sent", "state", "tag", "transaction")

    def __init__(
        self, address: PeerAddress, node_id: bytes | None, method: str, caller: ICaller | None, tag: Any
    ) -> None:
        self.address = address
        self.node_id = node_id
        self.method = method
        self.caller = caller
        self.tag = tag
        self.transaction = b""
        self.sent = 0.0
        self.state = OPEN


class RoundTrips:
    """How long answers take, of all nodes together: smoothed as TCP does it (RFC 6298)."""

    __slots__ = ("_limits", "_mean", "_spread")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._mean: float | None = None
        self._spread = 0.0

    def measured(self, seconds: float) -> None:
        """One more answer."""
        if self._mean is None:
            self._mean, self._spread = seconds, seconds / 2
            return
        self._spread += (abs(seconds - self._mean) - self._spread) / 4
        self._mean += (seconds - self._mean) / 8

    @property
    def stall(self) -> float:
        """Seconds after which the next node is asked."""
        limits = self._limits
        if self._mean is None:
            return limits.dht_first_stall
        return min(max(self._mean + self._spread, limits.dht_min_stall), limits.dht_max_timeout / 2)

    @property
    def limit(self) -> float:
        """Seconds after which an answer is not waited for any more."""
        limits = self._limits
        if self._mean is None:
            return limits.dht_first_timeout
        return min(max(self._mean + 4 * self._spread, limits.dht_min_timeout), limits.dht_max_timeout)


class Calls:
    """All queries of our node.

    `send(data, (host, port))` sends a datagram; what it returns, if anything, is why it could not.
    `heard(call, response)` is called for each answer, `silent(call)` for each call that is lost, before
    its caller is.
    """

    def __init__(
        self,
        clock: Any,
        send: Callable[[bytes, tuple[str, int]], Any],
        limits: Limits,
        rate: float,
        stats: DhtStats,
        heard: Callable[[Call, Response], None],
        silent: Callable[[Call], None],
    ) -> None:
        self._clock = clock
        self._send = send
        self._limits = limits
        self._stats = stats
        self._heard = heard
        self._silent = silent
        self.round_trips = RoundTrips(limits)
        self._ways = Ways()
        #: Who waits to ask, in turn.
        self.turns = Turns(clock, rate, max(1.0, min(limits.dht_burst, rate)))
        self._open: dict[bytes, Call] = {}
        self._fresh: deque[Call] = deque()
        self._slow: deque[Call] = deque()
        self._late: deque[Call] = deque()
        #: Those that could not be sent.
        self._unsent: deque[Call] = deque()
        self._rates = RateOfEach(limits.dht_address_rate, limits.dht_address_burst, _MAX_ADDRESSES)
        self._ids = b""
        self._drawn = 0
        self._timer: Any = None
        self._due = 0.0
        self._stopped = False

    def __len__(self) -> int:
        """Calls that may still be answered."""
        return len(self._open)

    # -- asking --------------------------------------------------------------------------------

    def pause(self, address: PeerAddress) -> float:
        """Seconds until that address may be asked one thing more: 0.0 for now.

        libtorrent blocks for five minutes who sends it more than 5 packets a second for 10 s.
        """
        return self._rates.pause(place(address)[0], float(self._clock.seconds()))

    def open(self, v6: bool) -> bool:
        """Whether a family leads anywhere."""
        return self._ways.open(v6, float(self._clock.seconds()))

    def ask(self, call: Call, encode: Callable[[bytes], bytes]) -> None:
        """Send a query; `encode` makes the datagram with the transaction id (bytes of 4).

        A rate is the caller's to keep (`turns`, `pause`). Nothing is called before this returns.
        """
        now = float(self._clock.seconds())
        self._rates.take(place(call.address)[0], now)
        call.transaction = transaction = self._new_id()
        call.sent = now
        self._open[transaction] = call
        self._stats.queries_sent += 1
        v6 = ":" in call.address.host
        if self._stopped or self._send(encode(transaction), call.address) is not None:
            self._ways.refused(v6, now)
            self._unsent.append(call)
            self._wake(now + _GRAIN)
            return
        self._ways.sent(v6)
        self._fresh.append(call)
        if self._timer is None:
            self._wake(now + self.round_trips.stall)

    def forget(self, call: Call) -> None:
        """Its caller is not interested any more; the answer is still of use to the routing table."""
        call.caller = None

    def _new_id(self) -> bytes:
        while True:
            at = self._drawn
            if at >= len(self._ids):
                self._ids = os.urandom(_DRAWN)
                at = 0
            self._drawn = at + _ID
            drawn = self._ids[at : at + _ID]
            if drawn not in self._open:
                return drawn

    # -- what comes back -----------------------------------------------------------------------

    def received(self, answer: Response | Error, address: tuple[str, int]) -> None:
        """An answer or an error from anybody."""
        call = self._open.get(answer.transaction)
        if call is None or call.address != address:
            self._stats.unknown += 1
            return
        del self._open[answer.transaction]
        state, call.state = call.state, OVER
        now = float(self._clock.seconds())
        self.round_trips.measured(now - call.sent)
        self._ways.answered(":" in call.address.host, now)
        caller = call.caller
        if isinstance(answer, Error):
            self._stats.errors += 1
            if state != LOST:
                if call.method != "announce_peer":
                    # A node that answers nothing else is none; a token it does not know any more is no fault.
                    self._silent(call)
                if caller is not None:
                    caller.lost(call)
            return
        self._stats.answers += 1
        self._heard(call, answer)
        if caller is not None:
            caller.answered(call, answer)

    # -- time ----------------------------------------------------------------------------------

    def _wake(self, due: float) -> None:
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = self._clock.callLater(max(_GRAIN, due - self._clock.seconds()), self._look)

    def _look(self) -> None:
        self._timer = None
        now = float(self._clock.seconds())
        try:
            self._look_at(now)
        finally:
            # A caller's bug is no reason for the others' time to stand still.
            self._sleep(self.round_trips.stall, self.round_trips.limit, self._limits.dht_forget)

    def _look_at(self, now: float) -> None:
        round_trips, forget = self.round_trips, self._limits.dht_forget
        unsent, self._unsent = self._unsent, deque()
        for call in unsent:
            # Who was told of the one before may have stopped us.
            if call.state == OPEN:
                del self._open[call.transaction]
                self._lose(call)
                call.state = OVER
        due = now - round_trips.stall
        while self._fresh and self._fresh[0].sent <= due:
            call = self._fresh.popleft()
            if call.state == OPEN:
                self._slow.append(call)
                call.state = STALLED
                if call.caller is not None:
                    call.caller.stalled(call)
        due = now - round_trips.limit
        while self._slow and self._slow[0].sent <= due:
            call = self._slow.popleft()
            if call.state == STALLED:
                self._late.append(call)
                self._lose(call)
        while self._late and self._late[0].sent <= now - forget:
            call = self._late.popleft()
            if call.state == LOST:
                del self._open[call.transaction]
                call.state = OVER

    def _sleep(self, stall: float, limit: float, forget: float) -> None:
        """Wake for whichever is the next."""
        next_due = [self._clock.seconds()] if self._unsent else []
        for queue, seconds in ((self._fresh, stall), (self._slow, limit), (self._late, forget)):
            while queue and queue[0].state == OVER:
                queue.popleft()
            if queue:
                next_due.append(queue[0].sent + seconds)
        if next_due:
            self._wake(min(next_due))

    def _lose(self, call: Call) -> None:
        call.state = LOST
        self._stats.timeouts += 1
        self._ways.lost(":" in call.address.host, float(self._clock.seconds()))
        self._silent(call)
        if call.caller is not None:
            call.caller.lost(call)

    def stop(self) -> None:
        """Forget everything; nobody is called any more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for call in self._open.values():
            call.caller = None
            call.state = OVER
        self._open.clear()
        for queue in (self._fresh, self._slow, self._late, self._unsent):
            queue.clear()
