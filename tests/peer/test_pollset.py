"""The epoll behind one descriptor: events go to whom they are for, and to nobody else."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable
from typing import Any
from unittest import skipUnless

from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from functorrent.peer import pollset as module
from functorrent.peer.connection import PeerConnection
from functorrent.peer.pollset import PollSet, make_pollset
from tests.peer.hand_driven import Dialer, HandReactor, Listener, Recorder


class Broken(Exception):
    """A bug."""


class End:
    """One end of a socket pair, as a descriptor that notes what it is called for."""

    def __init__(self, pollset: PollSet) -> None:
        self.pollset = pollset
        self.socket, self.other = socket.socketpair()
        self.socket.setblocking(False)
        self.calls: list[str] = []
        self.lost: list[Failure] = []
        self.on_read: Callable[[], Any] = lambda: None
        self.on_write: Callable[[], Any] = lambda: None
        self.on_lost: Callable[[], Any] = lambda: None

    def fileno(self) -> int:
        return self.socket.fileno()

    def doRead(self) -> Any:
        self.calls.append("read")
        return self.on_read()

    def doWrite(self) -> Any:
        self.calls.append("write")
        return self.on_write()

    def connectionLost(self, reason: Failure) -> None:
        self.lost.append(reason)
        self.socket.close()
        self.on_lost()

    def close(self) -> None:
        """As a connection does."""
        self.pollset.removeReader(self)
        self.pollset.removeWriter(self)
        self.socket.close()


class MakingTests(SynchronousTestCase):
    def test_the_reactor_itself_where_there_is_no_epoll(self) -> None:
        reactor = HandReactor()
        self.patch(module, "select", object())
        self.assertIs(make_pollset(reactor), reactor)

    def test_the_reactor_itself_where_it_takes_no_descriptors(self) -> None:
        reactor = Clock()
        self.assertIs(make_pollset(reactor), reactor)


@skipUnless(hasattr(select, "epoll"), "epoll is Linux's")
class PollSetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = HandReactor()
        self.pollset = make_pollset(self.reactor)
        self.assertIsInstance(self.pollset, PollSet)
        self.addCleanup(self.pollset.close)

    def end(self, *, read: bool = True, write: bool = False) -> End:
        end = End(self.pollset)
        self.addCleanup(end.other.close)
        self.addCleanup(end.socket.close)
        if read:
            self.pollset.addReader(end)
        if write:
            self.pollset.addWriter(end)
        return end

    def test_nothing_is_open_before_it_is_needed(self) -> None:
        self.assertEqual((self.pollset.fileno(), self.reactor.readers), (-1, set()))
        self.assertEqual(self.pollset.logPrefix(), "peers")
        self.end()
        self.assertEqual(self.reactor.readers, {self.pollset})

    def test_readable(self) -> None:
        first, second = self.end(), self.end()
        self.assertFalse(self.reactor.step(0))
        second.other.send(b"x")
        self.assertTrue(self.reactor.step())
        self.assertEqual((first.calls, second.calls), ([], ["read"]))

    def test_writable(self) -> None:
        end = self.end(read=False, write=True)
        self.reactor.step()
        self.assertEqual(end.calls, ["write"])
        self.pollset.removeWriter(end)
        self.pollset.removeWriter(end)
        self.assertFalse(self.reactor.step(0))

    def test_both(self) -> None:
        end = self.end(write=True)
        end.other.send(b"x")
        self.reactor.step()
        self.assertEqual(end.calls, ["read", "write"])
        self.pollset.removeReader(end)
        self.reactor.step()
        self.assertEqual(end.calls, ["read", "write", "write"])

    def test_from_writing_to_reading(self) -> None:
        end = self.end(read=False, write=True)
        self.pollset.turn_to_reading(end)
        self.assertFalse(self.reactor.step(0))
        end.other.send(b"x")
        self.reactor.step()
        self.assertEqual(end.calls, ["read"])

    def test_forgotten(self) -> None:
        end = self.end(write=True)
        end.other.send(b"x")
        number = end.fileno()
        self.pollset.forget(end)
        end.socket.close()
        self.assertFalse(self.reactor.step(0))
        # Its number may be another's now.
        other = self.end()
        self.assertEqual(other.fileno(), number)
        other.other.send(b"x")
        self.reactor.step()
        self.assertEqual((end.calls, other.calls), ([], ["read"]))

    def test_forgotten_though_not_watched(self) -> None:
        end = self.end(read=False)
        self.pollset.forget(end)
        self.assertFalse(self.reactor.step(0))

    def test_an_end_that_says_so(self) -> None:
        for why in (CONNECTION_DONE, CONNECTION_LOST):
            end = self.end(write=True)
            end.on_read = lambda why=why: why  # type: ignore[misc]
            end.other.send(b"x")
            self.reactor.step()
            self.assertEqual(end.calls, ["read"])
            self.assertTrue(end.lost[0].check(type(why)))
        self.assertFalse(self.reactor.step(0))

    def test_gone(self) -> None:
        end = self.end(read=False, write=True)
        end.other.close()
        self.reactor.step()
        self.assertEqual(end.calls, [])
        self.assertTrue(end.lost[0].check(type(CONNECTION_LOST)))

    def test_one_that_fails_harms_no_other(self) -> None:
        def broken() -> None:
            raise Broken

        ends = [self.end() for _ in range(3)]
        ends[1].on_read = broken
        ends[1].on_lost = broken
        for end in ends:
            end.other.send(b"x")
        self.reactor.step()
        self.assertEqual([end.calls for end in ends], [["read"]] * 3)
        self.assertEqual(len(ends[1].lost), 1)
        self.assertEqual(len(self.flushLoggedErrors(Broken)), 2)

    def test_one_that_fails_having_closed_itself(self) -> None:
        end = self.end()

        def broken() -> None:
            end.close()
            raise Broken

        end.on_read = broken
        end.other.send(b"x")
        self.reactor.step()
        self.assertEqual(end.lost, [])
        self.flushLoggedErrors(Broken)

    def test_closed_by_one_before_it(self) -> None:
        ends = [self.end(), self.end()]
        for end, other in (ends, reversed(ends)):
            end.on_read = other.close
            end.other.send(b"x")
        self.reactor.step()
        self.assertEqual(sorted(len(end.calls) for end in ends), [0, 1])

    def test_its_number_taken_by_another(self) -> None:
        """Events of the one that was closed are not the new one's."""
        ends = [self.end(write=True) for _ in range(2)]
        new: list[End] = []
        # No lower number is free, so the next socket gets the one that is closed.
        highest = max(end.fileno() for end in ends)
        while (filler := os.open(os.devnull, os.O_RDONLY)) < highest:
            self.addCleanup(os.close, filler)
        os.close(filler)

        def replace(other: End) -> None:
            number = other.fileno()
            other.close()
            new.append(self.end(write=True))
            self.assertEqual(new[0].fileno(), number)
            for end in ends:
                end.on_read = lambda: None

        for end, other in (ends, reversed(ends)):
            end.on_read = lambda other=other: replace(other)  # type: ignore[misc]
            end.other.send(b"x")
        self.reactor.step()
        self.assertEqual(len(new), 1)
        self.assertEqual(new[0].calls, [])
        self.reactor.step()
        self.assertEqual(new[0].calls, ["write"])

    def test_many_in_turns(self) -> None:
        self.patch(module, "_AT_ONCE", 4)
        ends = [self.end() for _ in range(10)]
        for end in ends:
            end.on_read = lambda end=end: end.socket.recv(10) and None  # type: ignore[misc]
            end.other.send(b"x")
        for _ in range(3):
            self.reactor.step()
        self.assertEqual([end.calls for end in ends], [["read"]] * 10)

    def test_a_turn_ends_in_time_and_all_get_theirs(self) -> None:
        self.patch(module, "_AT_ONCE", 2)
        self.patch(module, "_TURN", 0.01)
        ends = [self.end() for _ in range(10)]
        for end in ends:
            # 4 ms of work, and never done: its byte stays there.
            end.on_read = lambda: self.reactor.advance(0.004)
            end.other.send(b"x")
        called = []
        for _ in range(3):
            self.reactor.step()
            called.append(sum(len(end.calls) for end in ends))
        self.assertEqual(called, [4, 8, 12], "some 10 ms each")
        self.assertEqual({len(end.calls) for end in ends}, {1, 2}, "nobody twice before all had theirs")

    def test_closed(self) -> None:
        end = self.end()
        number = self.pollset.fileno()
        self.pollset.close()
        self.assertEqual((self.reactor.readers, self.pollset.fileno()), (set(), -1))
        self.assertRaises(OSError, os.fstat, number)
        self.pollset.removeReader(end)
        self.pollset.close()
        self.pollset.connectionLost(Failure(CONNECTION_LOST))

    def test_closed_by_one_of_them(self) -> None:
        ends = [self.end(), self.end()]
        for end in ends:
            end.on_read = self.pollset.close
            end.other.send(b"x")
        self.reactor.step()
        self.assertEqual(sorted(len(end.calls) for end in ends), [0, 1])

    def test_no_epoll_to_be_had(self) -> None:
        """What could not be watched is not taken for watched."""

        def none() -> Any:
            raise OSError(24, "too many open files")

        original = self.patch(select, "epoll", none)
        end = End(self.pollset)
        self.addCleanup(end.other.close)
        self.addCleanup(end.socket.close)
        self.assertRaises(OSError, self.pollset.addReader, end)
        original.restore()
        self.pollset.addReader(end)
        end.other.send(b"x")
        self.reactor.step()
        self.assertEqual(end.calls, ["read"])

    def test_connections(self) -> None:
        listener = Listener()
        self.addCleanup(listener.close)
        recorder = Recorder()
        connection = PeerConnection(self.pollset, listener.host, listener.port, Dialer(recorder))
        self.addCleanup(connection.disconnect)
        connection.connect()
        self.reactor.run_until(lambda: recorder.made == 1)
        end = listener.accept()
        data = bytes(4_000_000)
        connection.write(data)
        end.setblocking(False)
        got = 0
        while got < len(data):
            self.reactor.step(0)
            try:
                got += len(end.recv(1_000_000))
            except BlockingIOError:
                continue
        end.send(b"thanks")
        end.close()
        self.reactor.run_until(lambda: bool(recorder.lost))
        self.assertEqual(recorder.data, b"thanks")
        self.assertEqual(self.pollset._selectables, {})

    def test_a_dial_that_fails_at_once(self) -> None:
        def none(*args: Any) -> Any:
            raise OSError(24, "too many open files")

        dialer = Dialer()
        connection = PeerConnection(self.pollset, "127.0.0.1", 1, dialer)
        self.patch(socket, "socket", none)
        connection.connect()
        self.reactor.advance(0)
        self.assertEqual(len(dialer.failed), 1)

    def test_refused(self) -> None:
        listener = Listener()
        listener.close()
        dialer = Dialer()
        connection = PeerConnection(self.pollset, listener.host, listener.port, dialer)
        connection.connect()
        self.reactor.run_until(lambda: bool(dialer.failed))
        self.assertEqual(self.pollset._masks, {})
