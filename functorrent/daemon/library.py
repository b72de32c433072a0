"""The library: what the store has, for peers that ask; and what waits there, for peers that bring it.

Strangers choose the infohashes. So look-ups are bounded in number, equal ones are one, what was found is
kept in memory within a budget, what was not is remembered for a while, and who asks for too much that
nobody has is not looked up for any more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from functorrent.daemon.strangers import Lapsing, Misses
from functorrent.errors import FunctorrentError, StoreError
from functorrent.interfaces import IMetadataLibrary, PeerAddress
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.rates import Bucket
from functorrent.store.interfaces import IStore
from functorrent.store.jobs import FETCHING, QUEUED, WAITING, Job


class _LookUp:
    """One infohash that is being looked up, and who waits for it. `host`: who asked first. `changed`: the
    store's job has changed meanwhile."""

    __slots__ = ("changed", "host", "infohash", "waiters")

    def __init__(self, infohash: bytes, host: str) -> None:
        self.infohash = infohash
        self.host = host
        self.waiters: dict[Deferred[bytes | None], None] = {}
        self.changed = False


@implementer(IMetadataLibrary)
class Library:
    """Looks info dictionaries up in an IStore. `clock`: IReactorTime.

    `called(infohash)`, where it is set, is told of a peer that has called for a job which is not fetched
    yet: it begins the fetch, and fires with whether one is on (`JobQueue.called`).

    Counted: `hits` were in memory, `found` in the store, `missing` in neither; `refused` were not looked
    up (too many at once, or too many in vain); for `started` a caller has set off the fetch.
    """

    log = Logger()

    def __init__(self, clock: Any, store: IStore, limits: Limits = DEFAULT_LIMITS) -> None:
        self.called: Callable[[bytes], Deferred[bool]] | None = None
        self.hits = self.found = self.missing = self.refused = self.started = 0
        #: Bytes of info dictionaries in memory.
        self.size = 0
        self._clock = clock
        self._store = store
        self._limits = limits
        #: Info dictionaries, those asked for last at the end.
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        most = limits.remembered_misses
        self._not_there = Lapsing(clock, limits.missing_ttl, most)
        self._called = Lapsing(clock, limits.called_again, most)
        self._calls = Bucket(clock, limits.calls_rate, limits.calls_burst)
        self._misses = Misses(
            clock,
            (limits.misses_rate, limits.misses_burst),
            (limits.misses_rate_all, limits.misses_burst_all),
            most,
        )
        #: All look-ups; those of them that wait for a place, the oldest first; how many have one.
        self._look_ups: dict[bytes, _LookUp] = {}
        self._waiting: dict[bytes, _LookUp] = {}
        self._running = 0
        store.watch(self._changed)

    # -- IMetadataLibrary ----------------------------------------------------------------------

    def look_up(self, infohash: bytes, caller: PeerAddress) -> Deferred[bytes | None]:
        """See IMetadataLibrary. Fails with StoreError."""
        kept = self._kept.get(infohash)
        if kept is not None:
            self._kept.move_to_end(infohash)
            self.hits += 1
            return succeed(kept)
        if infohash in self._not_there:
            self.missing += 1
            return succeed(None)
        look_up = self._look_ups.get(infohash)
        if look_up is None:
            if len(self._waiting) >= self._limits.look_ups_waiting or not self._misses.left(caller.host):
                self.refused += 1
                return succeed(None)
            look_up = self._look_ups[infohash] = self._waiting[infohash] = _LookUp(infohash, caller.host)
        asked: Deferred[bytes | None] = Deferred(lambda waiter: self._left(look_up, waiter))
        look_up.waiters[asked] = None
        self._next()
        return asked

    def _left(self, look_up: _LookUp, waiter: Deferred[bytes | None]) -> None:
        """Somebody waits no more. What the store is being asked it is asked all the same."""
        look_up.waiters.pop(waiter, None)
        if not look_up.waiters and self._waiting.pop(look_up.infohash, None) is not None:
            del self._look_ups[look_up.infohash]

    # -- looking up ----------------------------------------------------------------------------

    def _next(self) -> None:
        while self._waiting and self._running < self._limits.look_ups_at_once:
            look_up = self._waiting.pop(next(iter(self._waiting)))
            self._running += 1
            reading = Deferred.fromCoroutine(self._read(look_up.infohash))
            reading.addTimeout(self._limits.look_up_timeout, self._clock, _too_late)
            reading.addBoth(self._read_ended, look_up)

    async def _read(self, infohash: bytes) -> tuple[bytes | None, Job | None]:
        info = await self._store.info_bytes(infohash)
        if info is None and self.called is not None:
            return None, await self._store.job(infohash)
        return info, None

    def _read_ended(self, result: Any, look_up: _LookUp) -> None:
        self._running -= 1
        infohash = look_up.infohash
        if isinstance(result, Failure):
            self._tell(look_up, result)
        else:
            info, job = result
            if info is None and job is None:
                self._misses.take(look_up.host)
            if info is not None:
                self.found += 1
                self._keep(infohash, info)
                self._tell(look_up, info)
            elif job is not None and self._may_call(job, infohash):
                self._call(look_up)
            else:
                self._missed(look_up)
        self._next()

    def _may_call(self, job: Job, infohash: bytes) -> bool:
        # A caller by the v2 infohash of a hybrid would not find the fetch, which goes by the other.
        # One that is being fetched is claimed by us, perhaps, and waits for a slot.
        wanted = job.status in (QUEUED, WAITING, FETCHING) and job.key == infohash
        return wanted and infohash not in self._called and self._calls.ready()

    def _call(self, look_up: _LookUp) -> None:
        """A peer calls for what we want: begin the fetch, which it will join."""
        assert self.called is not None
        self._calls.take()
        self._called.add(look_up.infohash)
        maybeDeferred(self.called, look_up.infohash).addCallbacks(
            self._call_ended, self._call_failed, callbackArgs=(look_up,), errbackArgs=(look_up,)
        )

    def _call_ended(self, began: bool, look_up: _LookUp) -> None:
        if began:
            self.started += 1
            self._tell(look_up, None)
        else:
            self._missed(look_up)

    def _call_failed(self, failure: Failure, look_up: _LookUp) -> None:
        # The queue closes, or the store cannot be written: whoever runs it hears of that elsewhere.
        if not failure.check(FunctorrentError):
            self.log.failure("a caller's fetch could not be begun", failure=failure)
        self._tell(look_up, None)

    def _missed(self, look_up: _LookUp) -> None:
        self.missing += 1
        if not look_up.changed:
            self._not_there.add(look_up.infohash)
        self._tell(look_up, None)

    def _tell(self, look_up: _LookUp, answer: bytes | Failure | None) -> None:
        del self._look_ups[look_up.infohash]
        waiters, look_up.waiters = look_up.waiters, {}
        for waiter in waiters:
            # What one of them does with it may end another.
            if not waiter.called:
                waiter.callback(answer)

    # -- what is kept --------------------------------------------------------------------------

    def _keep(self, infohash: bytes, info: bytes) -> None:
        self._kept[infohash] = info
        self.size += len(info)
        while self.size > self._limits.library_cache:
            _, oldest = self._kept.popitem(last=False)
            self.size -= len(oldest)

    def _changed(self, jobs: Sequence[Job]) -> None:
        """Jobs have changed in the store: what was not there may be now."""
        if not self._look_ups and not len(self._not_there):
            # A hundred thousand come at once.
            return
        for job in jobs:
            for whole in (job.infohash, job.infohash_v2):
                if whole is not None:
                    infohash = whole[:20]
                    self._not_there.discard(infohash)
                    look_up = self._look_ups.get(infohash)
                    if look_up is not None:
                        look_up.changed = True


def _too_late(result: Any, seconds: float) -> Any:
    return Failure(StoreError(f"the store did not answer within {seconds:g} s"))
