"""Peer messages as values: BEP 3, the fast extension (BEP 6), DHT port (BEP 5), extended (BEP 10).

`decode_message(id, payload)` gives the value for a frame; each value's `encode()` gives the frame, and
raises LocalProtocolError where a number does not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from struct import error as struct_error
from typing import ClassVar

from functorrent.errors import LocalProtocolError, MalformedMessage
from functorrent.wire.framing import EXTENDED_ID, KEEP_ALIVE, encode_frame
from functorrent.wire.port import PORT_ID, Port

_ONE = Struct(">I")
_TWO = Struct(">II")
_THREE = Struct(">III")
_PORT = Struct(">H")


def _pack(struct: Struct, *numbers: int) -> bytes:
    try:
        return struct.pack(*numbers)
    except struct_error:
        raise LocalProtocolError(f"{numbers} do not fit into a message") from None


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """A frame of length 0."""

    def encode(self) -> bytes:
        """The frame."""
        return KEEP_ALIVE


@dataclass(frozen=True, slots=True)
class _Bare:
    id: ClassVar[int]

    def encode(self) -> bytes:
        """The frame."""
        return encode_frame(self.id)


class Choke(_Bare):
    """The sender will not answer requests."""

    __slots__ = ()
    id = 0


class Unchoke(_Bare):
    """The sender will answer requests."""

    __slots__ = ()
    id = 1


class Interested(_Bare):
    """The sender wants pieces."""

    __slots__ = ()
    id = 2


class NotInterested(_Bare):
    """The sender wants no pieces."""

    __slots__ = ()
    id = 3


class HaveAll(_Bare):
    """The sender has every piece (BEP 6)."""

    __slots__ = ()
    id = 14


class HaveNone(_Bare):
    """The sender has no piece (BEP 6)."""

    __slots__ = ()
    id = 15


@dataclass(frozen=True, slots=True)
class _Index:
    index: int
    id: ClassVar[int]

    def encode(self) -> bytes:
        """The frame."""
        return encode_frame(self.id, _pack(_ONE, self.index))


class Have(_Index):
    """The sender has a piece."""

    __slots__ = ()
    id = 4


class SuggestPiece(_Index):
    """The sender would like this piece to be asked for (BEP 6)."""

    __slots__ = ()
    id = 13


class AllowedFast(_Index):
    """This piece may be asked for even when choked (BEP 6)."""

    __slots__ = ()
    id = 17


@dataclass(frozen=True, slots=True)
class _Range:
    index: int
    begin: int
    length: int
    id: ClassVar[int]

    def encode(self) -> bytes:
        """The frame."""
        return encode_frame(self.id, _pack(_THREE, self.index, self.begin, self.length))


class Request(_Range):
    """Asks for `length` bytes at `begin` of a piece."""

    __slots__ = ()
    id = 6


class Cancel(_Range):
    """Takes a request back."""

    __slots__ = ()
    id = 8


class RejectRequest(_Range):
    """Will not answer a request (BEP 6)."""

    __slots__ = ()
    id = 16


@dataclass(frozen=True, slots=True)
class Bitfield:
    """The pieces the sender has, a bit each, the first piece in the highest bit."""

    bits: bytes
    id: ClassVar[int] = 5

    def encode(self) -> bytes:
        """The frame."""
        return encode_frame(5, self.bits)


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a piece."""

    index: int
    begin: int
    block: bytes
    id: ClassVar[int] = 7

    def encode(self) -> bytes:
        """The frame."""
        return encode_frame(7, _pack(_TWO, self.index, self.begin) + self.block)


@dataclass(frozen=True, slots=True)
class Extended:
    """A message of the extension protocol (BEP 10); `extended_id` 0 is the extended handshake."""

    extended_id: int
    payload: bytes
    id: ClassVar[int] = EXTENDED_ID

    def encode(self) -> bytes:
        """The frame."""
        if not 0 <= self.extended_id <= 255:
            raise LocalProtocolError(f"no extension has the id {self.extended_id}")
        return encode_frame(EXTENDED_ID, bytes((self.extended_id,)) + self.payload)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message with an id we do not know; to be skipped."""

    id: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Skipped:
    """A message of `length` bytes that was too long to keep and was not buffered."""

    id: int
    length: int


Message = (
    KeepAlive
    | Choke
    | Unchoke
    | Interested
    | NotInterested
    | Have
    | Bitfield
    | Request
    | Piece
    | Cancel
    | Port
    | SuggestPiece
    | HaveAll
    | HaveNone
    | RejectRequest
    | AllowedFast
    | Extended
    | Unknown
    | Skipped
)


def _sized(kind: str, struct: Struct, make: Callable[..., Message]) -> Callable[[bytes], Message]:
    def decode(payload: bytes) -> Message:
        if len(payload) != struct.size:
            raise MalformedMessage(f"{kind} with {len(payload)} bytes of payload, not {struct.size}")
        return make(*struct.unpack(payload))

    return decode


def _piece(payload: bytes) -> Message:
    if len(payload) < 8:
        raise MalformedMessage(f"piece with {len(payload)} bytes of payload, fewer than 8")
    index, begin = _TWO.unpack_from(payload)
    return Piece(index, begin, payload[8:])


def _extended(payload: bytes) -> Message:
    if not payload:
        raise MalformedMessage("an extended message without its id")
    return Extended(payload[0], payload[1:])


_NONE = Struct("")
#: The explicit table from id to decoder.
DECODERS: dict[int, Callable[[bytes], Message]] = {
    0: _sized("choke", _NONE, Choke),
    1: _sized("unchoke", _NONE, Unchoke),
    2: _sized("interested", _NONE, Interested),
    3: _sized("not interested", _NONE, NotInterested),
    4: _sized("have", _ONE, Have),
    5: Bitfield,
    6: _sized("request", _THREE, Request),
    7: _piece,
    8: _sized("cancel", _THREE, Cancel),
    PORT_ID: _sized("port", _PORT, Port),
    13: _sized("suggest piece", _ONE, SuggestPiece),
    14: _sized("have all", _NONE, HaveAll),
    15: _sized("have none", _NONE, HaveNone),
    16: _sized("reject request", _THREE, RejectRequest),
    17: _sized("allowed fast", _ONE, AllowedFast),
    EXTENDED_ID: _extended,
}


def decode_message(message_id: int | None, payload: bytes | int) -> Message:
    """The value of one frame of `FrameDecoder`. Raises MalformedMessage."""
    if message_id is None:
        return KeepAlive()
    if isinstance(payload, int):
        return Skipped(message_id, payload)
    decoder = DECODERS.get(message_id)
    return decoder(payload) if decoder is not None else Unknown(message_id, payload)
