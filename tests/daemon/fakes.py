"""Stand-ins for what the services of the daemon are given."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from zope.interface import implementer

from functorrent.interfaces import IWallClock


@implementer(IWallClock)
class Wall:
    """A time of day that goes along with a Clock: its second 0 is `start`."""

    def __init__(self, clock: Clock, start: float = 1_700_000_000.0) -> None:
        self._clock: Any = clock
        self.start = start

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.start + float(self._clock.seconds())
