"""`Saver`: what became of magnets, on its way into the store; kept in memory while the store cannot write.

Laws. Nothing that was handed in is dropped because the store has no room or is locked: it is tried again,
with growing pauses, until it is saved. After a failure one is tried, then two, four and so on: a disk
that is nearly full takes a small result and refuses a large one, and that is not the end of the trouble.
Only what is refused for another reason, again and again while others are saved, is let go: it would hold
up everybody else. How much may wait is bounded by whoever asks `full` before beginning anything new.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.daemon.health import Backoff, Health
from functorrent.errors import StoreError, StoreFull, StoreLocked

#: Times that others are saved before an outcome that is refused again is let go.
_PASSED_BY = 10


@dataclass(slots=True, eq=False)
class Unsaved:
    """One outcome. `save()` asks the store; `saved(kept)` hears its answer.

    `broke(failure)`: it cannot be saved, though the store is well. `size`: bytes that it holds until
    then. `passed_by`: how often others were saved and it was not.
    """

    save: Callable[[], Deferred[bool]]
    saved: Callable[[bool], None]
    broke: Callable[[Failure], None]
    size: int = 0
    passed_by: int = 0


class Saver:
    """Outcomes into the store. `room()` is called when it is `full` no more.

    `clock`: IReactorTime. `most`, `most_bytes`: what may wait.
    """

    log = Logger()

    def __init__(
        self, clock: Any, health: Health, most: int, most_bytes: int, room: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._health = health
        self._most = most
        self._most_bytes = most_bytes
        self._room = room
        self._backoff = Backoff()
        #: How many are not saved yet, and their bytes; those of them that wait for the store to be well.
        self.unsaved = 0
        self.held = 0
        self._waiting: deque[Unsaved] = deque()
        #: How many the store is being asked to save; how many at once, while it is not well.
        self._asked = 0
        self._at_once: int | None = None
        self._timer: Any = None
        self._flushed: list[Deferred[None]] = []

    @property
    def full(self) -> bool:
        """Whether nothing new should be begun."""
        return self.unsaved >= self._most or self.held >= self._most_bytes

    @property
    def overfull(self) -> bool:
        """Whether so much waits that what comes now must not be kept."""
        return self.held >= 4 * self._most_bytes

    def add(self, outcome: Unsaved) -> None:
        """Save it, now or as soon as that can be."""
        self.unsaved += 1
        self.held += outcome.size
        if self._at_once is not None:
            self._waiting.append(outcome)
        else:
            self._asked += 1
            self._save(outcome)

    def flush(self) -> Deferred[None]:
        """Try what waits now. Fires when all is saved; that may be never."""
        if not self.unsaved:
            return succeed(None)
        flushed: Deferred[None] = Deferred()
        self._flushed.append(flushed)
        if self._timer is not None:
            self._timer.cancel()
            self._try_again()
        return flushed

    def stop(self) -> None:
        """Try no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting.clear()

    def _save(self, outcome: Unsaved) -> None:
        asked = maybeDeferred(outcome.save)
        asked.addCallbacks(self._saved, self._failed, callbackArgs=(outcome,), errbackArgs=(outcome,))
        asked.addErrback(lambda failure: self.log.failure("an outcome could not be told", failure))

    def _saved(self, kept: bool, outcome: Unsaved) -> None:
        self._asked -= 1
        for each in self._waiting:
            each.passed_by += 1
        self._go_on()
        self._let_go(outcome, lambda: outcome.saved(kept))

    def _failed(self, failure: Failure, outcome: Unsaved) -> None:
        self._asked -= 1
        error = failure.value
        passing = isinstance(error, StoreFull | StoreLocked)
        if not isinstance(error, StoreError) or (outcome.passed_by >= _PASSED_BY and not passing):
            self.log.failure("an outcome could not be saved", failure)
            self._go_on()
            self._let_go(outcome, lambda: outcome.broke(failure))
            return
        self._health.ill("store", f"results cannot be saved, and wait in memory: {error}")
        self._waiting.append(outcome)
        self._at_once = 1
        if self._timer is None:
            self._timer = self._clock.callLater(self._backoff.next(), self._try_again)

    def _let_go(self, outcome: Unsaved, tell: Callable[[], None]) -> None:
        was_full = self.full
        self.unsaved -= 1
        self.held -= outcome.size
        try:
            tell()
        finally:
            if was_full and not self.full:
                self._room()
            if not self.unsaved:
                flushed, self._flushed = self._flushed, []
                for each in flushed:
                    each.callback(None)

    def _try_again(self) -> None:
        self._timer = None
        outcomes = [self._waiting.popleft() for _ in range(min(self._at_once or 1, len(self._waiting)))]
        # First: what is saved at once goes on when all of them are.
        self._asked += len(outcomes)
        for each in outcomes:
            self._save(each)

    def _go_on(self) -> None:
        """One is done with; while the store was not well: more of those that wait, if it is the last."""
        if self._at_once is None or self._timer is not None or self._asked:
            return
        if self._waiting:
            self._at_once *= 2
            self._try_again()
        else:
            self._at_once = None
            self._backoff.reset()
            self._health.well("store")
