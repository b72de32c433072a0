"""What systemd is told, and when."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.daemon import systemd
from functorrent.daemon.systemd import STATUS_EVERY, Systemd
from functorrent.errors import StoreError


class FakeSocket:
    """Keeps what is sent; `error` is raised instead."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.error: OSError | None = None
        self.closed = False
        self.blocking = True

    def setblocking(self, blocking: bool) -> None:
        self.blocking = blocking

    def sendto(self, data: bytes, address: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((data.decode(), address))

    def close(self) -> None:
        self.closed = True


class SystemdTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(7)
        self.socket: Any = FakeSocket()
        self.patch(systemd.socket, "socket", lambda *arguments: self.socket)
        self.answer: Any = succeed
        self.words = "3 in flight"

    def service(self, **environ: str) -> Systemd:
        environ = {"NOTIFY_SOCKET": "/run/systemd/notify", **environ}
        service = Systemd(self.clock, environ, 42, lambda: self.words, lambda: self.answer(None))
        self.addCleanup(service.stopService)
        service.startService()
        return service

    def said(self) -> list[str]:
        """What was sent since the last call."""
        sent = [data for data, _ in self.socket.sent]
        self.socket.sent.clear()
        return sent

    def test_a_start_that_takes_long_asks_for_time(self) -> None:
        service = self.service(WATCHDOG_USEC="20000000")
        self.assertEqual(self.said(), ["EXTEND_TIMEOUT_USEC=60000000\nSTATUS=starting"])
        self.clock.pump([10] * 3)
        self.assertEqual(len(self.said()), 3, "and no watchdog yet")
        service.ready()
        self.said()
        self.clock.pump([1] * 30)
        self.assertFalse([line for line in self.said() if "EXTEND" in line])

    def test_ready_status_stopping(self) -> None:
        service = self.service()
        self.said()
        service.ready()
        service.ready()
        self.assertEqual(self.said(), ["READY=1\nSTATUS=3 in flight"])
        self.words = "evil\nREADY=0\x1b"
        self.clock.advance(STATUS_EVERY)
        self.assertEqual(self.said(), ["STATUS=evil\\x0aREADY=0\\x1b"])
        self.words = ""
        self.clock.advance(STATUS_EVERY)
        self.assertEqual(self.said(), [])
        service.stopService()
        service.stopService()
        self.assertEqual(self.said(), ["STOPPING=1\nSTATUS=stopping"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(self.socket.closed)
        self.assertFalse(self.socket.blocking)

    def test_the_watchdog_is_told_at_half_time_once_the_store_answers(self) -> None:
        service = self.service(WATCHDOG_USEC="20000000", WATCHDOG_PID="42")
        service.ready()
        self.assertEqual(self.said()[-1], "WATCHDOG=1")
        self.clock.advance(10)
        self.assertIn("WATCHDOG=1", self.said())
        self.clock.advance(9.9)
        self.assertEqual(self.said(), [])
        waiting: Deferred[None] = Deferred()
        self.answer = lambda _: waiting
        self.clock.advance(0.1)
        self.clock.pump([5] * 8)
        self.assertNotIn("WATCHDOG=1", self.said())
        self.answer = succeed
        waiting.callback(None)
        self.assertEqual(self.said(), ["WATCHDOG=1"])
        self.clock.advance(10)
        self.assertIn("WATCHDOG=1", self.said())

    def test_a_store_that_fails_is_no_sign_of_life(self) -> None:
        service = self.service(WATCHDOG_USEC="20000000")
        self.answer = lambda _: fail(StoreError("gone"))
        service.ready()
        self.clock.pump([10] * 3)
        self.assertNotIn("WATCHDOG=1", self.said())
        self.answer = succeed
        self.clock.advance(10)
        self.assertIn("WATCHDOG=1", self.said())

    def test_a_question_that_is_open_at_the_end(self) -> None:
        cancelled: list[object] = []
        waiting: Deferred[None] = Deferred(cancelled.append)
        self.answer = lambda _: waiting
        service = self.service(WATCHDOG_USEC="20000000")
        service.ready()
        self.said()
        service.stopService()
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.said(), ["STOPPING=1\nSTATUS=stopping"])

    def test_somebody_else_s_watchdog(self) -> None:
        for environ in ({"WATCHDOG_PID": "43"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "0"}):
            service = self.service(**{"WATCHDOG_USEC": "20000000", **environ})
            service.ready()
            self.clock.pump([10] * 3)
            self.assertNotIn("WATCHDOG=1", self.said())
            service.stopService()

    def test_reload(self) -> None:
        service = self.service()
        done: list[int] = []
        self.said()
        service.reload(lambda: done.append(1))
        self.assertEqual(self.said(), [], "it is not ready yet")
        service.ready()
        self.said()
        service.reload(lambda: done.extend(self.said() and [2]))
        self.assertEqual(done, [1, 2])
        self.assertEqual(self.said(), ["READY=1"])
        self.assertRaises(OSError, service.reload, self.fail_)
        self.assertEqual(self.said(), ["RELOADING=1\nMONOTONIC_USEC=7000000", "READY=1"])

    def fail_(self) -> None:
        raise OSError("no such folder")

    def test_addresses(self) -> None:
        self.service()
        self.assertEqual(self.socket.sent[-1][1], b"/run/systemd/notify")
        self.service(NOTIFY_SOCKET="@functorrent/x")
        self.assertEqual(self.socket.sent[-1][1], b"\0functorrent/x")

    def test_without_systemd_nothing_happens(self) -> None:
        for name in ("", "relative", "vsock:2:1234"):
            service = self.service(NOTIFY_SOCKET=name, WATCHDOG_USEC="1000000")
            service.ready()
            service.reload(lambda: None)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            service.stopService()
        self.assertEqual(self.said(), [])

    def test_a_socket_that_fails_is_told_once(self) -> None:
        self.socket.error = ConnectionRefusedError(111, "Connection refused")
        service = self.service()
        service.ready()
        self.clock.pump([STATUS_EVERY] * 3)
        self.assertTrue(service._complained)
        self.socket.error = None
        self.clock.advance(STATUS_EVERY)
        self.assertEqual(self.said(), ["STATUS=3 in flight"])
