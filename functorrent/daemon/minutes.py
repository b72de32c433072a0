"""The last hour by minute: how many tries ended, and how."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from functorrent.store.jobs import iso

if TYPE_CHECKING:
    from functorrent.interfaces import IWallClock

#: Minutes told.
MINUTES = 60
#: The outcomes told.
TOLD = ("fetched", "failed", "gave_up")


class Minutes:
    """Counts by the minute of `wall`, an IWallClock."""

    def __init__(self, wall: IWallClock) -> None:
        self._wall = wall
        #: Number of a minute since the epoch to counts by outcome.
        self._counts: dict[int, dict[str, int]] = {}

    def since(self) -> float:
        """When the first minute told begins (seconds since the epoch)."""
        return float((self._now() - MINUTES + 1) * 60)

    def seed(self, rows: Iterable[tuple[float, int]]) -> None:
        """Results that earlier runs had: (start of the minute, how many)."""
        for start, number in rows:
            self._add(int(start // 60), "fetched", number)

    def add(self, outcome: str) -> None:
        """One try has ended now."""
        if outcome in TOLD:
            self._add(self._now(), outcome, 1)

    def told(self) -> list[dict[str, Any]]:
        """A dictionary for each minute, the oldest first, the last is the one that runs."""
        now = self._now()
        nothing = dict.fromkeys(TOLD, 0)
        return [
            {"at": iso(minute * 60), **self._counts.get(minute, nothing)}
            for minute in range(now - MINUTES + 1, now + 1)
        ]

    def _now(self) -> int:
        return int(self._wall.now() // 60)

    def _add(self, minute: int, outcome: str, number: int) -> None:
        counts = self._counts.get(minute)
        if counts is None:
            counts = self._counts[minute] = dict.fromkeys(TOLD, 0)
            # Also what a clock that was set back has left in the future: it is bounded by this, too.
            for old in [each for each in self._counts if abs(each - minute) > MINUTES]:
                del self._counts[old]
        counts[outcome] += number
