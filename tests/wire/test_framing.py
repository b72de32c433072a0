"""Tests of functorrent.wire.framing."""

from __future__ import annotations

import struct
import sys
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import LocalProtocolError, MessageTooLong
from functorrent.limits import DEFAULT_LIMITS, KIB, MIB, Limits
from functorrent.wire.framing import KEEP_ALIVE, Frame, FrameDecoder, encode_frame
from tests.wire.helpers import SMALL, cut, cuts, in_every_packet_size, in_packets, quick

#: A frame as bytes: any id, any length up to a little over what SMALL lets pass, or a keep-alive.
frames = st.one_of(
    st.just(KEEP_ALIVE),
    st.builds(encode_frame, st.integers(0, 255), st.binary(max_size=60)),
    st.builds(lambda id, size: encode_frame(id, bytes(size)), st.integers(0, 19), st.integers(0, 170)),
)
streams = st.tuples(st.lists(frames, max_size=12), st.binary(max_size=9)).map(lambda s: b"".join(s[0]) + s[1])


def plainly(data: bytes, limits: Limits) -> tuple[list[Frame], bool]:
    """The frames of a whole stream, told in the plainest way; and whether it lies."""
    found: list[Frame] = []
    while len(data) >= 4:
        (length,) = struct.unpack(">I", data[:4])
        if length == 0:
            found.append((None, b""))
        elif len(data) < 5:
            break
        elif length > (limits.max_extended if data[4] == 20 else limits.max_skipped):
            return found, True
        elif length > limits.max_extended:
            found.append((data[4], length))
        elif len(data) < 4 + length:
            break
        else:
            found.append((data[4], data[5 : 4 + length]))
        data = data[4 + length :]
    return found, False


class FramingTests(SynchronousTestCase):
    """encode_frame and FrameDecoder."""

    def feed(self, packets: list[bytes], limits: Limits = SMALL) -> tuple[list[Frame], FrameDecoder]:
        """The frames of these packets, with a look at memory after each."""
        decoder = FrameDecoder(limits)
        got: list[Frame] = []
        for packet in packets:
            got += decoder.receive_data(packet)
            self.assertLess(decoder.partial, 4 + limits.max_extended)
        return got, decoder

    def test_encode(self) -> None:
        """Length, id, payload."""
        self.assertEqual(encode_frame(20, b"\x00de"), b"\x00\x00\x00\x04\x14\x00de")
        self.assertEqual(encode_frame(1), b"\x00\x00\x00\x01\x01")

    def test_encode_faults(self) -> None:
        """An id that is no byte is our bug."""
        for wrong in (-1, 256):
            with self.assertRaises(LocalProtocolError):
                encode_frame(wrong)

    def test_every_packet_size(self) -> None:
        """The same bytes give the same frames, however they are cut; also a keep-alive at the end."""
        stream = (
            KEEP_ALIVE
            + encode_frame(5, b"\xff\x80")
            + encode_frame(20, b"\x00de")
            + KEEP_ALIVE * 2
            + encode_frame(1)
            + encode_frame(5, b"\xff" * 100)  # skipped
            + encode_frame(20, b"\x01" * 47)  # as long as may be
            + encode_frame(99, b"?")
            + encode_frame(5, b"\xff" * 159)  # skipped, as long as may be
            + KEEP_ALIVE
        )
        expected: list[Frame] = [
            (None, b""),
            (5, b"\xff\x80"),
            (20, b"\x00de"),
            (None, b""),
            (None, b""),
            (1, b""),
            (5, 101),
            (20, b"\x01" * 47),
            (99, b"?"),
            (5, 160),
            (None, b""),
        ]
        for packets in in_every_packet_size(stream):
            got, decoder = self.feed(packets)
            self.assertEqual(got, expected)
            self.assertEqual(decoder.partial, 0)
            self.assertEqual(decoder.skipped, 261)
            self.assertIsNone(decoder.failure)

    @given(streams, cuts)
    @quick
    def test_any_cut(self, stream: bytes, lengths: list[int]) -> None:
        """Any stream in any packets gives what the plainest decoder gives."""
        expected, lies = plainly(stream, SMALL)
        got, decoder = self.feed(cut(stream, lengths))
        self.assertEqual(got, expected)
        self.assertIs(decoder.failure is not None, lies)

    @given(st.binary(max_size=200), cuts)
    @quick
    def test_fuzz(self, data: bytes, lengths: list[int]) -> None:
        """Any bytes give frames, or a failure that is kept; nothing is raised."""
        got, decoder = self.feed(cut(data, lengths))
        expected, lies = plainly(data, SMALL)
        self.assertEqual((got, decoder.failure is not None), (expected, lies))

    def test_empty_packet(self) -> None:
        """No bytes change nothing, wherever the decoder stands."""
        decoder = FrameDecoder(SMALL)
        self.assertEqual(decoder.receive_data(b""), [])
        decoder.receive_data(encode_frame(5, bytes(100))[:20])
        self.assertEqual(decoder.receive_data(b""), [])
        decoder.receive_data(bytes(85) + b"\x00\x00")
        self.assertEqual(decoder.receive_data(b""), [])
        self.assertEqual(decoder.receive_data(b"\x00\x01\x07"), [(7, b"")])

    def test_partial(self) -> None:
        """How much of an unfinished frame is held; nothing of one that is skipped."""
        decoder = FrameDecoder(SMALL)
        for number, byte in enumerate(encode_frame(20, bytes(10))[:-1], 1):
            decoder.receive_data(bytes((byte,)))
            self.assertEqual(decoder.partial, number)
        decoder.receive_data(b"\x00")
        self.assertEqual(decoder.partial, 0)
        decoder.receive_data(encode_frame(5, bytes(100))[:60])
        self.assertEqual(decoder.partial, 0)

    def test_refused_before_it_is_there(self) -> None:
        """Four billion bytes are refused at the fifth byte, and frames ahead of it still count."""
        decoder = FrameDecoder()
        data = encode_frame(1) + b"\xff\xff\xff\xff"
        self.assertEqual(decoder.receive_data(data), [(1, b"")])
        self.assertIsNone(decoder.failure)
        self.assertEqual(decoder.receive_data(b"\x07" + bytes(1000)), [])
        failure = decoder.failure
        assert failure is not None
        self.assertEqual((failure.length, failure.limit, failure.message_id), (2**32 - 1, 2 * MIB, 7))
        self.assertEqual(decoder.partial, 0)

    def test_limits(self) -> None:
        """Extended messages up to their cap are given, others up to theirs skipped, none beyond."""
        for limit, message_id in ((64 * KIB, 20), (2 * MIB, 5), (2 * MIB, 21)):
            decoder = FrameDecoder()
            (frame,) = decoder.receive_data(struct.pack(">IB", limit, message_id) + bytes(limit - 1))
            self.assertEqual(frame, (message_id, bytes(limit - 1) if message_id == 20 else limit))
            self.assertEqual(decoder.receive_data(struct.pack(">IB", limit + 1, message_id)), [])
            self.assertIsInstance(decoder.failure, MessageTooLong)

    def test_after_a_failure(self) -> None:
        """Nothing is decoded, and nothing kept, behind a lie."""
        decoder = FrameDecoder(SMALL)
        got = decoder.receive_data(encode_frame(20, bytes(48)) + encode_frame(1))
        self.assertEqual(got, [])
        failure = decoder.failure
        for _ in range(10):
            self.assertEqual(decoder.receive_data(encode_frame(1) * 100), [])
        self.assertEqual(decoder.partial, 0)
        self.assertIs(decoder.failure, failure)

    def test_memory(self) -> None:
        """A stream of large frames, oddly cut, leaves no more than a frame behind."""
        decoder = FrameDecoder()
        for size in (1460, 65_536, 99_991):
            got: list[Frame] = []
            for packet in in_packets(encode_frame(20, bytes(60_000)) * 8, size):
                got += decoder.receive_data(packet)
                self.assertLessEqual(decoder.partial, 4 + DEFAULT_LIMITS.max_extended)
            self.assertEqual(len(got), 8)
            self.assertLess(sys.getsizeof(decoder._buffer), 1000)

    def test_lengths_are_not_allocated(self) -> None:
        """A prefix that names a large size makes no buffer of that size."""
        decoder = FrameDecoder(replace(DEFAULT_LIMITS, max_extended=2**31))
        decoder.receive_data(struct.pack(">IB", 2**30, 20))
        self.assertLess(sys.getsizeof(decoder._buffer), 1000)

    def test_steps(self) -> None:
        """A frame that comes byte by byte is looked at when it is whole, not at every byte."""
        splits = 0

        class Counting(FrameDecoder):
            __slots__ = ()

            def _split(self, source: bytes | bytearray, frames: list[Frame]) -> int:
                nonlocal splits
                splits += 1
                return super()._split(source, frames)

        decoder = Counting()
        for packet in in_packets(encode_frame(20, bytes(5000)), 1):
            decoder.receive_data(packet)
        self.assertLess(splits, 5)
