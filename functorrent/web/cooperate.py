"""Long work in the reactor, a few milliseconds in one go; and work that its asker cannot break off."""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import Deferred

_T = TypeVar("_T")


def turn(clock: Any) -> Deferred[None]:
    """Fires when the reactor has had a turn. `clock`: IReactorTime."""
    done: Deferred[None] = Deferred(lambda _: call.cancel())
    call = clock.callLater(0, done.callback, None)
    return done


class Slices:
    """Gives the reactor a turn whenever `seconds` of work are done: `await slices.breathe()` now and then."""

    def __init__(self, clock: Any, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._began = clock.seconds()

    async def breathe(self) -> None:
        """Return at once, or after a turn of the reactor."""
        if self._clock.seconds() - self._began >= self._seconds:
            await turn(self._clock)
            self._began = self._clock.seconds()

    async def waited(self, deferred: Deferred[_T]) -> _T:
        """The result of `deferred`; a new slice begins after it where it made us wait."""
        waits = not deferred.called
        result = await deferred
        if waits:
            self._began = self._clock.seconds()
        return result


def shielded(deferred: Deferred[_T]) -> Deferred[_T]:
    """`deferred`'s result, in a Deferred whose cancellation does not reach it.

    A client that hangs up must not break off what the store is about to do.
    """
    outer: Deferred[_T] = Deferred()

    # Twisted lets one late result pass by a cancelled Deferred.
    deferred.addCallbacks(outer.callback, outer.errback)
    return outer
