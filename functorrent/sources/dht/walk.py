"""An iterative lookup under way: `Lookup` says whom to ask, this asks (BEP 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from zope.interface import implementer

from functorrent.interfaces import PeerAddress
from functorrent.limits import Limits
from functorrent.rates import ITurn
from functorrent.sources.dht.calls import Call
from functorrent.sources.dht.core import DhtCore
from functorrent.sources.dht.lookup import CLOSEST, Candidate, Lookup
from functorrent.sources.dht.places import place
from functorrent.wire.krpc import NodeInfo, Response, encode_find_node, encode_get_peers

#: Nodes of our own table that a lookup begins with: two for each path.
_SEEDS = 2 * CLOSEST


class IWalkOwner(Protocol):
    """Whom a walk is for. None of these may raise."""

    def walk_answered(self, walk: Walk, candidate: Candidate, response: Response) -> None:
        """A node answered, by the right id."""

    def walk_ended(self, walk: Walk) -> None:
        """Nobody is left to be asked, or its time is over. Called once."""


class _Nobody:
    """Takes the place of an owner that needs to hear no more: what refers to each other waits for the
    collector, which a bulk fetch does without."""

    def walk_answered(self, walk: Walk, candidate: Candidate, response: Response) -> None:
        """The walk is over."""

    def walk_ended(self, walk: Walk) -> None:
        """It is known."""


_NOBODY = _Nobody()


def _no_more(walk: Walk) -> bool:
    return False


@implementer(ITurn)
class Walk:
    """One lookup in one family.

    `target`: bytes of 20. `method`: ``get_peers`` or ``find_node``. `more(walk)`: whether further nodes to
    begin with may come yet, so that fewer than 8 answers, of all who were asked, are not the end. `limits`:
    other ones than the node's, of paths and queries in flight.
    """

    def __init__(
        self,
        core: DhtCore,
        target: bytes,
        v6: bool,
        method: str,
        owner: IWalkOwner,
        more: Callable[[Walk], bool],
        limits: Limits | None = None,
    ) -> None:
        self.v6 = v6
        self.over = False
        #: Whether it was given the hosts to begin with, when all the others were silent.
        self.helped = False
        self.lookup = Lookup(target, limits or core.limits, _network, core.allowed)
        self._core = core
        self._method = method
        self._owner: IWalkOwner = owner
        self._more = more
        self._paused: list[Candidate] = []
        self._calls: set[Call] = set()

    # -- beginning and end ---------------------------------------------------------------------

    def start(self, *, granted: bool = False) -> None:
        """Begin with the nodes of our table. `granted`: the first query's turn has been taken."""
        core = self._core
        core.deadlines.set(self._end, core.clock.seconds() + core.limits.dht_lookup_time)
        self.lookup.seed(core.closest(self.v6, self.lookup.target, _SEEDS))
        if granted and self.lookup.ready:
            self.turn()
        else:
            self.go_on()

    def seed(self, addresses: Iterable[PeerAddress]) -> None:
        """Nodes to begin with, of which we know where they are."""
        if not self.over and self.lookup.replied < CLOSEST:
            self.lookup.seed_addresses(addresses)
            self.go_on()

    def seed_nodes(self, nodes: Iterable[NodeInfo]) -> None:
        """Nodes that somebody named who was asked about the same target over the other family."""
        if not self.over and self.lookup.replied < CLOSEST:
            self.lookup.seed([node for node in nodes if self._core.allowed(node)][:CLOSEST])
            self.go_on()

    def seed_again(self) -> bool:
        """Begin with what the table knows by now; whether there is somebody to be asked."""
        self.lookup.seed(self._core.closest(self.v6, self.lookup.target, _SEEDS))
        if self.lookup.finished:
            return False
        self.go_on()
        return True

    def cancel(self) -> None:
        """Ask nobody any more; its owner is not told."""
        if self.over:
            return
        self.over = True
        core = self._core
        core.deadlines.clear(self._end)
        if self._paused:
            core.deadlines.clear(self._resume)
        core.calls.turns.leave(self)
        for call in self._calls:
            core.calls.forget(call)
        self._calls.clear()
        self._paused.clear()
        self.lookup.close()
        self._owner, self._more = _NOBODY, _no_more

    def _end(self) -> None:
        if not self.over:
            owner = self._owner
            self.cancel()
            owner.walk_ended(self)

    # -- asking --------------------------------------------------------------------------------

    def go_on(self) -> None:
        """Ask as many as may be asked, or end."""
        lookup, calls = self.lookup, self._core.calls
        while not self.over and lookup.ready:
            if not calls.open(self.v6):
                if not lookup.waiting:
                    self._end()
                return
            if not calls.turns.take(self):
                return
            self._ask()
        if self.over or self._paused or not lookup.finished:
            return
        if lookup.replied >= CLOSEST or not self._more(self):
            self._end()

    def turn(self) -> None:
        """A query is ours."""
        self._ask()
        self.go_on()

    def _ask(self) -> None:
        core, lookup = self._core, self.lookup
        candidate = lookup.take()
        if candidate is None:
            return
        pause = core.calls.pause(candidate.address)
        if pause:
            lookup.put_aside(candidate)
            self._paused.append(candidate)
            core.deadlines.set(self._resume, core.clock.seconds() + pause)
            return
        own_id, target = core.ids[self.v6], lookup.target
        want, read_only = core.want(self.v6), core.read_only
        encode = encode_get_peers if self._method == "get_peers" else encode_find_node
        call = Call(candidate.address, candidate.node_id, self._method, self, candidate)
        self._calls.add(call)
        core.calls.ask(
            call, lambda transaction: encode(transaction, own_id, target, want=want, read_only=read_only)
        )

    def _resume(self) -> None:
        paused, self._paused = self._paused, []
        for candidate in paused:
            self.lookup.put_back(candidate)
        self.go_on()

    # -- ICaller -------------------------------------------------------------------------------

    def answered(self, call: Call, response: Response) -> None:
        """A node answered; who has another id than it was named with is of no use."""
        self._calls.discard(call)
        candidate: Candidate = call.tag
        sender = response.sender
        if sender in self._core.ids.values():
            self.lookup.failed(candidate)
        elif call.node_id is not None and call.node_id != sender:
            self.lookup.misnamed(candidate, sender)
        else:
            nodes = response.nodes6 if self.v6 else response.nodes
            self.lookup.answered(candidate, sender, nodes, response.token)
            self._owner.walk_answered(self, candidate, response)
        self.go_on()

    def stalled(self, call: Call) -> None:
        """It takes long: the next one is asked."""
        self.lookup.stalled(call.tag)
        self.go_on()

    def lost(self, call: Call) -> None:
        """It will hardly answer; if it does after all while this goes on, that counts."""
        self.lookup.failed(call.tag)
        self.go_on()


class Walks:
    """One lookup in every family that we have (BEP 32); they help each other on.

    `target`, `method`, `more` and `limits` as of a `Walk`; `owner` is told of each.
    """

    def __init__(
        self,
        core: DhtCore,
        target: bytes,
        method: str,
        owner: IWalkOwner,
        more: Callable[[Walk], bool],
        limits: Limits | None = None,
    ) -> None:
        self._core = core
        self._owner: IWalkOwner = owner
        self._more = more
        self._starting = False
        self._walks = [Walk(core, target, v6, method, self, self._may_go_on, limits) for v6 in core.ids]

    def __iter__(self) -> Iterator[Walk]:
        return iter(self._walks)

    def start(self, seeds: Iterable[PeerAddress] = (), *, granted: bool = False) -> None:
        """Begin with the nodes of our tables and `seeds`. `granted`: the first query's turn is taken."""
        seeds = list(seeds)
        self._starting = True
        for walk in self._walks:
            walk.start(granted=granted)
            granted = False
        self._starting = False
        self.seed(seeds)
        self.go_on()

    def seed(self, addresses: Iterable[PeerAddress]) -> None:
        """Nodes to begin with, of which we know where they are."""
        addresses = list(addresses)
        for walk in self._walks:
            walk.seed([each for each in addresses if (":" in each.host) == walk.v6])

    def go_on(self) -> None:
        """Ask as many as may be asked, or end."""
        for walk in self._walks:
            walk.go_on()

    def cancel(self) -> None:
        """Ask nobody any more; the owner is not told."""
        for walk in self._walks:
            walk.cancel()
        self._owner, self._more = _NOBODY, _no_more

    @property
    def over(self) -> bool:
        """Whether all of them have ended."""
        return all([walk.over for walk in self._walks])

    @property
    def asked(self) -> int:
        """Nodes asked."""
        return sum([walk.lookup.asked for walk in self._walks])

    @property
    def replied(self) -> int:
        """Nodes that answered."""
        return sum([walk.lookup.replied for walk in self._walks])

    def closest(self) -> list[Candidate]:
        """Up to 8 that answered, the closest first, of all families."""
        closest: list[Candidate] = []
        for walk in self._walks:
            closest += walk.lookup.closest
        closest.sort()
        return closest[:CLOSEST]

    def nodes(self) -> tuple[NodeInfo, ...]:
        """`closest`, as nodes."""
        return tuple(
            [NodeInfo(each.node_id, each.address) for each in self.closest() if each.node_id is not None]
        )

    def _may_go_on(self, walk: Walk) -> bool:
        if self._starting or self._more(walk):
            return True
        # The other one is asked for nodes of this family, too, while we know few of them.
        return any(
            not other.over and not other.lookup.finished and bool(self._core.want(other.v6))
            for other in self._walks
            if other is not walk
        )

    def walk_answered(self, walk: Walk, candidate: Candidate, response: Response) -> None:
        """What it names of the other family helps there."""
        self._owner.walk_answered(walk, candidate, response)
        others = response.nodes if walk.v6 else response.nodes6
        if others:
            for other in self._walks:
                if other is not walk:
                    other.seed_nodes(others)

    def walk_ended(self, walk: Walk) -> None:
        """Who waited for its nodes need not wait."""
        owner = self._owner
        if self.over:
            self._owner, self._more = _NOBODY, _no_more
        owner.walk_ended(walk)
        self.go_on()


def _network(address: PeerAddress) -> str:
    return place(address)[1]
