"""What the tests of sources run against: names, an HTTP server and a network in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from functorrent.addresses import AddressGuard, classify
from functorrent.errors import AddressNotAllowed, NameNotResolved
from functorrent.interfaces import IResolver


@implementer(IResolver)
class Names:
    """Resolves from a table, through a guard; literals are themselves. Names in `held` wait for `release`."""

    def __init__(self, guard: AddressGuard, table: dict[str, list[str]]) -> None:
        self.guard = guard
        self.table = table
        self.asked: list[str] = []
        self.held: dict[str, list[tuple[Deferred[list[str]], bool]]] = {}

    def resolve(self, host: str, *, trusted: bool = False) -> Deferred[list[str]]:
        self.asked.append(host)
        if host in self.held:
            d: Deferred[list[str]] = Deferred()
            self.held[host].append((d, trusted))
            return d
        return self._answer(host, trusted)

    def release(self, host: str) -> None:
        for d, trusted in self.held.pop(host):
            if not d.called:
                self._answer(host, trusted).chainDeferred(d)

    def _answer(self, host: str, trusted: bool) -> Deferred[list[str]]:
        try:
            classify(host)
            addresses = [host]
        except ValueError:
            addresses = self.table.get(host, [])
        if not addresses:
            return fail(NameNotResolved(f"{host} has no address"))
        allowed = []
        for address in addresses:
            try:
                self.guard.check_host(address, trusted=trusted)
            except AddressNotAllowed as error:
                refused = error
            else:
                allowed.append(address)
        return succeed(allowed) if allowed else fail(refused)


class ServerSide(StringTransport):
    """The server's end of one connection; what it writes goes to the client at once."""

    def __init__(self, protocol: Any, later: Callable[..., Any]) -> None:
        super().__init__()
        self.protocol = protocol
        self.later = later
        self.closed = False

    def requests(self) -> list[bytes]:
        return [part for part in self.value().split(b"\r\n\r\n") if part]

    def respond(self, data: bytes) -> None:
        if not self.closed:
            self.protocol.dataReceived(data)

    def hang_up(self, clean: bool = True) -> None:
        if not self.closed:
            self.closed = True
            # As a reactor does: never while the caller is still at it.
            self.later(
                0, self.protocol.connectionLost, Failure(ConnectionDone() if clean else ConnectionLost())
            )

    def loseConnection(self) -> None:
        self.disconnecting = True
        self.hang_up()

    def abortConnection(self) -> None:
        self.hang_up(False)

    def stopProducing(self) -> None:
        self.loseConnection()


class Network(MemoryReactorClock):  # type: ignore[misc]
    """A reactor without sockets: dials are accepted, refused, or left waiting, by (host, port).

    `serve` maps an address to what answers each request there: a function of the request's bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.servers: dict[tuple[str, int], Callable[[bytes], bytes | None]] = {}
        self.silent: set[tuple[str, int]] = set()
        self.dialled: list[tuple[str, int]] = []
        self.connections: list[ServerSide] = []

    def serve(self, host: str, port: int, answer: Callable[[bytes], bytes | None]) -> None:
        self.servers[host, port] = answer

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Any:
        connector = super().connectTCP(host, port, factory, timeout, bindAddress)
        self.dialled.append((host, port))
        if (host, port) in self.silent:
            return connector
        if (host, port) not in self.servers:
            self.callLater(0, factory.clientConnectionFailed, connector, Failure(ConnectionRefusedError()))
            return connector
        protocol = factory.buildProtocol(None)
        transport = ServerSide(protocol, self.callLater)
        self.connections.append(transport)
        answer = self.servers[host, port]

        def written(data: bytes) -> None:
            response = answer(data)
            if response is not None:
                self.callLater(0, transport.respond, response)

        transport.writeSequence = lambda chunks: (  # type: ignore[method-assign]
            StringTransport.write(transport, b"".join(chunks)),
            written(b"".join(chunks)),
        )
        protocol.makeConnection(transport)
        return connector

    def settle(self) -> None:
        """Let everything happen that takes no time."""
        for _ in range(50):
            self.advance(0)


def response(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """An HTTP response with its length."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
