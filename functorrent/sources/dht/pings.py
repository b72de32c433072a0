"""Pings: of nodes that we have only heard of, and of those we have not heard from for a while (BEP 5)."""

from __future__ import annotations

from collections import OrderedDict

from zope.interface import implementer

from functorrent.interfaces import PeerAddress
from functorrent.rates import ITurn
from functorrent.sources.dht.calls import Call
from functorrent.sources.dht.core import DhtCore
from functorrent.wire.krpc import encode_ping


@implementer(ITurn)
class Pings:
    """A bounded queue of pings, which share the process's rate. What becomes of them, the routing table
    is told as of any other query."""

    def __init__(self, core: DhtCore) -> None:
        self._core = core
        self._queue: OrderedDict[PeerAddress, bytes | None] = OrderedDict()
        self._waiting = False

    def add(self, address: PeerAddress, node_id: bytes | None = None) -> None:
        """Ping a node; `node_id`: by which id we know it. Dropped where too many wait already."""
        most = self._core.limits.dht_heard
        if node_id is not None:
            # Strangers' words must not keep the table from being looked after.
            most *= 2
        if (":" in address.host) not in self._core.ids or len(self._queue) >= most:
            return
        self._queue.setdefault(address, node_id)
        self._go_on()

    def _go_on(self) -> None:
        while self._queue and self._core.calls.turns.take(self):
            self._ping()

    def turn(self) -> None:
        """A query is ours."""
        if self._queue:
            self._ping()
        self._go_on()

    def _ping(self) -> None:
        core = self._core
        address, node_id = self._queue.popitem(last=False)
        if core.calls.pause(address):
            return
        own_id, read_only = core.ids[":" in address.host], core.read_only
        call = Call(address, node_id, "ping", None, None)
        core.calls.ask(call, lambda transaction: encode_ping(transaction, own_id, read_only=read_only))

    def stop(self) -> None:
        """Forget those that wait."""
        self._queue.clear()
        self._core.calls.turns.leave(self)
