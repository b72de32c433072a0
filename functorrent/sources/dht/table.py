"""The routing table: nodes that have answered us, many of them near our own id (BEP 5).

Laws, in the order in which an answer meets them:

1. Only who has answered from its address is in a bucket. Who was merely named (`heard`) is a candidate,
   and pushes nobody out.
2. An id stands for one address, and an address (IPv6: a /64) for one id, in the whole table. Another
   address that answers with a known id has to wait until the known one fails; an address that itself
   answers with another id has changed it.
3. In one bucket there is one node of a /24 or /64 (for local addresses see
   `functorrent.sources.dht.places`).
4. A bucket has 8 nodes. A full one gives up a node that is bad; then, for a newcomer that complies
   with BEP 42, one that does not; otherwise the newcomer is a spare, and comes in when a node fails.

A bucket holds the nodes that share just so many leading bits with our id, which is what splitting only
around the own id comes to. The table has no clock and sends nothing: its owner asks it whom to ping
(`questionable`, `candidates`) and what to look for (`stale`), and tells it what came of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from itertools import islice

from functorrent.sources.dht.ids import ID_BITS, complies
from functorrent.sources.dht.places import place
from functorrent.wire.krpc import NodeInfo, pack_node

#: Nodes of one bucket (BEP 5).
K = 8
#: Spares, and candidates, of one bucket.
_SPARES = 8
#: Without a word from it for so many seconds a node is questionable, and a bucket stale (BEP 5).
_GOOD_FOR = 900.0
#: Queries in a row without an answer that make a node bad: give it up when somebody waits for its place.
BAD = 2
#: ... and when nobody does: we may have been offline, and it has not changed.
_DEAD = 6
#: Seconds until a node that has failed is asked again, doubled each time; also how long `questionable`
#: takes a ping to be on its way.
_AGAIN = 30.0


class _Entry:
    """One node of the table."""

    __slots__ = (
        "address",
        "answered",
        "complies",
        "due",
        "failures",
        "group",
        "id",
        "number",
        "packed",
        "who",
    )

    def __init__(self, node: NodeInfo, now: float) -> None:
        self.id, self.address = node
        self.number = int.from_bytes(node.id, "big")
        self.packed = pack_node(node)
        self.who, self.group = place(node.address)
        self.complies = complies(node.id, node.address.host)
        self.answered = now
        self.failures = 0
        #: When it is questionable, and has to be pinged.
        self.due = now + _GOOD_FOR

    @property
    def node(self) -> NodeInfo:
        return NodeInfo(self.id, self.address)


class _Bucket:
    """The nodes of one distance, those that wait for a place, and those that were named."""

    __slots__ = ("candidates", "changed", "nodes", "spares")

    def __init__(self, now: float) -> None:
        self.nodes: list[_Entry] = []
        #: By who they are; the last to answer is last.
        self.spares: dict[str, _Entry] = {}
        self.candidates: dict[str, NodeInfo] = {}
        self.changed = now


class RoutingTable:
    """The nodes of one family that have answered us. Times are seconds of one clock.

    `own_id`: our id (bytes of 20); `family`: 4 or 6, and nodes of the other are passed over.
    """

    def __init__(self, own_id: bytes, family: int) -> None:
        self.own_id = own_id
        self.family = family
        self._own = int.from_bytes(own_id, "big")
        #: By how many leading bits an id shares with ours.
        self._buckets: dict[int, _Bucket] = {}
        self._by_id: dict[bytes, _Entry] = {}
        self._by_who: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[NodeInfo]:
        """All nodes, those far from our id first."""
        for depth in sorted(self._buckets):
            for entry in self._buckets[depth].nodes:
                yield entry.node

    def __contains__(self, node: NodeInfo) -> bool:
        entry = self._by_id.get(node.id)
        return entry is not None and entry.address == node.address

    # -- what came of it -----------------------------------------------------------------------

    def answered(self, node: NodeInfo, now: float) -> bool:
        """A node has answered a query of ours, from its address. Returns whether it is in the table."""
        entry = self._by_id.get(node.id)
        if entry is not None and entry.address == node.address:
            entry.failures = 0
            entry.answered = now
            entry.due = now + _GOOD_FOR
            self._buckets[self._depth(entry.number)].changed = now
            return True
        if not self._ours(node):
            return False
        new = _Entry(node, now)
        depth = self._depth(new.number)
        bucket = self._buckets.get(depth)
        if bucket is None:
            bucket = self._buckets[depth] = _Bucket(now)
        bucket.candidates.pop(new.who, None)
        other = self._by_who.get(new.who)
        if other is not None and other.address == node.address:
            # It has changed its id, as clients do when they start again.
            self._remove(other, now)
        if self._put(bucket, new, now):
            return True
        bucket.spares.pop(new.who, None)
        bucket.spares[new.who] = new
        if len(bucket.spares) > _SPARES:
            del bucket.spares[next(iter(bucket.spares))]
        return False

    def failed(self, node: NodeInfo, now: float) -> None:
        """A node has not answered a query of ours in time."""
        entry = self._by_id.get(node.id)
        who = place(node.address)[0]
        if entry is None or entry.address != node.address:
            bucket = self._buckets.get(self._depth(int.from_bytes(node.id, "big")))
            if bucket is not None:
                for waiting in (bucket.spares, bucket.candidates):
                    waiting.pop(who, None)
            return
        entry.failures += 1
        entry.due = now + min(_AGAIN * 2.0 ** (entry.failures - 1), _GOOD_FOR)
        if entry.failures >= BAD:
            self._replace(entry, now)

    def heard(self, node: NodeInfo, now: float) -> bool:
        """A node was named by another, or has asked us something: it may be there.

        Of a node in the table that asks us, it is a sign of life (BEP 5). Returns whether it is a
        candidate now: worth a ping.
        """
        entry = self._by_id.get(node.id)
        if entry is not None:
            if entry.address == node.address and not entry.failures:
                entry.due = now + _GOOD_FOR
            return False
        if not self._ours(node):
            return False
        who, group = place(node.address)
        if who in self._by_who:
            return False
        depth = self._depth(int.from_bytes(node.id, "big"))
        bucket = self._buckets.get(depth)
        if bucket is None:
            bucket = self._buckets[depth] = _Bucket(now)
        if who in bucket.spares:
            return False
        if any(each.group == group and each.failures < BAD for each in bucket.nodes):
            return False
        if len(bucket.nodes) >= K:
            better = complies(node.id, node.address.host)
            if not any(
                each.failures or each.due <= now or (better and not each.complies) for each in bucket.nodes
            ):
                return False
        bucket.candidates.pop(who, None)
        if len(bucket.candidates) >= _SPARES:
            del bucket.candidates[next(iter(bucket.candidates))]
        bucket.candidates[who] = node
        return True

    # -- asking --------------------------------------------------------------------------------

    def closest(self, target: bytes, count: int = K) -> list[NodeInfo]:
        """The nodes closest to `target` (an id or infohash), the closest first, at most `count`; those
        that did not answer the last time only where there are no others."""
        return [entry.node for entry in self._closest(target, count) or self._closest(target, count, _DEAD)]

    def closest_packed(self, target: bytes, count: int = K) -> bytes:
        """The same as ``nodes`` or ``nodes6`` of a response; none that did not answer the last time."""
        return b"".join([entry.packed for entry in self._closest(target, count)])

    def questionable(self, now: float, count: int = K) -> list[NodeInfo]:
        """Nodes that were silent for 15 minutes, or have failed, and should be pinged now: at most
        `count`, each once in half a minute."""
        due = [entry for entry in self._by_id.values() if entry.due <= now]
        due.sort(key=lambda entry: entry.due)
        for entry in due[:count]:
            entry.due = now + _AGAIN
        return [entry.node for entry in due[:count]]

    def candidates(self, count: int = K) -> list[NodeInfo]:
        """Nodes that were named and should be pinged, the nearest to our id first, at most `count`. Each is
        given once."""
        found: list[NodeInfo] = []
        for depth in sorted(self._buckets, reverse=True):
            waiting = self._buckets[depth].candidates
            for who in list(islice(waiting, count - len(found))):
                found.append(waiting.pop(who))
            if len(found) >= count:
                break
        return found

    def stale(self, now: float) -> list[bytes]:
        """A target to look for in each bucket where nothing has changed for 15 minutes (BEP 5: refresh).
        Each is given once in 15 minutes."""
        targets = []
        for depth in range(self._last() + 1):
            bucket = self._buckets.get(depth)
            if bucket is None:
                bucket = self._buckets[depth] = _Bucket(now - _GOOD_FOR)
            if now - bucket.changed >= _GOOD_FOR:
                bucket.changed = now
                targets.append(self._inside(depth))
        return targets

    def good(self, now: float, count: int) -> list[NodeInfo]:
        """Nodes that were good a short time ago, for the next start: at most `count`, those near our id
        first."""
        found = [
            entry for entry in self._by_id.values() if not entry.failures and entry.answered > now - 3600.0
        ]
        found.sort(key=lambda entry: entry.number ^ self._own)
        return [entry.node for entry in found[:count]]

    def moved(self, own_id: bytes, now: float) -> RoutingTable:
        """The table for another id of ours, with the nodes of this one."""
        table = RoutingTable(own_id, self.family)
        for entry in sorted(self._by_id.values(), key=lambda entry: entry.failures):
            if table.answered(entry.node, now):
                kept = table._by_id[entry.id]
                kept.answered, kept.due, kept.failures = entry.answered, entry.due, entry.failures
        return table

    # -- inside --------------------------------------------------------------------------------

    def _depth(self, number: int) -> int:
        """How many leading bits a node's id shares with ours: its bucket."""
        return ID_BITS - (number ^ self._own).bit_length()

    def _ours(self, node: NodeInfo) -> bool:
        return node.id != self.own_id and (":" in node.address.host) == (self.family == 6)

    def _put(self, bucket: _Bucket, new: _Entry, now: float) -> bool:
        """Take a node into its bucket, unless a law is against it."""
        out: list[_Entry] = []
        for other in (self._by_id.get(new.id), self._by_who.get(new.who)):
            if other is not None and other not in out:
                if other.failures < BAD:
                    if other.id == new.id:
                        # One of the two is not what it says: see whether the known one is there.
                        other.due = min(other.due, now)
                    return False
                out.append(other)
        for other in bucket.nodes:
            if other.group == new.group and other not in out:
                if other.failures < BAD:
                    return False
                out.append(other)
        if len(bucket.nodes) - sum(1 for other in out if other in bucket.nodes) >= K:
            worst = max(bucket.nodes, key=lambda each: each.failures)
            if worst.failures < BAD:
                if not new.complies:
                    return False
                others = [each for each in bucket.nodes if not each.complies]
                if not others:
                    return False
                worst = max(others, key=lambda each: (each.failures, -each.answered))
            out.append(worst)
        for other in out:
            self._remove(other, now)
        bucket.nodes.append(new)
        bucket.changed = now
        self._by_id[new.id] = new
        self._by_who[new.who] = new
        return True

    def _remove(self, entry: _Entry, now: float) -> None:
        self._buckets[self._depth(entry.number)].nodes.remove(entry)
        del self._by_id[entry.id]
        del self._by_who[entry.who]

    def _replace(self, entry: _Entry, now: float) -> None:
        """A bad node gives its place to a spare; with none it keeps it for a while."""
        bucket = self._buckets[self._depth(entry.number)]
        for spare in sorted(bucket.spares.values(), key=lambda each: (not each.complies, -each.answered)):
            if self._put(bucket, spare, now):
                del bucket.spares[spare.who]
                spare.due = min(spare.answered + _GOOD_FOR, spare.due)
                return
        if entry.failures >= _DEAD:
            self._remove(entry, now)

    def _closest(self, target: bytes, count: int, failures: int = 0) -> list[_Entry]:
        number = int.from_bytes(target, "big")
        depth = self._depth(number)
        buckets = self._buckets
        bucket = buckets.get(depth)
        found = [each for each in bucket.nodes if each.failures <= failures] if bucket is not None else []
        if len(found) < count:
            # All of these are nearer to the target than any in the buckets before.
            for other in buckets:
                if other > depth:
                    found += [each for each in buckets[other].nodes if each.failures <= failures]
            while len(found) < count and depth > 0:
                depth -= 1
                if depth in buckets:
                    found += [each for each in buckets[depth].nodes if each.failures <= failures]
        found.sort(key=lambda each: each.number ^ number)
        return found[:count]

    def _last(self) -> int:
        """The bucket that a table which splits only when it must would have last."""
        nearer = 0
        for depth in sorted(self._buckets, reverse=True):
            nearer += len(self._buckets[depth].nodes)
            if nearer > K:
                return min(depth + 1, ID_BITS - 1)
        return 0

    def _inside(self, depth: int) -> bytes:
        """A random id that shares just `depth` leading bits with ours."""
        rest = ID_BITS - depth - 1
        prefix = (self._own >> rest) ^ 1
        return (prefix << rest | secrets.randbits(rest) if rest else prefix).to_bytes(20, "big")
