"""The floor on Twisted: `reactor.connectTCP` and a bare Protocol; `python floor_twisted.py MAGNETS`.

Prints how many info dictionaries hashed right.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from twisted.internet import reactor
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.internet.tcp import Connection

from bench.bare import WINDOW, Bare, Target, targets


class Fetch(Protocol):
    """One connection."""

    def __init__(self, factory: Dial) -> None:
        self.dial = factory
        self.bare = Bare(factory.infohash)

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.bare.hello())

    def dataReceived(self, data: bytes) -> None:
        assert isinstance(self.transport, Connection)
        if reply := self.bare.receive(data):
            self.transport.write(reply)
        if self.bare.done is not None:
            self.dial.loop.right += self.bare.done
            self.transport.abortConnection()


class Dial(ClientFactory):
    """One magnet."""

    noisy = False

    def __init__(self, loop: Loop, infohash: bytes) -> None:
        self.loop = loop
        self.infohash = infohash

    def buildProtocol(self, address: object) -> Fetch:
        return Fetch(self)

    def clientConnectionFailed(self, connector: object, reason: object) -> None:
        self.loop.ended()

    def clientConnectionLost(self, connector: object, reason: object) -> None:
        self.loop.ended()


class Loop:
    """WINDOW magnets at a time until none is left."""

    def __init__(self, waiting: Iterator[Target]) -> None:
        self.waiting = waiting
        self.active = 0
        self.right = 0

    def start(self) -> None:
        """Dials the first magnets."""
        for _ in range(WINDOW):
            self.add()
        if not self.active:
            reactor.stop()

    def add(self) -> None:
        """Dials the next magnet, if there is one."""
        target = next(self.waiting, None)
        if target is not None:
            self.active += 1
            reactor.connectTCP(target[1], target[2], Dial(self, target[0]))

    def ended(self) -> None:
        """A connection is gone: the next one; the end after the last."""
        self.active -= 1
        self.add()
        if not self.active:
            reactor.stop()


if __name__ == "__main__":
    loop = Loop(iter(targets(sys.argv[1])))
    reactor.callWhenRunning(loop.start)
    reactor.run()
    print(loop.right)
