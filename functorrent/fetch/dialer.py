"""The dialer: every outgoing connection of the process (DESIGN section 4).

One budget of sockets, shared fairly: races that want to dial wait in a ring and each gets one dial a
turn, so a magnet with a thousand dead peers never holds up one whose first peer answers.
"""

from __future__ import annotations

import errno
from collections import OrderedDict, deque
from typing import Any, Protocol

from twisted.internet import error
from twisted.python.failure import Failure

from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS, Limits

#: Addresses remembered as having answered.
_REMEMBERED = 10_000
#: Seconds to wait when this machine has no more sockets to give.
_BREATH = 0.05
#: Errors that say something about this machine, not about the peer.
_LOCAL_ERRORS = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN)
)
#: Sockets kept in use however few this machine gives.
_FEWEST = 8


class Dials(Protocol):
    """Wants connections: a race, as the dialer sees it."""

    def next_dial(self, allowed: Any) -> PeerAddress | None:
        """Take the next peer to dial whose host `allowed` lets pass, or None."""

    def wants_dial(self) -> bool:
        """Whether there is a peer to dial now."""

    def dial(self, address: PeerAddress, timeout: float) -> None:
        """Dial it; `Dialer.answered` or `Dialer.failed`, then `Dialer.closed`, will be told."""


class Dialer:
    """Hands out dials. `clock`: IReactorTime; `rate`: dials a second, None for any number."""

    def __init__(self, clock: Any, limits: Limits = DEFAULT_LIMITS, *, rate: float | None = None) -> None:
        self.clock = clock
        self.limits = limits
        #: Sockets in use; and how many there may be (less when the system says it has no more).
        self.sockets = 0
        self.most_sockets = limits.max_connections
        #: Dials so far.
        self.dialed = 0
        self._rate = rate
        self._tokens = max(1.0, rate or 0.0)
        self._filled = clock.seconds()
        self._ring: deque[Dials] = deque()
        self._in_ring: set[Dials] = set()
        self._unanswered: dict[str, int] = {}
        self._answering: OrderedDict[str, None] = OrderedDict()
        #: Races that wait for an unanswered dial to a host to end, in their order.
        self._held: dict[str, dict[Dials, None]] = {}
        self._timer: Any = None
        self._pumping = False
        #: This machine had no socket to give: no dial before the timer.
        self._breathing = False
        self._has_ipv6 = False

    def want(self, race: Dials) -> None:
        """`race` has peers to dial."""
        if race not in self._in_ring:
            self._in_ring.add(race)
            self._ring.append(race)
        if not self._pumping:
            self._pump()

    def forget(self, race: Dials) -> None:
        """`race` is over."""
        # Left in the ring, where its turn passes: taking it out would cost a walk.
        self._in_ring.discard(race)

    @property
    def share(self) -> int:
        """Dials and connections one magnet may have now.

        The fewer sockets are free, the fewer: a magnet that starts late, its first peer alive, must
        not wait for the dead peers of all before it.
        """
        most = self.most_sockets
        free = max(0.0, 1.0 - self.sockets / most)
        if free >= 0.75:
            return self.limits.max_peers_per_magnet
        return max(1, int(self.limits.max_peers_per_magnet * free * free))

    # -- what becomes of a dial --------------------------------------------------------------

    def answered(self, address: PeerAddress) -> None:
        """The host accepted a connection: no more limit on unanswered dials to it."""
        host = address.host
        self._release(host)
        answering = self._answering
        if host in answering:
            return
        if ":" in host:
            self._has_ipv6 = True
        answering[host] = None
        if len(answering) > _REMEMBERED:
            answering.popitem(last=False)
        self._unhold(host, all_of_them=True)

    def failed(self, address: PeerAddress, reason: Failure) -> str | None:
        """A dial failed. Returns the outcome to count, or None where it was this machine's fault
        and the peer should be dialed again."""
        self.sockets -= 1
        self._release(address.host)
        outcome = _outcome(reason)
        if outcome is None and ":" in address.host and not self._has_ipv6:
            if _errno(reason) == errno.EADDRNOTAVAIL:
                # What a machine without IPv6 says to each such dial: it is no want of ports.
                outcome = "unreachable"
        if outcome is None:
            # Out of descriptors or ports: fewer sockets from now on, and try again.
            fewest = min(_FEWEST, self.limits.max_connections)
            self.most_sockets = max(fewest, min(self.most_sockets, self.sockets) * 7 // 8)
            self._breathe()
            return None
        if outcome == "timed_out":
            self._answering.pop(address.host, None)
        self._later()
        return outcome

    def given_up(self, address: PeerAddress) -> None:
        """A dial was cancelled before it was answered."""
        self.sockets -= 1
        self._release(address.host)
        self._later()

    def closed(self) -> None:
        """A connection is over."""
        self.sockets -= 1
        if self.most_sockets < self.limits.max_connections:
            self.most_sockets += 1
        if self._ring:
            self._later()

    def stop(self) -> None:
        """No more dials."""
        self._ring.clear()
        self._in_ring.clear()
        self._held.clear()
        self._breathing = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- the ring ----------------------------------------------------------------------------

    def _pump(self) -> None:
        ring = self._ring
        if self._breathing:
            return
        self._pumping = True
        try:
            while ring and self.sockets < self.most_sockets:
                if self._rate is not None and not self._take_token():
                    return
                race = ring.popleft()
                if race not in self._in_ring:
                    self._give_token_back()
                    continue
                address = race.next_dial(self._allowed)
                if address is None:
                    self._in_ring.discard(race)
                    self._give_token_back()
                    continue
                if race.wants_dial():
                    ring.append(race)
                else:
                    self._in_ring.discard(race)
                self.sockets += 1
                self.dialed += 1
                host = address.host
                self._unanswered[host] = self._unanswered.get(host, 0) + 1
                race.dial(address, self._timeout())
        finally:
            self._pumping = False

    def _later(self) -> None:
        """Pump, but not from inside a race's own handling of a failure."""
        if self._timer is None and self._ring:
            self._timer = self.clock.callLater(0.0, self._tick)

    def _breathe(self) -> None:
        """Let a moment pass before the next dial, whoever wants one."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.clock.callLater(_BREATH, self._tick)
        self._breathing = True

    def _tick(self) -> None:
        self._timer = None
        self._breathing = False
        self._pump()

    def _timeout(self) -> float:
        """Patience with a dial: less when candidates wait for the last sockets."""
        limits = self.limits
        free = 1.0 - self.sockets / self.most_sockets
        if free >= 0.5 or not self._ring:
            return limits.connect_timeout
        return max(limits.connect_timeout_min, limits.connect_timeout * 2.0 * free)

    def _take_token(self) -> bool:
        assert self._rate is not None
        now = self.clock.seconds()
        self._tokens = min(max(1.0, self._rate), self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return True
        if self._timer is None:
            self._timer = self.clock.callLater((1.0 - self._tokens) / self._rate, self._tick)
        return False

    def _give_token_back(self) -> None:
        self._tokens += 1.0

    # -- unanswered dials by host ------------------------------------------------------------

    def _allowed(self, host: str, race: Dials) -> bool:
        """Whether one more unanswered dial to `host` may be made; if not, `race` is told later."""
        if host in self._answering:
            return True
        if self._unanswered.get(host, 0) < self.limits.max_unanswered_per_host:
            return True
        self._held.setdefault(host, {})[race] = None
        return False

    def _release(self, host: str) -> None:
        left = self._unanswered.get(host, 0) - 1
        if left > 0:
            self._unanswered[host] = left
        else:
            self._unanswered.pop(host, None)
        if self._held:
            # The last one frees all: there is none left whose end could free them.
            self._unhold(host, all_of_them=left <= 0)

    def _unhold(self, host: str, *, all_of_them: bool) -> None:
        held = self._held.get(host)
        if held is None:
            return
        while held:
            race = next(iter(held))
            del held[race]
            # One that is over, or busy, frees the next.
            if race not in self._in_ring and race.wants_dial():
                self._in_ring.add(race)
                self._ring.append(race)
                if not all_of_them:
                    break
        if not held:
            del self._held[host]
        self._later()


def _outcome(reason: Failure) -> str | None:
    """The word a failed dial is counted by; None for a fault of this machine."""
    value = reason.value
    if isinstance(value, error.ConnectionRefusedError):
        return "refused"
    if isinstance(value, (error.TimeoutError, error.TCPTimedOutError)):
        return "timed_out"
    if isinstance(value, error.UserError):
        return "cancelled"
    return None if _errno(reason) in _LOCAL_ERRORS else "unreachable"


def _errno(reason: Failure) -> int | None:
    """The system's number for a failed dial, where there is one."""
    value = reason.value
    number = getattr(value, "osError", None)
    arguments = getattr(value, "args", ())
    if number is None and arguments and isinstance(arguments[0], int):
        number = arguments[0]
    return number
