"""What we announce on the local network, and when (BEP 14, "Usage").

Laws of this file:

- A datagram costs a token: `Limits.lsd_burst` at first, then one a minute. While there are as many tokens as
  infohashes that wait, each goes in a datagram of its own, as old clients read no more than one infohash
  and 200 bytes; else as many go together as one takes.
- An infohash is announced once in `Limits.lsd_interval`, whoever looks for it, and however often.
- One that nobody looks for any more is not announced.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from functorrent.limits import Limits
from functorrent.wire.lsd import MAX_INFOHASHES

#: Seconds between datagrams of one burst, so that late comers go along with the next one.
_SPACING = 1.0
#: A timer is not set anew for less.
_GRAIN = 0.01


class Announcer:
    """The queue of infohashes. `send(infohashes)` sends one datagram. `clock`: IReactorTime."""

    def __init__(self, clock: Any, limits: Limits, send: Callable[[Sequence[bytes]], object]) -> None:
        self._clock = clock
        self._limits = limits
        self._send = send
        #: Those to be announced, the longest waiting first.
        self._queue: OrderedDict[bytes, None] = OrderedDict()
        #: Those announced within the interval, and when, the oldest first. The rate bounds them.
        self._said: OrderedDict[bytes, float] = OrderedDict()
        #: Of those, the ones still looked for: they are due again.
        self._again: set[bytes] = set()
        self._tokens = float(limits.lsd_burst)
        self._filled: float = clock.seconds()
        self._timer: Any = None
        self._due = 0.0
        #: When the last datagram went out.
        self._last = self._filled - _SPACING
        self._stopped = False

    def want(self, infohash: bytes) -> bool:
        """Somebody looks for it. Returns whether it goes out with the next datagram, in a second at most."""
        if self._stopped:
            return False
        now = self._clock.seconds()
        if self._was_said(infohash, now):
            self._again.add(infohash)
            self._wake(now, self._said[infohash] + self._limits.lsd_interval - now)
            return False
        queue = self._queue
        queue[infohash] = None
        seconds = self._next(now)
        self._wake(now, seconds)
        return seconds <= _SPACING and len(queue) <= MAX_INFOHASHES

    def answer(self, infohash: bytes) -> None:
        """A neighbour has announced it: if it waits for being announced, it is the next."""
        if infohash in self._queue:
            self._queue.move_to_end(infohash, last=False)

    def unwant(self, infohash: bytes) -> None:
        """Nobody looks for it any more."""
        self._queue.pop(infohash, None)
        self._again.discard(infohash)

    def stop(self) -> None:
        """Announce nothing more."""
        self._stopped = True
        self._queue.clear()
        self._again.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- the timer -----------------------------------------------------------------------------

    def _turn(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        self._requeue(now)
        queue = self._queue
        tokens = int(self._refill(now))
        if queue and tokens:
            if len(queue) <= tokens:
                for infohash in list(queue):
                    self._announce([infohash], now)
            else:
                self._announce(list(islice(queue, MAX_INFOHASHES)), now)
        if queue:
            self._wake(now, self._next(now))
        elif self._again:
            # It is the oldest, or one that follows.
            self._wake(now, next(iter(self._said.values())) + self._limits.lsd_interval - now)

    def _announce(self, infohashes: list[bytes], now: float) -> None:
        self._tokens -= 1.0
        self._last = now
        for infohash in infohashes:
            del self._queue[infohash]
            self._said[infohash] = now
            self._again.add(infohash)
        self._send(infohashes)

    def _requeue(self, now: float) -> None:
        """Those announced an interval ago are due again where they are still looked for."""
        said = self._said
        while said:
            infohash, when = next(iter(said.items()))
            if when + self._limits.lsd_interval > now:
                return
            del said[infohash]
            if infohash in self._again:
                self._again.discard(infohash)
                self._queue[infohash] = None

    def _next(self, now: float) -> float:
        """Seconds until the next datagram may go out."""
        missing = (1.0 - self._refill(now)) * self._limits.lsd_minute
        least: float = max(self._limits.lsd_gather, self._last + _SPACING - now, missing)
        return least

    def _was_said(self, infohash: bytes, now: float) -> bool:
        when = self._said.get(infohash)
        return when is not None and when + self._limits.lsd_interval > now

    def _refill(self, now: float) -> float:
        limits = self._limits
        self._tokens = min(limits.lsd_burst, self._tokens + (now - self._filled) / limits.lsd_minute)
        self._filled = now
        return self._tokens

    def _wake(self, now: float, seconds: float) -> None:
        """Have a turn in so many seconds at the latest."""
        due = now + seconds
        if self._timer is not None:
            if self._due <= due + _GRAIN:
                return
            self._timer.cancel()
        self._due = due
        self._timer = self._clock.callLater(seconds, self._turn)
