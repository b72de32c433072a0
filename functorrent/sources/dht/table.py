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
(`questionable`, `candidates`) and what to look for (`stale`), and tells it what came of it (`answered`,
`failed`).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from functorrent.sources.dht.bucket import AGAIN, BAD, BELIEVED_FOR, GOOD_FOR, SPARES, Bucket, Entry, K
from functorrent.sources.dht.ids import ID_BITS
from functorrent.sources.dht.places import place
from functorrent.wire.krpc import NodeInfo

__all__ = ["K", "RoutingTable"]


class RoutingTable:
    """The nodes of one family that have answered us. Times are seconds of one clock.

    `own_id`: our id (bytes of 20); `family`: 4 or 6, and nodes of the other are passed over. Addresses
    are taken as they come: the address guard is asked before.
    """

    def __init__(self, own_id: bytes, family: int) -> None:
        self.own_id = own_id
        self.family = family
        self._own = int.from_bytes(own_id, "big")
        #: By how many leading bits an id shares with ours.
        self._buckets: dict[int, Bucket] = {}
        self._by_id: dict[bytes, Entry] = {}
        self._by_who: dict[str, Entry] = {}
        #: The bucket that gave a candidate last.
        self._turn = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[NodeInfo]:
        """All nodes, those far from our id first."""
        for depth in sorted(self._buckets):
            for entry in self._buckets[depth].nodes:
                yield entry.node

    def __contains__(self, node: object) -> bool:
        return isinstance(node, NodeInfo) and self._entry(node) is not None

    # -- what came of it -----------------------------------------------------------------------

    def answered(self, node: NodeInfo, now: float) -> bool:
        """A node has answered a query of ours, from its address. Returns whether it is in the table.

        Not to be called for anything less than that (the address and the transaction are ours), nor
        for an answer to a query that the node was not asked.
        """
        entry = self._entry(node)
        if entry is not None:
            entry.answer(now)
            self._buckets[self._depth(entry.number)].changed = now
            return True
        if not self._ours(node):
            return False
        new = Entry(node, now)
        bucket = self._bucket(self._depth(new.number), now)
        bucket.candidates.pop(new.group, None)
        other = self._by_who.get(new.who)
        if other is not None and other.address == node.address:
            # It has changed its id, as clients do when they start again.
            self._remove(other)
            self._promote(self._buckets[self._depth(other.number)], now)
        if self._put(bucket, new, now):
            return True
        bucket.spare(new)
        return False

    def failed(self, node: NodeInfo, now: float) -> None:
        """A node has not answered a query of ours in time (or with another id than it should have)."""
        entry = self._entry(node)
        depth = self._depth(int.from_bytes(node.id, "big"))
        bucket = self._buckets.get(depth)
        if bucket is None:
            return
        if entry is None:
            group = place(node.address)[1]
            spare = bucket.spares.get(group)
            if spare is not None and spare.node == node:
                del bucket.spares[group]
            if bucket.candidates.get(group) == node:
                del bucket.candidates[group]
            return
        entry.failure(now)
        if entry.failures >= BAD:
            self._promote(bucket, now)
            if entry.dead(now) and self._entry(node) is entry:
                self._remove(entry)

    def heard(self, node: NodeInfo, now: float) -> bool:
        """A node was named by another, or has asked us something: it may be there.

        Of a node in the table that is a sign of life (BEP 5). Returns whether it is a candidate now, for
        `candidates` to give. Not to be called for a node that is read-only (BEP 43).
        """
        entry = self._by_id.get(node.id)
        if entry is not None:
            if entry.address == node.address:
                entry.sign_of_life(now)
            return False
        if not self._ours(node):
            return False
        who, group = place(node.address)
        if who in self._by_who:
            return False
        depth = self._depth(int.from_bytes(node.id, "big"))
        bucket = self._bucket(depth, now)
        # Those that came first stay, as they are asked soon: a flood of names pushes out nobody.
        if group in bucket.candidates or group in bucket.spares or len(bucket.candidates) >= SPARES:
            return False
        if not bucket.could_use(node, group, now):
            return False
        bucket.candidates[group] = node
        return True

    # -- asking --------------------------------------------------------------------------------

    def closest(self, target: bytes, count: int = K) -> list[NodeInfo]:
        """The nodes closest to `target` (an id or infohash), the closest first, at most `count`; those
        that did not answer the last time only where there are no others."""
        found = self._closest(target, count) or self._closest(target, count, failures=1 << 30)
        return [entry.node for entry in found]

    def closest_packed(self, target: bytes, count: int = K) -> bytes:
        """The same as ``nodes`` or ``nodes6`` of a response; none that did not answer the last time."""
        return b"".join([entry.packed for entry in self._closest(target, count)])

    def questionable(self, now: float, count: int = K) -> list[NodeInfo]:
        """Nodes that were silent for 15 minutes, or have failed, and should be pinged now: at most
        `count`, each once in half a minute."""
        due = [entry for entry in self._by_id.values() if entry.due <= now]
        due.sort(key=lambda entry: entry.due)
        del due[count:]
        for entry in due:
            entry.due = now + AGAIN
        return [entry.node for entry in due]

    def candidates(self, count: int = K) -> list[NodeInfo]:
        """Nodes that were named and should be pinged, at most `count`. Each is given once.

        Each bucket has its turn, as anybody can fill some of them with names: queries come with any
        source address one likes to write there.
        """
        found: list[NodeInfo] = []
        waiting = [depth for depth in sorted(self._buckets, reverse=True) if self._buckets[depth].candidates]
        while waiting and len(found) < count:
            depth = next((each for each in waiting if each < self._turn), waiting[0])
            candidates = self._buckets[depth].candidates
            found.append(candidates.pop(next(iter(candidates))))
            self._turn = depth
            if not candidates:
                waiting.remove(depth)
        return found

    def stale(self, now: float) -> list[bytes]:
        """A target to look for in each bucket where nothing has changed for 15 minutes (BEP 5: refresh).
        Each is given once in 15 minutes."""
        targets = []
        for depth in range(self._last() + 1):
            bucket = self._bucket(depth, now - GOOD_FOR)
            if now - bucket.changed >= GOOD_FOR:
                bucket.changed = now
                targets.append(self._inside(depth))
        return targets

    def good(self, now: float, count: int) -> list[NodeInfo]:
        """Nodes that have answered within the last hour, for the next start: at most `count`, those near
        our id first."""
        found = [
            entry
            for entry in self._by_id.values()
            if not entry.failures and now - entry.answered < BELIEVED_FOR
        ]
        found.sort(key=lambda entry: entry.number ^ self._own)
        return [entry.node for entry in found[:count]]

    def moved(self, own_id: bytes, now: float) -> RoutingTable:
        """The table for another id of ours, with the nodes of this one."""
        table = RoutingTable(own_id, self.family)
        # Where there is no room for all, those that are known for long come in.
        for entry in sorted(self._by_id.values(), key=lambda entry: (entry.failures, entry.since)):
            if table._ours(entry.node):
                bucket = table._bucket(table._depth(entry.number), now)
                if not table._put(bucket, entry, now):
                    bucket.spare(entry)
        return table

    # -- inside --------------------------------------------------------------------------------

    def _entry(self, node: NodeInfo) -> Entry | None:
        """The node of the table that has this id and this address."""
        entry = self._by_id.get(node.id)
        return entry if entry is not None and entry.address == node.address else None

    def _depth(self, number: int) -> int:
        """How many leading bits an id shares with ours: its bucket."""
        return ID_BITS - (number ^ self._own).bit_length()

    def _bucket(self, depth: int, now: float) -> Bucket:
        bucket = self._buckets.get(depth)
        if bucket is None:
            bucket = self._buckets[depth] = Bucket(now)
        return bucket

    def _ours(self, node: NodeInfo) -> bool:
        return node.id != self.own_id and (":" in node.address.host) == (self.family == 6)

    def _put(self, bucket: Bucket, new: Entry, now: float) -> bool:
        """Take a node in, unless a law is against it."""
        out = bucket.leaving(new, now)
        known = self._by_id.get(new.id)
        if known is not None and known.failures < BAD:
            # One of the two is not what it says: see whether the known one is still there.
            known.due = min(known.due, now)
            return False
        twin = self._by_who.get(new.who)
        if out is None or (twin is not None and twin.failures < BAD):
            return False
        for other in {id(each): each for each in (known, twin, *out) if each is not None}.values():
            self._remove(other)
        bucket.nodes.append(new)
        bucket.changed = now
        spare = bucket.spares.get(new.group)
        if spare is not None and spare.node == new.node:
            del bucket.spares[new.group]
        self._by_id[new.id] = new
        self._by_who[new.who] = new
        return True

    def _remove(self, entry: Entry) -> None:
        self._buckets[self._depth(entry.number)].nodes.remove(entry)
        del self._by_id[entry.id]
        del self._by_who[entry.who]

    def _promote(self, bucket: Bucket, now: float) -> None:
        """Spares come in where there is a place, or a bad node to give up its own."""
        for spare in bucket.best_spares():
            self._put(bucket, spare, now)

    def _closest(self, target: bytes, count: int, *, failures: int = 0) -> list[Entry]:
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
        prefix = self._own >> rest ^ 1
        return (prefix << rest | (secrets.randbits(rest) if rest else 0)).to_bytes(20, "big")
