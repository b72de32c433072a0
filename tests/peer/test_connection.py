"""The bare-socket transport: dials that fail in every way, reading, writing, hanging up."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any
from unittest import skipUnless

from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IConnector, IReadWriteDescriptor, ITCPTransport
from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from functorrent.peer import connection as module
from functorrent.peer.connection import PeerConnection
from tests.peer.hand_driven import Dialer, HandReactor, Listener, Recorder


def has_ipv6() -> bool:
    """Whether ::1 is there."""
    try:
        with socket.socket(socket.AF_INET6) as each:
            each.bind(("::1", 0))
    except OSError:
        return False
    return True


class FakeSocket:
    """A socket whose every call gives what the test says: for what the kernel rarely does."""

    def __init__(self, **results: Any) -> None:
        self.results = results
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        result = self.results.get(name)

        def call(*args: Any) -> Any:
            if isinstance(result, list):
                each = result.pop(0)
            else:
                each = result
            if isinstance(each, Exception):
                raise each
            return each

        return call

    def fileno(self) -> int:
        return -1 if self.closed else 1000

    def close(self) -> None:
        self.closed = True


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = HandReactor()
        self.listener = Listener()
        self.addCleanup(self.listener.close)
        self.recorder = Recorder()
        self.factory = Dialer(self.recorder)
        self.connection = self.make(self.listener.host, self.listener.port)

    def make(self, host: str, port: int) -> PeerConnection:
        connection = PeerConnection(self.reactor, host, port, self.factory)
        self.addCleanup(connection.disconnect)
        return connection

    def answered(self) -> socket.socket:
        """The other end, once the dial was answered."""
        self.connection.connect()
        self.reactor.run_until(lambda: self.recorder.made == 1)
        return self.listener.accept()

    def fake(self, **results: Any) -> FakeSocket:
        """From now on sockets are this one."""
        fake = FakeSocket(**{"connect_ex": errno.EINPROGRESS, "getsockopt": 0, **results})
        self.patch(socket, "socket", lambda *args: fake)
        return fake

    def assert_nothing_left(self) -> None:
        self.assertEqual((self.reactor.readers, self.reactor.writers), (set(), set()))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.connection.fileno(), -1)


class DialTests(Case):
    def test_what_it_is(self) -> None:
        for interface in (IReadWriteDescriptor, ITCPTransport, IConnector):
            self.assertTrue(interface.providedBy(self.connection))
        verifyObject(IReadWriteDescriptor, self.connection)
        self.assertEqual(self.connection.logPrefix(), "peer")

    def test_answered(self) -> None:
        self.answered()
        self.assertEqual(self.factory.addresses, [IPv4Address("TCP", self.listener.host, self.listener.port)])
        self.assertIs(self.recorder.transport, self.connection)
        self.assertEqual(self.reactor.readers, {self.connection})
        self.assertEqual(self.reactor.writers, set())

    @skipUnless(has_ipv6(), "no ::1 here")
    def test_answered_over_ipv6(self) -> None:
        listener = Listener(socket.AF_INET6)
        self.addCleanup(listener.close)
        self.connection = self.make("::1", listener.port)
        self.connection.connect()
        self.reactor.run_until(lambda: self.recorder.made == 1)
        self.assertEqual(self.connection.getPeer(), IPv6Address("TCP", "::1", listener.port))
        self.assertIsInstance(self.connection.getHost(), IPv6Address)

    def test_a_scope_goes_along(self) -> None:
        """A link-local address is reached through the interface it names, by name or by number."""
        dialed: list[Any] = []

        class Sockets(FakeSocket):
            def connect_ex(self, address: Any) -> int:
                dialed.append(address)
                return errno.EINPROGRESS

        self.patch(socket, "socket", lambda *_: Sockets())
        index, name = socket.if_nameindex()[0]
        for scope in (name, str(index)):
            each = self.make(f"fe80::1%{scope}", 6881)
            each.connect()
            self.assertEqual(dialed.pop(), ("fe80::1", 6881, 0, index))
            self.assertEqual(each.getDestination(), IPv6Address("TCP", f"fe80::1%{scope}", 6881))
            each.disconnect()

    def test_a_scope_that_is_not_there(self) -> None:
        """An interface that went away, or never was: the dial fails, and nothing is raised."""
        for scope in ("nosuch0", "4294967296", "9" * 50, "0", "a\0b", "x" * 60, "²", ""):
            connection = self.make(f"fe80::1%{scope}", 6881)
            connection.connect()
            self.reactor.advance(0)
            self.assertEqual(getattr(self.factory.failed.pop(), "osError", None), errno.ENODEV)
            self.assertEqual(connection.fileno(), -1)
        self.assert_nothing_left()

    def test_refused(self) -> None:
        self.listener.close()
        self.connection.connect()
        self.assertEqual(self.factory.failed, [])
        self.reactor.run_until(lambda: bool(self.factory.failed))
        self.assertIsInstance(self.factory.failed[0], error.ConnectionRefusedError)
        self.assert_nothing_left()

    def test_found_out_by_writing(self) -> None:
        """Some reactors only say that there is room to write."""
        fake = self.fake(getsockopt=errno.EHOSTUNREACH)
        self.connection.connect()
        self.assertIsNone(self.connection.doWrite())
        self.assertEqual(getattr(self.factory.failed[0], "osError", None), errno.EHOSTUNREACH)
        self.assertTrue(fake.closed)
        self.assert_nothing_left()

    def test_found_out_by_an_event(self) -> None:
        self.fake(getsockopt=errno.ETIMEDOUT)
        self.connection.connect()
        self.connection.connectionLost(Failure(CONNECTION_LOST))
        self.assertIsInstance(self.factory.failed[0], error.TCPTimedOutError)

    def test_an_event_without_a_reason(self) -> None:
        self.fake()
        self.connection.connect()
        self.connection.connectionLost(Failure(CONNECTION_LOST))
        self.assertIsInstance(self.factory.failed[0], error.ConnectionRefusedError)

    def test_failed_at_once(self) -> None:
        """The factory is told later all the same: whoever dials has not noted the dial yet."""
        for number in (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAGAIN):
            self.factory.failed.clear()
            fake = self.fake(connect_ex=number)
            self.connection = self.make("192.0.2.1", 1)
            self.connection.connect()
            self.assertEqual(self.factory.failed, [])
            self.reactor.advance(0)
            self.assertEqual([getattr(each, "osError", None) for each in self.factory.failed], [number])
            self.assertTrue(fake.closed)
            self.assert_nothing_left()

    def test_no_socket_to_be_had(self) -> None:
        def none(*args: Any) -> Any:
            raise OSError(errno.EMFILE, "x")

        self.patch(socket, "socket", none)
        self.connection.connect()
        self.reactor.advance(0)
        (reason,) = self.factory.failed
        self.assertEqual(getattr(reason, "osError", None), errno.EMFILE)
        self.assert_nothing_left()

    def test_an_error_without_a_number(self) -> None:
        self.fake(connect_ex=OSError("?"))
        self.connection.connect()
        self.reactor.advance(0)
        self.assertEqual(getattr(self.factory.failed[0], "osError", None), errno.EINVAL)

    def test_a_reactor_that_takes_no_more(self) -> None:
        def full(writer: Any) -> None:
            raise OSError(errno.ENOSPC, "x")

        self.reactor.addWriter = full  # type: ignore[method-assign]
        self.connection.connect()
        self.reactor.advance(0)
        self.assertEqual(len(self.factory.failed), 1)
        self.assert_nothing_left()

    def test_given_up_before_it_is_told(self) -> None:
        self.fake(connect_ex=errno.ENETUNREACH)
        self.connection.connect()
        self.connection.disconnect()
        self.assertIsInstance(self.factory.failed[0], error.UserError)
        self.assert_nothing_left()

    def test_given_up(self) -> None:
        fake = self.fake()
        self.connection.connect()
        self.assertEqual(self.reactor.writers, {self.connection})
        self.connection.disconnect()
        self.connection.disconnect()
        self.assertEqual(len(self.factory.failed), 1)
        self.assertIsInstance(self.factory.failed[0], error.UserError)
        self.assertTrue(fake.closed)
        self.assert_nothing_left()

    def test_timed_out(self) -> None:
        self.fake()
        self.connection.connect()
        self.connection.time_out()
        self.connection.time_out()
        self.assertEqual([type(each) for each in self.factory.failed], [error.TimeoutError])
        self.assert_nothing_left()

    def test_timed_out_too_late(self) -> None:
        self.answered()
        self.connection.time_out()
        self.assertEqual((self.factory.failed, self.recorder.lost), ([], []))

    def test_the_factory_wants_no_more(self) -> None:
        self.factory.recorder = None
        self.connection.connect()
        self.reactor.run_until(lambda: bool(self.factory.addresses))
        self.assert_nothing_left()
        self.assertEqual(self.factory.failed, [])

    def test_without_socket_flags(self) -> None:
        """As on macOS."""
        self.patch(module, "_FLAGS", 0)
        end = self.answered()
        end.sendall(b"x")
        self.reactor.run_until(lambda: self.recorder.data == b"x")
        self.assertIsNone(self.connection.doRead())

    def test_where_it_goes(self) -> None:
        self.assertEqual(
            self.connection.getDestination(), IPv4Address("TCP", self.listener.host, self.listener.port)
        )
        self.assertEqual(self.connection.getHost(), IPv4Address("TCP", "0.0.0.0", 0))
        self.assertIsNone(self.connection.getHandle())


class ReadTests(Case):
    def test_data(self) -> None:
        end = self.answered()
        end.sendall(b"x" * 200_000)
        self.reactor.run_until(lambda: len(self.recorder.data) == 200_000)
        self.assertEqual(self.recorder.lost, [])

    def test_nothing_there(self) -> None:
        self.answered()
        self.assertIsNone(self.connection.doRead())

    def test_the_peer_hangs_up(self) -> None:
        end = self.answered()
        end.sendall(b"last words")
        end.close()
        self.reactor.run_until(lambda: bool(self.recorder.lost))
        self.assertEqual(self.recorder.data, b"last words")
        self.assertTrue(self.recorder.lost[0].check(error.ConnectionDone))
        self.assert_nothing_left()

    def test_the_peer_resets(self) -> None:
        end = self.answered()
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.close()
        self.reactor.run_until(lambda: bool(self.recorder.lost))
        self.assertTrue(self.recorder.lost[0].check(error.ConnectionLost))
        self.assertEqual(len(self.recorder.lost), 1)
        self.assert_nothing_left()

    def test_half_closed_is_closed(self) -> None:
        end = self.answered()
        end.shutdown(socket.SHUT_WR)
        self.reactor.run_until(lambda: bool(self.recorder.lost))

    def test_hung_up_on_while_it_reads_and_could_write(self) -> None:
        end = self.answered()
        self.connection.write(b"x" * 20_000_000)
        self.recorder.on_data = self.connection.abortConnection
        end.sendall(b"a lie")
        self.assertIsNone(self.connection.doRead())
        # What the reactor found before it does now.
        self.assertIsNone(self.connection.doWrite())
        self.assert_nothing_left()


class WriteTests(Case):
    def test_at_once(self) -> None:
        end = self.answered()
        self.connection.write(b"hello")
        self.connection.writeSequence([b", ", b"peer"])
        self.assertEqual(end.recv(100), b"hello, peer")
        self.assertEqual(self.reactor.writers, set())

    def read_all(self, end: socket.socket, size: int) -> bytes:
        end.setblocking(False)
        got = b""
        while len(got) < size:
            self.reactor.step(0.0)
            try:
                got += end.recv(1_000_000)
            except BlockingIOError:
                continue
        return got

    def test_in_order_when_there_is_room(self) -> None:
        end = self.answered()
        data = os.urandom(1_000) * 8_000
        self.connection.write(data)
        self.assertEqual(self.reactor.writers, {self.connection})
        self.connection.write(b"the end")
        self.assertEqual(self.read_all(end, len(data) + 7), data + b"the end")
        self.assertEqual(self.reactor.writers, set())

    def test_hanging_up_waits_for_it(self) -> None:
        end = self.answered()
        data = bytes(8_000_000)
        self.connection.write(data)
        self.connection.loseConnection()
        self.connection.write(b"too late")
        self.assertEqual(self.recorder.lost, [])
        self.assertEqual(len(self.read_all(end, len(data))), len(data))
        self.reactor.run_until(lambda: bool(self.recorder.lost))
        self.assertTrue(self.recorder.lost[0].check(error.ConnectionDone))
        self.assertEqual(end.recv(10), b"")
        self.assert_nothing_left()

    def test_hanging_up_with_nothing_to_wait_for(self) -> None:
        end = self.answered()
        self.connection.loseConnection()
        self.assertTrue(self.recorder.lost[0].check(error.ConnectionDone))
        self.assertEqual(end.recv(10), b"")
        self.connection.write(b"too late")
        self.assert_nothing_left()

    def test_aborting_resets(self) -> None:
        end = self.answered()
        self.connection.write(bytes(8_000_000))
        self.connection.disconnect()
        self.connection.abortConnection()
        self.assertEqual(len(self.recorder.lost), 1)
        self.assertTrue(self.recorder.lost[0].check(error.ConnectionAborted))
        self.assert_nothing_left()
        with self.assertRaises(ConnectionResetError):
            while True:
                assert end.recv(1_000_000)

    def test_a_socket_without_room(self) -> None:
        fake = self.fake(send=[BlockingIOError(), BlockingIOError(), 3, 2])
        self.connection.connect()
        self.connection.doWrite()
        self.connection.write(b"hello")
        self.assertEqual(self.reactor.writers, {self.connection})
        for writers in ({self.connection}, {self.connection}, set()):
            self.assertIsNone(self.connection.doWrite())
            self.assertEqual(self.reactor.writers, writers)
        self.assertFalse(fake.closed)

    def test_a_peer_that_is_gone(self) -> None:
        """Writing to it is no end of its own: the reactor hears of that by itself."""
        self.fake(send=[BrokenPipeError(), BlockingIOError(), BrokenPipeError()])
        self.connection.connect()
        self.connection.doWrite()
        self.connection.write(b"hello")
        self.assertEqual((self.recorder.lost, self.reactor.writers), ([], set()))
        self.connection.write(b"hello")
        self.assertIs(self.connection.doWrite(), CONNECTION_LOST)

    def test_an_end_that_cannot_be_reset(self) -> None:
        fake = self.fake(setsockopt=OSError(errno.EINVAL, "x"))
        self.connection.connect()
        self.connection.doWrite()
        self.connection.abortConnection()
        self.assertTrue(fake.closed)
        self.assertEqual(len(self.recorder.lost), 1)

    def test_half_closing(self) -> None:
        end = self.answered()
        self.connection.loseWriteConnection()
        self.assertEqual(end.recv(10), b"")
        self.connection.abortConnection()
        self.connection.loseWriteConnection()

    def test_half_closing_too_late(self) -> None:
        self.fake(shutdown=OSError(errno.ENOTCONN, "x"))
        self.connection.connect()
        self.connection.loseWriteConnection()


class Producer:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


class ProducerTests(Case):
    def test_paused_and_resumed(self) -> None:
        end = self.answered()
        producer = Producer()
        self.connection.registerProducer(producer, True)
        self.connection.write(b"little")
        self.assertEqual(producer.calls, [])
        self.connection.write(bytes(20_000_000))
        self.assertEqual(producer.calls, ["pause"])
        end.setblocking(False)
        while len(producer.calls) < 2:
            self.reactor.step(0.0)
            try:
                end.recv(1_000_000)
            except BlockingIOError:
                continue
        self.assertEqual(producer.calls, ["pause", "resume"])
        self.connection.unregisterProducer()
        self.connection.abortConnection()
        self.assertEqual(producer.calls, ["pause", "resume"])

    def test_registered_too_late(self) -> None:
        self.answered()
        producer = Producer()
        self.connection.write(bytes(20_000_000))
        self.connection.registerProducer(producer, True)
        self.assertEqual(producer.calls, ["pause"])
        self.connection.abortConnection()
        self.assertEqual(producer.calls, ["pause", "stop"])


class PauseTests(Case):
    """As a producer: whoever takes what comes may want less of it."""

    def test_paused_and_resumed(self) -> None:
        end = self.answered()
        self.connection.pauseProducing()
        self.connection.pauseProducing()
        end.sendall(b"hello")
        self.assertFalse(self.reactor.step(0.0))
        self.connection.resumeProducing()
        self.connection.resumeProducing()
        self.reactor.run_until(lambda: self.recorder.data == b"hello")

    def test_stopped(self) -> None:
        self.answered()
        self.connection.stopProducing()
        self.assertEqual(len(self.recorder.lost), 1)
        self.assert_nothing_left()

    def test_ended_while_it_is_paused(self) -> None:
        self.answered()
        self.connection.pauseProducing()
        self.connection.abortConnection()
        self.connection.resumeProducing()
        self.assert_nothing_left()

    def test_before_it_is_connected(self) -> None:
        self.connection.connect()
        self.connection.pauseProducing()
        self.connection.resumeProducing()
        self.reactor.run_until(lambda: self.recorder.made == 1)
        self.assertEqual(self.reactor.readers, {self.connection})


class OptionTests(Case):
    def test_options(self) -> None:
        self.answered()
        connection = self.connection
        for get, put in (
            (connection.getTcpNoDelay, connection.setTcpNoDelay),
            (connection.getTcpKeepAlive, connection.setTcpKeepAlive),
        ):
            for wanted in (True, False):
                put(wanted)
                self.assertIs(get(), wanted)
        self.assertEqual(connection.getHandle(), connection._socket)
        self.assertEqual(connection.getHost().host, "127.0.0.1")

    def test_options_of_what_is_closed(self) -> None:
        for get, put in (
            (self.connection.getTcpNoDelay, self.connection.setTcpNoDelay),
            (self.connection.getTcpKeepAlive, self.connection.setTcpKeepAlive),
        ):
            put(True)
            self.assertFalse(get())
