"""Tests of functorrent.wire.messages."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import LocalProtocolError, MalformedMessage
from functorrent.wire import messages as m
from functorrent.wire.framing import FrameDecoder
from tests.wire.helpers import quick

#: Each message as its frame stands in BEP 3, 5, 6 and 10.
FRAMES: list[tuple[Any, str]] = [
    (m.KeepAlive(), "00000000"),
    (m.Choke(), "00000001 00"),
    (m.Unchoke(), "00000001 01"),
    (m.Interested(), "00000001 02"),
    (m.NotInterested(), "00000001 03"),
    (m.Have(258), "00000005 04 00000102"),
    (m.Bitfield(b"\xff\x80"), "00000003 05 ff80"),
    (m.Request(1, 16384, 2), "0000000d 06 00000001 00004000 00000002"),
    (m.Piece(1, 2, b"ab"), "0000000b 07 00000001 00000002 6162"),
    (m.Cancel(1, 2, 3), "0000000d 08 00000001 00000002 00000003"),
    (m.Port(6881), "00000003 09 1ae1"),
    (m.SuggestPiece(1), "00000005 0d 00000001"),
    (m.HaveAll(), "00000001 0e"),
    (m.HaveNone(), "00000001 0f"),
    (m.RejectRequest(1, 2, 3), "0000000d 10 00000001 00000002 00000003"),
    (m.AllowedFast(1), "00000005 11 00000001"),
    (m.Extended(0, b"de"), "00000004 14 00 6465"),
    (m.Extended(255, b""), "00000002 14 ff"),
]

numbers = st.integers(0, 2**32 - 1)
blobs = st.binary(max_size=64)
any_message: st.SearchStrategy[Any] = st.one_of(
    *(st.builds(kind) for kind in (m.KeepAlive, m.Choke, m.Unchoke, m.Interested, m.NotInterested)),
    *(st.builds(kind) for kind in (m.HaveAll, m.HaveNone)),
    *(st.builds(kind, numbers) for kind in (m.Have, m.SuggestPiece, m.AllowedFast)),
    *(st.builds(kind, numbers, numbers, numbers) for kind in (m.Request, m.Cancel, m.RejectRequest)),
    st.builds(m.Bitfield, blobs),
    st.builds(m.Piece, numbers, numbers, blobs),
    st.builds(m.Port, st.integers(0, 65535)),
    st.builds(m.Extended, st.integers(0, 255), blobs),
)


class MessageTests(SynchronousTestCase):
    """Every message, both ways."""

    def test_frames(self) -> None:
        """Each message encodes to its frame, and the frame decodes to the message."""
        for message, text in FRAMES:
            frame = bytes.fromhex(text)
            self.assertEqual(message.encode(), frame)
            (decoded,) = FrameDecoder().receive_data(frame)
            value = m.decode_message(*decoded)
            self.assertEqual(value, message)
            self.assertIs(type(value), type(message))

    def test_table_is_complete(self) -> None:
        """Every id of the table is one of the frames above, and its class says the same id."""
        ids = {message.id for message, _ in FRAMES if not isinstance(message, m.KeepAlive)}
        self.assertEqual(set(m.DECODERS), ids)
        for message, text in FRAMES[1:]:
            self.assertEqual(bytes.fromhex(text)[4], message.id)

    @given(st.lists(any_message, max_size=6))
    @quick
    def test_round_trip(self, messages: list[Any]) -> None:
        """What is encoded, framed and decoded is what it was."""
        frames = FrameDecoder().receive_data(b"".join(message.encode() for message in messages))
        self.assertEqual([m.decode_message(*frame) for frame in frames], messages)

    def test_wrong_sizes(self) -> None:
        """A payload of a wrong size is malformed; the error names the message and the size."""
        sizes = {4: 4, 6: 12, 8: 12, 9: 2, 13: 4, 16: 12, 17: 4, **dict.fromkeys((0, 1, 2, 3, 14, 15), 0)}
        for message_id, size in sizes.items():
            for wrong in {size - 1, size + 1, 40} - {-1}:
                with self.assertRaises(MalformedMessage) as raised:
                    m.decode_message(message_id, bytes(wrong))
                self.assertIn(str(wrong), str(raised.exception))

    def test_short(self) -> None:
        """A piece without its numbers and an extended message without its id are malformed."""
        for message_id, payload in ((7, bytes(7)), (7, b""), (20, b"")):
            with self.assertRaises(MalformedMessage):
                m.decode_message(message_id, payload)
        self.assertEqual(m.decode_message(7, bytes(8)), m.Piece(0, 0, b""))

    def test_unknown(self) -> None:
        """Ids we do not know are values, too: to be skipped, not fatal."""
        for message_id in set(range(256)) - set(m.DECODERS):
            self.assertEqual(m.decode_message(message_id, b"?"), m.Unknown(message_id, b"?"))

    def test_skipped(self) -> None:
        """A message that was not buffered is known by id and length, whatever its id."""
        self.assertEqual(m.decode_message(5, 100_000), m.Skipped(5, 100_000))
        self.assertEqual(m.decode_message(99, 100_000), m.Skipped(99, 100_000))

    def test_local_faults(self) -> None:
        """Numbers that do not fit are our bug."""
        for message in (
            m.Have(-1),
            m.Have(2**32),
            m.Request(0, -1, 0),
            m.Cancel(0, 0, 2**32),
            m.Piece(2**32, 0, b""),
            m.Port(65536),
            m.Port(-1),
            m.Extended(256, b""),
            m.Extended(-1, b""),
        ):
            with self.assertRaises(LocalProtocolError):
                self.fail(f"{message} is {message.encode()!r}")

    def test_kinds_differ(self) -> None:
        """Messages of the same shape are not equal."""
        self.assertNotEqual(m.Choke(), m.Unchoke())
        self.assertNotEqual(m.Request(1, 2, 3), m.Cancel(1, 2, 3))
        self.assertEqual(m.Have(1), m.Have(1))

    @given(st.none() | st.integers(0, 255), st.binary(max_size=30) | st.integers(1, 2**21))
    @quick
    def test_fuzz(self, message_id: int | None, payload: bytes | int) -> None:
        """Any frame is a message, or MalformedMessage."""
        try:
            message: Any = m.decode_message(message_id, payload)
        except MalformedMessage:
            return
        if isinstance(payload, bytes) and hasattr(message, "encode") and message_id is not None:
            self.assertEqual(message.encode()[4:], bytes((message_id,)) + payload)
