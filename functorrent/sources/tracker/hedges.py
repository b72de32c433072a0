"""Calls that are all to come after the same delay, on one timer.

Nearly every magnet's HTTP trackers wait for `Limits.http_hedge`, and nearly none are asked; a timer of
the reactor for each has a place in its heap, and costs more than the answer it waits for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Hedges:
    """Each call `add`ed is called `delay` seconds later, unless it was `drop`ped. `clock`: IReactorTime."""

    __slots__ = ("_clock", "_delay", "_due", "_timer")

    def __init__(self, clock: Any, delay: float) -> None:
        self._clock = clock
        self._delay = delay
        #: What to call, with when: the earliest first, for all wait as long.
        self._due: dict[Callable[[], None], float] = {}
        self._timer: Any = None

    def add(self, call: Callable[[], None]) -> None:
        self._due[call] = self._clock.seconds() + self._delay
        if self._timer is None:
            self._timer = self._clock.callLater(self._delay, self._look)

    def drop(self, call: Callable[[], None]) -> None:
        """Harmless for one that is not there."""
        if self._due.pop(call, None) is not None and not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        while self._due:
            call, due = next(iter(self._due.items()))
            if due > now:
                if self._timer is None:
                    self._timer = self._clock.callLater(due - now, self._look)
                return
            del self._due[call]
            try:
                call()
            except BaseException:
                # As from a timer of its own: the reactor logs it, and the others have theirs.
                if self._timer is None and self._due:
                    self._timer = self._clock.callLater(0, self._look)
                raise
