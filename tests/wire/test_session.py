"""Tests of functorrent.wire.session: every state with every input, every cut, and fuzz."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import (
    FunctorrentError,
    LocalProtocolError,
    MalformedMessage,
    MessageTooLong,
    NotBitTorrent,
    PeerClosed,
    PeerError,
)
from functorrent.limits import DEFAULT_LIMITS, KIB, Limits
from functorrent.wire.extended import ExtendedHandshake, LocalExtensions, encode_handshake
from functorrent.wire.framing import KEEP_ALIVE, encode_frame
from functorrent.wire.handshake import LENGTH, Handshake
from functorrent.wire.messages import (
    Bitfield,
    Extended,
    Have,
    KeepAlive,
    Piece,
    Port,
    Skipped,
    Unchoke,
    Unknown,
)
from functorrent.wire.session import (
    MAX_HANDSHAKES,
    TRANSITIONS,
    Event,
    ExtensionMessage,
    Input,
    PeerSession,
    State,
)
from tests.wire.helpers import SMALL, cut, cuts, in_every_packet_size, quick

LOCAL = LocalExtensions(["ut_metadata", "ut_pex"])
OURS = Handshake(b"I" * 20, b"-FT0001-oooooooooooo")
THEIRS = Handshake(b"I" * 20, b"-XX0001-tttttttttttt")
#: What a peer might say, from its handshake on.
SPEECH = (
    THEIRS.encode()
    + Bitfield(b"\xf0").encode()
    + KEEP_ALIVE
    + Port(6881).encode()
    + Extended(0, encode_handshake({"ut_metadata": 3}, {"reqq": 5})).encode()
    + encode_frame(5, bytes(120))  # over SMALL's cap, so skipped
    + Have(7).encode()
    + Extended(1, b"to ut_metadata").encode()
    + Extended(9, b"to nobody").encode()
    + encode_frame(77, b"?")
    + Extended(2, b"").encode()
    + Extended(0, b"d1:md11:ut_metadatai4e6:ut_pexi0eee").encode()
    + Piece(1, 2, b"xyz").encode()
    + KEEP_ALIVE
)
HEARD: list[Event] = [
    THEIRS,
    Bitfield(b"\xf0"),
    KeepAlive(),
    Port(6881),
    ExtendedHandshake.decode(b"d1:md11:ut_metadatai3ee4:reqqi5ee"),
    Skipped(5, 121),
    Have(7),
    ExtensionMessage("ut_metadata", b"to ut_metadata"),
    Unknown(77, b"?"),
    ExtensionMessage("ut_pex", b""),
    ExtendedHandshake.decode(b"d1:md11:ut_metadatai4e6:ut_pexi0eee"),
    Piece(1, 2, b"xyz"),
    KeepAlive(),
]


def session_in(state: State, limits: Limits = SMALL, *, every_message: bool = True) -> PeerSession:
    """A session brought into a state."""
    session = PeerSession(LOCAL, limits, every_message=every_message)
    if state in (State.GREETED, State.OPEN):
        session.send_handshake(OURS)
    if state in (State.CALLED, State.OPEN):
        session.receive_data(THEIRS.encode())
    if state is State.CLOSED:
        session.close()
    session.data_to_send()
    assert session.state is state
    return session


def feed(session: PeerSession, packets: Iterable[bytes]) -> list[Event]:
    """The events of these packets."""
    return [event for packet in packets for event in session.receive_data(packet)]


#: How each input comes about.
DRIVE: dict[Input, Callable[[PeerSession], object]] = {
    Input.SEND_HANDSHAKE: lambda session: session.send_handshake(OURS),
    Input.RECEIVE_HANDSHAKE: lambda session: session.receive_data(THEIRS.encode()),
    Input.SEND_MESSAGE: lambda session: session.send(Unchoke()),
    Input.RECEIVE_MESSAGE: lambda session: session.receive_data(Unchoke().encode()),
    Input.CLOSE: lambda session: session.close(),
}
SENDERS: list[Callable[[PeerSession], object]] = [
    lambda session: session.send(Unchoke()),
    lambda session: session.send_extension("ut_metadata", b"?"),
    lambda session: session.send_extended_handshake(b"de"),
]


class StateTests(SynchronousTestCase):
    """Every state with every input."""

    def test_table(self) -> None:
        """What is listed leads where the table says; else a remote input closes, a local one raises."""
        for state in State:
            for what in Input:
                session = session_in(state)
                expected = TRANSITIONS.get((state, what))
                with self.subTest(state=state, what=what):
                    if expected is None and what in (Input.SEND_HANDSHAKE, Input.SEND_MESSAGE):
                        with self.assertRaises(LocalProtocolError):
                            DRIVE[what](session)
                        self.assertIs(session.state, state)
                        self.assertEqual(session.data_to_send(), b"")
                    elif expected is None:
                        DRIVE[what](session)
                        self.assertIs(session.state, State.CLOSED)
                        self.assertIsNotNone(session.failure)
                    else:
                        DRIVE[what](session)
                        self.assertIs(session.state, expected)
                        self.assertIsNone(session.failure)

    def test_table_in_words(self) -> None:
        """The whole table, so that a change to it is meant."""
        self.assertEqual(
            {(state.name, what.name): after.name for (state, what), after in TRANSITIONS.items()},
            {
                ("IDLE", "SEND_HANDSHAKE"): "GREETED",
                ("IDLE", "RECEIVE_HANDSHAKE"): "CALLED",
                ("GREETED", "RECEIVE_HANDSHAKE"): "OPEN",
                ("CALLED", "SEND_HANDSHAKE"): "OPEN",
                ("CALLED", "RECEIVE_MESSAGE"): "CALLED",
                ("OPEN", "SEND_MESSAGE"): "OPEN",
                ("OPEN", "RECEIVE_MESSAGE"): "OPEN",
                **{("CLOSED", what.name): "CLOSED" for what in Input},
                **{(state.name, "CLOSE"): "CLOSED" for state in State},
            },
        )

    def test_every_sender(self) -> None:
        """Each way to send a message obeys the table alike."""
        for state in State:
            for send in SENDERS:
                session = session_in(state)
                if state in (State.OPEN, State.CLOSED):
                    send(session)
                else:
                    with self.assertRaises(LocalProtocolError):
                        send(session)
                self.assertIs(session.state, state)

    def test_closed_is_deaf_and_dumb(self) -> None:
        """After the end nothing is heard, said or held."""
        session = session_in(State.OPEN)
        session.send(Unchoke())
        session.receive_data(b"\x00\x00")
        session.close()
        self.assertEqual(session.data_to_send(), b"")
        self.assertEqual(session.receive_data(SPEECH), [])
        for send in SENDERS:
            send(session)
        session.send_handshake(OURS)
        self.assertIs(session.send_extension("ut_metadata", b""), False)
        self.assertEqual(session.data_to_send(), b"")
        self.assertIsNone(session.failure)
        self.assertEqual(session.partial, 0)

    @given(st.lists(st.sampled_from(Input), max_size=12))
    @quick
    def test_any_order(self, inputs: list[Input]) -> None:
        """Inputs in any order walk the table, and nothing but it."""
        session = PeerSession(LOCAL, SMALL)
        for what in inputs:
            before = session.state
            expected = TRANSITIONS.get((before, what))
            try:
                DRIVE[what](session)
            except LocalProtocolError:
                self.assertIn(what, (Input.SEND_HANDSHAKE, Input.SEND_MESSAGE))
                self.assertIsNone(expected)
                self.assertIs(session.state, before)
            else:
                self.assertIs(session.state, expected or State.CLOSED)

    def test_second_handshake(self) -> None:
        """A handshake where a message should be is a message far too long."""
        session = session_in(State.OPEN)
        session.receive_data(THEIRS.encode())
        self.assertIsInstance(session.failure, MessageTooLong)

    def test_message_before_handshake(self) -> None:
        """A message where the handshake should be is no handshake, at its first byte."""
        for state in (State.IDLE, State.GREETED):
            session = session_in(state)
            self.assertEqual(session.receive_data(b"\x00"), [])
            self.assertIsInstance(session.failure, NotBitTorrent)

    def test_remote_inputs_out_of_turn(self) -> None:
        """Bytes cannot bring these about; should a change make them, they are the peer's fault."""
        for state, what in (
            (State.IDLE, Input.RECEIVE_MESSAGE),
            (State.GREETED, Input.RECEIVE_MESSAGE),
            (State.OPEN, Input.RECEIVE_HANDSHAKE),
            (State.CALLED, Input.RECEIVE_HANDSHAKE),
        ):
            with self.assertRaises(MalformedMessage):
                session_in(state)._receive(what)

    def test_first_fault_counts(self) -> None:
        """The first lie is kept; a later one, or closing, does not change it."""
        session = session_in(State.OPEN)
        first = MalformedMessage("first")
        session.fail(first)
        session.fail(PeerClosed("second"))
        session.close()
        self.assertIs(session.failure, first)
        self.assertIs(session.state, State.CLOSED)


class ReceiveTests(SynchronousTestCase):
    """What comes in."""

    def test_every_packet_size(self) -> None:
        """The same bytes give the same events, however they are cut."""
        for state in (State.IDLE, State.GREETED):
            for packets in in_every_packet_size(SPEECH):
                session = session_in(state)
                self.assertEqual(feed(session, packets), HEARD)
                self.assertIsNone(session.failure)
                self.assertEqual(session.remote, THEIRS)
                self.assertEqual(session.partial, 0)
                self.assertEqual(session.extensions.id("ut_metadata"), 4)
                self.assertIsNone(session.extensions.id("ut_pex"))

    def test_only_what_is_needed(self) -> None:
        """Without every_message the rest is not made into values, however it is cut."""
        wanted = (Handshake, ExtendedHandshake, ExtensionMessage, Port)
        expected = [event for event in HEARD if isinstance(event, wanted)]
        for packets in in_every_packet_size(SPEECH):
            session = session_in(State.GREETED, every_message=False)
            self.assertEqual(feed(session, packets), expected)
            self.assertIs(session.state, State.OPEN)

    def test_good_frames_ahead_of_a_bad_one(self) -> None:
        """What came before a lie counts, however the bytes are cut; what comes after does not."""
        lies = {
            encode_frame(4, b"short"): MalformedMessage,
            encode_frame(20): MalformedMessage,
            Extended(0, b"no bencode").encode(): MalformedMessage,
            Extended(0, encode_handshake({str(n): n for n in range(5)}, {})).encode(): MalformedMessage,
            struct.pack(">IB", 161, 5): MessageTooLong,
            struct.pack(">IB", 49, 20): MessageTooLong,
            b"\xff\xff\xff\xff\x00": MessageTooLong,
        }
        for lie, kind in lies.items():
            stream = THEIRS.encode() + Have(1).encode() + Have(2).encode() + lie + Have(3).encode()
            for packets in in_every_packet_size(stream):
                session = session_in(State.GREETED)
                self.assertEqual(feed(session, packets), [THEIRS, Have(1), Have(2)])
                self.assertIs(type(session.failure), kind)
                self.assertIs(session.state, State.CLOSED)
                self.assertEqual(session.partial, 0)

    def test_answering_what_came_ahead_of_a_lie(self) -> None:
        """The handshake ahead of garbage is acted on as usual: what is said to a liar goes nowhere."""
        for state in (State.IDLE, State.GREETED):
            session = session_in(state)
            garbage = b"GET / HTTP/1.1\r\n\r\n"
            self.assertEqual(session.receive_data(THEIRS.encode() + garbage), [THEIRS])
            if state is State.IDLE:
                session.send_handshake(OURS)
            session.send_extended_handshake(b"de")
            self.assertIs(session.send_extension("ut_metadata", b"?"), False)
            self.assertEqual(session.data_to_send(), b"")
            self.assertIsInstance(session.failure, MessageTooLong)

    def test_without_every_message_lengths_are_checked(self) -> None:
        """Messages that are not looked at may hold anything, but not be of any length."""
        session = session_in(State.OPEN, every_message=False)
        self.assertEqual(
            session.receive_data(encode_frame(4, b"short") + encode_frame(7) + encode_frame(9, b"?")), []
        )
        self.assertIsNone(session.failure)
        session.receive_data(b"\xff\xff\xff\xff\x04")
        self.assertIsInstance(session.failure, MessageTooLong)

    def test_caller_sends_on(self) -> None:
        """A caller need not wait for our answer."""
        session = session_in(State.IDLE)
        events = session.receive_data(SPEECH)
        self.assertEqual(events, HEARD)
        self.assertIs(session.state, State.CALLED)
        session.send_handshake(OURS)
        self.assertIs(session.send_extension("ut_metadata", b"x"), True)
        self.assertEqual(session.data_to_send(), OURS.encode() + encode_frame(20, b"\x04x"))

    def test_extensions_come_and_go(self) -> None:
        """Repeated handshakes change the table; names beyond all measure are a lie."""
        session = session_in(State.OPEN)
        for number in range(90):
            payload = b"d1:md11:ut_metadatai%deee" % (number % 3)
            session.receive_data(Extended(0, payload).encode())
            self.assertEqual(session.extensions.id("ut_metadata"), number % 3 or None)
        for number in range(3):
            session.receive_data(Extended(0, b"d1:md1:%di1eee" % number).encode())
        self.assertIsNone(session.failure)
        (shaken,) = session.receive_data(Extended(0, b"d1:v9:123456789e").encode())
        self.assertEqual(shaken, ExtendedHandshake.decode(b"d1:v9:123456789e", SMALL))
        session.receive_data(Extended(0, b"d1:md1:xi1eee").encode())
        self.assertIsInstance(session.failure, MalformedMessage)

    def test_handshakes_without_end(self) -> None:
        """A peer that does nothing but repeat its extended handshake is hung up on, in whatever cut."""
        shaken = Extended(0, b"de").encode()
        session = session_in(State.OPEN)
        self.assertEqual(len(session.receive_data(shaken * 10_000)), MAX_HANDSHAKES)
        self.assertIsInstance(session.failure, MalformedMessage)
        session = session_in(State.OPEN)
        for _ in range(MAX_HANDSHAKES):
            self.assertEqual(len(session.receive_data(shaken)), 1)
        self.assertIsNone(session.failure)
        self.assertEqual(session.receive_data(shaken), [])
        self.assertIsInstance(session.failure, MalformedMessage)

    def test_partial(self) -> None:
        """What is held of a handshake or a frame, and that it is bounded."""
        session = PeerSession(LOCAL)
        for number, byte in enumerate(THEIRS.encode()[:-1], 1):
            session.receive_data(bytes((byte,)))
            self.assertEqual(session.partial, number)
        session.receive_data(THEIRS.encode()[-1:])
        self.assertEqual(session.partial, 0)
        session.receive_data(struct.pack(">IB", 60 * KIB, 20))
        for _ in range(59):
            session.receive_data(bytes(KIB))
        self.assertEqual(session.partial, 59 * KIB + 5)

    def test_endless_handshake(self) -> None:
        """Nothing beyond 68 bytes is ever waited for."""
        session = PeerSession(LOCAL)
        session.receive_data(THEIRS.encode()[:20])
        for _ in range(1000):
            session.receive_data(b"")
        self.assertEqual(session.partial, 20)
        self.assertEqual(len(session.receive_data(b"\x00" * 1000)), 1 + (1000 - 48) // 4)

    @given(st.binary(max_size=300), cuts)
    @quick
    def test_fuzz(self, data: bytes, lengths: list[int]) -> None:
        """Any bytes, in any state and any cut: events, or a failure that is kept."""
        for state in State:
            for prefix in (b"", SPEECH) if state is State.IDLE else (b"",):
                self._survives(session_in(state), cut(prefix + data, lengths))

    @given(st.data())
    @quick
    def test_damaged(self, data: st.DataObject) -> None:
        """A good conversation with some bytes changed, lost or put in."""
        stream = bytearray(SPEECH)
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(stream) - 1))
            what = data.draw(st.sampled_from(["change", "lose", "insert"]))
            if what == "change":
                stream[place] = data.draw(st.integers(0, 255))
            elif what == "lose":
                del stream[place : place + data.draw(st.integers(1, 5))]
            else:
                stream[place:place] = data.draw(st.binary(min_size=1, max_size=5))
        packets = cut(bytes(stream), data.draw(cuts))
        whole, in_parts = session_in(State.GREETED), session_in(State.GREETED)
        expected = self._survives(whole, [bytes(stream)])
        self.assertEqual(self._survives(in_parts, packets), expected)
        self.assertIs(type(in_parts.failure), type(whole.failure))

    def _survives(self, session: PeerSession, packets: list[bytes]) -> list[Event]:
        events: list[Event] = []
        for packet in packets:
            try:
                events += session.receive_data(packet)
            except FunctorrentError as error:
                self.fail(f"{error!r} was raised, not kept")
            self.assertLess(session.partial, max(LENGTH, 4 + SMALL.max_extended))
        if session.failure is not None:
            self.assertIsInstance(session.failure, PeerError)
            self.assertIs(session.state, State.CLOSED)
            self.assertLess(len(str(session.failure)), 300)
        return events


class SendTests(SynchronousTestCase):
    """What goes out."""

    def test_one_write(self) -> None:
        """What is sent collects, in order, and is given once."""
        session = session_in(State.GREETED)
        session.receive_data(THEIRS.encode() + Extended(0, b"d1:md11:ut_metadatai3eee").encode())
        session.send_extended_handshake(b"de")
        self.assertIs(session.send_extension("ut_metadata", b"abc"), True)
        session.send(Have(1))
        expected = Extended(0, b"de").encode() + Extended(3, b"abc").encode() + Have(1).encode()
        self.assertEqual(session.data_to_send(), expected)
        self.assertEqual(session.data_to_send(), b"")

    def test_extension_the_peer_has_not(self) -> None:
        """Nothing is sent for an extension that was not offered, or was turned off."""
        session = session_in(State.OPEN)
        self.assertIs(session.send_extension("ut_metadata", b"abc"), False)
        session.receive_data(Extended(0, b"d1:md11:ut_metadatai3eee").encode())
        session.receive_data(Extended(0, b"d1:md11:ut_metadatai0eee").encode())
        self.assertIs(session.send_extension("ut_metadata", b"abc"), False)
        self.assertEqual(session.data_to_send(), b"")

    def test_unsendable(self) -> None:
        """What is only ever received, or does not fit, is our bug, and leaves the session as it was."""
        session = session_in(State.OPEN)
        for message in (Unknown(99, b""), Skipped(5, 1), Have(-1), Extended(256, b"")):
            with self.assertRaises(LocalProtocolError):
                session.send(message)
        self.assertEqual(session.data_to_send(), b"")
        self.assertIs(session.state, State.OPEN)

    def test_bad_handshake(self) -> None:
        """A handshake of ours that cannot be sent has not been sent."""
        session = session_in(State.IDLE)
        with self.assertRaises(LocalProtocolError):
            session.send_handshake(Handshake(b"short", b"-FT0001-oooooooooooo"))
        self.assertIs(session.state, State.IDLE)
        session.send_handshake(OURS)
        self.assertEqual(session.data_to_send(), OURS.encode())

    @given(cuts, cuts)
    @quick
    def test_two_sessions(self, there: list[int], back: list[int]) -> None:
        """Two sessions joined by wires of any packets understand each other."""
        caller, called = PeerSession(LOCAL), PeerSession(LocalExtensions(["ut_pex", "ut_metadata"]))
        caller.send_handshake(OURS)
        heard: list[Any] = feed(called, cut(caller.data_to_send(), there))
        called.send_handshake(THEIRS)
        called.send_extended_handshake(encode_handshake(called.local.ids, {"metadata_size": 5}))
        answer: list[Any] = feed(caller, cut(called.data_to_send(), back))
        caller.send_extended_handshake(encode_handshake(caller.local.ids, {}))
        caller.send_extension("ut_metadata", b"ask")
        heard += feed(called, cut(caller.data_to_send(), there))
        called.send_extension("ut_metadata", b"tell")
        answer += feed(caller, cut(called.data_to_send(), back))
        self.assertEqual([heard[0], heard[-1]], [OURS, ExtensionMessage("ut_metadata", b"ask")])
        self.assertEqual([answer[0], answer[-1]], [THEIRS, ExtensionMessage("ut_metadata", b"tell")])
        self.assertEqual(answer[1].metadata_size, 5)
        self.assertEqual((len(heard), len(answer)), (3, 3))
        self.assertIsNone(caller.failure or called.failure)


class DefaultLimitTests(SynchronousTestCase):
    """The real limits."""

    def test_a_block_and_a_bitfield(self) -> None:
        """A full metadata block passes; a bitfield of a million pieces is skipped, not refused."""
        session = session_in(State.OPEN, DEFAULT_LIMITS)
        block = b"d8:msg_typei1e5:piecei0e10:total_sizei16384ee" + bytes(16_384)
        stream = encode_frame(5, bytes(131_072)) + Extended(1, block).encode()
        events = feed(session, cut(stream, [1460]))
        self.assertEqual(events, [Skipped(5, 131_073), ExtensionMessage("ut_metadata", block)])
