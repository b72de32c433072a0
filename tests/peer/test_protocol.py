"""One connection to a peer: handshakes both ways, lies, the ends, and who is told."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import (
    ConnectedToSelf,
    MalformedMessage,
    NoMetadata,
    PeerClosed,
    PeerStalled,
    WrongInfohash,
)
from functorrent.peer.dispatch import CLIENT
from functorrent.wire.extended import ExtendedHandshake
from functorrent.wire.framing import KEEP_ALIVE, encode_frame
from functorrent.wire.handshake import PREFIX, Handshake
from functorrent.wire.messages import Bitfield
from tests.peer.bed import ADDRESS, INFOHASH, OUR_ID, THEIR_ID, Bed, Extension, Remote, frame, offer_of
from tests.wire.helpers import in_every_packet_size


class CallingTests(SynchronousTestCase):
    """We call the peer."""

    def setUp(self) -> None:
        self.extension = Extension()
        self.bed = Bed(self.extension)
        self.owner = self.bed.owner
        self.remote = self.bed.call()

    def test_we_greet_first(self) -> None:
        (handshake,) = self.remote.listen()
        self.assertEqual(handshake, Handshake(INFOHASH, OUR_ID))
        self.assertEqual(self.remote.raw[25] & 0x10, 0x10)
        self.assertEqual(self.owner.ready, [])

    def test_both_handshakes(self) -> None:
        self.remote.greet()
        self.assertEqual(self.owner.ready, [self.remote.peer])
        _, extended = self.remote.listen()
        assert isinstance(extended, ExtendedHandshake)
        self.assertEqual(extended.extensions, {b"x_test": 1})
        self.assertEqual(extended.client, f"{CLIENT} 0.1".encode())
        self.assertEqual((extended.port, extended.metadata_size), (None, None))
        self.assertEqual(self.extension.names, ["connect", "peer_handshake", "handshake_items"])
        self.assertEqual(self.extension.calls[1][1], Handshake(INFOHASH, THEIR_ID))

    def test_our_port(self) -> None:
        self.bed.table.port = 6881
        self.remote.greet()
        extended = self.remote.listen()[1]
        assert isinstance(extended, ExtendedHandshake)
        self.assertEqual(extended.port, 6881)

    def test_what_an_extension_sees(self) -> None:
        self.remote.greet()
        handle = self.extension.sessions[0].peer
        self.assertEqual((handle.infohash, handle.address), (INFOHASH, ADDRESS))
        self.assertFalse(handle.inbound)
        self.assertFalse(handle.congested)

    def test_messages_reach_their_extension(self) -> None:
        self.remote.greet()
        self.remote.extended(1, b"hello")
        self.remote.extended(9, b"to nobody")
        self.assertEqual(self.extension.calls[-1], ("message", b"hello"))
        self.assertEqual(self.owner.outcome, "")

    def test_every_packet_size(self) -> None:
        greeting = Handshake(INFOHASH, THEIR_ID).encode()
        data = (
            greeting
            + Bitfield(b"\xff" * 9).encode()
            + KEEP_ALIVE
            + offer_of({"x_test": 7})
            + encode_frame(99, b"?")
            + frame(1, b"hello")
        )
        for packets in in_every_packet_size(data):
            extension = Extension()
            bed = Bed(extension)
            remote = bed.call()
            for packet in packets:
                remote.say(packet)
            self.assertEqual(
                extension.names,
                ["connect", "peer_handshake", "handshake_items", "extended_handshake", "message"],
            )
            self.assertEqual(bed.owner.outcome, "")

    def test_wrong_infohash(self) -> None:
        self.remote.greet(infohash=b"J" * 20)
        self.assertEqual(self.owner.outcome, "wrong_infohash")
        self.assertTrue(self.remote.dropped)
        self.assertIn((b"J" * 20).hex(), str(self.owner.ended[0]))
        self.assertEqual(self.owner.ready, [])
        self.assertEqual(self.extension.calls, [])

    def test_ourselves(self) -> None:
        self.remote.greet(peer_id=OUR_ID)
        self.assertEqual(self.owner.outcome, "self")
        self.assertTrue(self.remote.dropped)

    def test_no_extension_bit(self) -> None:
        for reserved in (bytes(8), b"\xff\xff\xff\xff\xff\xef\xff\xff"):
            bed = Bed(self.extension)
            remote = bed.call()
            remote.greet(reserved=reserved)
            self.assertEqual(bed.owner.outcome, "no_extensions")
            self.assertTrue(remote.dropped)
        self.assertEqual(self.extension.calls, [])

    def test_not_bittorrent(self) -> None:
        # One byte is enough to know.
        self.remote.say(b"H")
        self.assertEqual(self.owner.outcome, "not_bittorrent")
        self.assertTrue(self.remote.dropped)

    def test_a_second_handshake_is_a_frame_too_long(self) -> None:
        self.remote.greet(more=PREFIX)
        self.assertEqual(self.owner.outcome, "bad_data")

    def test_what_comes_ahead_of_a_lie_counts(self) -> None:
        self.remote.greet(more=frame(1, b"good") + b"\xff\xff\xff\xff\x14")
        self.assertEqual(self.extension.calls[3][:2], ("message", b"good"))
        self.assertEqual(self.owner.outcome, "bad_data")
        # Nothing is said any more to one who lied.
        self.assertEqual(len(self.remote.listen()), 1)

    def test_a_lie_of_the_handshake_comes_ahead_of_one_behind_it(self) -> None:
        self.remote.greet(infohash=b"J" * 20, more=b"\xff\xff\xff\xff\x14")
        self.assertEqual(self.owner.outcome, "wrong_infohash")

    def test_hung_up_on(self) -> None:
        self.remote.greet()
        self.remote.peer.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.owner.outcome, "closed")
        self.assertIsInstance(self.extension.calls[-1][1], PeerClosed)
        self.assertEqual(self.extension.names.count("closed"), 1)

    def test_hung_up_on_before_the_handshake(self) -> None:
        self.remote.peer.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.owner.outcome, "closed")

    def test_nothing_is_left(self) -> None:
        self.remote.greet()
        self.remote.peer.connectionLost(Failure(ConnectionLost()))
        self.bed.wait(0.25)
        self.assertEqual(self.bed.clock.getDelayedCalls(), [])


class CalledTests(SynchronousTestCase):
    """The peer calls us."""

    def setUp(self) -> None:
        self.extension = Extension()
        self.bed = Bed(self.extension)
        self.owner = self.bed.owner
        self.remote = self.bed.called()

    def test_we_wait_for_its_handshake(self) -> None:
        self.assertEqual(self.remote.listen(), [])

    def test_both_handshakes(self) -> None:
        self.remote.greet(more=offer_of({"x_test": 3}))
        self.assertEqual(self.owner.greeted, [Handshake(INFOHASH, THEIR_ID)])
        self.assertEqual(self.owner.ready, [self.remote.peer])
        handshake, extended = self.remote.listen()
        self.assertEqual(handshake, Handshake(INFOHASH, OUR_ID))
        self.assertIsInstance(extended, ExtendedHandshake)
        self.assertEqual(self.extension.names[-1], "extended_handshake")
        self.assertTrue(self.extension.sessions[0].peer.inbound)

    def test_its_torrent_is_answered(self) -> None:
        self.owner.answer = (b"J" * 20, OUR_ID)
        self.remote.greet(infohash=b"J" * 20)
        self.assertEqual(self.remote.listen()[0], Handshake(b"J" * 20, OUR_ID))
        self.assertEqual(self.extension.sessions[0].peer.infohash, b"J" * 20)

    def test_refused(self) -> None:
        self.owner.answer = WrongInfohash("no")
        self.remote.greet()
        self.assertEqual(self.owner.ended, [self.owner.answer])
        self.assertEqual(self.remote.transport.value(), b"")
        self.assertTrue(self.remote.dropped)

    def test_ourselves(self) -> None:
        self.remote.greet(peer_id=OUR_ID)
        self.assertIsInstance(self.owner.ended[0], ConnectedToSelf)
        # What we are is said, so that the other end finds out, too; and no more than that.
        self.assertEqual(self.remote.listen(), [Handshake(INFOHASH, OUR_ID)])

    def test_no_extension_bit(self) -> None:
        self.remote.greet(reserved=bytes(8))
        self.assertEqual(self.owner.outcome, "no_extensions")

    def test_a_lie_behind_its_handshake(self) -> None:
        self.remote.greet(more=b"\xff\xff\xff\xff\x14")
        self.assertEqual(self.owner.outcome, "bad_data")
        self.assertEqual(self.remote.transport.value(), b"")

    def test_hung_up_on(self) -> None:
        self.remote.peer.connectionLost()
        self.assertEqual(self.owner.outcome, "closed")


class AbortTests(SynchronousTestCase):
    """Who ends a connection, and what is told of it."""

    def setUp(self) -> None:
        self.extension = Extension()
        self.bed = Bed(self.extension)
        self.owner = self.bed.owner

    def open(self) -> Remote:
        remote = self.bed.call()
        remote.greet()
        return remote

    def test_by_our_side(self) -> None:
        remote = self.open()
        remote.peer.abort(None)
        self.assertEqual(self.owner.ended, [None])
        self.assertTrue(remote.transport.disconnected)
        self.assertEqual(self.extension.calls[-1], ("closed", None))

    def test_once(self) -> None:
        remote = self.open()
        error = MalformedMessage("x")
        remote.peer.abort(error)
        remote.peer.abort(MalformedMessage("y"))
        remote.peer.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.owner.ended, [error])
        self.assertEqual(self.extension.names.count("closed"), 1)

    def test_what_comes_after_it_is_ignored(self) -> None:
        remote = self.open()
        remote.peer.abort(None)
        remote.extended(1, b"late")
        self.assertNotIn("message", self.extension.names)

    def test_what_is_in_the_same_packet_is_ignored(self) -> None:
        self.extension.reactions["message"] = lambda peer: peer.abort(MalformedMessage("x"))
        remote = self.open()
        remote.say(frame(1, b"one") + frame(1, b"two"))
        self.assertEqual(self.extension.names.count("message"), 1)

    def test_nothing_is_sent_after_it(self) -> None:
        self.extension.reactions["closed"] = lambda peer: peer.send(b"goodbye")
        remote = self.bed.open(m={"x_test": 3})
        self.extension.sessions[-1].peer.abort(MalformedMessage("x"))
        self.extension.sessions[-1].peer.send(b"goodbye")
        self.assertEqual(remote.transport.value(), b"")

    def test_before_it_is_connected(self) -> None:
        from functorrent.peer.protocol import PeerProtocol

        peer = PeerProtocol(self.owner, self.bed.table, ADDRESS, INFOHASH, OUR_ID)
        peer.abort(None)
        self.assertEqual(self.owner.ended, [None])

    def test_the_socket_is_closed_whatever_the_owner_does(self) -> None:
        remote = self.open()

        def broken(peer: Any, error: Any) -> None:
            raise ZeroDivisionError

        self.owner.peer_ended = broken  # type: ignore[method-assign]
        self.assertRaises(ZeroDivisionError, remote.peer.abort, None)
        self.assertTrue(remote.dropped)

    def test_the_peer_is_to_blame_with_an_error_of_its_own(self) -> None:
        """What a plugin gives that is no PeerError cannot be counted: it is told so."""
        remote = self.open()
        handle = self.extension.sessions[0].peer
        self.assertRaises(TypeError, handle.abort, ValueError("x"))
        self.assertFalse(remote.dropped)


class SendingTests(SynchronousTestCase):
    """What extensions send, and peers that do not read it."""

    def setUp(self) -> None:
        self.extension = Extension()
        self.bed = Bed(self.extension)
        self.owner = self.bed.owner

    def test_with_the_id_the_peer_gave(self) -> None:
        remote = self.bed.open(m={"x_test": 7})
        self.extension.sessions[0].peer.send(b"hello")
        self.assertEqual(remote.transport.value(), frame(7, b"hello"))

    def test_after_the_id_was_reassigned(self) -> None:
        remote = self.bed.open(m={"x_test": 7})
        remote.offer(m={"x_test": 9})
        self.extension.sessions[0].peer.send(b"hello")
        self.assertEqual(remote.transport.value(), frame(9, b"hello"))

    def test_dropped_where_the_peer_has_it_not(self) -> None:
        remote = self.bed.open(m={"x_other": 7})
        self.extension.sessions[0].peer.send(b"hello")
        remote.offer(m={"x_test": 7})
        remote.offer(m={"x_test": 0})
        self.extension.sessions[0].peer.send(b"hello")
        self.assertEqual(remote.transport.value(), b"")

    def test_answers_to_one_packet_go_out_together(self) -> None:
        self.extension.reactions["message"] = lambda peer: peer.send(b"answer")
        remote = self.bed.open(m={"x_test": 7})
        writes: list[bytes] = []
        remote.transport.write = writes.append  # type: ignore[method-assign]
        remote.say(frame(1, b"one") + frame(1, b"two"))
        self.assertEqual(writes, [frame(7, b"answer") * 2])

    def test_a_peer_that_does_not_read(self) -> None:
        remote = self.bed.open(m={"x_test": 7})
        handle = self.extension.sessions[0].peer
        # A producer is registered for what may not go out at once.
        handle.send(bytes(10_000))
        self.assertIs(remote.transport.producer, remote.peer)
        handle.send(bytes(10_000))
        self.assertFalse(handle.congested)
        remote.peer.pauseProducing()
        self.assertTrue(handle.congested)
        sent = 0
        while not remote.dropped:
            handle.send(bytes(10_000))
            sent += 10_000
            self.assertLess(sent, 2 * self.bed.limits.max_unsent)
        self.assertGreaterEqual(sent, self.bed.limits.max_unsent)
        self.assertIsInstance(self.owner.ended[0], PeerStalled)

    def test_a_peer_that_reads_again(self) -> None:
        remote = self.bed.open(m={"x_test": 7})
        handle = self.extension.sessions[0].peer
        for _ in range(5):
            remote.peer.pauseProducing()
            for _ in range(20):
                handle.send(bytes(10_000))
            remote.peer.resumeProducing()
            self.assertFalse(handle.congested)
        self.assertEqual(self.owner.outcome, "")
        self.assertEqual(self.extension.names.count("writable"), 5)

    def test_an_end_while_it_waits(self) -> None:
        remote = self.bed.open(m={"x_test": 7})
        remote.peer.pauseProducing()
        remote.peer.abort(None)
        remote.peer.stopProducing()
        remote.peer.resumeProducing()
        self.assertNotIn("writable", self.extension.names)

    def test_a_hang_up_for_what_is_writable(self) -> None:
        remote = self.bed.open(m={"x_test": 7})
        self.extension.reactions["writable"] = MalformedMessage("enough")
        remote.peer.resumeProducing()
        self.assertEqual(self.owner.outcome, "bad_data")

    def test_small_messages_need_no_producer(self) -> None:
        remote = self.bed.open(m={"x_test": 7})
        self.extension.sessions[0].peer.send(b"hello")
        self.assertIsNone(remote.transport.producer)


class LackingTests(SynchronousTestCase):
    """A peer without metadata goes, unless another extension wants it."""

    def setUp(self) -> None:
        self.first = Extension("x_first", extended_handshake=self.lacks)
        self.second = Extension("x_second")
        self.bed = Bed(self.first, self.second)
        self.owner = self.bed.owner

    @staticmethod
    def lacks(peer: Any) -> None:
        peer.abort(NoMetadata("does not share metadata"))

    def test_it_goes_when_all_have_seen_the_handshake(self) -> None:
        self.bed.open(m={})
        self.assertIn("extended_handshake", self.second.names)
        self.assertEqual(self.owner.outcome, "no_metadata")

    def test_kept(self) -> None:
        self.second.reactions["extended_handshake"] = lambda peer: peer.keep_open(8.0)
        remote = self.bed.open(m={})
        self.bed.wait(7)
        self.assertEqual(self.owner.outcome, "")
        self.bed.wait(1.25)
        self.assertEqual(self.owner.outcome, "no_metadata")
        self.assertTrue(remote.dropped)

    def test_kept_no_longer_than_the_cap(self) -> None:
        self.second.reactions["extended_handshake"] = lambda peer: peer.keep_open(1e9)
        self.bed.open(m={})
        self.bed.wait(self.bed.limits.max_keep_open - 1)
        self.assertEqual(self.owner.outcome, "")
        self.bed.wait(2)
        self.assertEqual(self.owner.outcome, "no_metadata")

    def test_metadata_comes_later(self) -> None:
        self.second.reactions["extended_handshake"] = lambda peer: peer.keep_open(8.0)
        remote = self.bed.open(m={})
        del self.first.reactions["extended_handshake"], self.second.reactions["extended_handshake"]
        self.bed.wait(7)
        remote.offer()
        self.bed.wait(4)
        self.assertEqual(self.owner.outcome, "")
        self.bed.wait(2)
        self.assertEqual(self.owner.outcome, "stalled")

    def test_a_later_handshake_is_judged_too(self) -> None:
        del self.first.reactions["extended_handshake"]
        remote = self.bed.open()
        self.first.reactions["extended_handshake"] = self.lacks
        remote.offer(m={})
        self.assertEqual(self.owner.outcome, "no_metadata")

    def test_said_from_elsewhere_it_is_an_end_like_any_other(self) -> None:
        del self.first.reactions["extended_handshake"]
        self.bed.open()
        self.first.sessions[0].peer.abort(NoMetadata("has lost it"))
        self.assertEqual(self.owner.outcome, "no_metadata")

    def test_said_of_a_message(self) -> None:
        del self.first.reactions["extended_handshake"]
        self.first.reactions["message"] = self.lacks
        remote = self.bed.open()
        remote.extended(1, b"I have none")
        self.bed.wait(self.bed.limits.progress_timeout + 0.5)
        self.assertEqual(self.owner.outcome, "no_metadata")


class LenientTransport(StringTransport):
    """One that calls `connectionLost`, as real ones do."""

    def abortConnection(self) -> None:
        super().abortConnection()
        self.peer.connectionLost(Failure(ConnectionLost()))

    peer: Any


class ReentryTests(SynchronousTestCase):
    def test_a_transport_that_tells_of_the_end_at_once(self) -> None:
        bed = Bed(Extension())
        transport = LenientTransport()
        remote = bed.call(transport)
        transport.peer = remote.peer
        remote.say(b"garbage")
        self.assertEqual(bed.owner.outcome, "not_bittorrent")
