"""The inbound listener: peers that call us, bounded in number and time (BEP 3).

Many seeders sit behind NAT and can only call. A session starts without an infohash; the peer's
handshake decides: a fetch that is on, else something we can serve, at once or after a look-up, else the
connection is closed.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface, implementer

from functorrent.deadlines import Deadlines
from functorrent.errors import FunctorrentError, NotBitTorrent, PeerClosed, PeerError, WrongInfohash
from functorrent.interfaces import IMetadataLibrary, PeerAddress
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.peer.dispatch import ExtensionTable
from functorrent.peer.places import Places
from functorrent.peer.protocol import IPeerOwner, PeerProtocol
from functorrent.peer.serving import ServingStats
from functorrent.peer.shelf import Shelf
from functorrent.wire.handshake import Handshake
from functorrent.wire.metadata import BLOCK_SIZE


class ICalledFor(Interface):
    """A fetch that takes peers which call us."""

    peer_id: bytes = Attribute("Our peer id for its torrent (bytes of 20).")

    def peer_joined(peer: PeerProtocol) -> None:
        """Takes the connection over as its owner (`peer.owner`). Raises PeerError if it will not."""


@implementer(IPeerOwner)
class PeerListener(ServerFactory):
    """Builds a `PeerProtocol` for each caller.

    `wanted(infohash)` gives the ICalledFor of a fetch that is on, or None. What can be served at once
    is on the `shelf`, what has to be looked up in the `library`; `peer_id(infohash)` is who we are then.
    What becomes of callers is counted in `stats`.
    """

    noisy = False
    log = Logger()

    def __init__(
        self,
        clock: Any,
        deadlines: Deadlines,
        table: ExtensionTable,
        wanted: Any,
        peer_id: Any,
        shelf: Shelf | None = None,
        limits: Limits = DEFAULT_LIMITS,
        *,
        library: IMetadataLibrary | None = None,
        stats: ServingStats | None = None,
    ) -> None:
        self.clock = clock
        self.deadlines = deadlines
        self.table = table
        self.limits = limits
        self.stats = stats or ServingStats()
        self._wanted = wanted
        self._peer_id = peer_id
        self._shelf = shelf or Shelf(clock, limits=limits)
        self._library = library
        #: Callers that we have not answered, and those we serve; those that fetches have are theirs.
        self._strangers: set[PeerProtocol] = set()
        self._serving: set[PeerProtocol] = set()
        self._looking: dict[PeerProtocol, Deferred[bytes | None]] = {}
        #: What callers have asked for that is being looked up.
        self._asked: dict[PeerProtocol, bytes] = {}
        self._pending = Places(limits.max_pending_inbound)
        self._places = Places(limits.max_inbound)

    # -- callers come and go -------------------------------------------------------------------

    def buildProtocol(self, addr: IAddress | None) -> PeerProtocol | None:
        """A protocol for a caller; None (Twisted hangs up) when there are too many, of all or of its own."""
        # A listener for both families names an IPv4 caller by its mapped address.
        host = str(getattr(addr, "host", "")).removeprefix("::ffff:")
        if not self._pending.take(host):
            self.stats.turned_away += 1
            return None
        if not self._places.take(host):
            self._pending.leave(host)
            self.stats.turned_away += 1
            return None
        address = PeerAddress(host, int(getattr(addr, "port", 0)))
        peer = PeerProtocol(self, self.table, address, limits=self.limits)
        peer.factory = self
        peer.on_end = self._gone
        self._strangers.add(peer)
        self.stats.callers += 1
        self._count()
        return peer

    def _known(self, peer: PeerProtocol) -> None:
        """It is no stranger any more."""
        if peer in self._strangers:
            self._strangers.discard(peer)
            self._pending.leave(peer.address.host)

    def _gone(self, peer: PeerProtocol) -> None:
        """It has hung up, or was hung up on."""
        self._asked.pop(peer, None)
        looked_up = self._looking.pop(peer, None)
        if looked_up is not None:
            # Where it has not hung up itself, its time is over.
            self.stats.failed += peer.error is not None
            try:
                looked_up.cancel()
            except Exception:
                self.log.failure("a look-up could not be cancelled")
        self._known(peer)
        self._serving.discard(peer)
        self._shelf.leave(peer)
        self._places.leave(peer.address.host)
        self._count()

    def _count(self) -> None:
        stats = self.stats
        stats.pending, stats.serving = len(self._strangers), len(self._serving)
        stats.connections = self._places.used

    # -- what they want ------------------------------------------------------------------------

    def peer_called(self, peer: PeerProtocol, handshake: Handshake) -> tuple[bytes, bytes] | None:
        """The caller names its torrent: hand it to the fetch, or serve it, or look it up, or refuse."""
        answer = self._joins(peer, handshake)
        if answer is not None:
            return answer
        try:
            info = self._shelf.take(peer, handshake.infohash)
        except Exception:
            self.log.failure("what can be served could not be looked up")
            info = None
        if info is not None:
            return self._serve(peer, handshake.infohash, info)
        if self._library is None:
            raise self._unknown()
        return self._look_up(self._library, peer, handshake)

    def _joins(self, peer: PeerProtocol, handshake: Handshake) -> tuple[bytes, bytes] | None:
        """Hand it to the fetch that is on, if there is one."""
        infohash = handshake.infohash
        fetch = self._wanted(infohash)
        if fetch is None:
            return None
        if handshake.peer_id != fetch.peer_id:
            try:
                fetch.peer_joined(peer)
            except PeerError:
                self.stats.turned_away += 1
                raise
            self.stats.joined += 1
        # Else it is the other end of one of our own dials: that end counts it.
        self._known(peer)
        self._count()
        return infohash, fetch.peer_id

    def _serve(self, peer: PeerProtocol, infohash: bytes, info: bytes) -> tuple[bytes, bytes]:
        self._known(peer)
        self._serving.add(peer)
        self._count()
        peer.serve_only(-(-len(info) // BLOCK_SIZE))
        self._tune(peer.transport)
        return infohash, self._peer_id(infohash)

    def _tune(self, transport: Any) -> None:
        """Let the kernel keep no more than needed for one that does not read."""
        sock = transport.getHandle() if hasattr(transport, "getHandle") else None
        if not isinstance(sock, socket.socket):
            return
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.limits.serve_send_buffer)
            if sock.family != socket.AF_UNIX:
                # The end of a block is not to wait for what the peer says to its beginning.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            # The peer was quicker; the reactor hears of it by itself.
            pass

    def _unknown(self) -> PeerError:
        self.stats.unknown += 1
        return WrongInfohash("asks for a torrent we neither fetch nor have")

    # -- look-ups ------------------------------------------------------------------------------

    def _look_up(
        self, library: IMetadataLibrary, peer: PeerProtocol, handshake: Handshake
    ) -> tuple[bytes, bytes] | None:
        """Ask the library; None where it takes a while."""
        found: list[Any] = []
        waits = False
        self._asked[peer] = handshake.infohash

        def told(result: Any) -> None:
            if waits:
                self._looked_up(peer, handshake, result)
            else:
                found.append(result)

        try:
            looked_up = library.look_up(handshake.infohash, peer.address)
            looked_up.addBoth(told)
        except Exception:
            found.append(Failure())
        if found:
            return self._judge(peer, handshake, found[0])
        waits = True
        self._looking[peer] = looked_up
        return None

    def _looked_up(self, peer: PeerProtocol, handshake: Handshake, result: Any) -> None:
        """The library's answer, later."""
        if peer.over:
            # It was cancelled for that.
            return
        self._looking.pop(peer, None)
        try:
            answer = self._judge(peer, handshake, result)
        except PeerError as error:
            peer.abort(error)
        else:
            peer.answer_call(*answer)

    def expects(self, infohash: bytes) -> bool:
        """Whether somebody has called for this torrent, and is not answered yet: a fetch that the look-up
        has begun has that one to wait for."""
        return infohash in self._asked.values()

    def _judge(self, peer: PeerProtocol, handshake: Handshake, result: Any) -> tuple[bytes, bytes]:
        """Serve what was found, or hand the caller to the fetch that has begun meanwhile, or refuse."""
        self._asked.pop(peer, None)
        infohash = handshake.infohash
        if isinstance(result, bytes):
            if self._shelf.put(peer, infohash, result):
                return self._serve(peer, infohash, result)
            self.stats.turned_away += 1
            raise PeerClosed("no memory is left to serve it")
        if result is None:
            answer = self._joins(peer, handshake)
            if answer is None:
                raise self._unknown()
            return answer
        self.stats.failed += 1
        if not isinstance(result, Failure):
            self.log.error("the library gave {it!r:.100}, not bytes", it=result)
        elif not isinstance(result.value, FunctorrentError):
            self.log.failure("the library failed", failure=result)
        raise PeerClosed("asks for a torrent that could not be looked up")

    # -- the rest of IPeerOwner ----------------------------------------------------------------

    def peer_ready(self, peer: PeerProtocol) -> None:
        """Nothing to do for a peer that is only served."""

    def is_lone(self, peer: PeerProtocol) -> bool:
        """Who is only served has no patience to claim."""
        return False

    def peer_lacks(self, peer: PeerProtocol) -> bool:
        """Who is only served need not have the metadata; nothing is wanted of it."""
        return False

    def peer_offers(self, peer: PeerProtocol) -> None:
        """Nothing is wanted of it."""

    def peer_ended(self, peer: PeerProtocol, error: PeerError | None) -> None:
        """It is forgotten already; what it began with is counted."""
        if isinstance(error, NotBitTorrent):
            self.stats.not_bittorrent += 1

    def close(self) -> None:
        """Hang up on every caller that no fetch has taken over."""
        for peer in [*self._strangers, *self._serving]:
            peer.abort(None)
