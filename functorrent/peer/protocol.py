"""`PeerProtocol`: one TCP connection to one peer (BEP 3, 10), whoever called.

Bytes go through a `PeerSession` (wire/session.py); extensions run in an `ExtensionDispatcher`. There
is one deadline for each connection, and whoever lies, or is silent for too long, is aborted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface, implementer

from functorrent.deadlines import Deadlines
from functorrent.errors import (
    ConnectedToSelf,
    MalformedMessage,
    NoExtensionProtocol,
    NoMetadata,
    PeerClosed,
    PeerError,
    PeerSilent,
    PeerStalled,
    WrongInfohash,
)
from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.peer.dispatch import ExtensionDispatcher, ExtensionTable
from functorrent.wire.extended import ExtendedHandshake
from functorrent.wire.handshake import DHT, OURS, OURS_WITH_DHT, Handshake
from functorrent.wire.handshake import LENGTH as HANDSHAKE_LENGTH
from functorrent.wire.port import Port
from functorrent.wire.session import ExtensionMessage, PeerSession, State

#: Bytes from which on the transport is to tell us when it has enough.
_LONG = 8192


class IPeerOwner(Interface):
    """Who a connection belongs to: a race, or the listener until the peer names a torrent."""

    clock: IReactorTime = Attribute("Where the time comes from.")
    deadlines: Deadlines = Attribute("The deadlines of all its connections.")

    def peer_called(peer: PeerProtocol, handshake: Handshake) -> tuple[bytes, bytes] | None:
        """A peer that called us names its torrent: returns (infohash, our peer id).

        May set ``peer.owner``. None: the answer takes a while, and comes by ``peer.answer_call``, or
        ``peer.abort``. Raises PeerError where we have no use for it.
        """

    def peer_ready(peer: PeerProtocol) -> None:
        """Both handshakes are done."""

    def is_lone(peer: PeerProtocol) -> bool:
        """Whether this peer is all there is, so that it may be slow."""

    def peer_lacks(peer: PeerProtocol) -> bool:
        """It lacks the metadata, but an extension would keep it open: whether there is room for it. Asked
        again now and then while it stays."""

    def peer_offers(peer: PeerProtocol) -> None:
        """One that lacked the metadata, and stayed, has it after all."""

    def peer_ended(peer: PeerProtocol, error: PeerError | None) -> None:
        """The connection is over; None where our side ended it. Called once."""


@implementer(IPushProducer)
class PeerProtocol(Protocol):
    """One connection to a peer.

    `owner`: an IPeerOwner. `address`: where the peer is. With `infohash` and `peer_id` (bytes of 20
    each) we greet first; without them the peer called us, and the owner answers `peer_called`.
    """

    noisy = False
    transport: ITCPTransport
    #: Told of the end beside the owner, where a listener counts its callers.
    on_end: Callable[[PeerProtocol], None] | None = None

    def __init__(
        self,
        owner: Any,
        table: ExtensionTable,
        address: PeerAddress,
        infohash: bytes | None = None,
        peer_id: bytes = b"",
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.owner = owner
        self.address = address
        self.infohash = infohash
        self.inbound = infohash is None
        self.limits = limits
        #: Seconds from connected to the peer's handshake; may be set until then.
        self.handshake_timeout = limits.handshake_timeout
        #: Writing has been held back by the transport: what is sent now is buffered.
        self.congested = False
        self.session = PeerSession(table.local, limits, every_message=False)
        self._peer_id = peer_id
        self._table = table
        self._dispatcher = ExtensionDispatcher(table)
        self._due = 0.0
        #: Until when each extension that asked for it wants the peer kept.
        self._kept: dict[str, float] | None = None
        self._lacking: NoMetadata | None = None
        self._offered = False
        #: It has said where its DHT node is.
        self._told_port = False
        self._error: PeerError | None = None
        self._over = False
        self._receiving = False
        self._produces = False
        #: A caller whose torrent is being looked up, and what it has said since.
        self._asked: Handshake | None = None
        self._held: bytearray | None = None
        #: Bytes that this peer may send, and seconds it has to take what is buffered for it; None and 0
        #: where it is of use to us.
        self._allowance: int | None = None
        self._write_timeout = 0.0
        self._received = 0
        self._received_at_check = 0
        self._last_progress = 0.0
        self._unsent = 0

    # -- what Twisted calls ----------------------------------------------------------------

    def connectionMade(self) -> None:
        """Greet, if it is on us, and start the clock."""
        self._wait(self.handshake_timeout)
        if self.infohash is not None:
            self._greet(self.infohash)
            self._flush()

    def dataReceived(self, data: bytes) -> None:
        """Turn bytes into events and act on them; a lie among them ends the connection."""
        if self._over:
            return
        self._received += len(data)
        if self._asked is not None:
            self._hold(data)
        elif self._allowance is not None and self._received > self._allowance:
            self.abort(MalformedMessage("says more than whoever fetches metadata has to say"))
        else:
            self._receive(data)

    def _receive(self, data: bytes) -> None:
        session = self.session
        rest = b""
        if self.infohash is None:
            # What follows its handshake waits until it is known who answers.
            end = HANDSHAKE_LENGTH - session.partial
            data, rest = data[:end], data[end:]
        self._receiving = True
        error: PeerError | None = None
        try:
            for event in session.receive_data(data):
                kind = type(event)
                if kind is ExtensionMessage:
                    self._dispatcher.message(event.name, event.payload)  # type: ignore[union-attr]
                elif kind is ExtendedHandshake:
                    self._extended_handshake(event)  # type: ignore[arg-type]
                elif kind is Handshake:
                    self._handshake(event)  # type: ignore[arg-type]
                elif kind is Port:
                    self._port(event)  # type: ignore[arg-type]
                if self._over:
                    return
        except PeerError as lie:
            error = lie
        finally:
            self._receiving = False
        # A lie told by an event came ahead of the one that ended the session.
        error = error or session.failure
        if error is not None:
            self.abort(error)
        elif not rest:
            self._flush()
        elif self._asked is not None:
            self._hold(rest)
        else:
            self._receive(rest)

    def _hold(self, data: bytes) -> None:
        """Keep what a caller says before it is answered; it is read on meanwhile, or its hang-up would
        not be seen."""
        held = self._held
        if held is None:
            held = self._held = bytearray()
        held += data
        if len(held) > self.limits.max_extended:
            self.transport.pauseProducing()  # type: ignore[attr-defined]

    def answer_call(self, infohash: bytes, peer_id: bytes) -> None:
        """The answer to a caller for whom ``IPeerOwner.peer_called`` gave None."""
        handshake, self._asked = self._asked, None
        if self._over or handshake is None:
            return
        held, self._held = bytes(self._held or b""), None
        if len(held) > self.limits.max_extended:
            self.transport.resumeProducing()  # type: ignore[attr-defined]
        self._receiving = True
        error: PeerError | None = None
        try:
            self._answer(handshake, infohash, peer_id)
        except PeerError as lie:
            error = lie
        finally:
            self._receiving = False
        if error is not None:
            self.abort(error)
        else:
            # Also where it is nothing: then our answer goes out.
            self._receive(held)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The transport is gone, whoever ended it."""
        self._end(self._error or PeerClosed("hung up"))

    # -- events ----------------------------------------------------------------------------

    def _greet(self, infohash: bytes) -> None:
        ours = OURS if self._table.node_port is None else OURS_WITH_DHT
        self.session.send_handshake(Handshake(infohash, self._peer_id, ours))

    def _handshake(self, handshake: Handshake) -> None:
        if self.infohash is None:
            answer = self.owner.peer_called(self, handshake)
            if answer is None:
                self._asked = handshake
                self._due = self.owner.clock.seconds() + self.limits.look_up_timeout
            else:
                self._answer(handshake, *answer)
            return
        if handshake.infohash != self.infohash:
            raise WrongInfohash(f"shares {handshake.infohash.hex()}")
        if handshake.peer_id == self._peer_id:
            raise ConnectedToSelf("has our own peer id")
        self._open(handshake, self.infohash)

    def _answer(self, handshake: Handshake, infohash: bytes, peer_id: bytes) -> None:
        """Greet a caller back."""
        self.infohash, self._peer_id = infohash, peer_id
        self._greet(infohash)
        if handshake.peer_id == peer_id:
            # The end that dialed is ourselves, too, and finds that out from our answer.
            self._flush()
            raise ConnectedToSelf("has our own peer id")
        self._open(handshake, infohash)

    def _open(self, handshake: Handshake, infohash: bytes) -> None:
        """Both handshakes are done."""
        if not handshake.extension_protocol:
            raise NoExtensionProtocol("does not speak the extension protocol")
        self.owner.peer_ready(self)
        self.progress()
        payload = self._dispatcher.open(self, infohash, handshake)
        if self.session.failure is None:
            self.session.send_extended_handshake(payload)
            node_port = self._table.node_port
            if node_port is not None and handshake.has(DHT):
                self.session.send(Port(node_port))

    def _port(self, message: Port) -> None:
        """Where the peer has a DHT node, as it says; said again it is of no use to anybody."""
        heard_node = self._table.heard_node
        if heard_node is not None and message.port and not self._told_port:
            self._told_port = True
            heard_node(PeerAddress(self.address.host, message.port))

    def _extended_handshake(self, handshake: ExtendedHandshake) -> None:
        lacked, self._lacking = self._lacking, None
        self._dispatcher.extended_handshake(handshake)
        if self._lacking is None:
            if lacked is not None and not self._over:
                self.owner.peer_offers(self)
            # Progress once: handshakes sent on and on are of no use to anybody.
            if not self._offered:
                self._offered = True
                self.progress()
        elif self._kept_until <= self.owner.clock.seconds() or not self.owner.peer_lacks(self):
            raise self._lacking

    # -- what extensions and owners call ---------------------------------------------------

    def send_extension(self, name: str, payload: bytes) -> None:
        """Send a message of an extension; dropped where the peer has it not."""
        if self._over or self.session.failure is not None:
            return
        self.session.send_extension(name, payload)
        # A block goes out at once: whether the transport takes it is what decides about the next.
        if not self._receiving or len(payload) > _LONG:
            self._flush()

    def progress(self) -> None:
        """The peer was of use: its deadline starts again."""
        now: float = self.owner.clock.seconds()
        self._last_progress = now
        self._received_at_check = self._received
        self._due = now + self.limits.progress_timeout

    def keep_open(self, name: str, seconds: float) -> None:
        """An extension wants the peer kept, with or without metadata, for so long; its last word counts."""
        if self._kept is None:
            self._kept = {}
        self._kept[name] = self.owner.clock.seconds() + min(seconds, self.limits.max_keep_open)

    def serve_only(self, blocks: int) -> None:
        """Nothing is wanted of this peer: bound what it may say while it is served so many blocks, and
        give it time to take what it asked for."""
        limits = self.limits
        # A request has some 45 bytes; it may ask for each block a second time.
        self._allowance = self._received + limits.max_served_input + 128 * blocks
        self._write_timeout = limits.serve_patience

    @property
    def _kept_until(self) -> float:
        return max(self._kept.values()) if self._kept else 0.0

    @property
    def error(self) -> PeerError | None:
        """What we hung up for; None where there is no fault."""
        return self._error

    @property
    def over(self) -> bool:
        """Whether the connection has ended."""
        return self._over

    def abort(self, error: PeerError | None) -> None:
        """Hang up at once; None where the peer is not at fault."""
        if isinstance(error, NoMetadata) and self._receiving:
            # Another extension may still want it: judged when all have seen the handshake.
            self._lacking = error
            return
        if self._over:
            return
        self._error = error
        self.session.close()
        transport = self.transport
        try:
            self._end(error)
        finally:
            if transport is not None:
                transport.abortConnection()

    # -- writing ---------------------------------------------------------------------------

    def _flush(self) -> None:
        data = self.session.data_to_send()
        if not data:
            return
        if len(data) > _LONG and not self._produces:
            self._produces = True
            self.transport.registerProducer(self, True)  # type: ignore[attr-defined]
        if self.congested:
            self._unsent += len(data)
            if self._unsent > self.limits.max_unsent:
                self.abort(PeerStalled("does not read what it asked for"))
                return
        self.transport.write(data)

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self.congested = True

    def resumeProducing(self) -> None:
        """The transport's buffer is empty again."""
        self.congested = False
        self._unsent = 0
        if self._over:
            return
        try:
            self._dispatcher.writable()
        except PeerError as error:
            self.abort(error)

    def stopProducing(self) -> None:
        """The transport is closing."""

    # -- the deadline ----------------------------------------------------------------------

    def _wait(self, seconds: float) -> None:
        owner = self.owner
        now = owner.clock.seconds()
        self._last_progress = now
        self._due = now + seconds
        owner.deadlines.set(self._expired, self._due)

    def _expired(self) -> None:
        """The deadline that was set has passed: there is a later one, or the peer is too slow."""
        owner = self.owner
        now = owner.clock.seconds()
        due = max(self._due, self._kept_until)
        if self.congested:
            due = max(due, self._last_progress + self._write_timeout)
        if due <= now and self._still_sends(now):
            due = self._due = now + self.limits.progress_timeout
        if self._lacking is not None and due > now and not self.owner.peer_lacks(self):
            self.abort(self._lacking)
        elif due > now:
            # What keeps it may be taken back at any time.
            owner.deadlines.set(self._expired, min(due, now + self.limits.progress_timeout))
        elif self._asked is not None:
            self.abort(PeerClosed("asks for a torrent that took too long to be looked up"))
        elif self.session.remote is None:
            self.abort(PeerSilent("connected, but sent no handshake"))
        else:
            self.abort(self._lacking or PeerStalled("sent nothing of use any more"))

    def _still_sends(self, now: float) -> bool:
        """Whether part of a frame came at a fair rate, or this is the last peer and it sends.

        Judged by what came since the last progress, or since this was asked last.
        """
        received = self._received - self._received_at_check
        self._received_at_check = self._received
        if self.session.remote is None or not self.session.partial:
            return False
        if received >= self.limits.min_rate * self.limits.progress_timeout:
            return True
        waited = now - self._last_progress
        return received > 0 and waited < self.limits.lone_progress_timeout and self.owner.is_lone(self)

    def _end(self, error: PeerError | None) -> None:
        if self._over:
            return
        self._over = True
        if self.session.state is not State.CLOSED:
            self.session.close()
        self.owner.deadlines.clear(self._expired)
        if self.on_end is not None:
            self.on_end(self)
        self._asked = self._held = None
        self._dispatcher.closed(error)
        self.owner.peer_ended(self, error)
