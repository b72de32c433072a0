"""The demo where it cannot work: words and a status, and nothing left listening."""

from __future__ import annotations

import io
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.demo import run


class _Port:
    def __init__(self, reactor: NoPorts) -> None:
        self.reactor = reactor
        reactor.open += 1

    def getHost(self) -> Any:
        class Host:
            port = 1234

        return Host

    def stopListening(self) -> None:
        self.reactor.open -= 1


class NoPorts(MemoryReactorClock):
    """Gives a port for the seeder, and none for the trackers."""

    open = 0
    asked = 0

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        self.asked += 1
        assert interface == "127.0.0.1" and port == 0
        if self.asked > 1:
            raise CannotListenError(interface, port, OSError("no more ports"))
        return _Port(self)


class DemoTests(SynchronousTestCase):
    def test_it_cannot_listen(self) -> None:
        reactor, out = NoPorts(), io.StringIO()
        self.assertEqual(self.successResultOf(run(reactor, out)), 1)
        self.assertIn("did not work", out.getvalue())
        self.assertIn("no more ports", out.getvalue())
        self.assertEqual(reactor.open, 0)
