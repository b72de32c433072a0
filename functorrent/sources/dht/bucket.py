"""One bucket of the routing table: up to 8 nodes, spares for their places, and candidates (BEP 5)."""

from __future__ import annotations

from functorrent.sources.dht.ids import complies
from functorrent.sources.dht.places import place
from functorrent.wire.krpc import NodeInfo, pack_node

#: Nodes of one bucket (BEP 5).
K = 8
#: Spares, and candidates, of one bucket.
SPARES = 8
#: Without a word from it for so many seconds a node is questionable, and a bucket stale (BEP 5).
GOOD_FOR = 900.0
#: Queries come with any source address one likes to write there: they keep a node good no longer than
#: this since it has last answered.
BELIEVED_FOR = 3600.0
#: Queries in a row without an answer that make a node bad: it has to go when somebody else can come.
BAD = 2
#: ... and when nobody can, but not within half an hour: we may have been offline ourselves.
DEAD = 6
DEAD_AFTER = 1800.0
#: Of queries that were in flight together only one counts.
APART = 3.0
#: Seconds until a node that has failed is asked again, doubled each time.
AGAIN = 30.0


class Entry:
    """One node that has answered us."""

    __slots__ = (
        "address",
        "answered",
        "complies",
        "due",
        "failed",
        "failures",
        "group",
        "id",
        "node",
        "number",
        "packed",
        "since",
        "who",
    )

    def __init__(self, node: NodeInfo, now: float) -> None:
        self.node = node
        self.id, self.address = node
        self.number = int.from_bytes(node.id, "big")
        self.packed = pack_node(node)
        self.who, self.group = place(node.address)
        self.complies = complies(node.id, node.address.host)
        #: Known since; last answered; in a row not answered, counted last at.
        self.since = now
        self.answered = now
        self.failures = 0
        self.failed = 0.0
        #: When it becomes questionable, and has to be pinged.
        self.due = now + GOOD_FOR

    def answer(self, now: float) -> None:
        self.answered = now
        self.failures = 0
        self.due = now + GOOD_FOR

    def failure(self, now: float) -> None:
        if self.failures and now - self.failed < APART:
            return
        self.failures += 1
        self.failed = now
        self.due = now + min(AGAIN * 2.0 ** min(self.failures - 1, 10), GOOD_FOR)

    def sign_of_life(self, now: float) -> None:
        """It has asked us something, or somebody has in its name."""
        if not self.failures:
            self.due = max(self.due, min(now + GOOD_FOR, self.answered + BELIEVED_FOR))

    def dead(self, now: float) -> bool:
        return self.failures >= DEAD and now - self.answered >= DEAD_AFTER


class Bucket:
    """The nodes at one distance from our id, those that wait for a place, and those that were named."""

    __slots__ = ("candidates", "changed", "nodes", "spares")

    def __init__(self, now: float) -> None:
        self.nodes: list[Entry] = []
        #: By /24 or /64, or one owner of many addresses would fill them. The last to answer is last.
        self.spares: dict[str, Entry] = {}
        self.candidates: dict[str, NodeInfo] = {}
        #: When a node came in or answered last.
        self.changed = now

    def leaving(self, new: Entry, now: float) -> list[Entry] | None:
        """Who must leave for a node that has answered; None where it may not come in."""
        out = [each for each in self.nodes if each.group == new.group]
        # One at most: no two of a bucket are of one group.
        if out and out[0].failures < BAD:
            return None
        if len(self.nodes) - len(out) >= K:
            worst = max(self.nodes, key=lambda each: each.failures)
            if worst.failures < BAD:
                others = [each for each in self.nodes if not each.complies]
                if not new.complies or not others:
                    return None
                # Who is known for long will be there for long (Kademlia).
                worst = max(others, key=lambda each: (each.failures, each.due <= now, each.since))
            out.append(worst)
        return out

    def could_use(self, node: NodeInfo, group: str, now: float) -> bool:
        """Whether a node that was named might come in if it answered."""
        room, all_comply = len(self.nodes) < K, True
        # One loop: it runs for every query that a stranger sends us.
        for each in self.nodes:
            if each.group == group and each.failures < BAD:
                return False
            if each.failures or each.due <= now:
                room = True
            elif not each.complies:
                all_comply = False
        return room or (not all_comply and complies(node.id, node.address.host))

    def spare(self, entry: Entry) -> None:
        """Keep a node that has answered, and found no place."""
        self.spares.pop(entry.group, None)
        self.spares[entry.group] = entry
        if len(self.spares) > SPARES:
            del self.spares[next(iter(self.spares))]

    def best_spares(self) -> list[Entry]:
        """Complying ones first, then who answered last."""
        return sorted(self.spares.values(), key=lambda each: (not each.complies, -each.answered))
