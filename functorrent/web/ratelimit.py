"""`TokenBuckets`: how often each address may do something, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any


class TokenBuckets:
    """For each key a bucket of `burst` tokens, refilled by `rate` tokens a second.

    `clock`: IReactorTime. At most `most` keys are remembered: the one not seen for longest is forgotten,
    which lets it begin with a full bucket.
    """

    def __init__(self, clock: Any, rate: float, burst: float, most: int) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._most = most
        #: Key to (tokens, when that was), the one used last at the end.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str) -> float:
        """Take a token of `key`. Returns 0, or the seconds until there is one."""
        wait = self.wait(key)
        if wait:
            return wait
        tokens, now = self._level(key)
        self._buckets[key] = (tokens - 1, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return 0.0

    def wait(self, key: str) -> float:
        """Seconds until `key` has a token, 0 when it has one; takes none."""
        tokens, _ = self._level(key)
        return 0.0 if tokens >= 1 else (1 - tokens) / self._rate

    def _level(self, key: str) -> tuple[float, float]:
        now = self._clock.seconds()
        tokens, then = self._buckets.get(key, (self._burst, now))
        return min(self._burst, tokens + (now - then) * self._rate), now
