"""`Outlets`: hands each result to every outlet, at least once, across restarts.

The store remembers what is due (`IStore.deliveries`); a result is crossed off only after its outlet has
taken it. One that was not taken comes again, later and later. An outlet that fails on end is left in
peace for a while and then tried with one result at a time, so that a hundred thousand results do not
knock at a door that is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.daemon.interfaces import IOutlet
from functorrent.errors import DeliveryFailed, DeliveryRefused, StoreError
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.store.jobs import FETCHED
from functorrent.text import plural, printable

if TYPE_CHECKING:
    from functorrent.interfaces import IWallClock
    from functorrent.store.interfaces import IStore
    from functorrent.store.jobs import Delivery, Job

#: Seconds from the first failed try to the second, and so on.
DELAYS = (10.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0)
#: ... and from then on.
DAILY = 86_400.0
#: Seconds that an outlet which fails on end is left in peace, longer each time.
RESTS = (10.0, 60.0, 300.0)
#: Seconds between two looks for what has become due.
LOOK = 10.0
#: Seconds that a stop waits for what outlets are just taking.
STOP_PATIENCE = 3.0

log = Logger()


def discover_outlets() -> list[IOutlet]:
    """The installed third-party outlets (namespace ``functorrent.plugins``)."""
    from twisted.plugin import getPlugins

    import functorrent.plugins

    return list(getPlugins(IOutlet, functorrent.plugins))


def usable(outlets: Iterable[IOutlet]) -> list[IOutlet]:
    """Those with a name, and each name once; the others are left out with a warning."""
    taken: dict[str, IOutlet] = {}
    for outlet in outlets:
        try:
            name: Any = outlet.name
        except Exception:
            log.failure("an outlet that does not say its name is left out")
            continue
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 40:
            log.warn("an outlet without a usable name is left out: {it!r}", it=outlet)
        elif name in taken:
            log.warn("a second outlet named {name!r} is left out", name=name)
        else:
            taken[name] = outlet
    return list(taken.values())


def next_delay(attempts: int, give_up_after: float) -> float | None:
    """Seconds until the next try after `attempts` (1 or more) failed ones; None: `give_up_after` seconds
    from the first one it would be too late."""
    delay = _delay(attempts)
    waited = sum(_delay(each) for each in range(1, attempts))
    return delay if waited + delay <= give_up_after else None


def _delay(attempts: int) -> float:
    return DELAYS[attempts - 1] if attempts <= len(DELAYS) else DAILY


def _too_late(result: Any, seconds: float) -> Any:
    if isinstance(result, Failure):
        raise DeliveryFailed(f"it took longer than {seconds:g} s")
    return result


class Outlets(Service):
    """Keeps the outlets supplied while it runs; give `names` to the queue, which tells the store of them.

    `clock`: IReactorTime, monotonic. `give_up_after`: seconds. `told(outlet, outcome)` hears of each try:
    "taken", "failed", "refused", "gave_up". Start it once the store is open.
    """

    name = "outlets"

    def __init__(
        self,
        clock: Any,
        wall: IWallClock,
        store: IStore,
        outlets: Iterable[IOutlet],
        give_up_after: float,
        told: Callable[[str, str], None] = lambda outlet, outcome: None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.clock = clock
        self.wall = wall
        self.store = store
        self.give_up_after = give_up_after
        self.told = told
        self.limits = limits
        self._lanes = [_Lane(self, outlet) for outlet in usable(outlets)]
        self._watches = False

    @property
    def names(self) -> tuple[str, ...]:
        """The outlets' names."""
        return tuple(lane.name for lane in self._lanes)

    def startService(self) -> None:
        """Hand over what is due, and what will be."""
        Service.startService(self)
        if self._lanes and not self._watches:
            # A store is never told that somebody has ceased to watch.
            self._watches = True
            self.store.watch(self._changed)
        for lane in self._lanes:
            lane.look()

    def stopService(self) -> Deferred[None]:
        """Hand over nothing more. Fires when what outlets were just taking is crossed off; what they were
        not done with stays due."""
        if not self.running:
            return succeed(None)
        Service.stopService(self)
        left = DeferredList([each for lane in self._lanes for each in lane.stop()], consumeErrors=True)
        left.addTimeout(STOP_PATIENCE, self.clock)
        left.addErrback(lambda failure: log.warn("some results may be handed over once more"))
        return left.addCallback(lambda _: None)

    def _changed(self, jobs: Sequence[Job]) -> None:
        if self.running and any(job.status == FETCHED for job in jobs):
            for lane in self._lanes:
                lane.look()


class _Lane:
    """One outlet and the results on their way to it."""

    def __init__(self, outlets: Outlets, outlet: IOutlet) -> None:
        self.name = outlet.name
        self._outlets = outlets
        self._outlet = outlet
        #: By the delivery's number: the handing over, and what the outlet itself is at of it.
        self._handing: dict[int, Deferred[None]] = {}
        self._trying: dict[int, Deferred[Any]] = {}
        #: Tries on end that failed, and how often it was left in peace since one went well.
        self._failures = 0
        self._rests = 0
        self._looking = False
        self._look_again = False
        #: Ended since the look began, whose answer may still have them.
        self._ended_meanwhile: set[int] = set()
        self._timer: Any = None
        self._resting = False

    # -- when to look --------------------------------------------------------------------------

    def look(self) -> None:
        """Something may be due."""
        if self._looking:
            self._look_again = True
        elif self._outlets.running and not self._resting and self._free() > 0:
            self._looking = True
            Deferred.fromCoroutine(self._look()).addErrback(
                lambda failure: log.failure("outlet {name} has stopped", failure, name=self.name)
            )

    def _free(self) -> int:
        at_once = 1 if self._rests else self._outlets.limits.outlet_at_once
        return at_once - len(self._handing)

    async def _look(self) -> None:
        again = LOOK
        try:
            self._ended_meanwhile.clear()
            limit = self._free() + len(self._handing)
            due = await self._outlets.store.deliveries(self.name, limit)
            if self._outlets.running:
                for delivery in due:
                    known = delivery.number in self._handing or delivery.number in self._ended_meanwhile
                    if not known and not self._resting and self._free() > 0:
                        self._hand_over(delivery)
        except StoreError as error:
            log.warn("what is due to {name} is not known: {error}", name=self.name, error=str(error))
        finally:
            self._looking = False
        if self._look_again:
            self._look_again = False
            again = 0.0
        self._later(again)

    def _later(self, seconds: float, *, resting: bool = False) -> None:
        if self._resting or not self._outlets.running:
            return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._resting = resting
        self._timer = self._outlets.clock.callLater(seconds, self._time)

    def _time(self) -> None:
        self._resting = False
        # Without a free place: the one that becomes free looks.
        self.look()

    def stop(self) -> list[Deferred[None]]:
        """No further try. What must be waited for: tries that were cancelled, and words to the store."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        handing = list(self._handing.values())
        for trying in list(self._trying.values()):
            trying.cancel()
        return handing

    # -- one result ----------------------------------------------------------------------------

    def _hand_over(self, delivery: Delivery) -> None:
        number = delivery.number
        # In the table before it runs: it may end at once.
        done: Deferred[None] = Deferred()
        self._handing[number] = done

        def ended(result: Any) -> None:
            del self._handing[number]
            if self._looking:
                self._ended_meanwhile.add(number)
            if isinstance(result, Failure):
                log.failure("a result could not be handed to {name}", result, name=self.name)
                self._later(LOOK, resting=True)
            done.callback(None)
            self.look()

        Deferred.fromCoroutine(self._deliver(delivery)).addBoth(ended)

    async def _deliver(self, delivery: Delivery) -> None:
        outlets, store = self._outlets, self._outlets.store
        try:
            job = await store.job(delivery.key)
            torrent = await store.torrent(delivery.key)
            if job is None or torrent is None:
                log.warn("there is no result {key} for {name}", key=delivery.key.hex(), name=self.name)
                await store.undelivered(delivery.number, None)
                return
            error = await self._try(delivery.number, job, torrent)
            if error is None:
                await store.delivered(delivery.number)
                self._went_well()
            elif outlets.running:
                # Else it was cancelled, whatever it makes of that: it stays due, as if never tried.
                await self._went_wrong(delivery, error)
        except StoreError as error:
            log.warn(
                "{key} may be handed to {name} once more: {error}",
                key=delivery.key.hex(),
                name=self.name,
                error=str(error),
            )
            self._later(LOOK, resting=True)

    async def _try(self, number: int, job: Job, torrent: bytes) -> Exception | None:
        """Let the outlet have it. Returns what went wrong, or None."""
        outlets = self._outlets
        trying = self._trying[number] = maybeDeferred(self._outlet.deliver, job, torrent)
        if not outlets.running:
            trying.cancel()
        trying.addTimeout(outlets.limits.outlet_timeout, outlets.clock, _too_late)
        try:
            await trying
        except Exception as error:
            return error
        finally:
            del self._trying[number]
        return None

    def _went_well(self) -> None:
        self._outlets.told(self.name, "taken")
        if self._rests:
            log.info("{name} takes results again", name=self.name)
        self._failures = self._rests = 0

    async def _went_wrong(self, delivery: Delivery, error: Exception) -> None:
        outlets = self._outlets
        attempts = delivery.attempts + 1
        refused = isinstance(error, DeliveryRefused)
        delay = None if refused else next_delay(attempts, outlets.give_up_after)
        outcome = "refused" if refused else "failed" if delay is not None else "gave_up"
        outlets.told(self.name, outcome)
        log.warn(
            "{name} did not take {infohash} (try {attempts}; {next}): {error}",
            name=self.name,
            infohash=delivery.key.hex(),
            attempts=attempts,
            next=f"again in {delay:,.0f} s" if delay is not None else "not tried again",
            error=printable(str(error) or type(error).__name__),
        )
        if refused:
            # Somebody is there, and has spoken.
            self._failures = self._rests = 0
        else:
            self._failures += 1
            if self._failures >= outlets.limits.outlet_failures:
                self._rest()
        due = None if delay is None else outlets.wall.now() + delay
        await outlets.store.undelivered(delivery.number, due)

    def _rest(self) -> None:
        """It fails on end: leave it in peace. Tries that were under way when it began count no further."""
        if self._resting:
            return
        seconds = RESTS[min(self._rests, len(RESTS) - 1)]
        self._rests += 1
        log.warn(
            "{name} has failed {times} on end, and is left in peace for {seconds:.0f} s",
            name=self.name,
            times=plural(self._failures, "time"),
            seconds=seconds,
        )
        self._later(seconds, resting=True)
