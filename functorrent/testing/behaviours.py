"""What a `ScriptedSeeder` does otherwise than an honest peer: one small class each, to be combined.

Write another by deriving from `Behaviour` and changing one step. Each of these was met in the field.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from functorrent.testing.seeder import SeederProtocol
from functorrent.wire.extended import ExtendedHandshake, LocalExtensions
from functorrent.wire.framing import encode_frame
from functorrent.wire.handshake import Handshake
from functorrent.wire.messages import Bitfield, HaveAll, Message
from functorrent.wire.metadata import (
    NAME,
    MetadataData,
    MetadataMessage,
    MetadataReject,
)


class Behaviour:
    """An honest behaviour: every step does what a good peer does. Derive, and change one."""

    #: Never answer a handshake.
    mute = False
    #: Go on although the caller wants another torrent.
    takes_any_infohash = False
    #: Send an extended handshake.
    speaks_extensions = True

    def connected(self, peer: SeederProtocol) -> bool:
        """The connection is there. True: do not greet."""
        return False

    def handshake(self, peer: SeederProtocol, handshake: Handshake) -> Handshake:
        """The handshake to send."""
        return handshake

    def early(self, peer: SeederProtocol) -> bytes:
        """Bytes between the handshake and the extended handshake."""
        return b""

    def extended_items(self, peer: SeederProtocol, items: dict[str, Any]) -> dict[str, Any]:
        """The extended handshake, as a dictionary."""
        return items

    def extended_payload(self, peer: SeederProtocol, payload: bytes) -> bytes:
        """The extended handshake, encoded."""
        return payload

    def extended_handshake(self, peer: SeederProtocol, handshake: ExtendedHandshake) -> None:
        """The caller's extended handshake has come."""

    def answers(
        self, peer: SeederProtocol, piece: int, answers: list[MetadataMessage]
    ) -> list[MetadataMessage]:
        """What to answer to a request for `piece`."""
        return answers

    def answered(self, peer: SeederProtocol, answer: MetadataMessage) -> None:
        """One answer was sent."""

    def outgoing(self, peer: SeederProtocol, data: bytes) -> bytes:
        """Bytes about to be written; those returned are."""
        return data

    def closed(self, peer: SeederProtocol) -> None:
        """The connection is gone."""


# -- before the metadata ---------------------------------------------------------------------


class NeverSpeaks(Behaviour):
    """Accepts the connection and says nothing."""

    mute = True

    def connected(self, peer: SeederProtocol) -> bool:
        return True


class SpeaksGarbage(Behaviour):
    """Says something that is not BitTorrent, at once."""

    mute = True

    def __init__(self, garbage: bytes = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n") -> None:
        self.garbage = garbage

    def connected(self, peer: SeederProtocol) -> bool:
        peer.send(self.garbage)
        return True


class EndlessBytes(Behaviour):
    """Sends the same bytes again and again, as fast as they are taken, instead of a handshake."""

    mute = True

    def __init__(self, chunk: bytes = b"\x13BitTorrent protocol" * 800) -> None:
        self.chunk = chunk

    def connected(self, peer: SeederProtocol) -> bool:
        _Flood.start(peer, self.chunk)
        return True


class EndlessHandshake(Behaviour):
    """Greets honestly, then sends extended handshakes for ever, each with further extensions."""

    def early(self, peer: SeederProtocol) -> bytes:
        handshakes = []
        for number in range(100):
            names = b"".join(b"6:x%05di%de" % (number * 50 + i, i + 3) for i in range(50))
            offer = b"d1:md11:ut_metadatai2e%be13:metadata_sizei%dee" % (names, len(peer.seeder.info))
            handshakes.append(encode_frame(20, b"\x00" + offer))
        _Flood.start(peer, b"".join(handshakes))
        return b""


class WrongInfohash(Behaviour):
    """Answers with the infohash of another torrent."""

    takes_any_infohash = True

    def handshake(self, peer: SeederProtocol, handshake: Handshake) -> Handshake:
        return replace(handshake, infohash=bytes(byte ^ 0xFF for byte in handshake.infohash))


class SelfPeerId(Behaviour):
    """Answers with the caller's own peer id."""

    def handshake(self, peer: SeederProtocol, handshake: Handshake) -> Handshake:
        theirs = peer.session.remote
        return handshake if theirs is None else replace(handshake, peer_id=theirs.peer_id)


class NoExtensionBit(Behaviour):
    """Does not speak the extension protocol (BEP 10)."""

    speaks_extensions = False

    def handshake(self, peer: SeederProtocol, handshake: Handshake) -> Handshake:
        return replace(handshake, reserved=bytes(8))


class NoMetadata(Behaviour):
    """Speaks the extension protocol, but has no ut_metadata."""

    def extended_items(self, peer: SeederProtocol, items: dict[str, Any]) -> dict[str, Any]:
        names = {name: number for name, number in items["m"].items() if name != NAME}
        return {**items, "m": names}


class ClaimsSize(Behaviour):
    """Claims another ``metadata_size``: any int, or None for none at all.

    The field has seen 0, -1, 2 GB and 2**63.
    """

    def __init__(self, size: int | None) -> None:
        self.size = size

    def extended_items(self, peer: SeederProtocol, items: dict[str, Any]) -> dict[str, Any]:
        items = {key: value for key, value in items.items() if key != "metadata_size"}
        return items if self.size is None else {**items, "metadata_size": self.size}


class HostileBencode(Behaviour):
    """Sends these bytes as its extended handshake. The default makes bencode.py 4.1.0 loop for ever."""

    def __init__(self, payload: bytes = b"d1:a1:b-6:") -> None:
        self.payload = payload

    def extended_payload(self, peer: SeederProtocol, payload: bytes) -> bytes:
        return self.payload


class HugeLength(Behaviour):
    """Begins a message of 4 GB in place of its extended handshake, and goes on sending it."""

    def __init__(self, message_id: int = 20) -> None:
        self.message_id = message_id

    def early(self, peer: SeederProtocol) -> bytes:
        _Flood.start(peer, bytes(16_384), first=b"\xff\xff\xff\xff" + bytes((self.message_id,)))
        return b""


class DataBeforeHandshake(Behaviour):
    """Sends a block before its extended handshake, and before anybody asked."""

    def early(self, peer: SeederProtocol) -> bytes:
        return encode_frame(20, b"\x01" + peer.seeder.answer(0).encode())


class SendsFirst(Behaviour):
    """Sends these messages before its extended handshake, as honest peers do.

    By default a bitfield of 300,000 bytes, have-all, a keep-alive, and ids nobody knows.
    """

    def __init__(self, *messages: Message) -> None:
        self.messages: Iterable[Message] = messages or (Bitfield(b"\xff" * 300_000), HaveAll())
        self.unknown = b"" if messages else b"\x00\x00\x00\x00" + encode_frame(99, b"?") + encode_frame(255)

    def early(self, peer: SeederProtocol) -> bytes:
        return b"".join(message.encode() for message in self.messages) + self.unknown  # type: ignore[union-attr]


class ReassignsId(Behaviour):
    """Gives ut_metadata another id in a second extended handshake, and answers to that one alone."""

    def extended_handshake(self, peer: SeederProtocol, handshake: ExtendedHandshake) -> None:
        if NAME not in peer.session.local.ids or len(peer.session.local.ids) > 2:
            return
        peer.session.local = LocalExtensions(("ut_pex", "x_one", "x_two", NAME))
        peer.send_extended_handshake()


# -- the metadata ----------------------------------------------------------------------------


class CorruptBlock(Behaviour):
    """Sends one block (or, with None, each) with a byte of it changed."""

    def __init__(self, piece: int | None = 0) -> None:
        self.piece = piece

    def answers(
        self, peer: SeederProtocol, piece: int, answers: list[MetadataMessage]
    ) -> list[MetadataMessage]:
        return [
            replace(answer, block=answer.block[:-1] + bytes((answer.block[-1] ^ 1,)))
            if isinstance(answer, MetadataData) and self.piece in (None, answer.piece)
            else answer
            for answer in answers
        ]


class WrongBlockLength(Behaviour):
    """Sends blocks that are `by` bytes longer; shorter where `by` is negative."""

    def __init__(self, by: int = -1) -> None:
        self.by = by

    def answers(
        self, peer: SeederProtocol, piece: int, answers: list[MetadataMessage]
    ) -> list[MetadataMessage]:
        return [
            replace(a, block=(a.block + bytes(max(0, self.by)))[: len(a.block) + self.by])
            if isinstance(a, MetadataData)
            else a
            for a in answers
        ]


class UnrequestedBlock(Behaviour):
    """Answers each request with a block nobody asked for: the piece `ahead` places on."""

    def __init__(self, ahead: int = 1000) -> None:
        self.ahead = ahead

    def answers(
        self, peer: SeederProtocol, piece: int, answers: list[MetadataMessage]
    ) -> list[MetadataMessage]:
        return [replace(answer, piece=answer.piece + self.ahead) for answer in answers]


class RejectsFirst(Behaviour):
    """Rejects the first `count` requests of a connection, then serves."""

    def __init__(self, count: int = 1) -> None:
        self.count = count

    def answers(
        self, peer: SeederProtocol, piece: int, answers: list[MetadataMessage]
    ) -> list[MetadataMessage]:
        return [MetadataReject(piece)] if len(peer.asked) <= self.count else answers


class RejectsEverything(Behaviour):
    """Rejects every request."""

    def answers(
        self, peer: SeederProtocol, piece: int, answers: list[MetadataMessage]
    ) -> list[MetadataMessage]:
        return [MetadataReject(piece)]


class BlockSizeAsTotal(Behaviour):
    """Says the block's length in ``total_size`` (as I2PSnark does). Honest, but odd."""

    def answers(
        self, peer: SeederProtocol, piece: int, answers: list[MetadataMessage]
    ) -> list[MetadataMessage]:
        return [replace(a, total_size=len(a.block)) if isinstance(a, MetadataData) else a for a in answers]


class WholeInOneMessage(Behaviour):
    """Answers the request for piece 0 with the whole info dictionary (as XD does), rejects the rest."""

    def answers(
        self, peer: SeederProtocol, piece: int, answers: list[MetadataMessage]
    ) -> list[MetadataMessage]:
        info = peer.seeder.info
        return [MetadataData(0, len(info), info) if piece == 0 else MetadataReject(piece)]


class ClosesAfter(Behaviour):
    """Hangs up after every `blocks` blocks; it may be called again."""

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks

    def answers(
        self, peer: SeederProtocol, piece: int, answers: list[MetadataMessage]
    ) -> list[MetadataMessage]:
        return answers if peer.sent < self.blocks else []

    def answered(self, peer: SeederProtocol, answer: MetadataMessage) -> None:
        if peer.sent >= self.blocks:
            peer.drop()


class OneBlockEvery(Behaviour):
    """Answers one request at a time, `seconds` after the one before. Needs a clock."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        self._free_at: dict[SeederProtocol, float] = {}

    def answers(
        self, peer: SeederProtocol, piece: int, answers: list[MetadataMessage]
    ) -> list[MetadataMessage]:
        clock = peer.seeder.clock
        now = clock.seconds()
        at = max(now, self._free_at.get(peer, now)) + self.seconds
        self._free_at[peer] = at
        clock.callLater(at - now, peer.send_answers, answers)
        return []

    def closed(self, peer: SeederProtocol) -> None:
        self._free_at.pop(peer, None)


class Trickle(Behaviour):
    """Writes so many bytes a second and no more, from `after` bytes on. Needs a clock."""

    def __init__(self, bytes_per_second: float, after: int = 0) -> None:
        self.bytes_per_second = bytes_per_second
        self.after = after
        self._waiting: dict[SeederProtocol, bytearray] = {}
        self._passed: dict[SeederProtocol, int] = {}

    def outgoing(self, peer: SeederProtocol, data: bytes) -> bytes:
        free = max(0, self.after - self._passed.get(peer, 0))
        self._passed[peer] = self._passed.get(peer, 0) + len(data)
        now, later = data[:free], data[free:]
        if later:
            running = peer in self._waiting
            self._waiting.setdefault(peer, bytearray()).extend(later)
            if not running:
                peer.write(now)
                now = b""
                self._step(peer)
        return now

    def _step(self, peer: SeederProtocol) -> None:
        waiting = self._waiting.get(peer)
        if waiting is None:
            return
        if not waiting:
            del self._waiting[peer]
            return
        count = max(1, int(self.bytes_per_second / 10))
        peer.write(bytes(waiting[:count]))
        del waiting[:count]
        peer.seeder.clock.callLater(count / self.bytes_per_second, self._step, peer)

    def closed(self, peer: SeederProtocol) -> None:
        self._waiting.pop(peer, None)
        self._passed.pop(peer, None)


class _Flood:
    """A pull producer (IPullProducer): writes a chunk whenever the transport has room."""

    def __init__(self, peer: SeederProtocol, chunk: bytes) -> None:
        self.peer = peer
        self.chunk = chunk

    @classmethod
    def start(cls, peer: SeederProtocol, chunk: bytes, first: bytes = b"") -> None:
        if peer.transport is not None:
            peer.write(first)
            peer.transport.registerProducer(cls(peer, chunk), False)

    def resumeProducing(self) -> None:
        self.peer.write(self.chunk)

    def stopProducing(self) -> None:
        """The connection is gone."""
