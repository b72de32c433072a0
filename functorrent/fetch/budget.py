"""One memory budget over all metadata being assembled (DESIGN section 4).

When it is full the least complete assembly gives way and waits; the oldest always goes on, so that
a crowd of claimed giants cannot starve everybody for ever.
"""

from __future__ import annotations

from typing import Protocol

from functorrent.limits import DEFAULT_LIMITS


class Holder(Protocol):
    """Holds blocks, and can let them go."""

    def completeness(self) -> float:
        """How near to its end it is, 0 to 1."""

    def give_way(self) -> None:
        """Let go of every block (`MemoryBudget.changed` is told) and ask for none until `resume`."""

    def resume(self) -> None:
        """There is room again."""


class MemoryBudget:
    """Counts the bytes of blocks held in the process; `limit` in bytes."""

    def __init__(self, limit: int = DEFAULT_LIMITS.max_assembling) -> None:
        self.limit = limit
        self.held = 0
        #: Who holds bytes, the oldest first.
        self._holders: dict[Holder, int] = {}
        self._waiting: dict[Holder, None] = {}

    def changed(self, holder: Holder, change: int) -> None:
        """`holder` keeps so many bytes more (or fewer, negative)."""
        self.held += change
        left = self._holders.get(holder, 0) + change
        if left > 0:
            self._holders[holder] = left
        else:
            self._holders.pop(holder, None)
        if change > 0:
            if self.held > self.limit:
                self._shed()
        elif self._waiting and self.held <= self.limit // 2:
            self._resume()

    def forget(self, holder: Holder) -> None:
        """`holder` is over; it wants no room any more."""
        self._waiting.pop(holder, None)
        self.held -= self._holders.pop(holder, 0)
        if self._waiting and self.held <= self.limit // 2:
            self._resume()

    def _shed(self) -> None:
        holders = iter(self._holders)
        next(holders)
        younger = list(holders)
        if younger:
            victim = min(younger, key=lambda holder: holder.completeness())
            self._waiting[victim] = None
            victim.give_way()

    def _resume(self) -> None:
        holder = next(iter(self._waiting))
        del self._waiting[holder]
        holder.resume()
