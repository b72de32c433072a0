"""One memory budget over all metadata being assembled (DESIGN section 4).

Before an assembly asks for a first block it claims room for the size its peers name; where there is
none it waits for its turn, so nothing is fetched only to be thrown away. Claims are strangers' words:
should more be held than the budget has, the least complete assembly gives way; the oldest always
goes on, so that a crowd of claimed giants cannot starve everybody for ever.
"""

from __future__ import annotations

from typing import Protocol

from functorrent.limits import DEFAULT_LIMITS

#: Sizes up to this are neither claimed nor waited for: nearly all are (the median is 17 KB).
SMALL = 64 * 1024


class Holder(Protocol):
    """Holds blocks, and can let them go."""

    def completeness(self) -> float:
        """How near to its end it is, 0 to 1."""

    def give_way(self) -> None:
        """Let go of every block (`MemoryBudget.changed` is told) and ask for none until `resume`."""

    def resume(self) -> None:
        """There is room."""


class MemoryBudget:
    """Counts the bytes of blocks held in the process; `limit` in bytes."""

    def __init__(self, limit: int = DEFAULT_LIMITS.max_assembling) -> None:
        self.limit = limit
        self.held = 0
        #: Bytes held by each, the oldest first; bytes claimed; and who waits for how many.
        self._holders: dict[Holder, int] = {}
        self._claims: dict[Holder, int] = {}
        self._claimed = 0
        self._waiting: dict[Holder, int] = {}
        self._shedding = False

    def claim(self, holder: Holder, size: int) -> bool:
        """`holder` wants to assemble `size` bytes. False: not before its `resume` is called.

        Of several sizes its peers name, the smallest counts: a liar's giant must not hold others up.
        """
        if holder in self._waiting:
            self._waiting[holder] = min(size, self._waiting[holder])
            self._admit()
            return holder not in self._waiting
        before = self._claims.get(holder)
        if before is None and size > SMALL and self._claims and self._claimed + size > self.limit:
            self._waiting[holder] = size
            return False
        if before is None or size < before:
            self._claims[holder] = size
            self._claimed += size - (before or 0)
        return True

    def changed(self, holder: Holder, change: int) -> None:
        """`holder` keeps so many bytes more (or fewer, negative)."""
        self.held += change
        left = self._holders.get(holder, 0) + change
        if left > 0:
            self._holders[holder] = left
        else:
            self._holders.pop(holder, None)
        if change > 0 and self.held > self.limit:
            self._shed()
        elif change < 0 and self._waiting:
            self._admit()

    def forget(self, holder: Holder) -> None:
        """`holder` is over; it wants no room any more."""
        self._waiting.pop(holder, None)
        self._claimed -= self._claims.pop(holder, 0)
        self.held -= self._holders.pop(holder, 0)
        if self._waiting:
            self._admit()

    def _shed(self) -> None:
        younger = list(self._holders)[1:]
        if not younger:
            return
        victim = min(younger, key=lambda holder: holder.completeness())
        size = self._claims.pop(victim, 0)
        self._claimed -= size
        self._waiting[victim] = size
        self._shedding = True
        try:
            victim.give_way()
        finally:
            self._shedding = False

    def _admit(self) -> None:
        """Let those who wait go on, in their order, as far as there is room."""
        while self._waiting and not self._shedding:
            holder, size = next(iter(self._waiting.items()))
            if self._claims and (self._claimed + size > self.limit or self.held > self.limit * 3 // 4):
                return
            del self._waiting[holder]
            self._claims[holder] = size
            self._claimed += size
            holder.resume()
