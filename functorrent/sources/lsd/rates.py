"""How many announces of others are looked into: of one address, and in all."""

from __future__ import annotations

from typing import Any

from functorrent.limits import Limits
from functorrent.rates import Bucket, RateOfEach

#: Addresses whose rate is remembered.
_REMEMBERED = 1000


class Rates:
    """`clock`: IReactorTime."""

    def __init__(self, clock: Any, limits: Limits) -> None:
        self._clock = clock
        self._all = Bucket(clock, limits.lsd_rate, limits.lsd_burst_in)
        self._each = RateOfEach(limits.lsd_rate_each, limits.lsd_burst_each, _REMEMBERED)

    def take(self, host: str) -> bool:
        """Whether one more announce of `host` may be looked into."""
        now: float = self._clock.seconds()
        if self._each.pause(host, now) or not self._all.ready():
            return False
        self._each.take(host, now)
        self._all.take()
        return True
