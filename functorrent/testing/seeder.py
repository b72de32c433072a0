"""`ScriptedSeeder`: a peer that shares one info dictionary (BEP 3, 9, 10), honestly or not.

    seeder = ScriptedSeeder(sample_info(40_000))                       # honest
    seeder = ScriptedSeeder(info, CorruptBlock(0), ClosesAfter(2))     # lies; see `behaviours`
    port = reactor.listenTCP(0, seeder, interface="127.0.0.1")         # or connect_in_memory, or
    protocol = seeder.buildProtocol(None)                              # a StringTransport

It is written with `functorrent.wire.session` alone. What it would send passes through its behaviours
in the order given, so that lies compose.
"""

from __future__ import annotations

from hashlib import sha1
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress, IReactorTCP, IReactorTime
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure

from functorrent.errors import PeerError
from functorrent.wire.bencode import encode
from functorrent.wire.extended import ExtendedHandshake, LocalExtensions
from functorrent.wire.framing import EXTENDED_ID, encode_frame
from functorrent.wire.handshake import Handshake
from functorrent.wire.metadata import (
    BLOCK_SIZE,
    NAME,
    MetadataData,
    MetadataMessage,
    MetadataReject,
    MetadataRequest,
    decode_metadata,
)
from functorrent.wire.session import ExtensionMessage, PeerSession, State

if TYPE_CHECKING:
    from functorrent.testing.behaviours import Behaviour

PEER_ID = b"-SS0001-scriptedpeer"


class SeederProtocol(Protocol):
    """One connection to a `ScriptedSeeder`.

    `session` is its wire; `asked` the pieces it was asked for, in order; `sent` how many blocks it
    gave; `failure` why it was lost (None while it stands).
    """

    #: ITCPTransport and IConsumer: no one interface of Twisted's says both.
    transport: Any

    def __init__(self, seeder: ScriptedSeeder, calls: bool) -> None:
        self.seeder = seeder
        self.calls = calls
        # ut_metadata gets 2: a caller that mixes up the two id tables is found out.
        self.session = PeerSession(LocalExtensions(("ut_pex", NAME)))
        self.asked: list[int] = []
        self.sent = 0
        self.failure: Failure | None = None

    def connectionMade(self) -> None:
        self.seeder.connections.append(self)
        handled = [behaviour.connected(self) for behaviour in self.seeder.behaviours]
        if self.calls and not any(handled):
            self._greet()

    def dataReceived(self, data: bytes) -> None:
        for event in self.session.receive_data(data):
            if isinstance(event, Handshake):
                self._handshake(event)
            elif isinstance(event, ExtendedHandshake):
                for behaviour in self.seeder.behaviours:
                    behaviour.extended_handshake(self, event)
            elif isinstance(event, ExtensionMessage) and event.name == NAME:
                self._metadata(event.payload)
        if self.session.failure is not None:
            self.drop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.failure = reason
        self.session.close()
        for behaviour in self.seeder.behaviours:
            behaviour.closed(self)

    # -- what it does, honestly --------------------------------------------------------------

    def _handshake(self, theirs: Handshake) -> None:
        if any(behaviour.mute for behaviour in self.seeder.behaviours):
            return
        if not self.calls:
            self._greet()
        if theirs.infohash != self.seeder.infohash and not any(
            behaviour.takes_any_infohash for behaviour in self.seeder.behaviours
        ):
            self.drop()
            return
        self.send(b"".join(behaviour.early(self) for behaviour in self.seeder.behaviours))
        if theirs.extension_protocol and all(b.speaks_extensions for b in self.seeder.behaviours):
            self.send_extended_handshake()

    def _greet(self) -> None:
        handshake = Handshake(self.seeder.infohash, self.seeder.peer_id)
        for behaviour in self.seeder.behaviours:
            handshake = behaviour.handshake(self, handshake)
        self.session.send_handshake(handshake)
        self.send(self.session.data_to_send())

    def send_extended_handshake(self) -> None:
        """Our extended handshake; behaviours call it to send a further one."""
        items: dict[str, Any] = {
            "m": dict(self.session.local.ids),
            "metadata_size": len(self.seeder.info),
            "reqq": 250,
            "v": "scripted seeder",
        }
        for behaviour in self.seeder.behaviours:
            items = behaviour.extended_items(self, items)
        payload = encode(items)
        for behaviour in self.seeder.behaviours:
            payload = behaviour.extended_payload(self, payload)
        self.send_extended(0, payload)

    def _metadata(self, payload: bytes) -> None:
        try:
            message = decode_metadata(payload)
        except PeerError as error:
            self.session.fail(error)
            return
        if not isinstance(message, MetadataRequest):
            return
        self.asked.append(message.piece)
        self.seeder.requests.append(message.piece)
        answers = [self.seeder.answer(message.piece)]
        for behaviour in self.seeder.behaviours:
            answers = behaviour.answers(self, message.piece, answers)
        self.send_answers(answers)

    # -- for behaviours ----------------------------------------------------------------------

    def send_answers(self, answers: list[MetadataMessage]) -> None:
        """Metadata messages, with the id the caller gave to ut_metadata."""
        their_id = self.session.extensions.id(NAME)
        if their_id is None:
            return
        for answer in answers:
            self.send_extended(their_id, answer.encode())
            if isinstance(answer, MetadataData):
                self.sent += 1
            for behaviour in self.seeder.behaviours:
                behaviour.answered(self, answer)

    def send_extended(self, extended_id: int, payload: bytes) -> None:
        """One extended message."""
        self.send(encode_frame(EXTENDED_ID, bytes((extended_id,)) + payload))

    def send(self, data: bytes) -> None:
        """Raw bytes, through the behaviours; nothing once the connection is gone."""
        for behaviour in self.seeder.behaviours:
            if data:
                data = behaviour.outgoing(self, data)
        if data:
            self.write(data)

    def write(self, data: bytes) -> None:
        """Raw bytes, past the behaviours."""
        if self.failure is None and self.transport is not None:
            self.transport.write(data)

    def drop(self) -> None:
        """Hang up, after what was written."""
        if self.session.state is not State.CLOSED:
            self.session.close()
        if self.transport is not None:
            self.transport.loseConnection()


class ScriptedSeeder(ClientFactory):
    """A peer that has one info dictionary, as a factory: to listen with, or to `call` with.

    `info`: the info dictionary's bytes. `behaviours`: what it does otherwise than an honest peer.
    `clock`: for behaviours that take their time. `infohash` and `peer_id`: bytes of 20.
    `connections` are all it ever had, `requests` the pieces it was asked for on any of them.
    """

    noisy = False

    def __init__(
        self,
        info: bytes,
        *behaviours: Behaviour,
        clock: IReactorTime | None = None,
        infohash: bytes | None = None,
        peer_id: bytes = PEER_ID,
    ) -> None:
        self.info = info
        self.behaviours = behaviours
        self.infohash = infohash or sha1(info).digest()
        self.peer_id = peer_id
        self.connections: list[SeederProtocol] = []
        self.requests: list[int] = []
        self._clock = clock
        self._calls = False

    @property
    def clock(self) -> IReactorTime:
        """The clock. Raises ValueError where none was given and a behaviour needs one."""
        if self._clock is None:
            raise ValueError("a behaviour that takes its time needs ScriptedSeeder(..., clock=reactor)")
        return self._clock

    def buildProtocol(self, addr: IAddress | None) -> SeederProtocol:
        protocol = SeederProtocol(self, self._calls)
        protocol.factory = self
        return protocol

    def answer(self, piece: int) -> MetadataMessage:
        """The honest answer to one request."""
        start = piece * BLOCK_SIZE
        if start >= len(self.info):
            return MetadataReject(piece)
        return MetadataData(piece, len(self.info), self.info[start : start + BLOCK_SIZE])

    def call(self, reactor: IReactorTCP, host: str, port: int) -> None:
        """Connect to a peer and speak first, as a seeder behind NAT does."""
        self._calls = True
        reactor.connectTCP(host, port, self, timeout=5)

    def stop(self) -> None:
        """Drop every connection that stands."""
        for connection in self.connections:
            if connection.failure is None and connection.transport is not None:
                connection.transport.abortConnection()
