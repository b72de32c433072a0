"""What is remembered of strangers' questions, in bounded memory: keys for a while, misses by address."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from functorrent.addresses import subscriber
from functorrent.rates import Bucket


class Lapsing:
    """Keys that are remembered for `seconds`, `most` of them: the oldest go. `clock`: IReactorTime."""

    def __init__(self, clock: Any, seconds: float, most: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._most = most
        #: When each was added, the oldest first.
        self._added: dict[bytes, float] = {}

    def add(self, key: bytes) -> None:
        """Remember it, from now on."""
        self._added.pop(key, None)
        self._added[key] = self._clock.seconds()
        if len(self._added) > self._most:
            del self._added[next(iter(self._added))]

    def discard(self, key: bytes) -> None:
        """Forget it."""
        self._added.pop(key, None)

    def __contains__(self, key: bytes) -> bool:
        added = self._added.get(key)
        if added is None:
            return False
        if self._clock.seconds() - added < self._seconds:
            return True
        del self._added[key]
        return False

    def __len__(self) -> int:
        return len(self._added)


class Misses:
    """How many questions whose answer is no may still be asked: by each address, and by all.

    An address is what `subscriber` makes of it; those heard of least lately are forgotten first, when
    there are over `most`.
    """

    def __init__(
        self, clock: Any, each: tuple[float, float], together: tuple[float, float], most: int
    ) -> None:
        self._clock = clock
        #: (a second, at once)
        self._each = each
        self._together = Bucket(clock, *together)
        self._most = most
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def left(self, host: str) -> bool:
        """Whether a question from `host` may be looked into."""
        return self._bucket(host).ready() and self._together.ready()

    def take(self, host: str) -> None:
        """The answer to a question from `host` was no. Those asked at once may be more than are left:
        what is owed counts for later."""
        self._bucket(host).take()
        self._together.take()

    def _bucket(self, host: str) -> Bucket:
        who = subscriber(host)
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = Bucket(self._clock, *self._each)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(who)
        return bucket
