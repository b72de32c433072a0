"""DirectEndpoint: dials over the bare-socket transport for whoever speaks endpoints."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import ClientFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from functorrent.deadlines import Deadlines
from functorrent.peer.endpoint import DirectEndpoint
from tests.peer.hand_driven import HandReactor, Listener, Recorder


class Factory(ClientFactory):
    """Builds one protocol, or none; counts its starts and stops."""

    noisy = False

    def __init__(self, protocol: Recorder | None) -> None:
        self.recorder = protocol
        self.calls: list[str] = []

    def startFactory(self) -> None:
        self.calls.append("start")

    def stopFactory(self) -> None:
        self.calls.append("stop")

    def buildProtocol(self, addr: Any) -> Any:
        return self.recorder


class EndpointTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = HandReactor()
        self.deadlines = Deadlines(self.reactor)
        self.listener = Listener()
        self.addCleanup(self.listener.close)
        self.recorder = Recorder()
        self.factory = Factory(self.recorder)
        self.endpoint = DirectEndpoint(
            self.reactor, self.deadlines, self.listener.host, self.listener.port, 5.0
        )

    def assert_nothing_left(self) -> None:
        self.assertEqual((self.reactor.readers, self.reactor.writers), (set(), set()))
        self.reactor.advance(1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.factory.calls, ["start", "stop"])

    def test_what_it_is(self) -> None:
        verifyObject(IStreamClientEndpoint, self.endpoint)

    def test_connected(self) -> None:
        result = self.endpoint.connect(self.factory)
        self.assertNoResult(result)
        self.reactor.run_until(lambda: bool(result.called))
        self.assertIs(self.successResultOf(result), self.recorder)
        self.assertEqual((self.recorder.made, self.factory.calls), (1, ["start"]))
        end = self.listener.accept()
        end.sendall(b"hello")
        self.reactor.run_until(lambda: self.recorder.data == b"hello")
        end.close()
        self.reactor.run_until(lambda: bool(self.recorder.lost))
        self.assert_nothing_left()

    def test_refused(self) -> None:
        self.listener.close()
        result = self.endpoint.connect(self.factory)
        self.reactor.run_until(lambda: bool(result.called))
        self.failureResultOf(result, error.ConnectionRefusedError)
        self.assert_nothing_left()

    def test_timed_out(self) -> None:
        result = self.endpoint.connect(self.factory)
        self.reactor.advance(4.5)
        self.assertNoResult(result)
        self.reactor.advance(1)
        self.failureResultOf(result, error.TimeoutError)
        self.assert_nothing_left()

    def test_given_up(self) -> None:
        result = self.endpoint.connect(self.factory)
        result.cancel()
        self.failureResultOf(result, error.ConnectingCancelledError)
        self.assert_nothing_left()

    def test_given_up_too_late(self) -> None:
        result = self.endpoint.connect(self.factory)
        self.reactor.run_until(lambda: bool(result.called))
        result.cancel()
        self.assertIs(self.successResultOf(result), self.recorder)
        self.recorder.transport.abortConnection()  # type: ignore[union-attr]
        self.reactor.advance(0)
        self.assertEqual(len(self.recorder.lost), 1)
        self.assert_nothing_left()

    def test_no_protocol(self) -> None:
        self.factory.recorder = None
        result = self.endpoint.connect(self.factory)
        self.reactor.run_until(lambda: bool(result.called))
        self.failureResultOf(result, error.ConnectError)
        self.assert_nothing_left()

    def test_given_up_by_its_own_protocol(self) -> None:
        """A Deferred that is cancelled as the connection is made hears nothing more."""
        result = self.endpoint.connect(self.factory)
        self.recorder.connectionMade = result.cancel  # type: ignore[method-assign]
        result.addErrback(lambda failure: failure.trap(error.ConnectingCancelledError))
        self.reactor.run_until(lambda: bool(result.called))
        self.successResultOf(result)
        self.reactor.advance(0)
        self.assertEqual(len(self.recorder.lost), 1)
        self.assert_nothing_left()
