"""Tests of functorrent.wire.handshake."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import LocalProtocolError, NotBitTorrent
from functorrent.wire import handshake
from functorrent.wire.handshake import Handshake, check_prefix
from tests.wire.helpers import quick

#: A handshake as it stands in BEP 3 and 10, written out.
BYTES = b"\x13BitTorrent protocol\x00\x00\x00\x00\x00\x10\x00\x05IIIIIIIIIIIIIIIIIIII-FT0001-PPPPPPPPPPPP"


class HandshakeTests(SynchronousTestCase):
    """Handshake, both ways."""

    def test_bytes(self) -> None:
        """Each part stands where the BEP says."""
        shaken = Handshake.decode(BYTES)
        self.assertEqual(shaken.infohash, b"I" * 20)
        self.assertEqual(shaken.peer_id, b"-FT0001-PPPPPPPPPPPP")
        self.assertEqual(shaken.reserved, b"\x00\x00\x00\x00\x00\x10\x00\x05")
        self.assertEqual(shaken.encode(), BYTES)

    def test_bits(self) -> None:
        """The reserved bits of BEP 5, 6, 10 and 52, each alone."""
        for bit, field in (
            (handshake.EXTENSION_PROTOCOL, "0000000000100000"),
            (handshake.DHT, "0000000000000001"),
            (handshake.FAST, "0000000000000004"),
            (handshake.V2, "0000000000000010"),
        ):
            self.assertEqual(handshake.reserved(bit).hex(), field)
            for other in (handshake.EXTENSION_PROTOCOL, handshake.DHT, handshake.FAST, handshake.V2):
                shaken = Handshake(b"I" * 20, b"P" * 20, handshake.reserved(bit))
                self.assertIs(shaken.has(other), other == bit)
            self.assertIs(shaken.extension_protocol, bit == handshake.EXTENSION_PROTOCOL)

    def test_other_bits(self) -> None:
        """Every other bit set does not make the one we ask for."""
        shaken = Handshake(b"I" * 20, b"P" * 20, b"\xff" * 5 + b"\xef" + b"\xff" * 2)
        self.assertIs(shaken.extension_protocol, False)
        self.assertIs(shaken.has(handshake.EXTENSION_PROTOCOL), False)

    def test_bits_together(self) -> None:
        """Bits of one byte add up."""
        self.assertEqual(handshake.reserved(handshake.DHT, handshake.FAST, handshake.V2).hex()[-2:], "15")

    def test_ours(self) -> None:
        """We speak the extension protocol and claim nothing else."""
        self.assertEqual(Handshake(b"I" * 20, b"P" * 20).encode()[20:28].hex(), "0000000000100000")

    @given(
        st.binary(min_size=20, max_size=20),
        st.binary(min_size=20, max_size=20),
        st.binary(min_size=8, max_size=8),
    )
    @quick
    def test_round_trip(self, infohash: bytes, peer_id: bytes, reserved: bytes) -> None:
        """What is encoded is decoded."""
        shaken = Handshake(infohash, peer_id, reserved)
        self.assertEqual(Handshake.decode(shaken.encode()), shaken)
        self.assertEqual(len(shaken.encode()), handshake.LENGTH)

    def test_local_faults(self) -> None:
        """Parts of a wrong length are our bug."""
        for parts in (
            (b"I" * 19, b"P" * 20),
            (b"I" * 32, b"P" * 20),
            (b"I" * 20, b"P" * 21),
            (b"I" * 20, b"P" * 20, b"R" * 7),
        ):
            with self.assertRaises(LocalProtocolError):
                Handshake(*parts).encode()

    def test_wrong_length(self) -> None:
        """68 bytes, no fewer and no more."""
        for data in (BYTES[:67], BYTES + b"x", b""):
            with self.assertRaises(NotBitTorrent):
                Handshake.decode(data)

    def test_prefix(self) -> None:
        """Every beginning of a handshake passes."""
        for length in range(len(BYTES) + 1):
            check_prefix(BYTES[:length])
            check_prefix(bytearray(BYTES[:length]))

    def test_not_bittorrent(self) -> None:
        """One wrong byte is enough, and is seen as soon as it is there."""
        for place in range(20):
            wrong = bytearray(BYTES)
            wrong[place] ^= 0x20
            check_prefix(wrong[:place])
            for data in (wrong[: place + 1], bytes(wrong)):
                with self.assertRaises(NotBitTorrent):
                    check_prefix(data)
            with self.assertRaises(NotBitTorrent):
                Handshake.decode(bytes(wrong))

    def test_words(self) -> None:
        """The error shows the bytes, escaped and not too many."""
        error = self.assertRaises(NotBitTorrent, check_prefix, b"\x1b[31mHTTP/1.1 400 Bad Request\r\n" * 1000)
        self.assertIn("HTTP/1.1", str(error))
        self.assertNotIn("\x1b", str(error))
        self.assertLess(len(str(error)), 150)

    @given(st.binary(max_size=80))
    @quick
    def test_fuzz(self, data: bytes) -> None:
        """Any bytes are a handshake, or NotBitTorrent."""
        for sample in (data, handshake.PREFIX + data):
            try:
                self.assertEqual(Handshake.decode(sample).encode(), sample)
            except NotBitTorrent:
                pass
