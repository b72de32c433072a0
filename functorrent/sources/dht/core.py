"""What the parts of our DHT node share."""

from __future__ import annotations

from collections.abc import Callable
from heapq import nsmallest
from typing import Any

from functorrent.deadlines import Deadlines
from functorrent.interfaces import PeerAddress
from functorrent.limits import Limits
from functorrent.sources.dht.calls import Calls
from functorrent.sources.dht.ids import distance
from functorrent.sources.dht.stats import DhtStats
from functorrent.sources.dht.table import RoutingTable
from functorrent.wire.krpc import NodeInfo


class DhtCore:
    """The state of one node; `ids` and `tables` by family, False for IPv4, True for IPv6 (BEP 32).

    `may_ask(address)`: whether an address that a stranger names may be sent anything.
    """

    calls: Calls

    def __init__(
        self, clock: Any, limits: Limits, read_only: bool, may_ask: Callable[[PeerAddress], bool]
    ) -> None:
        self.clock = clock
        self.limits = limits
        self.read_only = read_only
        self.may_ask = may_ask
        self.stats = DhtStats()
        self.deadlines = Deadlines(clock)
        self.ids: dict[bool, bytes] = {}
        self.tables: dict[bool, RoutingTable] = {}
        #: Good nodes of an earlier run, which have not answered in this one yet.
        self.old_nodes: dict[bool, tuple[NodeInfo, ...]] = {}

    def allowed(self, node: NodeInfo) -> bool:
        """Whether a node that a stranger names may be asked: not ourselves, and no forbidden address."""
        return node.id not in self.ids.values() and self.may_ask(node.address)

    def want(self, v6: bool) -> tuple[str, ...]:
        """Of which families nodes are asked for: of the other one too, while we know few of it."""
        other = self.tables.get(not v6)
        if other is not None and len(other) < _FEW and self.calls.open(not v6):
            return ("n4", "n6")
        return ()

    def closest(self, v6: bool, target: bytes, count: int) -> list[NodeInfo]:
        """The nodes to begin with: of the table, and where it has too few, those of an earlier run."""
        table = self.tables[v6]
        found = table.closest(target, count)
        old = self.old_nodes.get(v6)
        if old and len(found) < count:
            near = nsmallest(count, old, key=lambda node: distance(node.id, target))
            # The run before may have been one with --allow-local.
            near = [node for node in near if node not in table and self.allowed(node)]
            found += near[: count - len(found)]
        return found

    @property
    def known(self) -> int:
        """Nodes in our tables."""
        return sum(len(table) for table in self.tables.values())


#: Nodes of a family with which its lookups need no help of the other's.
_FEW = 64
