"""The peer handshake: BEP 3, "peer protocol", with the reserved bits of BEP 5, 6, 10 and 52."""

from __future__ import annotations

from dataclasses import dataclass

from functorrent.errors import LocalProtocolError, NotBitTorrent

PREFIX = b"\x13BitTorrent protocol"
LENGTH = 68

#: Reserved bits as (byte, mask). Bit 20 from the right is byte 5, mask 0x10 (BEP 10).
EXTENSION_PROTOCOL = (5, 0x10)
DHT = (7, 0x01)
FAST = (7, 0x04)
V2 = (7, 0x10)


def reserved(*bits: tuple[int, int]) -> bytes:
    """The 8 reserved bytes with these bits set."""
    field = bytearray(8)
    for index, mask in bits:
        field[index] |= mask
    return bytes(field)


#: What we set: the extension protocol, nothing else (we share no pieces) ...
OURS = reserved(EXTENSION_PROTOCOL)
#: ... but where we have a DHT node.
OURS_WITH_DHT = reserved(EXTENSION_PROTOCOL, DHT)


@dataclass(frozen=True, slots=True)
class Handshake:
    """A handshake. `infohash` and `peer_id`: bytes of 20; `reserved`: bytes of 8."""

    infohash: bytes
    peer_id: bytes
    reserved: bytes = OURS

    @property
    def extension_protocol(self) -> bool:
        """Whether the sender speaks BEP 10."""
        return bool(self.reserved[5] & 0x10)

    def has(self, bit: tuple[int, int]) -> bool:
        """Whether a reserved bit, as (byte, mask), is set."""
        return bool(self.reserved[bit[0]] & bit[1])

    def encode(self) -> bytes:
        """The 68 bytes. Raises LocalProtocolError where a part has the wrong length."""
        if len(self.infohash) != 20 or len(self.peer_id) != 20 or len(self.reserved) != 8:
            raise LocalProtocolError("a handshake needs 20 bytes of infohash and peer id, 8 reserved")
        return PREFIX + self.reserved + self.infohash + self.peer_id

    @classmethod
    def decode(cls, data: bytes) -> Handshake:
        """The handshake in 68 bytes. Raises NotBitTorrent."""
        check_prefix(data)
        if len(data) != LENGTH:
            raise NotBitTorrent(f"a handshake of {len(data)} bytes, not {LENGTH}")
        return cls(data[28:48], data[48:68], data[20:28])


def check_prefix(data: bytes | bytearray) -> None:
    """Raise NotBitTorrent as soon as the first bytes, however few, cannot begin a handshake."""
    head = bytes(data[:20])
    if not PREFIX.startswith(head):
        raise NotBitTorrent(f"the connection begins with {head[:20]!r}")
