"""HttpService: where it listens, what it refuses, and how it stops."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from zope.interface.verify import verifyObject

from functorrent.daemon.interfaces import IIntake
from functorrent.web.intake import HttpIntake
from functorrent.web.service import HttpService, is_local
from tests.web.bed import WebTestCase


class EndpointTests(WebTestCase):
    def test_local_ones(self) -> None:
        for endpoint in (
            "tcp:9667:interface=127.0.0.1",
            "tcp:9667:interface=127.8.8.8:backlog=5",
            "tcp:interface=localhost:port=1",
            r"tcp6:9667:interface=\:\:1",
            r"tcp:9667:interface=\:\:1",
            "ssl:443:interface=127.0.0.1:privateKey=a.pem",
            "unix:/run/metafetch.sock",
        ):
            self.assertTrue(is_local(endpoint), endpoint)

    def test_others_and_what_is_not_known(self) -> None:
        for endpoint in (
            "tcp:9667",
            "tcp:9667:interface=",
            "tcp:9667:interface=0.0.0.0",
            "tcp:9667:interface=10.0.0.1",
            "tcp6:9667",
            r"tcp6:9667:interface=\:\:",
            "tcp:9667:127.0.0.1",
            "systemd:domain=INET:index=0",
            "tcp:9667:interface=127.0.0.1.example",
            "",
        ):
            self.assertFalse(is_local(endpoint), endpoint)


class Loopback(MemoryReactorClock):
    """Says that it listens where it was told to, and not on 0.0.0.0."""

    def listenTCP(self, port: int, *args: Any, **more: Any) -> Any:
        listening: Any = MemoryReactorClock.listenTCP(self, port, *args, **more)
        address = IPv4Address("TCP", more["interface"], port)
        listening.getHost = lambda: address
        return listening


class IntakeTests(WebTestCase):
    def test_it_listens_when_there_is_a_queue(self) -> None:
        reactor = Loopback()
        queues: list[object] = []

        def make(queue: object) -> HttpService:
            queues.append(queue)
            return HttpService(reactor, "tcp:9667:interface=127.0.0.1", self.site, self.fail)

        intake = HttpIntake(make)
        verifyObject(IIntake, intake)
        self.assertIsNone(intake.stop(), "one that was never started has nothing to stop")
        self.assertEqual((queues, reactor.tcpServers), ([], []))
        queue: Any = object()
        self.successResultOf(intake.start(queue))
        self.assertEqual((queues, len(reactor.tcpServers)), ([queue], 1))
        stopped: Any = intake.stop()
        self.successResultOf(stopped)
        self.assertTrue(self.site.closing)


class ServiceTests(WebTestCase):
    def start(self, endpoint: str, reactor: MemoryReactorClock | None = None) -> HttpService:
        self.reactor = reactor or Loopback()
        self.words: list[str] = []
        service = HttpService(self.reactor, endpoint, self.site, self.words.append)
        service.startService()
        return service

    def test_it_listens_and_stops(self) -> None:
        service = self.start("tcp:9667:interface=127.0.0.1")
        self.successResultOf(service.ready)
        self.assertEqual(self.words, [])
        [(port, _factory, _, interface)] = self.reactor.tcpServers
        self.assertEqual((port, interface), (9667, "127.0.0.1"))
        self.successResultOf(service.stopService())
        self.assertTrue(self.site.closing)
        self.successResultOf(service.stopService())

    def test_no_token_for_all_the_world(self) -> None:
        for endpoint in ("tcp:9667", "tcp:9667:interface=0.0.0.0"):
            self.start(endpoint)
            self.assertEqual(self.reactor.tcpServers, [])
            [words] = self.words
            self.assertIn("--token-file", words)
        self.make_site(token="a-token-of-the-tests")
        self.start("tcp:9667")
        self.assertEqual((len(self.reactor.tcpServers), self.words), (1, []))

    def test_what_localhost_turns_out_to_be(self) -> None:
        self.start("tcp:9667:interface=127.0.0.1", MemoryReactorClock())
        [words] = self.words
        self.assertIn("not a loopback address", words)

    def test_nonsense(self) -> None:
        for endpoint in ("", "x", "tcp", "tcp:x:interface=127.0.0.1", "tcp:1:what=2:interface=127.0.0.1"):
            self.start(endpoint)
            [words] = self.words
            self.assertTrue(words.startswith(f"--http {endpoint}: "), words)
            self.assertNotIn("\n", words)

    def test_a_port_that_is_taken(self) -> None:
        class Taken(MemoryReactorClock):
            def listenTCP(self, *args: object, **more: object) -> object:
                error = OSError(98, "Address already in use")
                raise CannotListenError("127.0.0.1", 9667, error)

        service = self.start("tcp:9667:interface=127.0.0.1", Taken())
        self.assertEqual(self.words, ["--http tcp:9667:interface=127.0.0.1: Address already in use"])
        self.successResultOf(service.stopService())
