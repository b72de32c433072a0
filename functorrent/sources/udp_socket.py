"""The UDP sockets: one for each address family, opened when first written to."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorSocket
from twisted.internet.protocol import DatagramProtocol

#: Largest datagram taken: 1000 peers over IPv4 are 6 KB, over IPv6 18.
_MAX_DATAGRAM = 20 * 1024
#: Seconds for which datagrams are taken in one turn of the reactor. Twisted takes 256 KiB: the peers of
#: thousands of answers, each dialed at once, held the reactor for up to 180 ms.
_TURN = 0.025
#: Errors of sending that are a full buffer, so as good as a lost packet.
_LOST = frozenset((errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.EINTR))


class _Receiver(DatagramProtocol):
    """Hands datagrams on, and makes its port leave the rest for the next turn when a turn has lasted."""

    noisy = False
    port: Any = None

    def __init__(self, reactor: Any, received: Callable[[bytes, Any], None]) -> None:
        self._reactor = reactor
        self._received = received
        #: When this turn ends; None between turns.
        self._end: float | None = None
        self._usual = 0

    def datagramReceived(self, data: bytes, addr: Any) -> None:
        self._received(data, addr)
        now = self._reactor.seconds()
        if self._end is None:
            self._end = now + _TURN
            self._usual = self.port.maxThroughput
            self._reactor.callLater(0, self._next_turn)
        elif now >= self._end:
            # What a port looks at before it takes the next one.
            self.port.maxThroughput = 0

    def _next_turn(self) -> None:
        self._end = None
        # -1: it is closed.
        if self.port.maxThroughput == 0:
            self.port.maxThroughput = self._usual


class UdpSockets:
    """`received(data, (host, port))` gets every datagram; `receive_buffer` is asked of the kernel.

    `port`: where to listen, in both families; an ephemeral one where that is taken (0: always).
    `interfaces`: IP literals to send from, the first of each family; where there are some, but none of a
    family, that family is not used. Empty: all addresses of both.
    """

    def __init__(
        self,
        reactor: Any,
        receive_buffer: int,
        received: Callable[[bytes, Any], None],
        *,
        port: int = 0,
        interfaces: Sequence[str] = (),
    ) -> None:
        self._reactor = reactor
        self._receive_buffer = receive_buffer
        self._received = received
        self._port = port
        self._interfaces = tuple(interfaces)
        self._ports: list[Any] = []
        self._send: dict[bool, Callable[[bytes, tuple[str, int]], Any]] = {}
        self._bound: dict[bool, Any] = {}
        self._closed = False

    def write(self, address: tuple[str, int], data: bytes) -> str | None:
        """Send a datagram; words for why it cannot go there at all, else None."""
        if self._closed:
            return "shutting down"
        v6 = ":" in address[0]
        try:
            send = self._send.get(v6)
            if send is None:
                send = self._send[v6] = self._listen(v6)
            send(data, address)
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                return "its URL is too long for a datagram"
            if error.errno not in _LOST:
                return f"it cannot be reached from here ({error.strerror})"
        except CannotListenError:
            return "no UDP socket can be opened here"
        return None

    def open(self, v6: bool) -> int | None:
        """Open the socket of a family before it is written to; its port, or None where there is none."""
        if v6 not in self._send and not self._closed:
            try:
                self._send[v6] = self._listen(v6)
            except (CannotListenError, OSError):
                return None
        port = self._bound.get(v6)
        return None if port is None else int(port.getHost().port)

    def _interface(self, v6: bool) -> str:
        if not self._interfaces:
            return "::" if v6 else ""
        for interface in self._interfaces:
            if (":" in interface) == v6:
                return interface
        raise CannotListenError(None, self._port, OSError(errno.EADDRNOTAVAIL, "no address of this family"))

    def _listen(self, v6: bool) -> Callable[[bytes, tuple[str, int]], Any]:
        interface = self._interface(v6)
        protocol = _Receiver(self._reactor, self._received)
        try:
            port = self._bind(protocol, interface, self._port)
        except CannotListenError:
            if not self._port:
                raise
            port = self._bind(protocol, interface, 0)
        protocol.port = port
        self._ports.append(port)
        self._bound[v6] = port
        try:
            handle = port.getHandle()
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        except AttributeError:  # a port without a socket, as in tests
            return port.write  # type: ignore[no-any-return]
        except OSError:
            pass  # a smaller buffer loses bursts, which retransmission mends
        # IUDPTransport.write parses the address three times, for 3 us; ours is an IP literal already.
        return handle.sendto  # type: ignore[no-any-return]

    def _bind(self, protocol: _Receiver, interface: str, port: int) -> Any:
        if interface != "::" or not port or not IReactorSocket.providedBy(self._reactor):
            return self._reactor.listenUDP(port, protocol, interface=interface, maxPacketSize=_MAX_DATAGRAM)
        # A socket for "::" takes the port in both families, unless it is told not to.
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as bound:
                bound.setblocking(False)
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                bound.bind((interface, port))
                return self._reactor.adoptDatagramPort(
                    bound.fileno(), socket.AF_INET6, protocol, maxPacketSize=_MAX_DATAGRAM
                )
        except OSError as error:
            raise CannotListenError(interface, port, error) from None

    def close(self) -> Deferred[None]:
        self._closed = True
        ports, self._ports = self._ports, []
        self._send.clear()
        self._bound.clear()
        closing = DeferredList([maybeDeferred(port.stopListening) for port in ports])
        return closing.addCallback(lambda _: None)
