"""A reactor without sockets for whole fetchers: a clock, ports that are counted, peers in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock

from functorrent.fetch import race as race_module
from tests.fetch.network import Network


class Port:
    """A listening port of `Reactor`."""

    def __init__(self, reactor: Reactor, real: Any, number: int) -> None:
        self._reactor = reactor
        self._real = real
        self._number = number

    def getHost(self) -> Any:
        host = self._real.getHost()
        return type(host)("TCP", host.host, self._number)

    def stopListening(self) -> None:
        self._reactor.listening.remove(self)


class Reactor(MemoryReactorClock):
    """`listening`: the ports that stand. `taken`: port numbers, or interfaces, where it cannot listen."""

    def __init__(self) -> None:
        super().__init__()
        self.listening: list[Any] = []
        self.taken: set[int | str] = set()
        self.network = Network(self)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        if port in self.taken or interface in self.taken:
            raise CannotListenError(interface, port, OSError(98, "Address already in use"))
        if not 0 <= port < 65536:
            raise OverflowError("bind(): port must be 0-65535.")
        listening = Port(
            self,
            super().listenTCP(port, factory, backlog, interface),
            port or 50_000 + len(self.tcpServers),
        )
        self.listening.append(listening)
        return listening

    def callFromThread(self, call: Callable[..., Any], *args: Any, **more: Any) -> None:
        self.callLater(0, call, *args, **more)

    @property
    def listener(self) -> Any:
        """The factory of the first port."""
        return self.tcpServers[0][1]

    def left(self) -> tuple[Any, ...]:
        """What is still open, but for lines that the other end has not heard of yet."""
        ours = {each for each in self.network.open if each.other is None or not each.other.closed}
        return (self.listening, self.getDelayedCalls(), self.readers, self.writers, ours)


NOTHING: tuple[Any, ...] = ([], [], set(), set(), set())


def use_memory(case: Any, reactor: Reactor) -> None:
    """Dials of races go to the reactor's network."""
    case.patch(race_module, "PeerConnection", reactor.network.connection)
