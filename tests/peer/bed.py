"""What the tests of peer/ share: a peer at the end of a StringTransport, and who owns it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from functorrent.deadlines import Deadlines
from functorrent.errors import PeerError
from functorrent.interfaces import (
    IMetadataRequester,
    IMetadataSink,
    IPeerExtension,
    IPeerExtensionSession,
    IPeerHandle,
    PeerAddress,
)
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.peer.dispatch import ExtensionTable
from functorrent.peer.protocol import IPeerOwner, PeerProtocol
from functorrent.wire.bencode import encode
from functorrent.wire.extended import ExtendedHandshake, LocalExtensions
from functorrent.wire.framing import EXTENDED_ID, encode_frame
from functorrent.wire.handshake import OURS, Handshake
from functorrent.wire.metadata import NAME, decode_metadata
from functorrent.wire.session import Event, ExtensionMessage, PeerSession

INFOHASH = b"I" * 20
OUR_ID = b"-FT0100-oooooooooooo"
THEIR_ID = b"-XX0001-tttttttttttt"
ADDRESS = PeerAddress("192.0.2.7", 6881)
#: A grain and times that are sums of it: no test waits for a rounding error.
GRAIN = 0.25


@implementer(IPeerOwner)
class Owner:
    """Owns connections, and notes what becomes of them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.deadlines = Deadlines(clock, GRAIN)
        self.lone = False
        #: Whether peers that lack the metadata may stay; and those that did.
        self.roomy = True
        self.lacking: list[PeerProtocol] = []
        self.offering: list[PeerProtocol] = []
        self.greeted: list[Handshake] = []
        self.ready: list[PeerProtocol] = []
        self.ended: list[PeerError | None] = []
        #: What `peer_called` answers, or raises.
        self.answer: tuple[bytes, bytes] | PeerError = (INFOHASH, OUR_ID)

    def peer_called(self, peer: PeerProtocol, handshake: Handshake) -> tuple[bytes, bytes]:
        self.greeted.append(handshake)
        if isinstance(self.answer, PeerError):
            raise self.answer
        return self.answer

    def peer_ready(self, peer: PeerProtocol) -> None:
        self.ready.append(peer)

    def is_lone(self, peer: PeerProtocol) -> bool:
        return self.lone

    def peer_lacks(self, peer: PeerProtocol) -> bool:
        self.lacking.append(peer)
        return self.roomy

    def peer_offers(self, peer: PeerProtocol) -> None:
        self.offering.append(peer)

    def peer_ended(self, peer: PeerProtocol, error: PeerError | None) -> None:
        self.ended.append(error)

    @property
    def outcome(self) -> str | None:
        """The word the one connection is counted by; "" while it stands."""
        assert len(self.ended) < 2, self.ended
        if not self.ended:
            return ""
        return self.ended[0].outcome if self.ended[0] is not None else None


class Remote:
    """The peer at the other end: says what a test wants it to say, and reads all it hears."""

    def __init__(self, peer: PeerProtocol, transport: StringTransport | None = None) -> None:
        self.peer = peer
        self.transport = transport or StringTransport()
        # ut_metadata gets 2 here and 1 there: who mixes up the two tables is found out.
        self.session = PeerSession(LocalExtensions(("ut_pex", NAME, "x_test")))
        self.heard: list[Event] = []
        self.raw = b""
        peer.makeConnection(self.transport)

    @property
    def dropped(self) -> bool:
        """Whether we were hung up on."""
        return bool(self.transport.disconnecting)

    def say(self, data: bytes) -> None:
        """Send raw bytes."""
        self.peer.dataReceived(data)

    def listen(self) -> list[Event]:
        """The events in what has come since the last time."""
        data = self.transport.value()
        self.transport.clear()
        self.raw += data
        events = self.session.receive_data(data)
        self.heard += events
        return events

    def greet(
        self, infohash: bytes = INFOHASH, peer_id: bytes = THEIR_ID, reserved: bytes = OURS, more: bytes = b""
    ) -> None:
        """Say the BEP 3 handshake, and `more` in the same packet."""
        self.say(Handshake(infohash, peer_id, reserved).encode() + more)

    def offer(self, **items: Any) -> None:
        """Say an extended handshake; see `offer_of`."""
        self.say(offer_of(**items))

    def extended(self, extended_id: int, payload: bytes) -> None:
        """Say an extended message with one of the ids that we were given."""
        self.say(frame(extended_id, payload))

    def metadata(self, message: Any) -> None:
        """Say a ut_metadata message."""
        self.extended(1, message.encode())

    def messages(self) -> list[Any]:
        """The ut_metadata messages heard since the last time."""
        return [
            decode_metadata(event.payload)
            for event in self.listen()
            if isinstance(event, ExtensionMessage) and event.name == NAME
        ]


def frame(extended_id: int, payload: bytes) -> bytes:
    """An extended message."""
    return encode_frame(EXTENDED_ID, bytes((extended_id,)) + payload)


def offer_of(m: Mapping[str, int] | None = None, **items: Any) -> bytes:
    """An extended handshake; ut_metadata has id 2 unless `m` says otherwise."""
    return frame(0, encode({"m": {NAME: 2} if m is None else dict(m), **items}))


class Session:
    """A session of `Extension`: notes every call, and does what the test put into `reactions`."""

    def __init__(self, extension: Extension, peer: Any) -> None:
        self.extension = extension
        self.peer = peer

    def _called(self, name: str, *args: Any) -> Any:
        self.extension.calls.append((name, *args))
        reaction = self.extension.reactions.get(name)
        if isinstance(reaction, BaseException):
            raise reaction
        return reaction(self.peer) if reaction is not None else None

    def handshake_items(self) -> Mapping[str, Any]:
        return self._called("handshake_items") or {}

    def peer_handshake(self, handshake: Handshake) -> None:
        self._called("peer_handshake", handshake)

    def extended_handshake(self, handshake: ExtendedHandshake) -> None:
        self._called("extended_handshake", handshake)

    def message(self, payload: bytes) -> None:
        self._called("message", payload)

    def writable(self) -> None:
        self._called("writable")

    def closed(self, reason: PeerError | None) -> None:
        self._called("closed", reason)


Reaction = Callable[[Any], Any] | BaseException


@implementer(IPeerExtension)
class Extension:
    """A plugin that notes what it is told. `reactions`: by hook, an exception or what to do."""

    def __init__(self, name: str = "x_test", **reactions: Reaction) -> None:
        self.name = name
        self.reactions: dict[str, Reaction] = dict(reactions)
        self.calls: list[tuple[Any, ...]] = []
        self.sessions: list[Session] = []

    def connect(self, peer: IPeerHandle) -> IPeerExtensionSession:
        self.calls.append(("connect", peer))
        reaction = self.reactions.get("connect")
        if isinstance(reaction, BaseException):
            raise reaction
        session = Session(self, peer)
        self.sessions.append(session)
        if reaction is not None:
            reaction(peer)
        return session  # type: ignore[return-value]

    @property
    def names(self) -> list[str]:
        """The hooks called, in order."""
        return [str(call[0]) for call in self.calls]


@implementer(IMetadataSink)
class Sink:
    """A fetch that asks each peer for piece 0, and notes what comes."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.raises: PeerError | None = None
        self.peers: list[IMetadataRequester] = []
        self.pieces: Iterable[int] = (0,)

    def _called(self, *call: Any) -> None:
        self.calls.append(call)
        if self.raises is not None:
            raise self.raises

    def offered(self, peer: IMetadataRequester, size: int, reqq: int | None) -> None:
        self._called("offered", size, reqq)
        self.peers.append(peer)
        peer.request(self.pieces)

    def block(self, peer: IMetadataRequester, piece: int, block: bytes, total_size: int | None) -> None:
        self._called("block", piece, block, total_size)

    def rejected(self, peer: IMetadataRequester, piece: int) -> None:
        self._called("rejected", piece)

    def lost(self, peer: IMetadataRequester) -> None:
        self._called("lost")


class Bed:
    """A clock, an owner, and connections of it."""

    def __init__(self, *extensions: Any, limits: Limits = DEFAULT_LIMITS) -> None:
        self.clock = Clock()
        self.owner = Owner(self.clock)
        self.limits = limits
        self.table = ExtensionTable(extensions, "0.1")

    def call(self, transport: StringTransport | None = None) -> Remote:
        """A peer that we call."""
        return Remote(PeerProtocol(self.owner, self.table, ADDRESS, INFOHASH, OUR_ID, self.limits), transport)

    def called(self, transport: StringTransport | None = None) -> Remote:
        """A peer that calls us."""
        return Remote(PeerProtocol(self.owner, self.table, ADDRESS, limits=self.limits), transport)

    def open(self, **items: Any) -> Remote:
        """A peer that we called, both handshakes done, and its offer made; what it heard is read."""
        remote = self.call()
        remote.greet(more=offer_of(**items))
        remote.listen()
        return remote

    def wait(self, seconds: float) -> None:
        """Let the clock run."""
        self.clock.pump([GRAIN] * round(seconds / GRAIN))
