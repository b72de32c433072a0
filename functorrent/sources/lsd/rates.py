"""How many announces of others are looked into: of one address, and in all."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from functorrent.limits import Limits
from functorrent.rates import Bucket

#: Addresses whose rate is remembered.
_REMEMBERED = 1000


class Rates:
    """`clock`: IReactorTime."""

    def __init__(self, clock: Any, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._all = Bucket(clock, limits.lsd_rate, limits.lsd_burst_in)
        self._each: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, host: str) -> bool:
        """Whether one more announce of `host` may be looked into."""
        bucket = self._each.get(host)
        if bucket is None:
            bucket = Bucket(self._clock, self._limits.lsd_rate_each, self._limits.lsd_burst_each)
            self._each[host] = bucket
            if len(self._each) > _REMEMBERED:
                self._each.popitem(last=False)
        else:
            self._each.move_to_end(host)
        if not bucket.ready() or not self._all.ready():
            return False
        bucket.take()
        self._all.take()
        return True
