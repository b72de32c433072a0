"""Scripted nodes in a network of real ones: honest until told to lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import maybeDeferred

from functorrent.interfaces import PeerAddress
from functorrent.testing import NodeLie, ScriptedNode
from tests.integration.harness.dht_network import DHTNetwork


class ScriptedNodes:
    """`count` of them, each in a /24 of its own (127.12.N.1), on the reactor of the tests.

    `join` makes them known; `lie` gives each its lies, `lie()` makes them honest again.
    """

    def __init__(self, reactor: Any, count: int = 30) -> None:
        self._ports: list[Any] = []
        self.nodes: list[ScriptedNode] = []
        for number in range(1, count + 1):
            node = ScriptedNode(clock=reactor)
            self._ports.append(reactor.listenUDP(0, node, f"127.12.{number}.1", maxPacketSize=65_536))
            self.nodes.append(node)

    def join(self, network: DHTNetwork) -> None:
        """Ask our way into the network, and have every node of it ping us."""
        places = [tuple(node.address) for node in self.nodes]
        for number, node in enumerate(self.nodes):
            node.join(PeerAddress(*place) for place in network.nodes[number % 5 :: 5])
        network.add(places)

    def lie(self, *lies: Callable[[ScriptedNode], Sequence[NodeLie]]) -> None:
        """The first node gets the first of `lies`, and so on, in turn."""
        for number, node in enumerate(self.nodes):
            node.lies[:] = lies[number % len(lies)](node) if lies else []

    async def stop(self) -> None:
        """Close them."""
        for port in self._ports:
            await maybeDeferred(port.stopListening)
