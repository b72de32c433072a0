"""A network of our own DHT nodes in one process: on a clock of its own, with latency and loss.

Addresses are global ones, each in a /24 of its own (``Network.host``), as in the world: no local
exemption hides what the rules about addresses do.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from functorrent.errors import NameNotResolved
from functorrent.interfaces import IResolver, PeerAddress
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.sources.dht.ids import id_for
from functorrent.sources.dht.node import DhtNode
from functorrent.sources.dht.report import LookupReport
from functorrent.sources.dht.saved import SavedTable
from functorrent.sources.dht.settings import DhtSettings
from functorrent.wire.krpc import NodeInfo

PORT = 6881


class _Later:
    """What `SimClock.callLater` gives."""

    __slots__ = ("args", "call", "clock", "over", "when")

    def __init__(self, clock: SimClock, when: float, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.clock = clock
        self.when = when
        self.call = call
        self.args = args
        self.over = False

    def cancel(self) -> None:
        self.over = True
        self.clock.cancelled += 1

    def active(self) -> bool:
        return not self.over

    def getTime(self) -> float:
        return self.when


class SimClock:
    """As twisted.internet.task.Clock, for a thousand nodes: a heap, where that sorts a list each time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.cancelled = 0
        self._heap: list[tuple[float, int, _Later]] = []
        self._numbers = itertools.count()

    def seconds(self) -> float:
        return self.now

    def callLater(self, delay: float, call: Callable[..., Any], *args: Any) -> _Later:
        later = _Later(self, self.now + max(0.0, delay), call, args)
        heapq.heappush(self._heap, (later.when, next(self._numbers), later))
        return later

    def run(self, until: float, stop: Callable[[], object] = lambda: False) -> bool:
        """Go on until that time, or until `stop` says so; whether it did."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            when, _, later = heapq.heappop(heap)
            if later.over:
                continue
            self.now = when
            later.over = True
            later.call(*later.args)
            if stop():
                return True
        self.now = until
        return bool(stop())

    @property
    def waiting(self) -> int:
        """Calls that are still to come."""
        return sum(1 for _, _, later in self._heap if not later.over)


@implementer(IResolver)
class Literals:
    """A resolver that knows IP literals alone."""

    def resolve(self, host: str, *, trusted: bool = False) -> Deferred[list[str]]:
        if host.replace(".", "").isdigit() or ":" in host:
            return succeed([host])
        return fail(NameNotResolved(f"{host} has no address"))


class Network:
    """Nodes by address, and the wire between them.

    `loss`: part of the datagrams that is lost; `latency`: shortest and longest, in seconds, one way.
    A hostile node is anything with `received(data, address)`; see `attach`.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        loss: float = 0.0,
        latency: tuple[float, float] = (0.01, 0.12),
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.clock = SimClock()
        self.random = random.Random(seed)
        self.loss = loss
        self.latency = latency
        self.limits = limits
        self.sent = 0
        self.nodes: dict[tuple[str, int], Any] = {}
        self.ours: list[DhtNode] = []
        #: Others that tables know, when they are filled.
        self.others: list[NodeInfo] = []
        self.log: deque[tuple[Any, Any, bytes]] | None = None
        self._numbers = itertools.count(1)

    def host(self) -> str:
        """A further host, in a /24 of its own."""
        number = next(self._numbers)
        return f"{20 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.7"

    def id_for(self, host: str | None) -> bytes:
        """An id that fits a host (BEP 42), the same in every run: what is tested is no matter of luck."""
        with mock.patch("functorrent.sources.dht.ids.secrets.token_bytes", self.random.randbytes):
            return id_for(host)

    def attach(self, node: Any, address: PeerAddress) -> None:
        """Let a node be reached at an address."""
        self.nodes[address] = node

    def send(self, source: tuple[str, int], data: bytes, target: tuple[str, int]) -> None:
        """One datagram."""
        self.sent += 1
        if self.loss and self.random.random() < self.loss:
            return
        self.clock.callLater(self.random.uniform(*self.latency), self._deliver, source, data, target)

    def _deliver(self, source: tuple[str, int], data: bytes, target: tuple[str, int]) -> None:
        node = self.nodes.get(target)
        if node is not None:
            node.received(data, source)

    def sender(self, address: PeerAddress) -> Callable[[bytes, tuple[str, int]], None]:
        """What a node at `address` sends with."""

        def send(data: bytes, target: tuple[str, int]) -> None:
            self.send(address, data, target)

        return send

    def add(
        self,
        bootstrap: Iterable[PeerAddress] = (),
        *,
        host: str | None = None,
        comply: bool = True,
        settings: DhtSettings | None = None,
        families: tuple[bool, ...] = (False,),
    ) -> DhtNode:
        """One more node of ours, not started. `comply`: its id is bound to its address already."""
        address = PeerAddress(host or self.host(), PORT)
        own_id = self.id_for(address.host if comply else None)
        node = DhtNode(
            self.clock,
            self.sender(address),
            settings or DhtSettings(bootstrap=tuple(bootstrap), trusted=True),
            Literals(),
            limits=self.limits,
            families=families,
            saved=SavedTable(own_id, own_id),
        )
        node.address = address  # type: ignore[attr-defined]
        self.attach(node, address)
        self.ours.append(node)
        return node

    def grow(self, count: int, *, warm: int = 60) -> None:
        """So many nodes that know each other as after a day: `warm` of them at random and the 16 nearest."""
        fresh = [self.add() for _ in range(count)]
        self.acquaint(fresh, warm)

    def acquaint(self, nodes: list[DhtNode], warm: int = 60) -> None:
        """Fill these nodes' tables from all nodes of ours."""
        infos = [info(node) for node in self.ours] + self.others
        ordered = sorted(infos, key=lambda each: each.id)
        places = {each.id: at for at, each in enumerate(ordered)}
        for node in nodes:
            table = node.tables[0]
            assert table is not None
            own = info(node)
            at = places[own.id]
            near = ordered[max(0, at - 16) : at + 17]
            for other in [*near, *self.random.sample(infos, min(warm, len(infos)))]:
                table.answered(other, self.clock.seconds())

    def get_peers(
        self, node: DhtNode, infohash: bytes, announce_port: int | None = None, seconds: float = 30.0
    ) -> tuple[LookupReport, list[PeerAddress]]:
        """One lookup, run to its end."""
        found: list[PeerAddress] = []
        reports: list[LookupReport] = []
        node.get_peers(infohash, found.extend, announce_port).addCallback(reports.append)
        self.clock.run(self.clock.seconds() + seconds, lambda: bool(reports))
        assert reports, "the lookup did not end"
        return reports[0], found

    def true_closest(self, target: bytes, count: int = 8) -> list[NodeInfo]:
        """The nodes of ours that are closest to `target` indeed."""
        number = int.from_bytes(target, "big")
        infos = [info(node) for node in self.ours]
        return sorted(infos, key=lambda each: int.from_bytes(each.id, "big") ^ number)[:count]

    def stop(self) -> None:
        """End all nodes of ours."""
        for node in self.ours:
            node.stop()


def info(node: DhtNode) -> NodeInfo:
    """A node of `Network.add`, as others name it."""
    own_id = node.ids[0]
    assert own_id is not None
    return NodeInfo(own_id, node.address)  # type: ignore[attr-defined]
