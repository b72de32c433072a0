"""ut_metadata (BEP 9), both ways, as an extension plugin: it uses the public interfaces alone.

What is fetched goes into an `IMetadataSink`, found by infohash; what is asked of us comes out of an
`IMetadataProvider`, at a bounded rate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from zope.interface import implementer

from functorrent.errors import NoMetadata, PeerError
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
from functorrent.peer.serving import BlockServer, ServingDesk, ServingStats
from functorrent.wire.extended import ExtendedHandshake
from functorrent.wire.handshake import Handshake
from functorrent.wire.metadata import NAME, MetadataData, MetadataReject, MetadataRequest, decode_metadata

_NAME = NAME.encode()
_NOTHING: Mapping[str, Any] = {}


@implementer(IPeerExtension)
class UtMetadata:
    """The extension, one for the process.

    `sink(infohash)` gives the IMetadataSink of a fetch that is on, or None; `provider` has what we
    can serve, or is None; `clock` is an IReactorTime for the rate of serving; what is served is
    counted in `stats`.
    """

    name = NAME

    def __init__(
        self,
        clock: Any,
        sink: Callable[[bytes], IMetadataSink | None] = lambda infohash: None,
        provider: IMetadataProvider | None = None,
        limits: Limits = DEFAULT_LIMITS,
        stats: ServingStats | None = None,
    ) -> None:
        self.sink = sink
        self.provider = provider
        self.desk = ServingDesk(clock, limits, stats)

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
        self._server: BlockServer | None = None
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
                server = self._server = BlockServer(self._peer, self._info, self._extension.desk)
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
