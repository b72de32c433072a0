"""ut_metadata (BEP 9), both ways, as an extension plugin: it uses the public interfaces alone.

What is fetched goes into an `IMetadataSink`, found by infohash; what is asked of us comes out of an
`IMetadataProvider`, at a bounded rate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from zope.interface import implementer

from functorrent.errors import MalformedMessage, NoMetadata, PeerError
from functorrent.interfaces import (
    IMetadataProvider,
    IMetadataRequester,
    IMetadataSink,
    IPeerExtension,
    IPeerExtensionSession,
    IPeerHandle,
    PeerAddress,
)
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.wire.extended import ExtendedHandshake
from functorrent.wire.handshake import Handshake
from functorrent.wire.metadata import (
    BLOCK_SIZE,
    NAME,
    MetadataData,
    MetadataReject,
    MetadataRequest,
    decode_metadata,
)

_NAME = NAME.encode()
_NOTHING: Mapping[str, Any] = {}
#: Blocks served before the transport is asked whether they go out.
_ROUND = 16


@implementer(IPeerExtension)
class UtMetadata:
    """The extension, one for the process.

    `sink(infohash)` gives the IMetadataSink of a fetch that is on, or None; `provider` has what we
    can serve, or is None; `clock` is an IReactorTime for the rate of serving.
    """

    name = NAME

    def __init__(
        self,
        clock: Any,
        sink: Callable[[bytes], IMetadataSink | None] = lambda infohash: None,
        provider: IMetadataProvider | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.clock = clock
        self.sink = sink
        self.provider = provider
        self.limits = limits

    def connect(self, peer: IPeerHandle) -> IPeerExtensionSession:
        """A session for one peer: a requester where a fetch is on, and a server in any case."""
        provider = self.provider
        info = provider.info_bytes(peer.infohash) if provider is not None else None
        session: IPeerExtensionSession = UtMetadataSession(peer, self, self.sink(peer.infohash), info)
        return session


@implementer(IPeerExtensionSession, IMetadataRequester)
class UtMetadataSession:
    """ut_metadata on one connection."""

    __slots__ = (
        "_enabled",
        "_extension",
        "_idle",
        "_info",
        "_offered",
        "_peer",
        "_server",
        "_sink",
        "address",
        "inbound",
    )

    def __init__(
        self, peer: IPeerHandle, extension: UtMetadata, sink: IMetadataSink | None, info: bytes | None
    ) -> None:
        self._peer = peer
        self._extension = extension
        self._sink = sink
        self._info = info
        #: Made when the peer first asks us for something; most never do.
        self._server: _Server | None = None
        self._enabled = False
        self._offered = False
        self._idle = False
        self.address: PeerAddress = peer.address
        self.inbound: bool = peer.inbound

    # -- IPeerExtensionSession ---------------------------------------------------------------

    def handshake_items(self) -> Mapping[str, Any]:
        """``metadata_size``, where we can serve."""
        info = self._info
        return _NOTHING if info is None else {"metadata_size": len(info)}

    def peer_handshake(self, handshake: Handshake) -> None:
        """Nothing to learn here."""

    def extended_handshake(self, handshake: ExtendedHandshake) -> None:
        """What the peer offers; one that offers nothing is hung up on where we want metadata."""
        sink = self._sink
        if sink is None:
            return
        given = handshake.extensions.get(_NAME)
        if given is not None:
            # A later handshake that does not name it leaves it as it was; 0 turns it off (BEP 10).
            self._enabled = given != 0
        size = handshake.metadata_size
        if size and self._enabled:
            self._offered = True
            sink.offered(self, size, handshake.reqq)
        elif not (self._offered and self._enabled):
            if self._offered:
                # Turned off: what it was asked for is to be asked of others, though it may be kept.
                self._offered = False
                sink.lost(self)
            # A size of 0 is what some send that do not have it yet (synapse#237).
            self._peer.abort(NoMetadata("does not share metadata"))

    def message(self, payload: bytes) -> None:
        """A request, a block, or a reject. Raises PeerError."""
        message = decode_metadata(payload)
        kind = type(message)
        if kind is MetadataData:
            if self._sink is not None:
                self._sink.block(self, message.piece, message.block, message.total_size)  # type: ignore[union-attr]
        elif kind is MetadataReject:
            if self._sink is not None:
                self._sink.rejected(self, message.piece)  # type: ignore[union-attr]
        elif isinstance(message, MetadataRequest):
            server = self._server
            if server is None:
                extension = self._extension
                server = self._server = _Server(self._peer, self._info, extension.clock, extension.limits)
            server.asked(message.piece)

    def writable(self) -> None:
        """What we served has gone out: go on."""
        if self._server is not None:
            self._server.go_on()

    def closed(self, reason: PeerError | None) -> None:
        """The connection is gone."""
        if self._server is not None:
            self._server.close()
        if self._offered and self._sink is not None:
            self._sink.lost(self)
        self._sink = None

    # -- IMetadataRequester ------------------------------------------------------------------

    def request(self, pieces: Iterable[int]) -> None:
        """Ask for pieces."""
        if self._idle:
            # It was kept for want of something to ask for; from now on its silence counts.
            self._idle = False
            self._peer.keep_open(0)
            self._peer.progress()
        send = self._peer.send
        for piece in pieces:
            send(b"d8:msg_typei0e5:piecei%dee" % piece)

    def progress(self) -> None:
        """The peer sent what was wanted."""
        self._peer.progress()

    def keep_open(self, seconds: float) -> None:
        """There is nothing to ask for now."""
        self._idle = True
        self._peer.keep_open(seconds)

    def fail(self, error: PeerError) -> None:
        """Hang up."""
        self._peer.abort(error)


class _Server:
    """Answers one peer's requests: data, or reject, at a bounded rate and in bounded memory."""

    __slots__ = (
        "_clock",
        "_left",
        "_limits",
        "_peer",
        "_refilled",
        "_served",
        "_timer",
        "_tokens",
        "_waiting",
        "info",
    )

    def __init__(self, peer: IPeerHandle, info: bytes | None, clock: Any, limits: Limits) -> None:
        self._peer = peer
        self.info = info
        self._clock = clock
        self._limits = limits
        self._tokens = float(limits.serve_burst)
        self._refilled: float | None = None
        self._waiting: deque[int] = deque()
        self._timer: Any = None
        #: Answers left in this turn of the reactor, and blocks given so far.
        self._left = _ROUND
        self._served = 0

    def asked(self, piece: int) -> None:
        """A request. Raises MalformedMessage for a flood of them."""
        waiting = self._waiting
        # As many as an honest peer could have outstanding, every block once.
        if len(waiting) >= max(self._limits.serve_burst, self._limits.max_metadata // BLOCK_SIZE):
            raise MalformedMessage("asks for more metadata blocks than there can be")
        waiting.append(piece)
        self.go_on()

    def go_on(self) -> None:
        """Answer what waits, as far as rate and transport let."""
        waiting = self._waiting
        if not waiting or self._timer is not None:
            return
        self._refill()
        while waiting and not self._peer.congested:
            if not self._left:
                # One packet may hold a thousand requests: what answers them is not all made at once.
                self._timer = self._clock.callLater(0, self._tick)
                return
            if self._tokens < 1.0:
                self._timer = self._clock.callLater(1.0 / self._limits.serve_rate, self._tick)
                return
            self._left -= 1
            self._tokens -= 1.0
            self._answer(waiting.popleft())

    def close(self) -> None:
        """Nothing more is answered."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        self._left = _ROUND
        self.go_on()

    def _refill(self) -> None:
        now: float = self._clock.seconds()
        if self._refilled is not None:
            gained = (now - self._refilled) * self._limits.serve_rate
            self._tokens = min(float(self._limits.serve_burst), self._tokens + gained)
        self._refilled = now

    def _answer(self, piece: int) -> None:
        info = self.info
        start = piece * BLOCK_SIZE
        if info is None or start >= len(info):
            self._peer.send(MetadataReject(piece).encode())
            return
        self._served += 1
        if self._served * BLOCK_SIZE <= 2 * len(info) + BLOCK_SIZE:
            # It fetches; one that asks for the same for ever need not be kept for it.
            self._peer.progress()
        self._peer.send(MetadataData(piece, len(info), info[start : start + BLOCK_SIZE]).encode())
