"""Which node an iterative lookup asks next (BEP 5), against nodes that lie (S/Kademlia's disjoint paths).

Pure: no clock, no sockets; `Walk` drives it. Laws of this file:

- A node belongs to the one path that named it first, so a hostile node leads astray one path at most.
- One node of each address, and of each /24 (IPv6: /64), is asked; a second one only where the first was
  lost or lied, so that naming an honest node with a wrong id does not shut it out.
- A path goes on while it has a candidate closer than the best `_PATH_BEST` that answered in it, or closer
  than the best `CLOSEST` of all, or, where its id is bound to its address (BEP 42), closer than the best
  `_BOUND_BEST` of those. So nodes that name ever closer nodes end no path but their own, which has its
  share of queries and no more.
- Who answers by another id than it was named with may be an honest node that somebody named wrongly: the
  answer is dropped, and the node may be asked as what it is.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Hashable, Iterable
from heapq import heapify, heappop, heappush, nsmallest

from functorrent.interfaces import PeerAddress
from functorrent.limits import Limits
from functorrent.sources.dht.ids import complies
from functorrent.wire.krpc import NodeInfo

#: How many of the closest that answered a lookup is for: as many hold an infohash's peers (BEP 5).
CLOSEST = 8
#: How many must have answered in a path before it counts as at its end.
_PATH_BEST = 3
#: How many whose ids comply with BEP 42 must have answered: an id close to the target is easily made up,
#: but for an address that it fits.
_BOUND_BEST = 4
#: Times that an address or its network is asked.
_TRIES = 2
#: Steps from the table to the target; a network of ten million nodes needs 8.
_MAX_HOPS = 24
_FAR = 1 << 160


class Candidate:
    """A node that may be asked, or was. `node_id` is None for one that we know by address alone."""

    __slots__ = (
        "address",
        "again",
        "bound",
        "distance",
        "done",
        "hops",
        "node_id",
        "path",
        "place",
        "replied",
        "stalled",
        "token",
    )

    def __init__(
        self,
        node_id: bytes | None,
        address: PeerAddress,
        distance: int,
        path: Path,
        place: Hashable,
        hops: int,
    ) -> None:
        self.node_id = node_id
        self.address = address
        self.distance = distance
        self.path = path
        self.place = place
        self.hops = hops
        #: Whether its id complies with BEP 42; None until that was looked at.
        self.bound: bool | None = None
        self.stalled = False
        self.done = False
        self.replied = False
        #: Whether it is asked for the second time.
        self.again = False
        #: For announce_peer, where it gave one.
        self.token: bytes | None = None

    def is_bound(self) -> bool:
        """Whether its id is bound to its address (BEP 42)."""
        if self.bound is None:
            self.bound = self.node_id is not None and complies(self.node_id, self.address.host)
        return self.bound

    def __lt__(self, other: Candidate) -> bool:
        return self.distance < other.distance


class Path:
    """One of the disjoint paths."""

    __slots__ = ("asked", "best", "candidates", "in_flight")

    def __init__(self) -> None:
        self.candidates: list[Candidate] = []
        self.in_flight = 0
        self.asked = 0
        #: The distances of the closest that answered, the closest first.
        self.best: list[int] = []


class Lookup:
    """The nodes of one lookup in one family.

    `target`: bytes of 20. `place(address)` says what counts as one place in the network; `allowed(node)`
    whether a node that a stranger names may be asked at all.
    """

    def __init__(
        self,
        target: bytes,
        limits: Limits,
        place: Callable[[PeerAddress], Hashable],
        allowed: Callable[[NodeInfo], bool],
    ) -> None:
        self.target = target
        self._target = int.from_bytes(target, "big")
        self._limits = limits
        self._place = place
        self._allowed = allowed
        self._paths = [Path() for _ in range(limits.dht_paths)]
        self._known: set[NodeInfo | PeerAddress] = set()
        #: Places asked, and how often; those that hold a node which answered or may yet are at `_TRIES`.
        self._places: dict[Hashable, int] = {}
        #: Candidates of a place where another is being asked; free again if that comes to nothing.
        self._held: dict[Hashable, list[Candidate]] = {}
        self._turn = 0
        #: The closest that answered, the closest first, CLOSEST at most.
        self.closest: list[Candidate] = []
        #: ... of those with ids bound to their addresses, `_BOUND_BEST` at most.
        self.bound: list[Candidate] = []
        #: As whom a place has answered that had been named as somebody else.
        self._real: dict[Hashable, bytes] = {}
        self.asked = 0
        self.replied = 0
        #: Queries under way, and those of them that have not stalled.
        self.waiting = 0
        self.in_flight = 0

    # -- candidates ----------------------------------------------------------------------------

    def seed(self, nodes: Iterable[NodeInfo]) -> None:
        """Nodes of our own table, dealt to the paths in turn."""
        for node in nodes:
            self._add(node, self._next_path(), 0)

    def seed_addresses(self, addresses: Iterable[PeerAddress]) -> None:
        """Nodes to begin with whose ids we do not know; asked when there is nothing closer."""
        for address in addresses:
            if address not in self._known and len(self._known) < self._most_known:
                self._known.add(address)
                path = self._next_path()
                heappush(path.candidates, Candidate(None, address, _FAR, path, self._place(address), 0))

    @property
    def _most_known(self) -> int:
        return self._limits.dht_lookup_queries * CLOSEST

    def _next_path(self) -> Path:
        self._turn += 1
        return self._paths[self._turn % len(self._paths)]

    def _add(self, node: NodeInfo, path: Path, hops: int) -> None:
        known = self._known
        if node in known or len(known) >= self._most_known:
            return
        known.add(node)
        place = self._place(node.address)
        if self._places.get(place, 0) >= _TRIES:
            return
        distance = int.from_bytes(node.id, "big") ^ self._target
        candidates = path.candidates
        heappush(candidates, Candidate(node.id, node.address, distance, path, place, hops))
        if len(candidates) > 2 * self._limits.dht_candidates:
            candidates[:] = nsmallest(self._limits.dht_candidates, candidates)
            heapify(candidates)

    def _named(self, nodes: Iterable[NodeInfo], by: Candidate) -> None:
        """Nodes that an answer named."""
        hops = by.hops + 1
        if hops > _MAX_HOPS:
            return
        known, allowed = self._known, self._allowed
        fresh = [node for node in nodes if node not in known and allowed(node)]
        most = self._limits.dht_nodes_per_answer
        if len(fresh) > most:
            target = self._target
            fresh = nsmallest(most, fresh, key=lambda node: int.from_bytes(node.id, "big") ^ target)
        # With a single node to begin with there are no paths yet: its answer is where they part.
        idle = [path for path in self._paths if not path.asked and not path.candidates]
        if idle and by.hops == 0:
            ways = [*idle, by.path] if by.node_id is not None else self._paths
            for at, node in enumerate(fresh):
                self._add(node, ways[at % len(ways)], hops)
        else:
            for node in fresh:
                self._add(node, by.path, hops)

    # -- asking --------------------------------------------------------------------------------

    def _choose(self) -> Path | None:
        """The path whose best candidate is the next to be asked."""
        limits = self._limits
        if self.in_flight >= limits.dht_in_flight or self.asked >= limits.dht_lookup_queries:
            return None
        share = self._share
        # A path alone gets no more than its place among others, twice.
        most = max(1, 2 * limits.dht_in_flight // len(self._paths))
        ways = [
            path for path in self._paths if path.in_flight < most and path.asked < share and self._worth(path)
        ]
        if not ways:
            return None
        self._turn += 1
        chosen = ways[self._turn % len(ways)]
        for path in ways:
            if path.in_flight < chosen.in_flight:
                chosen = path
        return chosen

    @property
    def ready(self) -> bool:
        """Whether `take` has a node to ask now."""
        return self._choose() is not None

    def take(self) -> Candidate | None:
        """The next node to ask, now counted as asked; None where there is none for now."""
        chosen = self._choose()
        if chosen is None:
            return None
        candidate = heappop(chosen.candidates)
        self._places[candidate.place] = self._places.get(candidate.place, 0) + _TRIES
        self._held.setdefault(candidate.place, [])
        chosen.asked += 1
        chosen.in_flight += 1
        self.asked += 1
        self.in_flight += 1
        self.waiting += 1
        return candidate

    def put_aside(self, candidate: Candidate) -> None:
        """It was taken but could not be asked now: see `put_back`. Till then it is nowhere."""
        self._places[candidate.place] -= _TRIES
        candidate.path.asked -= 1
        self.asked -= 1
        self._end(candidate)
        candidate.done = False
        self._free(candidate)

    def put_back(self, candidate: Candidate) -> None:
        """What was put aside may be asked."""
        heappush(candidate.path.candidates, candidate)

    def _worth(self, path: Path) -> bool:
        """Whether the path's best candidate is worth a query; those that are not to be asked go."""
        candidates, real = path.candidates, self._real
        closest, bound = self.closest, self.bound
        best = path.best[-1] if len(path.best) >= _PATH_BEST else _FAR
        near = max(best, closest[-1].distance if len(closest) >= CLOSEST else _FAR)
        last_bound = bound[-1].distance if len(bound) >= _BOUND_BEST else _FAR
        while candidates:
            candidate = candidates[0]
            if self._places.get(candidate.place, 0) >= _TRIES:
                if candidate.place in self._held:
                    self._held[candidate.place].append(candidate)
            elif not real or real.get(candidate.place, candidate.node_id) == candidate.node_id:
                distance = candidate.distance
                if distance < near or (near == _FAR and distance == _FAR):
                    return True
                if distance >= last_bound:
                    return False
                if candidate.is_bound():
                    return True
            # What is not near enough now will not be later.
            heappop(candidates)
        return False

    @property
    def _share(self) -> int:
        """Queries that one path may use."""
        return self._limits.dht_lookup_queries // len(self._paths)

    @property
    def finished(self) -> bool:
        """Whether nothing is under way and nobody is left who is worth asking."""
        if self.waiting:
            return False
        if self.asked >= self._limits.dht_lookup_queries:
            return True
        share = self._share
        return not any(path.asked < share and self._worth(path) for path in self._paths)

    # -- what becomes of a query ---------------------------------------------------------------

    def answered(
        self, candidate: Candidate, node_id: bytes, nodes: Iterable[NodeInfo], token: bytes | None
    ) -> None:
        """It answered, by the id it was named with (or by any, where none was known), late perhaps."""
        if candidate.replied:
            return
        candidate.replied = True
        if not candidate.done:
            self._end(candidate)
        self._places[candidate.place] = _TRIES
        self._held.pop(candidate.place, None)
        self.replied += 1
        candidate.token = token
        if candidate.node_id is None:
            candidate.distance = int.from_bytes(node_id, "big") ^ self._target
            self._named(nodes, candidate)
            candidate.node_id = node_id
        else:
            self._named(nodes, candidate)
        insort(candidate.path.best, candidate.distance)
        del candidate.path.best[_PATH_BEST:]
        insort(self.closest, candidate)
        del self.closest[CLOSEST:]
        bound = self.bound
        if (len(bound) < _BOUND_BEST or candidate < bound[-1]) and candidate.is_bound():
            insort(bound, candidate)
            del bound[_BOUND_BEST:]

    def stalled(self, candidate: Candidate) -> None:
        """It takes long: another may be asked meanwhile."""
        if not candidate.stalled and not candidate.done:
            candidate.stalled = True
            candidate.path.in_flight -= 1
            self.in_flight -= 1

    def failed(self, candidate: Candidate) -> None:
        """It did not answer, or lied about who it is."""
        if not candidate.done:
            self._end(candidate)
            # One more try for its place, as it may have been named with somebody else's id.
            self._places[candidate.place] -= 1
            self._free(candidate)
            if candidate.node_id is None and not candidate.again and not self.replied:
                # A host to begin with, and nobody else has answered: a lost datagram must not be the end.
                candidate.again = True
                candidate.done = False
                heappush(candidate.path.candidates, candidate)

    def misnamed(self, candidate: Candidate, node_id: bytes) -> None:
        """It answered by this id, which is not the one that it was named with."""
        self.failed(candidate)
        place = candidate.place
        if place not in self._real:
            self._real[place] = node_id
            node = NodeInfo(node_id, candidate.address)
            if node not in self._known and self._allowed(node):
                self._add(node, candidate.path, candidate.hops)

    def _free(self, candidate: Candidate) -> None:
        for other in self._held.pop(candidate.place, ()):
            heappush(other.path.candidates, other)

    def _end(self, candidate: Candidate) -> None:
        self.stalled(candidate)
        candidate.done = True
        candidate.stalled = False
        self.waiting -= 1

    def close(self) -> None:
        """Forget all but who answered: nobody will be asked any more."""
        for path in self._paths:
            path.candidates.clear()
        self._known.clear()
        self._places.clear()
        self._held.clear()

    def keepers(self) -> list[Candidate]:
        """Those to whom an announce_peer goes: the closest, and the closest with bound ids."""
        return list(dict.fromkeys([*self.closest, *self.bound]))
