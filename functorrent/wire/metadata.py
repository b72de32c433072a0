"""ut_metadata messages: BEP 9, "extension message" types request, data and reject."""

from __future__ import annotations

import re
from dataclasses import dataclass

from functorrent.errors import BencodeError, MalformedMessage
from functorrent.wire.bencode import decode_prefix

NAME = "ut_metadata"
BLOCK_SIZE = 16_384

REQUEST, DATA, REJECT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class MetadataRequest:
    """Asks for a piece of the info dictionary."""

    piece: int

    def encode(self) -> bytes:
        """The payload."""
        return b"d8:msg_typei0e5:piecei%dee" % self.piece


@dataclass(frozen=True, slots=True)
class MetadataData:
    """A piece of the info dictionary.

    `total_size`: the whole's size as the sender says, or None; some clients send the block's.
    """

    piece: int
    total_size: int | None
    block: bytes

    def encode(self) -> bytes:
        """The payload: the header, and the block right after it."""
        size = b"" if self.total_size is None else b"10:total_sizei%de" % self.total_size
        return b"d8:msg_typei1e5:piecei%de%be%b" % (self.piece, size, self.block)


@dataclass(frozen=True, slots=True)
class MetadataReject:
    """The sender does not give this piece."""

    piece: int

    def encode(self) -> bytes:
        """The payload."""
        return b"d8:msg_typei2e5:piecei%dee" % self.piece


MetadataMessage = MetadataRequest | MetadataData | MetadataReject

# The header as nearly every client writes it, keys sorted; anything else takes the general way.
# Its end is where parsing ends, never where "ee" is found: the block may hold that too.
_USUAL = re.compile(
    rb"d8:msg_typei([012])e5:piecei(0|[1-9]\d{0,8})e(?:10:total_sizei(0|[1-9]\d{0,14})e)?e"
).match


def decode_metadata(payload: bytes) -> MetadataMessage | None:
    """The message in a payload; None for a ``msg_type`` we do not know (BEP 9: ignore those).

    Raises MalformedMessage.
    """
    usual = _USUAL(payload)
    if usual is not None:
        kind, piece, size = usual.groups()
        if kind == b"1":
            return MetadataData(int(piece), int(size) if size else None, payload[usual.end() :])
        return MetadataRequest(int(piece)) if kind == b"0" else MetadataReject(int(piece))
    try:
        header, end = decode_prefix(payload, 0, depth=4, items=32)
    except BencodeError as error:
        raise MalformedMessage(f"a metadata message that is not bencode: {error}") from error
    if not isinstance(header, dict):
        raise MalformedMessage("a metadata message without a dictionary")
    kind_, piece_, size_ = header.get(b"msg_type"), header.get(b"piece"), header.get(b"total_size")
    if not isinstance(kind_, int):
        raise MalformedMessage("a metadata message without msg_type")
    if kind_ not in (REQUEST, DATA, REJECT):
        return None
    if not isinstance(piece_, int) or piece_ < 0:
        raise MalformedMessage(f"a metadata message about piece {piece_!r:.60}")
    if kind_ == DATA:
        return MetadataData(piece_, size_ if isinstance(size_, int) else None, payload[end:])
    return MetadataRequest(piece_) if kind_ == REQUEST else MetadataReject(piece_)
