"""A TCP connection to a peer at an IP literal, driven through the reactor's IReactorFDSet.

`reactor.connectTCP` takes some 70 us more of CPU for each peer: a connector, a name that needs no
resolution, a timer of its own, and a round through epoll for each write. A bulk fetch makes one
connection for each magnet, so that is a quarter of its time. This one writes at once, leaves time
limits to whoever dials, and is an ITCPTransport to its protocol all the same.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IConnector, IPushProducer, IReadWriteDescriptor, ITCPTransport
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure
from zope.interface import implementer

from functorrent.addresses import split_scope

_IN_PROGRESS = frozenset((errno.EINPROGRESS, errno.EALREADY, errno.EINTR))
_ABORTED = Failure(error.ConnectionAborted())
_RESET = struct.pack("ii", 1, 0)
_READ = 65536
#: Bytes buffered above which the producer is paused, as Twisted's own transports do.
_BUFFER = 65536
#: An interface's number is a C int.
_MAX_INDEX = 0x7FFFFFFF
_FLAGS = getattr(socket, "SOCK_NONBLOCK", 0) | getattr(socket, "SOCK_CLOEXEC", 0)


def _scoped(host: str, port: int) -> tuple[str, int, int, int]:
    """The socket address of a link-local literal with its interface: in the two-part form connect drops it.

    Raises OSError where there is no such interface (any more).
    """
    literal, scope = split_scope(host)
    try:
        index = int(scope) if scope.isdecimal() else socket.if_nametoindex(scope)
    except (OSError, ValueError):
        index = 0
    if not 0 < index <= _MAX_INDEX:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    return literal, port, 0, index


@implementer(IReadWriteDescriptor, ITCPTransport, IPushProducer, IConnector)
class PeerConnection:
    """One outgoing connection, from dial to end; both connector and transport to `factory`.

    `host`: an IP literal. `factory`: a ClientFactory; its `buildProtocol` and
    `clientConnectionFailed` are called, as by a reactor. There is no time limit here: call
    `disconnect` when one has passed.
    """

    __slots__ = (
        "_address",
        "_buffer",
        "_factory",
        "_failing",
        "_paused",
        "_producer",
        "_protocol",
        "_reactor",
        "_socket",
        "_streaming",
        "_writing",
        "connected",
        "disconnecting",
        "host",
        "port",
    )

    def __init__(self, reactor: Any, host: str, port: int, factory: Any) -> None:
        self._reactor = reactor
        self._factory = factory
        self.host = host
        self.port = port
        self.connected = False
        self.disconnecting = False
        self._socket: socket.socket | None = None
        self._protocol: Any = None
        self._address: Any = None
        self._buffer = b""
        self._writing = False
        #: A DelayedCall that will tell of a dial that failed at once.
        self._failing: Any = None
        self._paused = False
        self._producer: Any = None
        self._streaming = True

    # -- IConnector ----------------------------------------------------------------------------

    def connect(self) -> None:
        """Dial. What comes of it is told to the factory, never before this returns."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            sock = socket.socket(family, socket.SOCK_STREAM | _FLAGS)
            if not _FLAGS:
                sock.setblocking(False)
            self._socket = sock
            number = sock.connect_ex(
                (self.host, self.port) if "%" not in self.host else _scoped(self.host, self.port)
            )
            if not number or number in _IN_PROGRESS:
                self._reactor.addWriter(self)
                self._writing = True
                return
        except OSError as reason:
            number = reason.errno or errno.EINVAL
        self._failing = self._reactor.callLater(0, self._refused, number)

    def stopConnecting(self) -> None:
        """Give a dial up; the factory is told."""
        self._dial_failed(error.UserError())

    def disconnect(self) -> None:
        """Give the dial up, or hang up."""
        if self.connected:
            self.abortConnection()
        elif self._factory is not None:
            self.stopConnecting()

    def getDestination(self) -> IPv4Address | IPv6Address:
        """The address dialed."""
        return self.getPeer()

    def time_out(self) -> None:
        """The time limit has passed: give the dial up; the factory is told of a TimeoutError."""
        if not self.connected and self._factory is not None:
            self._dial_failed(error.TimeoutError())

    # -- the dial ------------------------------------------------------------------------------

    def _refused(self, number: int) -> None:
        self._failing = None
        self._dial_failed(error.getConnectError((number, os.strerror(number))))

    def _dial_failed(self, reason: Exception) -> None:
        factory = self._factory
        self._close()
        if factory is not None:
            factory.clientConnectionFailed(self, Failure(reason))

    def _connected(self) -> None:
        """The dial was answered."""
        sock = self._socket
        assert sock is not None
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._dial_failed(error.getConnectError((number, os.strerror(number))))
            return
        self.connected = True
        protocol = self._protocol = self._factory.buildProtocol(self.getPeer())
        if protocol is None:
            self._close()
            return
        turn = getattr(self._reactor, "turn_to_reading", None)
        if turn is not None:
            turn(self)
        else:
            self._reactor.addReader(self)
            self._reactor.removeWriter(self)
        self._writing = False
        protocol.makeConnection(self)

    # -- IReadWriteDescriptor: what the reactor calls ------------------------------------------

    def fileno(self) -> int:
        """The socket's descriptor; -1 when closed."""
        return self._socket.fileno() if self._socket is not None else -1

    def logPrefix(self) -> str:
        """For log lines written meanwhile."""
        return "peer"

    def doRead(self) -> Any:
        """There is something to read."""
        assert self._socket is not None
        try:
            data = self._socket.recv(_READ)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self._protocol.dataReceived(data)
        return None

    def doWrite(self) -> Any:
        """The dial was answered, or there is room for what is buffered."""
        if not self.connected:
            self._connected()
            return None
        sock, data = self._socket, self._buffer
        if sock is None:
            # Reactors that found it readable and writable ask for both, though the first closed it.
            return None
        if data:
            try:
                sent = sock.send(data)
            except (BlockingIOError, InterruptedError):
                return None
            except OSError:
                return CONNECTION_LOST
            self._buffer = data = data[sent:]
        if data:
            return None
        self._reactor.removeWriter(self)
        self._writing = False
        if self.disconnecting:
            return CONNECTION_DONE
        if self._producer is not None:
            self._producer.resumeProducing()
        return None

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found the socket closed."""
        if not self.connected:
            sock = self._socket
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if sock is not None else 0
            number = number or errno.ECONNREFUSED
            self._dial_failed(error.getConnectError((number, os.strerror(number))))
            return
        self._end(reason)

    # Half-open connections are of no use to a peer protocol.
    readConnectionLost = connectionLost
    writeConnectionLost = connectionLost

    # -- ITCPTransport: what the protocol calls ------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send: at once as far as the socket takes it, the rest when it has room."""
        sock = self._socket
        if sock is None or self.disconnecting:
            return
        if self._buffer:
            self._buffer += data
        else:
            try:
                sent = sock.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                # The reactor hears of it by itself.
                return
            if sent == len(data):
                return
            self._buffer = data[sent:]
            if not self._writing:
                self._writing = True
                self._reactor.addWriter(self)
        if self._producer is not None and len(self._buffer) > _BUFFER:
            self._producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        """Send several pieces as one."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Hang up when what is buffered has gone out."""
        if self._buffer:
            self.disconnecting = True
        else:
            self._end(Failure(CONNECTION_DONE))

    def loseWriteConnection(self) -> None:
        """Nothing more will be written."""
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                # The peer was quicker; the reactor hears of it by itself.
                pass

    def abortConnection(self) -> None:
        """Hang up at once. The peer gets a reset, and no port is left in TIME_WAIT."""
        sock = self._socket
        if sock is None:
            return
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except OSError:
            pass
        self._end(_ABORTED)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See IConsumer."""
        self._producer = producer
        self._streaming = streaming
        if len(self._buffer) > _BUFFER:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """See IConsumer."""
        self._producer = None

    def pauseProducing(self) -> None:
        """Read no more for now."""
        if self.connected and self._socket is not None and not self._paused:
            self._paused = True
            self._reactor.removeReader(self)

    def resumeProducing(self) -> None:
        """Read again."""
        if self._paused and self._socket is not None:
            self._paused = False
            self._reactor.addReader(self)

    def stopProducing(self) -> None:
        """Hang up."""
        self.loseConnection()

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The peer's address."""
        address = self._address
        if address is None:
            kind = IPv6Address if ":" in self.host else IPv4Address
            address = self._address = kind("TCP", self.host, self.port)
        return address  # type: ignore[no-any-return]

    def getHost(self) -> IPv4Address | IPv6Address:
        """Our end's address."""
        host, port = self._socket.getsockname()[:2] if self._socket is not None else ("0.0.0.0", 0)
        return (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)

    def getHandle(self) -> socket.socket | None:
        """The socket."""
        return self._socket

    def getTcpNoDelay(self) -> bool:
        """Whether TCP_NODELAY is set."""
        return self._option(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Set or clear TCP_NODELAY."""
        if self._socket is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(enabled))

    def getTcpKeepAlive(self) -> bool:
        """Whether SO_KEEPALIVE is set."""
        return self._option(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Set or clear SO_KEEPALIVE."""
        if self._socket is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(enabled))

    def _option(self, level: int, option: int) -> bool:
        return self._socket is not None and bool(self._socket.getsockopt(level, option))

    # -- the end -------------------------------------------------------------------------------

    def _end(self, reason: Failure) -> None:
        protocol = self._protocol
        self._close()
        if protocol is not None:
            protocol.connectionLost(reason)

    def _close(self) -> None:
        """Take the socket away from the reactor, and close it."""
        sock, self._socket = self._socket, None
        self._protocol = self._factory = None
        self._buffer = b""
        producer, self._producer = self._producer, None
        if self._failing is not None:
            self._failing.cancel()
            self._failing = None
        if sock is None:
            return
        self._socket = sock
        forget = getattr(self._reactor, "forget", None)
        if forget is not None:
            forget(self)
        else:
            if self.connected and not self._paused:
                self._reactor.removeReader(self)
            if self._writing:
                self._reactor.removeWriter(self)
        self._writing = False
        self._socket = None
        sock.close()
        if producer is not None:
            producer.stopProducing()
