"""The search for one infohash's peers: a walk in each family, then announces (BEP 5, BEP 32)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from functorrent.interfaces import PeerAddress
from functorrent.sources.dht.announcing import Announcing
from functorrent.sources.dht.core import DhtCore
from functorrent.sources.dht.lookup import CLOSEST, Candidate
from functorrent.sources.dht.report import LookupReport
from functorrent.sources.dht.walk import Walk
from functorrent.wire.krpc import NodeInfo, Response


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
        self, core: DhtCore, infohash: bytes, more: Callable[[Walk], bool], ended: Callable[[Search], None]
    ) -> None:
        self.infohash = infohash
        self.waiters: list[IWaiter] = []
        self._core = core
        self._ended = ended
        self._began = float(core.clock.seconds())
        self._peers: dict[PeerAddress, None] = {}
        self._announced: list[Announcing] = []
        self._announcing = 0
        self._starting = False
        self._over = False
        self.walks = [Walk(core, infohash, v6, "get_peers", self, more) for v6 in core.ids]

    # -- life ----------------------------------------------------------------------------------

    def start(self, seeds: Iterable[PeerAddress], *, granted: bool) -> None:
        """Begin, with `seeds` beside what the tables know."""
        self._starting = True
        for walk in self.walks:
            walk.start(granted=granted)
            granted = False
        self.seed(seeds)
        self._starting = False
        self._look()

    def seed(self, addresses: Iterable[PeerAddress]) -> None:
        """Further nodes to begin with."""
        addresses = list(addresses)
        for walk in self.walks:
            walk.seed([each for each in addresses if (":" in each.host) == walk.v6])

    def check(self) -> None:
        """No more nodes to begin with will come."""
        for walk in self.walks:
            walk.go_on()

    def add(self, waiter: IWaiter) -> None:
        """One more wants the peers: those there are, and those to come."""
        self.waiters.append(waiter)
        if self._peers:
            waiter.found(list(self._peers))

    def cancel(self) -> None:
        """Leave nothing running; nobody is told."""
        self._over = True
        for walk in self.walks:
            walk.cancel()
        for announcing in self._announced:
            announcing.cancel()

    @property
    def asked(self) -> int:
        """Nodes asked so far."""
        return sum([walk.lookup.asked for walk in self.walks])

    def closest(self) -> tuple[NodeInfo, ...]:
        """Up to 8 nodes that answered, the closest first."""
        closest: list[Candidate] = []
        for walk in self.walks:
            closest += walk.lookup.closest
        closest.sort()
        return tuple(
            [NodeInfo(each.node_id, each.address) for each in closest[:CLOSEST] if each.node_id is not None]
        )

    def report(self) -> LookupReport:
        """What there is so far."""
        lookups = [walk.lookup for walk in self.walks]
        answered = sum([lookup.replied for lookup in lookups])
        accepted = sum([each.accepted for each in self._announced])
        nearest = min([lookup.closest[0] for lookup in lookups if lookup.closest], default=None)
        return LookupReport(
            asked=self.asked,
            answered=answered,
            peers=len(self._peers),
            announced=accepted,
            hops=nearest.hops if nearest is not None else 0,
            packets=self.asked + answered + accepted + sum([each.sent for each in self._announced]),
            seconds=float(self._core.clock.seconds()) - self._began,
            closest=self.closest(),
        )

    # -- IWalkOwner ----------------------------------------------------------------------------

    def walk_answered(self, walk: Walk, response: Response) -> None:
        """Peers go to the waiters at once."""
        values, peers = response.values, self._peers
        if values:
            limits = self._core.limits
            fresh: list[PeerAddress] = []
            for peer in values[: limits.dht_peers_per_answer]:
                if len(peers) >= limits.dht_peers:
                    break
                if peer not in peers:
                    peers[peer] = None
                    fresh.append(peer)
            if fresh:
                self._core.stats.peers_found += len(fresh)
                for waiter in list(self.waiters):
                    waiter.found(fresh)
        others = response.nodes if walk.v6 else response.nodes6
        if others and not self._over:
            for other in self.walks:
                if other is not walk:
                    other.seed_nodes(others)

    def walk_ended(self, walk: Walk) -> None:
        """Where we listen, those who answered are told."""
        port = next((each.announce_port for each in self.waiters if each.announce_port is not None), None)
        if port is not None and not self._over:
            announcing = Announcing(
                self._core, self.infohash, port, walk.v6, walk.lookup.closest, self._announces_ended
            )
            self._announced.append(announcing)
            self._announcing += 1
            announcing.start()
        self._look()

    def _announces_ended(self) -> None:
        self._announcing -= 1
        self._look()

    def _look(self) -> None:
        if self._over or self._starting or self._announcing or not all([walk.over for walk in self.walks]):
            return
        self._over = True
        self._ended(self)
