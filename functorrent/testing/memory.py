"""Two factories joined without a socket: what one writes the other reads, step by step."""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from twisted.internet.protocol import ClientFactory
from twisted.internet.task import Clock
from twisted.test import iosim

_Address = IPv4Address | IPv6Address


class InMemoryConnection:
    """One connection in memory.

    `client` and `server` are the protocols at its ends. Nothing moves between them until `flush`
    or `pump` is called; `advance` lets their clock run, too.
    """

    def __init__(self, client: IProtocol, server: IProtocol, pump: iosim.IOPump, clock: Clock | None) -> None:
        self.client = client
        self.server = server
        self._pump = pump
        self._clock = clock

    def pump(self, rounds: int = 1) -> None:
        """Carry what each end has written to the other, `rounds` times."""
        for _ in range(rounds):
            self._pump.pump(advanceClock=False)

    def flush(self, most: int = 1000) -> None:
        """Carry bytes until neither end writes more, or `most` times (some fakes never end)."""
        for _ in range(most):
            if not self._pump.pump(advanceClock=False):
                return

    def advance(self, seconds: float, step: float = 0.1) -> None:
        """Let the clock given to `connect_in_memory` run, in steps, flushing after each."""
        if self._clock is None:
            raise ValueError("connect_in_memory was given no clock to advance")
        for _ in range(max(1, round(seconds / step))):
            self._clock.advance(step)
            self.flush()

    @property
    def closed(self) -> bool:
        """Whether either end has hung up."""
        return bool(self._pump.clientIO.disconnecting or self._pump.serverIO.disconnecting)

    def drop(self) -> None:
        """Cut the line, as a network does: both ends learn of it."""
        self._pump.clientIO.loseConnection()
        self.flush()


def connect_in_memory(
    client_factory: IProtocolFactory,
    server_factory: IProtocolFactory,
    *,
    clock: Clock | None = None,
    client_address: _Address | None = None,
    server_address: _Address | None = None,
) -> InMemoryConnection:
    """Join a client factory and a server factory, over Twisted's `iosim`, and let them greet.

    The factories are asked for their protocols as a reactor would ask them, and a ClientFactory is
    told that it connects. Raises ConnectionRefusedError where either gives none.
    """
    client_address = client_address or IPv4Address("TCP", "192.0.2.1", 50_000)
    server_address = server_address or IPv4Address("TCP", "192.0.2.2", 6881)
    client_factory.doStart()
    server_factory.doStart()
    if isinstance(client_factory, ClientFactory):
        client_factory.startedConnecting(None)  # type: ignore[arg-type]
    server = server_factory.buildProtocol(client_address)
    client = client_factory.buildProtocol(server_address)
    if client is None or server is None:
        raise ConnectionRefusedError("a factory gave no protocol")
    pump = iosim.connect(
        server,
        iosim.FakeTransport(server, True, server_address, client_address),
        client,
        iosim.FakeTransport(client, False, client_address, server_address),
        greet=False,
    )
    connection = InMemoryConnection(client, server, pump, clock)
    connection.flush()
    return connection
