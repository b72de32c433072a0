"""Deadlines of many things on one timer.

A DelayedCall for each connection and magnet costs a place in the reactor's heap to set, and another
to cancel; nearly all are cancelled. Here setting and clearing a deadline is a dictionary's, and one
timer looks at them all now and then, while there are any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger


class Deadlines:
    """A set of deadlines, each kept to within `grain` seconds (never early).

    `clock`: IReactorTime.
    """

    __slots__ = ("_due", "_grain", "_timer", "clock")

    log = Logger()

    def __init__(self, clock: Any, grain: float = 0.25) -> None:
        self.clock = clock
        self._grain = grain
        #: What to call, with when. A bound method equals itself, so each is there once.
        self._due: dict[Callable[[], None], float] = {}
        self._timer: Any = None

    def set(self, call: Callable[[], None], when: float) -> None:
        """Call `call` when the clock reads `when` or soon after; an earlier setting is forgotten."""
        self._due[call] = when
        if self._timer is None:
            self._timer = self.clock.callLater(self._grain, self._look)

    def clear(self, call: Callable[[], None]) -> None:
        """Do not call it, if it was to be called."""
        self._due.pop(call, None)

    def stop(self) -> None:
        """Forget everything."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self.clock.seconds()
        due = self._due
        for call in [call for call, when in due.items() if when <= now]:
            # One of those before it may have cleared it, or put it off.
            when = due.get(call)
            if when is None or when > now:
                continue
            del due[call]
            try:
                call()
            except Exception:
                # The timer is everybody's: one broken call must not end it.
                self.log.failure("a deadline's call failed")
        if due and self._timer is None:
            self._timer = self.clock.callLater(self._grain, self._look)
