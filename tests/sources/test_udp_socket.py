"""The UDP sockets: which port, which address, and what happens where there is none."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.sources.udp_socket import UdpSockets


class FakePort:
    """One socket that was opened."""

    maxThroughput = 256 * 1024

    def __init__(self, reactor: FakeReactor, protocol: Any, interface: str, port: int) -> None:
        self.reactor = reactor
        self.protocol = protocol
        self.interface = interface
        self.port = port
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.open = True

    def getHost(self) -> IPv4Address | IPv6Address:
        if ":" in self.interface:
            return IPv6Address("UDP", self.interface, self.port)
        return IPv4Address("UDP", self.interface or "0.0.0.0", self.port)

    def write(self, data: bytes, address: tuple[str, int]) -> None:
        if self.reactor.failure is not None:
            raise self.reactor.failure
        self.sent.append((data, address))
        self.reactor.wrote(data, address)

    def stopListening(self) -> None:
        self.open = False


class FakeReactor(Clock):
    """A reactor of UDP alone. `taken`: ports that others have; `broken`: interfaces that there are not."""

    def __init__(self, taken: tuple[int, ...] = (), broken: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.taken = taken
        self.broken = broken
        self.ports: list[FakePort] = []
        self.failure: OSError | None = None
        self.wrote: Callable[[bytes, tuple[str, int]], None] = lambda data, address: None

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> FakePort:
        if port in self.taken or interface in self.broken:
            raise CannotListenError(interface, port, OSError(errno.EADDRINUSE, "in use"))
        opened = FakePort(self, protocol, interface, port or 40_000 + len(self.ports))
        self.ports.append(opened)
        return opened


class UdpSocketsTests(SynchronousTestCase):
    def make(self, reactor: FakeReactor, **options: Any) -> UdpSockets:
        self.received: list[tuple[bytes, Any]] = []
        return UdpSockets(reactor, 1000, lambda data, addr: self.received.append((data, addr)), **options)

    def where(self, reactor: FakeReactor) -> list[tuple[str, int]]:
        return [(port.interface, port.port) for port in reactor.ports]

    def test_opened_when_first_written_to(self) -> None:
        reactor = FakeReactor()
        sockets = self.make(reactor)
        self.assertEqual(reactor.ports, [])
        self.assertIsNone(sockets.write(("20.0.0.1", 5), b"one"))
        self.assertIsNone(sockets.write(("2600::1", 5), b"two"))
        self.assertIsNone(sockets.write(("20.0.0.1", 5), b"three"))
        self.assertEqual(self.where(reactor), [("", 40_000), ("::", 40_001)])
        self.assertEqual([len(port.sent) for port in reactor.ports], [2, 1])

    def test_a_port_for_both_families(self) -> None:
        reactor = FakeReactor()
        sockets = self.make(reactor, port=6881)
        self.assertEqual((sockets.open(False), sockets.open(True)), (6881, 6881))
        self.assertEqual((sockets.open(False), sockets.open(True)), (6881, 6881))
        self.assertEqual(self.where(reactor), [("", 6881), ("::", 6881)])

    def test_a_port_that_is_taken(self) -> None:
        reactor = FakeReactor(taken=(6881,))
        sockets = self.make(reactor, port=6881)
        self.assertEqual(sockets.open(False), 40_000)
        self.assertIsNone(sockets.write(("20.0.0.1", 5), b"one"))
        self.assertEqual(self.where(reactor), [("", 40_000)])

    def test_interfaces(self) -> None:
        reactor = FakeReactor()
        sockets = self.make(reactor, port=6881, interfaces=("20.0.0.9", "2600::9", "20.0.0.10"))
        sockets.open(True)
        sockets.open(False)
        self.assertEqual(self.where(reactor), [("2600::9", 6881), ("20.0.0.9", 6881)])

    def test_no_interface_of_a_family(self) -> None:
        reactor = FakeReactor()
        sockets = self.make(reactor, port=6881, interfaces=("20.0.0.9",))
        self.assertIsNone(sockets.open(True))
        self.assertEqual(sockets.write(("2600::1", 5), b"x"), "no UDP socket can be opened here")
        self.assertEqual(reactor.ports, [])

    def test_a_machine_without_ipv6(self) -> None:
        reactor = FakeReactor(broken=("::",))
        sockets = self.make(reactor)
        self.assertIsNone(sockets.open(True))
        self.assertEqual(sockets.write(("2600::1", 5), b"x"), "no UDP socket can be opened here")
        self.assertIsNotNone(sockets.open(False))

    def test_why_it_cannot_be_sent(self) -> None:
        reactor = FakeReactor()
        sockets = self.make(reactor)
        for number, words in (
            (errno.ENETUNREACH, "it cannot be reached from here (no way)"),
            (errno.EMSGSIZE, "its URL is too long for a datagram"),
            (errno.ENOBUFS, None),
            (errno.EAGAIN, None),
        ):
            reactor.failure = OSError(number, "no way")
            self.assertEqual(sockets.write(("20.0.0.1", 5), b"x"), words)

    def test_closed(self) -> None:
        reactor = FakeReactor()
        sockets = self.make(reactor)
        sockets.open(False)
        self.successResultOf(sockets.close())
        self.assertFalse(reactor.ports[0].open)
        self.assertEqual(sockets.write(("20.0.0.1", 5), b"x"), "shutting down")
        self.assertIsNone(sockets.open(False))
        self.assertIsNone(sockets.open(True))
