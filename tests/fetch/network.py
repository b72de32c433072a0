"""Peers in memory: dials are answered, refused or left waiting, by address, on a Clock alone.

`Network.connection` stands in for `PeerConnection`; the peers are `ScriptedSeeder`s, or any factory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from functorrent.interfaces import PeerAddress
from functorrent.testing import Behaviour, ScriptedSeeder

#: Seconds from one end to the other. A 64th: sums of it are exact.
LATENCY = 1 / 64

#: What a dial may come to: "refused", "silent", an errno, or a factory that answers.
Answer = str | int | IProtocolFactory


class Network:
    """Who answers where. `dialed` are all dials, in order; `open` the connections that stand.

    `clock` is the peers' and the wires'; `ours`, which `run` lets go along, is that of what is tested.
    """

    def __init__(self, ours: Clock) -> None:
        self.clock = Clock()
        self.ours = ours
        self.answers: dict[PeerAddress, Answer] = {}
        self.dialed: list[PeerAddress] = []
        #: Dials that wait, and connections that stand.
        self.open: set[Connection] = set()
        self.latency = LATENCY

    def connection(self, pollset: Any, host: str, port: int, factory: Any) -> Connection:
        """What stands in for PeerConnection."""
        return Connection(self, PeerAddress(host, port), factory)

    def seeder(self, address: PeerAddress, info: bytes, *behaviours: Behaviour, **how: Any) -> ScriptedSeeder:
        """A peer there that shares `info`."""
        seeder = ScriptedSeeder(info, *behaviours, clock=self.clock, **how)
        self.answers[address] = seeder
        return seeder

    def call(
        self, factory: IProtocolFactory, seeder: ScriptedSeeder, host: str = "203.0.113.9"
    ) -> Connection:
        """Let a seeder call the listener that `factory` is; returns the seeder's connection."""
        seeder._calls = True
        connection = Connection(self, PeerAddress(host, 50_000), seeder)
        connection.answered(factory)
        return connection

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, in steps of the latency."""
        for _ in range(round(seconds / self.latency)):
            if until():
                return
            self.ours.advance(self.latency)
            self.clock.advance(self.latency)


def _address(address: PeerAddress) -> IPv4Address | IPv6Address:
    return (IPv6Address if ":" in address.host else IPv4Address)("TCP", address.host, address.port)


class Transport:
    """One end of a connection."""

    def __init__(self, network: Network, here: PeerAddress, there: PeerAddress) -> None:
        self.network = network
        self.here = here
        self.there = there
        self.other: Transport | None = None
        self.protocol: Any = None
        self.producer: Any = None
        self.written = 0
        self.closed = False

    def write(self, data: bytes) -> None:
        if not self.closed and data:
            self.written += len(data)
            assert self.other is not None
            self.network.clock.callLater(self.network.latency, self.other.deliver, data)

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def deliver(self, data: bytes) -> None:
        if not self.closed:
            self.protocol.dataReceived(data)

    def loseConnection(self) -> None:
        self.close(Failure(error.ConnectionDone()))

    def abortConnection(self) -> None:
        self.close(Failure(error.ConnectionAborted()))

    def close(self, reason: Failure) -> None:
        if self.closed:
            return
        self.gone(reason)
        assert self.other is not None
        self.network.clock.callLater(self.network.latency, self.other.gone, Failure(error.ConnectionLost()))

    def gone(self, reason: Failure) -> None:
        if not self.closed:
            self.closed = True
            self.protocol.connectionLost(reason)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def getPeer(self) -> IPv4Address | IPv6Address:
        return _address(self.there)

    def getHost(self) -> IPv4Address | IPv6Address:
        return _address(self.here)


class Connection(Transport):
    """The end that dials: connector and transport, as PeerConnection is."""

    def __init__(self, network: Network, there: PeerAddress, factory: Any) -> None:
        super().__init__(network, PeerAddress("198.51.100.200", 40_000), there)
        self.factory = factory
        self.connected = False

    def connect(self) -> None:
        self.network.dialed.append(self.there)
        self.network.open.add(self)
        self.network.clock.callLater(self.network.latency, self._arrive)

    def _arrive(self) -> None:
        if self.closed:
            return
        answer = self.network.answers.get(self.there, "silent")
        if answer == "silent":
            return
        if answer == "refused":
            self.fail(error.ConnectionRefusedError())
        elif isinstance(answer, int):
            self.fail(error.getConnectError((answer, "x")))
        else:
            self.answered(answer)

    def answered(self, factory: Any) -> None:
        """`factory` takes the call."""
        server = Transport(self.network, self.there, self.here)
        server.other, self.other = self, server
        server.protocol = factory.buildProtocol(server.getPeer())
        self.network.open.add(self)
        self.connected = True
        self.protocol = self.factory.buildProtocol(self.getPeer())
        if self.protocol is None:
            self.closed = server.closed = True
            self.network.open.discard(self)
            return
        if server.protocol is None:
            server.closed = True
        else:
            server.protocol.makeConnection(server)
        self.protocol.makeConnection(self)

    def fail(self, reason: Exception) -> None:
        if not self.closed:
            self.closed = True
            self.network.open.discard(self)
            self.factory.clientConnectionFailed(self, Failure(reason))

    def gone(self, reason: Failure) -> None:
        self.network.open.discard(self)
        super().gone(reason)

    # -- IConnector ----------------------------------------------------------------------------

    def time_out(self) -> None:
        if not self.connected:
            self.fail(error.TimeoutError())

    def disconnect(self) -> None:
        if self.connected:
            self.abortConnection()
        else:
            self.fail(error.UserError())

    stopConnecting = disconnect

    def getDestination(self) -> IPv4Address | IPv6Address:
        return self.getPeer()
