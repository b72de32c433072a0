"""Callers whose torrent is looked up: held meanwhile, then served, or handed to a fetch, or refused."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from functorrent.errors import MalformedMessage, PeerClosed, StoreError, WrongInfohash
from functorrent.interfaces import IMetadataLibrary, PeerAddress
from functorrent.limits import DEFAULT_LIMITS
from functorrent.peer.dispatch import ExtensionTable
from functorrent.peer.listener import PeerListener
from functorrent.peer.shelf import Shelf
from functorrent.peer.ut_metadata import UtMetadata
from functorrent.wire.extended import ExtendedHandshake
from functorrent.wire.framing import encode_frame
from functorrent.wire.handshake import Handshake
from functorrent.wire.metadata import BLOCK_SIZE, MetadataData, MetadataReject, MetadataRequest
from tests.peer.bed import GRAIN, THEIR_ID, Remote, frame, offer_of
from tests.peer.test_listener import Fetch

WANTED = b"W" * 20
SERVING_ID = b"-FT0100-ssssssssssss"
INFO = b"d4:name4:spame"
LIMITS = replace(DEFAULT_LIMITS, max_pending_inbound=8, max_inbound=16, max_serving=3 * BLOCK_SIZE)


@implementer(IMetadataLibrary)
class Books:
    """A library that answers when the test says so. `answer`: what it gives at once, or raises."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, PeerAddress]] = []
        self.looking: list[Deferred[Any]] = []
        self.cancelled = 0
        self.answer: Any = self

    def look_up(self, infohash: bytes, caller: PeerAddress) -> Deferred[bytes | None]:
        self.asked.append((infohash, caller))
        if isinstance(self.answer, BaseException):
            raise self.answer
        if self.answer is not self:
            return self.answer  # type: ignore[no-any-return]
        self.looking.append(Deferred(self._cancel))
        return self.looking[-1]

    def _cancel(self, _: Deferred[Any]) -> None:
        self.cancelled += 1


class Transport(StringTransport):
    """With a buffer that can be full, as of a peer that does not read; `held`: whether it takes no more."""

    full = False

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.full and self.producer is not None:
            self.producer.pauseProducing()


class LookUpCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.fetch = Fetch(self.clock)
        self.fetching = False
        self.books = Books()
        shelf = self.shelf = Shelf(self.clock, limits=LIMITS)
        self.listener = PeerListener(
            self.clock,
            self.fetch.deadlines,
            ExtensionTable([UtMetadata(self.clock, provider=shelf, limits=LIMITS)]),
            lambda infohash: self.fetch if self.fetching else None,
            lambda infohash: SERVING_ID,
            shelf,
            LIMITS,
            library=self.books,
        )
        self.stats = self.listener.stats
        self.callers = 0

    def caller(self) -> Remote:
        self.callers += 1
        peer = self.listener.buildProtocol(IPv4Address("TCP", f"192.0.2.{self.callers}", 50_000))
        assert peer is not None
        return Remote(peer, Transport())

    def call(self, infohash: bytes = WANTED, **how: Any) -> Remote:
        remote = self.caller()
        remote.greet(infohash, **how)
        return remote

    def wait(self, seconds: float) -> None:
        self.clock.pump([GRAIN] * round(seconds / GRAIN))

    def assert_forgotten(self) -> None:
        """Nothing is left of any caller."""
        self.wait(GRAIN)
        listener = self.listener
        self.assertEqual((listener._strangers, listener._serving), (set(), set()))
        self.assertEqual((listener._looking, listener._asked), ({}, {}))
        self.assertEqual((self.shelf.size, self.shelf._read), (0, {}))
        self.assertEqual((listener._places.used, listener._pending.used), (0, 0))
        self.assertEqual((self.stats.pending, self.stats.serving, self.stats.connections), (0, 0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LookUpTests(LookUpCase):
    def test_what_it_is(self) -> None:
        verifyObject(IMetadataLibrary, self.books)

    def test_found_later(self) -> None:
        remote = self.call(more=offer_of() + frame(1, MetadataRequest(0).encode()))
        self.assertEqual(self.books.asked, [(WANTED, PeerAddress("192.0.2.1", 50_000))])
        self.assertEqual(remote.transport.value(), b"")
        self.assertEqual((self.stats.pending, self.stats.serving), (1, 0))
        # It says on, in the meantime, and in pieces.
        more = frame(1, MetadataRequest(1).encode())
        remote.say(more[:5])
        remote.say(more[5:])
        self.books.looking[0].callback(INFO)
        greeting, handshake, *_ = remote.listen()
        self.assertEqual(greeting, Handshake(WANTED, SERVING_ID))
        assert isinstance(handshake, ExtendedHandshake)
        self.assertEqual(handshake.metadata_size, len(INFO))
        remote.metadata(MetadataRequest(0))
        self.assertEqual(len(remote.heard), 4)
        self.assertEqual(remote.messages(), [MetadataData(0, len(INFO), INFO)])
        self.assertEqual((self.stats.pending, self.stats.serving, self.stats.connections), (0, 1, 1))
        remote.peer.connectionLost()
        self.assert_forgotten()

    def test_answers_come_in_order(self) -> None:
        remote = self.call(more=offer_of() + frame(1, MetadataRequest(0).encode()))
        remote.say(frame(1, MetadataRequest(1).encode()))
        self.books.looking[0].callback(INFO)
        self.assertEqual(remote.messages(), [MetadataData(0, len(INFO), INFO), MetadataReject(1)])

    def test_found_at_once(self) -> None:
        self.books.answer = succeed(INFO)
        remote = self.call(more=offer_of() + frame(1, MetadataRequest(0).encode()))
        self.assertEqual(remote.messages(), [MetadataData(0, len(INFO), INFO)])

    def test_a_handshake_in_pieces(self) -> None:
        for cut in (1, 20, 48, 67):
            remote = self.caller()
            infohash = bytes([cut]) * 20
            said = Handshake(infohash, THEIR_ID).encode() + offer_of() + frame(1, MetadataRequest(0).encode())
            remote.say(said[:cut])
            remote.say(said[cut:])
            self.books.looking[-1].callback(INFO)
            self.assertEqual(remote.messages(), [MetadataData(0, len(INFO), INFO)])
            self.assertEqual(remote.heard[0], Handshake(infohash, SERVING_ID))

    def test_what_others_are_served_is_there(self) -> None:
        first = self.call()
        self.books.looking[0].callback(INFO)
        second = self.call(more=offer_of() + frame(1, MetadataRequest(0).encode()))
        self.assertEqual(second.messages(), [MetadataData(0, len(INFO), INFO)])
        self.assertEqual((len(self.books.asked), self.shelf.size), (1, len(INFO)))
        first.peer.connectionLost()
        self.assertEqual(self.shelf.size, len(INFO))
        second.peer.connectionLost()
        self.assert_forgotten()

    def test_not_there(self) -> None:
        for at_once in (True, False):
            self.books.answer = succeed(None) if at_once else self.books
            remote = self.call()
            if not at_once:
                self.books.looking[0].callback(None)
            self.assertIsInstance(remote.peer.error, WrongInfohash)
            self.assertEqual((remote.dropped, remote.transport.value()), (True, b""))
        self.assertEqual(self.stats.unknown, 2)
        self.assert_forgotten()

    def test_a_fetch_has_begun_meanwhile(self) -> None:
        """The look-up has begun it, or somebody else."""
        for at_once in (True, False):
            self.fetching = False
            self.books.answer = self.books
            if at_once:
                self.books.answer = Deferred()
                self.books.answer.callback(None)
                # It is begun by the look-up itself.
                look_up = self.books.look_up

                def begins(*args: Any, look_up: Any = look_up) -> Any:
                    self.fetching = True
                    return look_up(*args)

                self.books.look_up = begins  # type: ignore[method-assign]
            else:
                self.books.look_up = Books.look_up.__get__(self.books)  # type: ignore[method-assign]
            remote = self.call(more=offer_of(metadata_size=5))
            if not at_once:
                self.fetching = True
                self.books.looking[0].callback(None)
            self.assertIs(remote.peer.owner, self.fetch)
            self.assertEqual(remote.listen()[0], Handshake(WANTED, self.fetch.peer_id))
        self.assertEqual((len(self.fetch.joined), len(self.fetch.ready), self.stats.joined), (2, 2, 2))
        for peer in self.fetch.joined:
            peer.connectionLost()
        self.assertEqual([type(end) for end in self.fetch.ended], [PeerClosed] * 2)
        self.assert_forgotten()

    def test_who_is_expected(self) -> None:
        """A fetch that the look-up begins is not to end before its caller joins it."""
        expected: list[bool] = []
        look_up = self.books.look_up

        def asks(infohash: bytes, caller: PeerAddress) -> Any:
            expected.append(self.listener.expects(infohash))
            return look_up(infohash, caller)

        self.books.look_up = asks  # type: ignore[method-assign]
        self.assertFalse(self.listener.expects(WANTED))
        self.call()
        self.assertEqual(expected, [True])
        self.assertTrue(self.listener.expects(WANTED))
        self.assertFalse(self.listener.expects(b"2" * 20))
        self.books.looking[0].callback(None)
        self.assertFalse(self.listener.expects(WANTED))
        # Nor is one that has what it came for.
        served = self.call()
        self.books.looking[1].callback(INFO)
        self.assertFalse(served.dropped)
        self.assertFalse(self.listener.expects(WANTED))

    def test_a_fetch_that_takes_no_more(self) -> None:
        self.fetch.most = 0
        remote = self.call()
        self.fetching = True
        self.books.looking[0].callback(None)
        self.assertTrue(remote.dropped)
        self.assertEqual(self.stats.turned_away, 1)
        self.assert_forgotten()

    def test_ourselves(self) -> None:
        remote = self.call(peer_id=SERVING_ID)
        self.books.looking[0].callback(INFO)
        self.assertEqual(remote.listen(), [Handshake(WANTED, SERVING_ID)])
        self.assertTrue(remote.dropped)
        self.assert_forgotten()

    def test_it_hangs_up(self) -> None:
        remote = self.call()
        remote.peer.connectionLost()
        self.assertEqual(self.books.cancelled, 1)
        self.assertEqual(self.stats.failed, 0)
        self.assert_forgotten()

    def test_it_hangs_up_on_a_library_that_goes_on(self) -> None:
        """One that answers its cancellation, or that cannot be cancelled."""
        for cancel in (lambda d: d.callback(INFO), lambda d: 1 / 0):
            self.books.answer = Deferred(cancel)
            self.call().peer.connectionLost()
            self.assert_forgotten()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_it_takes_too_long(self) -> None:
        remote = self.call()
        self.wait(LIMITS.look_up_timeout - 1)
        self.assertFalse(remote.dropped)
        self.wait(2)
        self.assertTrue(remote.dropped)
        self.assertEqual((self.books.cancelled, self.stats.failed), (1, 1))
        self.assert_forgotten()

    def test_talking_does_not_lengthen_it(self) -> None:
        remote = self.call()
        for _ in range(10):
            if not remote.dropped:
                remote.say(encode_frame(1, b"x" * 4000))
                self.wait(1)
        self.assertTrue(remote.dropped)

    def test_it_fails(self) -> None:
        for at_once in (True, False):
            self.books.answer = fail(StoreError("the disk is gone")) if at_once else self.books
            remote = self.call()
            if not at_once:
                self.books.looking[0].errback(StoreError("the disk is gone"))
            self.assertTrue(remote.dropped)
            self.assertEqual(remote.transport.value(), b"")
        self.assertEqual((self.stats.failed, self.stats.unknown), (2, 0))
        self.assert_forgotten()

    def test_it_breaks(self) -> None:
        """A library's bug is logged, and ends the one caller."""
        for answer in (ZeroDivisionError(), fail(ZeroDivisionError()), fail(CancelledError())):
            self.books.answer = answer
            self.assertTrue(self.call().dropped)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError, CancelledError)), 1)
        for answer in (succeed("text"), None, b"bytes"):
            self.books.answer = answer
            self.assertTrue(self.call().dropped)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 2)
        self.assertEqual(self.stats.failed, 6)
        self.assert_forgotten()

    def test_a_lie_that_was_held(self) -> None:
        remote = self.call(more=b"\xff\xff\xff\xff\x14")
        self.assertFalse(remote.dropped)
        self.books.looking[0].callback(INFO)
        self.assertTrue(remote.dropped)
        self.assertEqual(remote.transport.value(), b"")
        self.assert_forgotten()

    def test_one_that_talks_on_and_on(self) -> None:
        """It is read until there is enough, so that its hang-up is seen; then it is not."""
        remote = self.call()
        remote.say(bytes(LIMITS.max_extended))
        self.assertEqual(remote.transport.producerState, "producing")
        remote.say(bytes(1))
        self.assertEqual(remote.transport.producerState, "paused")
        self.books.looking[0].callback(INFO)
        self.assertEqual(remote.transport.producerState, "producing")
        # 16,384 keep-alives and the beginning of one.
        self.assertFalse(remote.dropped)

    def test_an_answer_that_nobody_waits_for(self) -> None:
        remote = self.call()
        self.books.looking[0].callback(INFO)
        remote.transport.clear()
        remote.peer.answer_call(WANTED, SERVING_ID)
        self.assertEqual(remote.transport.value(), b"")
        gone = self.call(b"2" * 20)
        gone.peer.abort(None)
        gone.peer.answer_call(WANTED, SERVING_ID)
        self.assertEqual(gone.transport.value(), b"")

    def test_without_the_extension_protocol(self) -> None:
        remote = self.call(reserved=bytes(8))
        self.books.looking[0].callback(INFO)
        self.assertTrue(remote.dropped)
        self.assert_forgotten()

    def test_closing(self) -> None:
        looked_up, served = self.call(), self.call()
        self.books.looking[1].callback(INFO)
        self.listener.close()
        self.assertEqual((looked_up.dropped, served.dropped, self.books.cancelled), (True, True, 1))
        self.assertEqual(self.stats.failed, 0)
        self.assert_forgotten()


class CrowdTests(LookUpCase):
    def test_look_ups_are_pending(self) -> None:
        """So many at once, and half of them for one address."""
        remotes = [self.call() for _ in range(LIMITS.max_pending_inbound)]
        self.assertIsNone(self.listener.buildProtocol(IPv4Address("TCP", "192.0.2.99", 1)))
        self.assertEqual((self.stats.pending, self.stats.turned_away), (8, 1))
        for looking in self.books.looking:
            looking.callback(INFO)
        self.assertEqual((self.stats.pending, self.stats.serving), (0, 8))
        # One object for all of them.
        self.assertEqual(self.shelf.size, len(INFO))
        self.assertEqual([remote.dropped for remote in remotes], [False] * 8)

    def test_thousands_of_callers(self) -> None:
        for number in range(3000):
            remote = self.call(number.to_bytes(20, "big"))
            # A third is served, a third hangs up, and a third is not there.
            looking = self.books.looking.pop()
            if number % 3 == 0:
                looking.callback(INFO)
            if number % 3 == 1:
                looking.callback(None)
            else:
                remote.peer.connectionLost()
        self.assertEqual((self.stats.callers, self.stats.unknown), (3000, 1000))
        self.assert_forgotten()

    def test_one_address(self) -> None:
        for number in range(20):
            peer = self.listener.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1000 + number))
            if peer is not None:
                Remote(peer).greet(bytes([number]) * 20)
                self.books.looking[-1].callback(INFO)
        self.assertEqual((self.stats.serving, self.stats.turned_away), (8, 12))
        # Another is let in.
        self.assertIsNotNone(self.listener.buildProtocol(IPv4Address("TCP", "192.0.2.2", 1)))

    def test_no_memory_left(self) -> None:
        for number in range(4):
            remote = self.call(bytes([number]) * 20)
            self.books.looking[-1].callback(bytes(BLOCK_SIZE))
            self.assertEqual(remote.dropped, number == 3)
        self.assertEqual((self.shelf.size, self.stats.turned_away), (3 * BLOCK_SIZE, 1))

    def test_it_makes_way(self) -> None:
        """Who was served for long enough goes when the memory is wanted."""
        first = self.call(b"1" * 20, more=offer_of())
        self.books.looking[-1].callback(bytes(3 * BLOCK_SIZE))
        for _ in range(8):
            first.metadata(MetadataRequest(0))
            self.wait(4)
        self.call(b"2" * 20)
        self.books.looking[-1].callback(bytes(BLOCK_SIZE))
        self.assertTrue(first.dropped)
        self.assertEqual((self.stats.serving, self.shelf.size), (1, BLOCK_SIZE))


class ServedTests(LookUpCase):
    """What a peer may cost that only takes."""

    def test_its_socket(self) -> None:
        """The kernel keeps little of what it does not read, and waits for nothing."""
        remote = self.call()
        with socket.socket() as sock:
            remote.transport.getHandle = lambda: sock  # type: ignore[attr-defined]
            self.books.looking[0].callback(INFO)
            # Linux counts double, for what it needs itself.
            size = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            self.assertLessEqual(size, 2 * LIMITS.serve_send_buffer)
            self.assertGreaterEqual(size, LIMITS.serve_send_buffer)
            self.assertTrue(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        gone = self.call(b"2" * 20)
        gone.transport.getHandle = lambda: sock  # type: ignore[attr-defined]
        self.books.looking[1].callback(INFO)
        self.assertFalse(gone.dropped)

    def served(self, info: bytes = INFO) -> Remote:
        remote = self.call(more=offer_of())
        self.books.looking[-1].callback(info)
        remote.listen()
        return remote

    def test_one_that_wants_nothing(self) -> None:
        remote = self.served()
        remote.say(encode_frame(2))
        self.wait(LIMITS.progress_timeout + GRAIN)
        self.assertTrue(remote.dropped)
        self.assert_forgotten()

    def test_one_that_says_too_much(self) -> None:
        """Keep-alives at line speed would cost a core."""
        remote = self.served()
        said = 0
        while not remote.dropped:
            remote.say(bytes(16_384))
            said += 16_384
            self.assertLess(said, 2 * LIMITS.max_served_input)
        self.assertGreater(said, LIMITS.max_served_input)
        self.assertIsInstance(remote.peer.error, MalformedMessage)
        self.assert_forgotten()

    def test_one_that_reads_slowly(self) -> None:
        remote = self.served(bytes(3 * BLOCK_SIZE))
        remote.transport.full = True  # type: ignore[attr-defined]
        for piece in range(3):
            remote.metadata(MetadataRequest(piece))
            # It was hung up on if the progress of others were its measure.
            self.wait(LIMITS.serve_patience - 1)
            self.assertFalse(remote.dropped)
            remote.peer.resumeProducing()
            self.assertEqual([message.piece for message in remote.messages()], [piece])

    def test_one_that_does_not_read(self) -> None:
        remote = self.served(bytes(3 * BLOCK_SIZE))
        remote.transport.full = True  # type: ignore[attr-defined]
        remote.say(frame(1, MetadataRequest(0).encode()) * 6)
        remote.metadata(MetadataRequest(0))
        # One block was too much for it, and no other was made.
        self.assertLess(len(remote.transport.value()), BLOCK_SIZE + 100)
        self.wait(LIMITS.serve_patience + GRAIN)
        self.assertTrue(remote.dropped)
        self.assert_forgotten()

    def test_one_that_a_fetch_has_is_not_treated_so(self) -> None:
        self.fetching = True
        remote = self.call(more=offer_of(metadata_size=5))
        for _ in range(64):
            remote.say(bytes(8_192))
        self.assertFalse(remote.dropped)
