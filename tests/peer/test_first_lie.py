"""A handshake and a lie in one packet: what came ahead counts, and the lie is what the peer is told by."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import MalformedMessage, MessageTooLong, PeerError, WrongInfohash
from functorrent.interfaces import PeerAddress
from functorrent.peer.dispatch import ExtensionTable
from functorrent.peer.protocol import PeerProtocol
from functorrent.wire.framing import encode_frame
from functorrent.wire.handshake import Handshake

INFOHASH, OTHER = b"i" * 20, b"o" * 20


class Transport(StringTransport):
    """With what TCP has beside."""

    def abortConnection(self) -> None:
        self.aborting = True


class Owner:
    """An IPeerOwner that remembers how its peer ended."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ready = 0
        self.ended: list[PeerError | None] = []
        # Deadlines are not under test.
        self.deadlines: Any = self

    def set(self, *_: object) -> None: ...

    def clear(self, *_: object) -> None: ...

    def peer_called(self, _peer: PeerProtocol, _handshake: Handshake) -> tuple[bytes, bytes]:
        return INFOHASH, b"u" * 20

    def peer_ready(self, _peer: PeerProtocol) -> None:
        self.ready += 1

    def peer_ended(self, _peer: PeerProtocol, error: PeerError | None) -> None:
        self.ended.append(error)


class FirstLieTests(SynchronousTestCase):
    def send(self, data: bytes, *, inbound: bool = False) -> Owner:
        owner = Owner()
        known: dict[str, Any] = {} if inbound else {"infohash": INFOHASH, "peer_id": b"u" * 20}
        peer = PeerProtocol(owner, ExtensionTable([]), PeerAddress("192.0.2.1", 1), **known)
        peer.makeConnection(Transport())
        peer.dataReceived(data)
        return owner

    def test_lie_in_the_packet_of_the_handshake(self) -> None:
        greeting = Handshake(INFOHASH, b"t" * 20).encode()
        for inbound in (False, True):
            for lie, error in (
                (b"\xff\xff\xff\xff\x14", MessageTooLong),
                (encode_frame(20, b"\x00d1:a1:b-6:"), MalformedMessage),
            ):
                owner = self.send(greeting + lie, inbound=inbound)
                self.assertEqual([type(end) for end in owner.ended], [error])
                self.assertEqual(owner.ready, 1)

    def test_the_first_of_two_lies(self) -> None:
        owner = self.send(Handshake(OTHER, b"t" * 20).encode() + b"\xff\xff\xff\xff\x14")
        self.assertEqual([type(end) for end in owner.ended], [WrongInfohash])
