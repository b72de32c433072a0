"""A reactor driven by hand over real loopback sockets: for the bare-socket transport alone."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

#: Seconds loopback may take; a test that meets this limit fails.
PATIENCE = 10.0


@implementer(IReactorFDSet)
class HandReactor(Clock):
    """Calls descriptors when `step` is called, as Twisted's poll reactor does."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def addWriter(self, writer: Any) -> None:
        self.writers.add(writer)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def removeWriter(self, writer: Any) -> None:
        self.writers.discard(writer)

    def removeAll(self) -> list[Any]:
        raise NotImplementedError

    def getReaders(self) -> list[Any]:
        return list(self.readers)

    def getWriters(self) -> list[Any]:
        return list(self.writers)

    def step(self, seconds: float = PATIENCE) -> bool:
        """One turn: call what is ready, or becomes so within `seconds`. False where nothing did."""
        due = any(call.getTime() <= self.seconds() for call in self.getDelayedCalls())
        self.advance(0)
        poll = select.poll()
        by_number: dict[int, Any] = {}
        for descriptor in self.readers | self.writers:
            mask = (select.POLLIN if descriptor in self.readers else 0) | (
                select.POLLOUT if descriptor in self.writers else 0
            )
            by_number[descriptor.fileno()] = descriptor
            poll.register(descriptor.fileno(), mask)
        if not by_number:
            return due
        events = poll.poll(0 if due else seconds * 1000)
        for number, event in events:
            self._call(by_number[number], event)
        return due or bool(events)

    def _call(self, descriptor: Any, event: int) -> None:
        if event & (select.POLLHUP | select.POLLERR) and not event & select.POLLIN:
            self._lost(descriptor, ConnectionResetError())
            return
        why = descriptor.doRead() if event & select.POLLIN else None
        if why is None and event & select.POLLOUT:
            why = descriptor.doWrite()
        if why is not None:
            self._lost(descriptor, why)

    def _lost(self, descriptor: Any, why: Exception) -> None:
        self.removeReader(descriptor)
        self.removeWriter(descriptor)
        descriptor.connectionLost(Failure(why))

    def run_until(self, done: Callable[[], bool]) -> None:
        """Turn until `done`. Raises AssertionError where nothing more happens."""
        while not done():
            assert self.step(), "nothing happens any more"


class Recorder(Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.data = b""
        self.made = 0
        self.lost: list[Failure] = []
        self.on_data: Callable[[], None] = lambda: None

    def connectionMade(self) -> None:
        self.made += 1

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self.on_data()

    def connectionLost(self, reason: Failure | None = None) -> None:
        assert reason is not None
        self.lost.append(reason)


class Dialer(ClientFactory):
    """A factory of one `protocol`, or of none; notes the dials that failed."""

    noisy = False

    def __init__(self, protocol: Recorder | None = None) -> None:
        self.recorder = protocol
        self.addresses: list[Any] = []
        self.failed: list[BaseException | None] = []

    def buildProtocol(self, addr: Any) -> Any:
        self.addresses.append(addr)
        return self.recorder

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.failed.append(reason.value)


class Listener:
    """A listening loopback socket, accepting by hand."""

    def __init__(self, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.socket = socket.socket(family)
        self.socket.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        self.socket.listen(5)
        self.socket.settimeout(PATIENCE)
        self.host, self.port = self.socket.getsockname()[:2]
        self._accepted: list[socket.socket] = []

    def accept(self) -> socket.socket:
        accepted, _ = self.socket.accept()
        accepted.settimeout(PATIENCE)
        self._accepted.append(accepted)
        return accepted

    def close(self) -> None:
        for each in (self.socket, *self._accepted):
            each.close()
