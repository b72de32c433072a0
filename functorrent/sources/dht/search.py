"""The search for one infohash's peers: a walk in each family, then announces (BEP 5, BEP 32)."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable
from typing import Protocol

from functorrent.interfaces import PeerAddress
from functorrent.limits import Limits
from functorrent.sources.dht.announcing import Announcing
from functorrent.sources.dht.core import DhtCore
from functorrent.sources.dht.lookup import Candidate
from functorrent.sources.dht.report import LookupReport
from functorrent.sources.dht.walk import Walk, Walks
from functorrent.wire.krpc import Response

#: Peers of one answer that go to the waiters at once; the rest when the lookup has ended, those of the
#: closest nodes first. So nodes that know a hundred peers of everything do not bury who really has some.
_AT_ONCE = 8
#: Answers of which the rest is kept.
_MAX_HELD = 16


class IWaiter(Protocol):
    """Who wants an infohash's peers. Neither may raise."""

    announce_port: int | None

    def found(self, peers: list[PeerAddress]) -> None:
        """Peers that this one was not told before."""

    def ended(self, report: LookupReport) -> None:
        """The search is over. Called once, and not where the waiter has left."""


class Search:
    """One infohash, and everybody who waits for its peers. `ended(search)` is called at its end."""

    def __init__(
        self,
        core: DhtCore,
        infohash: bytes,
        more: Callable[[Walk], bool],
        ended: Callable[[Search], None],
        limits: Limits | None = None,
    ) -> None:
        self.infohash = infohash
        self.waiters: list[IWaiter] = []
        self._core = core
        self._ended = ended
        self._began = float(core.clock.seconds())
        self._peers: dict[PeerAddress, None] = {}
        #: By walk: the peers kept back, with the distance of who named them, the closest first.
        self._held: dict[Walk, list[tuple[int, tuple[PeerAddress, ...]]]] = {}
        self._announced: list[Announcing] = []
        self._announcing = 0
        self._starting = False
        self._over = False
        self.walks = Walks(core, infohash, "get_peers", self, more, limits)

    # -- life ----------------------------------------------------------------------------------

    def start(self, seeds: Iterable[PeerAddress], *, granted: bool) -> None:
        """Begin, with `seeds` beside what the tables know."""
        self._starting = True
        self.walks.start(seeds, granted=granted)
        self._starting = False
        self._look()

    def add(self, waiter: IWaiter) -> None:
        """One more wants the peers: those there are, and those to come."""
        self.waiters.append(waiter)
        if self._peers:
            waiter.found(list(self._peers))

    def cancel(self) -> None:
        """Leave nothing running; nobody is told."""
        self._over = True
        self.walks.cancel()
        for announcing in self._announced:
            announcing.cancel()

    def report(self) -> LookupReport:
        """What there is so far."""
        walks, closest = self.walks, self.walks.closest()
        asked, answered = walks.asked, walks.replied
        accepted = sum([each.accepted for each in self._announced])
        return LookupReport(
            asked=asked,
            answered=answered,
            peers=len(self._peers),
            announced=accepted,
            hops=closest[0].hops if closest else 0,
            packets=asked + answered + accepted + sum([each.sent for each in self._announced]),
            seconds=float(self._core.clock.seconds()) - self._began,
            closest=walks.nodes(),
        )

    # -- IWalkOwner ----------------------------------------------------------------------------

    def walk_answered(self, walk: Walk, candidate: Candidate, response: Response) -> None:
        """The first of its peers go to the waiters at once."""
        values = response.values[: self._core.limits.dht_peers_per_answer]
        if values:
            self._tell(values[:_AT_ONCE])
            if len(values) > _AT_ONCE:
                held = self._held.setdefault(walk, [])
                insort(held, (candidate.distance, values[_AT_ONCE:]))
                del held[_MAX_HELD:]

    def _tell(self, values: Iterable[PeerAddress]) -> None:
        peers, most = self._peers, self._core.limits.dht_peers
        fresh: list[PeerAddress] = []
        for peer in values:
            if len(peers) >= most:
                break
            if peer not in peers:
                peers[peer] = None
                fresh.append(peer)
        if fresh:
            self._core.stats.peers_found += len(fresh)
            for waiter in list(self.waiters):
                waiter.found(fresh)

    def walk_ended(self, walk: Walk) -> None:
        """The rest of the peers goes to the waiters; where we listen, the nodes are told of us."""
        for _, values in self._held.pop(walk, ()):
            self._tell(values)
        port = next((each.announce_port for each in self.waiters if each.announce_port is not None), None)
        if port is not None and not self._over:
            announcing = Announcing(
                self._core, self.infohash, port, walk.v6, walk.lookup.keepers(), self._announces_ended
            )
            self._announced.append(announcing)
            self._announcing += 1
            announcing.start()
        self._look()

    def _announces_ended(self) -> None:
        self._announcing -= 1
        self._look()

    def _look(self) -> None:
        if self._over or self._starting or self._announcing or not self.walks.over:
            return
        self._over = True
        self._ended(self)
