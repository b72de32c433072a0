"""The routing table against a model that only knows its laws: who may come in, and who may leave."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from functorrent.interfaces import PeerAddress
from functorrent.sources.dht import bucket
from functorrent.sources.dht.bucket import APART, BAD, DEAD, DEAD_AFTER, SPARES, K
from functorrent.sources.dht.places import place
from functorrent.sources.dht.table import RoutingTable
from functorrent.wire.krpc import NodeInfo

OWN = bytes(20)


def by_last_bit(node_id: bytes, host: str) -> bool:
    """Stands for BEP 42, so that half of the ids comply."""
    return node_id[19] & 1 == 1


#: Few enough ids and addresses that all of them meet: two buckets, 24 ids each; 12 /24s of 2 hosts.
ids = st.builds(
    lambda depth, number: (1 << (159 - depth) | number).to_bytes(20, "big"),
    st.integers(0, 1),
    st.integers(0, 23),
)
addresses = st.builds(
    lambda subnet, host, port: PeerAddress(f"8.8.{subnet}.{host}", port),
    st.integers(0, 11),
    st.integers(1, 2),
    st.integers(1, 2),
)
nodes = st.builds(NodeInfo, ids, addresses)


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.table = RoutingTable(OWN, 4)
        self.now = 1000.0
        #: Who has answered at all, and when last; failures since, and when the last one counted.
        self.answers: dict[NodeInfo, float] = {}
        self.failures: dict[NodeInfo, tuple[int, float]] = {}
        self.before: set[NodeInfo] = set()

    def bad(self, node: NodeInfo) -> bool:
        return self.failures.get(node, (0, 0.0))[0] >= BAD

    def depth(self, node: NodeInfo) -> int:
        return 160 - int.from_bytes(node.id, "big").bit_length()

    @rule(node=nodes)
    def named(self, node: NodeInfo) -> None:
        self.table.heard(node, self.now)
        assert set(self.table) == self.before

    @rule(node=nodes)
    def answered(self, node: NodeInfo) -> None:
        full = sum(self.depth(each) == self.depth(node) for each in self.before) == K
        taken = self.table.answered(node, self.now)
        after = set(self.table)
        assert (node in after) == taken
        changed_id = any(each.address == node.address and each.id != node.id for each in self.before)
        for come in after - self.before - {node}:
            # A spare, for the place of the id that is gone.
            assert changed_id and come in self.answers
        complying = by_last_bit(node.id, node.address.host)
        pushed = 0
        for gone in self.before - after:
            changed = gone.address == node.address
            if not changed and not self.bad(gone):
                pushed += 1
                assert full and taken and complying and not by_last_bit(gone.id, gone.address.host)
                assert self.depth(gone) == self.depth(node)
        assert pushed <= 1
        self.answers[node] = self.now
        self.failures.pop(node, None)
        self.before = after

    @rule(node=nodes)
    def failed(self, node: NodeInfo) -> None:
        self.table.failed(node, self.now)
        after = set(self.table)
        if node in self.before:
            count, last = self.failures.get(node, (0, 0.0))
            if not count or self.now - last >= APART:
                self.failures[node] = (count + 1, self.now)
        # It alone may be lost, to somebody who has answered; or for good, after half an hour.
        if self.before != after:
            assert self.bad(node) and node in self.before
            come, gone = after - self.before, self.before - after
            assert all(self.bad(each) for each in gone)
            if gone and not come:
                assert gone == {node}
                assert self.failures[node][0] >= DEAD
                assert self.now - self.answers[node] >= DEAD_AFTER
            assert all(each in self.answers for each in come)
        for each in self.before - after:
            self.failures.pop(each, None)
        self.before = after

    @rule(seconds=st.sampled_from([1.0, 5.0, 1000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(count=st.integers(0, 20))
    def upkeep(self, count: int) -> None:
        due = self.table.questionable(self.now, count)
        assert len(due) == len(set(due)) <= count and set(due) <= self.before
        again = self.table.questionable(self.now, 1000)
        assert not set(again) & set(due)
        waiting = self.table.candidates(count)
        assert len(waiting) == len(set(waiting)) <= count and not set(waiting) & self.before
        self.table.stale(self.now)

    @rule()
    def moves(self) -> None:
        """Another id of ours and back: nobody new, and no failure is forgotten."""
        failing = {entry.node: entry.failures for entry in self.table._by_id.values() if entry.failures}
        table = self.table.moved(b"\x80" + bytes(19), self.now)
        assert set(table) <= self.before
        for entry in table._by_id.values():
            assert entry.failures == failing.get(entry.node, 0)

    @invariant()
    def one_of_each(self) -> None:
        members = list(self.table)
        assert len(members) == len(self.table) == len(set(members))
        assert all(each in self.answers for each in members)
        for counted in (
            Counter(each.id for each in members),
            Counter(place(each.address)[0] for each in members),
            Counter((self.depth(each), place(each.address)[1]) for each in members),
        ):
            assert max(counted.values(), default=1) == 1
        depths = Counter(self.depth(each) for each in members)
        assert max(depths.values(), default=0) <= K

    @invariant()
    def its_books_are_kept(self) -> None:
        table = self.table
        for depth, each in table._buckets.items():
            assert len(each.spares) <= SPARES and len(each.candidates) <= SPARES
            for group, entry in each.spares.items():
                assert entry.group == group and entry.node in self.answers and entry.node not in self.before
                assert table._depth(entry.number) == depth
            for entry in each.nodes:
                assert table._by_id[entry.id] is entry and table._by_who[entry.who] is entry
                assert table._depth(entry.number) == depth
        assert len(table._by_who) == len(table._by_id)


class ModelTests(SynchronousTestCase):
    def test_the_laws_hold(self) -> None:
        self.patch(bucket, "complies", by_last_bit)
        run_state_machine_as_test(
            Model,
            settings=settings(
                deadline=None, derandomize=True, max_examples=60, stateful_step_count=80, database=None
            ),
        )
