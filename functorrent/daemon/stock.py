"""`Stock`: the few jobs that are claimed and not begun, so that a free slot never waits for the store.

Laws. What is here is in the store's order, priority then age; a job that is queued with a higher priority
sends the lower ones back. It is filled in the background. Leases, also of what is in flight, are renewed
long before they end. A job that was leased and is not known here or to the queue does not exist: its
lease would be renewed for ever.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.daemon.health import Backoff, Health
from functorrent.magnet import Magnet
from functorrent.store.jobs import Claim

if TYPE_CHECKING:
    from functorrent.interfaces import IWallClock
    from functorrent.store.interfaces import IStore

#: The store is asked again at least this often (seconds): another process may have queued something, and
#: the time of day may have been set.
_LOOK_EVERY = 30.0


class Stock:
    """Claims at hand.

    `size`: how many at most. `lease`: seconds. `arrived()` is called when there is something to pull;
    `knows(claim)` says whether the queue has this job in flight, or its outcome unsaved, and takes the
    claim where that is so (it comes where a lease ran out before it was renewed: the machine slept).
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        wall: IWallClock,
        store: IStore,
        health: Health,
        worker: str,
        size: int,
        lease: float,
        arrived: Callable[[], None],
        knows: Callable[[Claim], bool],
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._store = store
        self._health = health
        self._worker = worker
        self._size = size
        self._lease = lease
        self._arrived = arrived
        self._knows = knows
        self._claims: deque[Claim] = deque()
        #: The store has nothing more at present.
        self._dry = False
        #: The store is being asked, and should be once more when it has answered.
        self._asking = False
        self._again = False
        #: The highest priority that was queued while the store was being asked.
        self._raised: int | None = None
        self._backoff = Backoff()
        self._timer: Any = None
        self._renewal: Any = None
        self._running = False

    def __len__(self) -> int:
        return len(self._claims)

    def start(self) -> None:
        """Fill it."""
        self._running = True
        self._renewal = self._clock.callLater(self._lease / 3, self._renew)
        self._fill()

    def stop(self) -> None:
        """Ask the store for nothing more, and forget what is here: who stops puts all leases back."""
        self._running = False
        for timer in (self._timer, self._renewal):
            if timer is not None:
                timer.cancel()
        self._timer = self._renewal = None
        self._claims.clear()

    # -- taking --------------------------------------------------------------------------------

    def pull(self) -> Claim | None:
        """The next claim, or None; `arrived` is called when there may be one again."""
        claim = self._claims.popleft() if self._claims else None
        self._fill_if_low()
        return claim

    def take(self, key: bytes) -> Claim | None:
        """This very claim, out of turn, if it is here."""
        for claim in self._claims:
            if claim.key == key:
                self._claims.remove(claim)
                return claim
        return None

    def join(self, key: bytes, magnet: Magnet) -> None:
        """The same torrent was submitted once more: its trackers and peers join."""
        for place, claim in enumerate(self._claims):
            if claim.key == key:
                self._claims[place] = replace(claim, magnet=claim.magnet.merged(magnet))
                return

    # -- filling -------------------------------------------------------------------------------

    def look(self, priority: int) -> None:
        """Something of this priority may have been queued."""
        self._dry = False
        if self._asking:
            self._again = True
            self._raised = priority if self._raised is None else max(priority, self._raised)
        elif self._running:
            self._make_room(priority)

    def _make_room(self, priority: int) -> None:
        """Send back what is of lower priority, and fill up."""
        lower = [claim for claim in self._claims if claim.priority < priority]
        if not lower:
            self._fill()
            return
        self._claims = deque(claim for claim in self._claims if claim.priority >= priority)
        self._asking = True
        sent = self._store.release(self._worker, [claim.key for claim in lower])
        sent.addCallbacks(self._sent_back, self._not_sent_back, errbackArgs=(lower,))
        sent.addErrback(self._broke)

    def _sent_back(self, _: object) -> None:
        self._asking = False
        self._next()

    def _not_sent_back(self, failure: Failure, lower: list[Claim]) -> None:
        # They are still ours.
        self._insert(lower)
        self._failed(failure)

    def _fill(self) -> None:
        if self._asking or not self._running:
            return
        count = self._size - len(self._claims)
        if count <= 0:
            return
        self._asking = True
        asked = self._store.claim(self._worker, count, self._lease)
        asked.addCallbacks(self._found, self._failed, callbackArgs=(count,))
        asked.addErrback(self._broke)

    def _found(self, claims: list[Claim], count: int) -> None:
        self._asking = False
        self._backoff.reset()
        self._health.well("queue")
        if not self._running:
            return
        self._dry = len(claims) < count
        self._insert([claim for claim in claims if not self._knows(claim)])
        if self._dry and not self._again:
            self._ask_when()
        self._next()
        if self._claims:
            self._arrived()

    def _next(self) -> None:
        """What was put off while the store was asked."""
        raised, self._raised = self._raised, None
        if self._again:
            self._again = self._dry = False
            if raised is not None:
                self._make_room(raised)
            else:
                self._fill()
        else:
            self._fill_if_low()

    def _fill_if_low(self) -> None:
        if len(self._claims) <= self._size // 2 and not self._dry:
            self._fill()

    def _insert(self, claims: list[Claim]) -> None:
        ordered = sorted([*self._claims, *claims], key=lambda claim: (-claim.priority, claim.since))
        self._claims = deque(ordered)

    def _failed(self, failure: Failure) -> None:
        self._asking = False
        if not self._running:
            return
        self._health.ill("queue", f"no magnets can be taken out of the queue: {failure.value}")
        self._wait(self._backoff.next())

    # -- time ----------------------------------------------------------------------------------

    def _ask_when(self) -> None:
        """The queue is empty: when is a waiting job's time?"""
        asked: Deferred[float | None] = self._store.next_due()
        asked.addCallbacks(self._due, self._failed_to_tell)
        asked.addErrback(self._broke)

    def _due(self, due: float | None) -> None:
        seconds = _LOOK_EVERY if due is None else min(due - self._wall.now(), _LOOK_EVERY)
        # Not at once: what is due but cannot be claimed must not keep us at it.
        self._wait(max(seconds, 0.2))

    def _failed_to_tell(self, failure: Failure) -> None:
        self._failed(failure)

    def _wait(self, seconds: float) -> None:
        if not self._running:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.callLater(seconds, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        self._dry = False
        self._fill()
        if not self._asking and self._timer is None:
            # Full as it is; the next pull asks.
            self._wait(_LOOK_EVERY)

    def _renew(self) -> None:
        self._renewal = None
        renewed = self._store.renew(self._worker, self._lease)
        renewed.addCallbacks(self._renewed, self._not_renewed)
        renewed.addErrback(self._broke)

    def _renewed(self, _: object) -> None:
        self._health.well("leases")
        self._renew_in(self._lease / 3)

    def _not_renewed(self, failure: Failure) -> None:
        self._health.ill("leases", f"the leases of running jobs cannot be renewed: {failure.value}")
        self._renew_in(min(10.0, self._lease / 10))

    def _renew_in(self, seconds: float) -> None:
        if self._running:
            self._renewal = self._clock.callLater(seconds, self._renew)

    def _broke(self, failure: Failure) -> None:
        self.log.failure("the queue's stock broke", failure)
