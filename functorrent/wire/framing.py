"""Length-prefixed peer messages as frames: BEP 3, "peer protocol", messages.

A frame is 4 bytes of big-endian length, then that many bytes: an id and a payload. The length is
judged when the prefix and the id are there, before anything is buffered: what is wanted is buffered
up to a cap, anything else is skipped as it arrives, and what no honest peer sends is refused.
"""

from __future__ import annotations

from struct import Struct
from struct import error as struct_error

from functorrent.errors import LocalProtocolError, MessageTooLong
from functorrent.limits import DEFAULT_LIMITS, Limits

_HEAD = Struct(">IB")
_LENGTH = Struct(">I")
_head_at = _HEAD.unpack_from
_length_at = _LENGTH.unpack_from

#: One frame: (id, payload). A keep-alive is (None, b""); a skipped message is (id, its length).
Frame = tuple[int | None, bytes | int]

EXTENDED_ID = 20

#: Below this a slice of a bytearray, which is a copy, costs less than a memoryview.
_COPY_TWICE = 1024


def encode_frame(message_id: int, payload: bytes = b"") -> bytes:
    """One frame: `message_id` 0 to 255, `payload` any bytes. Raises LocalProtocolError."""
    try:
        return _HEAD.pack(len(payload) + 1, message_id) + payload
    except struct_error:
        raise LocalProtocolError(f"no frame has the id {message_id}") from None


KEEP_ALIVE = b"\x00\x00\x00\x00"


class FrameDecoder:
    """Turns a byte stream into frames; buffers at most one wanted frame.

    `failure` is the error that ended decoding, None until then: frames ahead of a bad one still
    count. `skipped` is how many bytes the messages had, so far, that were not buffered.
    """

    __slots__ = ("_buffer", "_limits", "_need", "_skip", "failure", "skipped")

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._need = 4
        self._skip = 0
        self.skipped = 0
        self.failure: MessageTooLong | None = None

    @property
    def partial(self) -> int:
        """Bytes held of the unfinished frame; 0 within one that is skipped."""
        return len(self._buffer)

    def receive_data(self, data: bytes) -> list[Frame]:
        """Feed bytes; returns the frames they complete, in order."""
        frames: list[Frame] = []
        if self.failure is not None:
            return frames
        if self._skip:
            if self._skip >= len(data):
                self._skip -= len(data)
                return frames
            data = data[self._skip :]
            self._skip = 0
        source: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._need:
                return frames
            source = self._buffer
        position = self._split(source, frames)
        if source is self._buffer or position < len(data):
            self._keep(source, position)
        return frames

    def _split(self, source: bytes | bytearray, frames: list[Frame]) -> int:
        """Take whole frames off `source`; returns where the unfinished one begins."""
        position = 0
        end = len(source)
        max_extended = self._limits.max_extended
        while True:
            left = end - position
            if left < 5:
                # A keep-alive has no id, so it is told by its 4 bytes alone.
                if left == 4 and _length_at(source, position)[0] == 0:
                    frames.append((None, b""))
                    position = end
                self._need = 4
                return position
            length, message_id = _head_at(source, position)
            if length == 0:
                frames.append((None, b""))
                position += 4
                continue
            if length > max_extended:
                if not self._pass_over(length, message_id, frames):
                    return end
                self.skipped += length
                position += 4 + length
                if position >= end:
                    self._skip = position - end
                    return end
                continue
            if left < 4 + length:
                self._need = 4 + length
                return position
            start, position = position + 5, position + 4 + length
            if length < _COPY_TWICE or source is not self._buffer:
                frames.append((message_id, bytes(source[start:position])))
            else:
                with memoryview(source) as view:
                    frames.append((message_id, bytes(view[start:position])))

    def _pass_over(self, length: int, message_id: int, frames: list[Frame]) -> bool:
        """Note a message too long to be buffered; False where it is too long even to be skipped."""
        limit = self._limits.max_extended if message_id == EXTENDED_ID else self._limits.max_skipped
        if length > limit:
            self.failure = MessageTooLong(length, limit, message_id)
            return False
        frames.append((message_id, length))
        return True

    def _keep(self, source: bytes | bytearray, position: int) -> None:
        if source is self._buffer:
            del self._buffer[:position]
        elif position < len(source):
            self._buffer += source[position:]
