"""All searches of our node: shared, in turn, and so many at once.

A search that waits is an entry in a dictionary: a bulk fetch asks for thousands of infohashes, most of
which are over, thanks to trackers, before their turn comes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace

from zope.interface import implementer

from functorrent.interfaces import PeerAddress
from functorrent.rates import ITurn
from functorrent.sources.dht.core import DhtCore
from functorrent.sources.dht.report import NOTHING
from functorrent.sources.dht.search import IWaiter, Search
from functorrent.sources.dht.walk import Walk

#: Waiters told in one turn of the reactor that no node can be reached; each may end a fetch.
_SLICE = 200


@implementer(ITurn)
class Searches:
    """`more(walk)`: whether nodes to begin with may come yet; `seeds()`: those that have come."""

    def __init__(
        self, core: DhtCore, more: Callable[[Walk], bool], seeds: Callable[[], Iterable[PeerAddress]]
    ) -> None:
        self._core = core
        self._more = more
        self._seeds = seeds
        self._waiting: OrderedDict[bytes, list[IWaiter]] = OrderedDict()
        self.running: dict[bytes, Search] = {}
        limits = core.limits
        self._narrow = replace(
            limits, dht_paths=(limits.dht_paths + 1) // 2, dht_in_flight=(limits.dht_in_flight + 1) // 2
        )
        self._most = limits.dht_lookups
        #: Whether we wait for a turn.
        self._queued = False
        #: While no node is known: when the next search may begin.
        self._cold_until = 0.0
        self._beginning = False
        self._flushing = False
        self._stopped = False

    # -- who waits -----------------------------------------------------------------------------

    def join(self, infohash: bytes, waiter: IWaiter) -> None:
        """`waiter` wants the peers of an infohash."""
        search = self.running.get(infohash)
        if search is not None:
            search.add(waiter)
            return
        waiting = self._waiting.get(infohash)
        if waiting is None:
            self._waiting[infohash] = [waiter]
        else:
            waiting.append(waiter)
        if not self._queued and len(self.running) < self._most:
            self._next()

    def leave(self, infohash: bytes, waiter: IWaiter) -> None:
        """`waiter` wants nothing more; a search that nobody waits for ends."""
        waiters = self._waiting.get(infohash)
        if waiters is not None and waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del self._waiting[infohash]
                if not self._waiting:
                    self._leave()
            return
        search = self.running.get(infohash)
        if search is None or waiter not in search.waiters:
            return
        search.waiters.remove(waiter)
        if not search.waiters:
            del self.running[infohash]
            search.cancel()
            self._core.stats.lookups_cancelled += 1
            self._next()

    def waits(self, infohash: bytes) -> bool:
        """Whether its first query has not gone out yet."""
        search = self.running.get(infohash)
        return not search.walks.asked if search is not None else infohash in self._waiting

    def __len__(self) -> int:
        """Searches that wait for their turn."""
        return len(self._waiting)

    # -- whose turn it is ----------------------------------------------------------------------

    def _next(self) -> None:
        if self._beginning:
            return
        # One that ends at once, as no node is known, must not begin the next inside its own beginning.
        self._beginning = True
        try:
            while self._waiting and self._room():
                if not self._core.calls.turns.take(self):
                    self._queued = True
                    break
                self._begin()
        finally:
            self._beginning = False

    def _room(self) -> bool:
        running, core = len(self.running), self._core
        if self._stopped or running >= self._most:
            return False
        if core.known:
            return True
        if running >= core.limits.dht_lookups_cold:
            return False
        if core.clock.seconds() < self._cold_until:
            # Those that end at once, as trackers were quicker, must not each ask the same dead hosts.
            core.deadlines.set(self._next, self._cold_until)
            return False
        return True

    def turn(self) -> None:
        """A query is ours: the next search sends it."""
        self._queued = False
        if self._waiting and self._room() and not self._beginning:
            self._beginning = True
            try:
                self._begin()
            finally:
                self._beginning = False
        self._next()

    def _begin(self) -> None:
        infohash, waiters = self._waiting.popitem(last=False)
        self._cold_until = self._core.clock.seconds() + self._core.limits.dht_cold_pause
        # The rate bounds a crowd: with half of the paths it is through in little more than half of the time.
        crowded = len(self._waiting) > self._core.limits.dht_lookups
        search = Search(self._core, infohash, self._more, self._ended, self._narrow if crowded else None)
        self._core.stats.lookups += 1
        self.running[infohash] = search
        for waiter in waiters:
            search.add(waiter)
        search.start(self._seeds(), granted=True)

    def _ended(self, search: Search) -> None:
        del self.running[search.infohash]
        self._core.stats.lookups_ended += 1
        report = search.report()
        for waiter in list(search.waiters):
            waiter.ended(report)
        self._next()

    # -- what the node tells -------------------------------------------------------------------

    def seed(self, addresses: Iterable[PeerAddress]) -> None:
        """Nodes to begin with have come."""
        addresses = list(addresses)
        for search in list(self.running.values()):
            search.walks.seed(addresses)

    def check(self) -> None:
        """No more nodes to begin with will come, or there is a table now."""
        for search in list(self.running.values()):
            search.walks.go_on()
        self._next()

    def flush(self) -> None:
        """No node can be reached: who waits need not wait."""
        self.check()
        if not self._flushing:
            self._flush()

    def _flush(self) -> None:
        self._flushing = False
        for _ in range(min(_SLICE, len(self._waiting))):
            _, waiters = self._waiting.popitem(last=False)
            for waiter in waiters:
                waiter.ended(NOTHING)
        if self._waiting and not self._stopped:
            self._flushing = True
            self._core.clock.callLater(0, self._flush)
        elif not self._waiting:
            self._leave()

    def _leave(self) -> None:
        self._queued = False
        self._core.calls.turns.leave(self)

    def stop(self) -> None:
        """End every search with what it has."""
        self._stopped = True
        for infohash, waiters in list(self._waiting.items()):
            for waiter in list(waiters):
                self.leave(infohash, waiter)
                waiter.ended(NOTHING)
        for infohash, search in list(self.running.items()):
            report = search.report()
            search.cancel()
            self.running.pop(infohash, None)
            for waiter in list(search.waiters):
                waiter.ended(report)
