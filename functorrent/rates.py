"""Rates: so many at once, then so many a second, for one peer and for all of them in turn."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from twisted.logger import Logger
from zope.interface import Interface


class Bucket:
    """A token bucket: `burst` tokens at once, `rate` a second after that. `clock`: IReactorTime."""

    __slots__ = ("_burst", "_clock", "_filled", "_rate", "_tokens")

    def __init__(self, clock: Any, rate: float, burst: float) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = self._tokens = float(burst)
        #: When it was filled up last; nobody has asked before.
        self._filled: float | None = None

    def ready(self) -> bool:
        """Whether there is a token."""
        now: float = self._clock.seconds()
        if self._filled is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        # A sum of many small refills may miss a whole one by a rounding error.
        return self._tokens > 1.0 - 1e-6

    def take(self) -> None:
        """Take one. Where there is none it is owed, up to as many as a burst."""
        self._tokens = max(-self._burst, self._tokens - 1.0)


class RateOfEach:
    """One rate for each of many: `burst` at once, then `rate` a second (GCRA, a number for each).

    Beyond `most` those are forgotten who are back at a whole burst, then the ones known longest. Times are
    seconds of one clock.
    """

    __slots__ = ("_due", "_most", "_slack", "_spacing")

    def __init__(self, rate: float, burst: float, most: int) -> None:
        self._spacing = 1.0 / rate
        self._slack = (burst - 1) / rate
        self._most = most
        #: When each would have its next turn, had it no burst.
        self._due: dict[Hashable, float] = {}

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._due)

    def pause(self, who: Hashable, now: float) -> float:
        """Seconds until one more is within the rate; 0.0 for now."""
        due = self._due.get(who)
        pause = 0.0 if due is None else due - self._slack - now
        # A sum of many parts of a second may miss a whole one by a rounding error.
        return pause if pause > 1e-6 else 0.0

    def take(self, who: Hashable, now: float) -> None:
        """Count one."""
        dues = self._due
        dues[who] = max(dues.get(who, 0.0), now) + self._spacing
        if len(dues) > self._most:
            self._due = dues = {each: due for each, due in dues.items() if due > now}
            while len(dues) > self._most // 2:
                del dues[next(iter(dues))]


class ITurn(Interface):
    """Somebody who waits for a turn."""

    def turn() -> None:
        """It is yours: a token is taken for you."""


class Turns:
    """One rate for many, in turn: whoever had one goes to the end of the queue.

    One timer for them all, and only while somebody waits.
    """

    #: Seconds between looks at a queue; a token that comes between waits for the next.
    _PAUSE = 0.01

    log = Logger()

    def __init__(self, clock: Any, rate: float, burst: float) -> None:
        self._clock = clock
        self._bucket = Bucket(clock, rate, burst)
        self._queue: dict[Any, None] = {}
        self._timer: Any = None

    def take(self, who: Any) -> bool:
        """Whether `who` (an ITurn) may go on at once; else its `turn` is called when it may,
        once, however often it has asked."""
        if not self._queue and self._bucket.ready():
            self._bucket.take()
            return True
        self._queue[who] = None
        if self._timer is None:
            self._timer = self._clock.callLater(self._PAUSE, self._tick)
        return False

    def leave(self, who: Any) -> None:
        """`who` waits no more."""
        self._queue.pop(who, None)
        if not self._queue and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        queue = self._queue
        while queue and self._bucket.ready():
            self._bucket.take()
            who = next(iter(queue))
            del queue[who]
            try:
                who.turn()
            except Exception:
                # The timer is everybody's.
                self.log.failure("a turn failed")
        if queue and self._timer is None:
            self._timer = self._clock.callLater(self._PAUSE, self._tick)
