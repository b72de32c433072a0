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
from functorrent.wire.udp_tracker import (
    AnnounceAnswer,
    AnnounceRequest,
    Answer,
    ConnectAnswer,
    ConnectRequest,
    decode_request,
    encode_answer,
)


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


class Network(MemoryReactorClock):
    """A reactor without sockets: dials are accepted, refused, or left waiting, by (host, port).

    `serve` maps an address to what answers each request there: a function of the request's bytes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.servers: dict[tuple[str, int], Callable[[bytes], bytes | None]] = {}
        self.silent: set[tuple[str, int]] = set()
        self.dialled: list[tuple[str, int]] = []
        self.connections: list[ServerSide] = []
        self.udp_ports: list[UdpPort] = []
        self.trackers: dict[tuple[str, int], UdpTracker] = {}

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

        def write_sequence(chunks: Any) -> None:
            data = b"".join(chunks)
            StringTransport.write(transport, data)
            written(data)

        transport.writeSequence = write_sequence  # type: ignore[method-assign]
        protocol.makeConnection(transport)
        return connector

    # -- UDP -----------------------------------------------------------------------------------

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> UdpPort:
        opened = UdpPort(self, protocol, interface)
        self.udp_ports.append(opened)
        return opened

    def settle(self) -> None:
        """Let everything happen that takes no time."""
        for _ in range(50):
            self.advance(0)


class UdpPort:
    """One of our sockets; what is written goes to the tracker at that address, if there is one."""

    #: As twisted.internet.udp.Port has it.
    maxThroughput = 256 * 1024

    def __init__(self, network: Network, protocol: Any, interface: str) -> None:
        self.network = network
        self.protocol = protocol
        self.interface = interface
        self.sent: list[tuple[float, bytes, tuple[str, int]]] = []
        self.open = True

    def write(self, data: bytes, address: tuple[str, int]) -> None:
        self.sent.append((self.network.seconds(), data, address))
        tracker = self.network.trackers.get(address)
        if tracker is not None:
            tracker.received(data, lambda answer: self.network.callLater(0, self.deliver, answer, address))

    def deliver(self, data: bytes, address: tuple[str, int]) -> None:
        if self.open:
            self.protocol.datagramReceived(data, address)

    def stopListening(self) -> None:
        self.open = False


class UdpTracker:
    """A UDP tracker; assign to `answer` what it does with an announce, and to `lose` how many it loses."""

    def __init__(self, network: Network, host: str = "93.184.216.34", port: int = 6969) -> None:
        network.trackers[host, port] = self
        self.connects = 0
        self.lose = 0
        self.announces: list[AnnounceRequest] = []
        self.peers = b"\x08\x08\x08\x08\x1a\xe1"
        self.answer: Callable[[AnnounceRequest], Answer | bytes | None] = self.ok

    def ok(self, request: AnnounceRequest) -> Answer | bytes | None:
        return AnnounceAnswer(request.transaction_id, 1800, 1, 2, self.peers)

    def events(self) -> list[int]:
        return [request.event for request in self.announces]

    def received(self, data: bytes, reply: Callable[[bytes], Any]) -> None:
        if self.lose:
            self.lose -= 1
            return
        request = decode_request(data)
        if isinstance(request, ConnectRequest):
            self.connects += 1
            reply(encode_answer(ConnectAnswer(request.transaction_id, 1000 + self.connects)))
            return
        self.announces.append(request)
        answer = self.answer(request)
        if answer is not None:
            reply(answer if isinstance(answer, bytes) else encode_answer(answer))


def response(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """An HTTP response with its length."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
