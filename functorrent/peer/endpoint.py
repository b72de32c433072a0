"""`DirectEndpoint`: a stream client endpoint over `PeerConnection`, for whoever is given one.

HTTP trackers that close after each response (opentracker) cost a connection for each announce; this
one is made with less than half the work of Twisted's own endpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from functorrent.deadlines import Deadlines
from functorrent.peer.connection import PeerConnection


@implementer(IStreamClientEndpoint)
class DirectEndpoint:
    """Connects to an IP literal. `pollset`: see `PeerConnection`; `timeout`: seconds."""

    def __init__(self, pollset: Any, deadlines: Deadlines, host: str, port: int, timeout: float) -> None:
        self._pollset = pollset
        self._deadlines = deadlines
        self._address = (host, port)
        self._timeout = timeout

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """The Deferred fires with the protocol, or fails as a dial does; cancel it to give up."""
        dial = _Dial(self._deadlines, protocolFactory)
        dial.connection = PeerConnection(self._pollset, *self._address, dial)
        protocolFactory.doStart()
        self._deadlines.set(dial.connection.time_out, self._deadlines.clock.seconds() + self._timeout)
        dial.connection.connect()
        return dial.result


class _Dial:
    """The factory of one dial: tells its Deferred."""

    connection: PeerConnection

    def __init__(self, deadlines: Deadlines, factory: IProtocolFactory) -> None:
        self._deadlines = deadlines
        self._factory = factory
        self.result: Deferred[IProtocol] = Deferred(self._cancelled)

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        self._deadlines.clear(self.connection.time_out)
        protocol = self._factory.buildProtocol(addr)
        if protocol is None:
            self._factory.doStop()
            self.result.errback(Failure(error.ConnectError()))
            return None
        return _Told(protocol, self)  # type: ignore[return-value]

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._deadlines.clear(self.connection.time_out)
        self._factory.doStop()
        if not self.result.called:
            self.result.errback(reason)

    def made(self, protocol: IProtocol) -> None:
        if not self.result.called:
            self.result.callback(protocol)

    def later(self, call: Callable[[Failure], None], reason: Failure) -> None:
        self._deadlines.clock.callLater(0, call, reason)

    def lost(self) -> None:
        self._factory.doStop()

    def _cancelled(self, result: Deferred[IProtocol]) -> None:
        # Whatever comes of it now is nobody's business.
        result.errback(error.ConnectingCancelledError(self.connection.getPeer()))
        self.connection.disconnect()


class _Told:
    """A protocol whose making and end the dial is told of."""

    __slots__ = ("_dial", "_protocol", "dataReceived")

    def __init__(self, protocol: Any, dial: _Dial) -> None:
        self._protocol = protocol
        self._dial = dial
        self.dataReceived = protocol.dataReceived

    def makeConnection(self, transport: Any) -> None:
        self._protocol.makeConnection(transport)
        self._dial.made(self._protocol)

    def connectionLost(self, reason: Failure) -> None:
        # Later, as from Twisted's own transports: TLS does not expect it while it hangs up.
        self._dial.later(self._lost, reason)

    def _lost(self, reason: Failure) -> None:
        self._protocol.connectionLost(reason)
        self._dial.lost()
