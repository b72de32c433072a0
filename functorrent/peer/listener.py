"""The inbound listener: peers that call us, bounded in number and time (BEP 3).

Many seeders sit behind NAT and can only call. A session starts without an infohash; the peer's
handshake decides: a fetch that is on, else something we can serve, else the connection is closed.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from zope.interface import Attribute, Interface, implementer

from functorrent.deadlines import Deadlines
from functorrent.errors import PeerError, WrongInfohash
from functorrent.interfaces import IMetadataProvider, PeerAddress
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.peer.dispatch import ExtensionTable
from functorrent.peer.protocol import IPeerOwner, PeerProtocol
from functorrent.wire.handshake import Handshake


class ICalledFor(Interface):
    """A fetch that takes peers which call us."""

    peer_id: bytes = Attribute("Our peer id for its torrent (bytes of 20).")

    def peer_joined(peer: PeerProtocol) -> None:
        """Takes the connection over as its owner (`peer.owner`). Raises PeerError if it will not."""


@implementer(IPeerOwner)
class PeerListener(ServerFactory):
    """Builds a `PeerProtocol` for each caller.

    `wanted(infohash)` gives the ICalledFor of a fetch that is on, or None. `provider` says what can
    be served (with `peer_id(infohash)` as who we are), or is None.
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
        provider: IMetadataProvider | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.clock = clock
        self.deadlines = deadlines
        self.table = table
        self.limits = limits
        self._wanted = wanted
        self._peer_id = peer_id
        self._provider = provider
        #: Callers that have not named a torrent, those we serve, and those that fetches have.
        self._strangers: set[PeerProtocol] = set()
        self._serving: set[PeerProtocol] = set()
        self._joined: set[PeerProtocol] = set()

    def buildProtocol(self, addr: IAddress | None) -> PeerProtocol | None:
        """A protocol for a caller; None (Twisted hangs up) when there are too many."""
        if (
            len(self._strangers) >= self.limits.max_pending_inbound
            or len(self._strangers) + len(self._serving) + len(self._joined) >= self.limits.max_inbound
        ):
            return None
        # A listener for both families names an IPv4 caller by its mapped address.
        host = str(getattr(addr, "host", "")).removeprefix("::ffff:")
        address = PeerAddress(host, int(getattr(addr, "port", 0)))
        peer = PeerProtocol(self, self.table, address, limits=self.limits)
        peer.factory = self
        self._strangers.add(peer)
        return peer

    def peer_called(self, peer: PeerProtocol, handshake: Handshake) -> tuple[bytes, bytes]:
        """The caller names its torrent: hand it to the fetch, or serve it, or refuse."""
        infohash = handshake.infohash
        self._strangers.discard(peer)
        fetch = self._wanted(infohash)
        if fetch is not None:
            if handshake.peer_id == fetch.peer_id:
                # The other end of one of our own dials: that end counts it.
                self._serving.add(peer)
            else:
                fetch.peer_joined(peer)
                self._joined.add(peer)
                peer.on_end = self._joined.discard
            return infohash, fetch.peer_id
        if self._has(infohash):
            self._serving.add(peer)
            return infohash, self._peer_id(infohash)
        raise WrongInfohash("asks for a torrent we neither fetch nor have")

    def _has(self, infohash: bytes) -> bool:
        try:
            return self._provider is not None and self._provider.info_bytes(infohash) is not None
        except Exception:
            self.log.failure("what can be served could not be looked up")
            return False

    def peer_ready(self, peer: PeerProtocol) -> None:
        """Nothing to do for a peer that is only served."""

    def is_lone(self, peer: PeerProtocol) -> bool:
        """Who is only served has no patience to claim."""
        return False

    def peer_ended(self, peer: PeerProtocol, error: PeerError | None) -> None:
        """Forget it."""
        self._strangers.discard(peer)
        self._serving.discard(peer)

    def close(self) -> None:
        """Hang up on every caller that no fetch has taken over."""
        for peer in [*self._strangers, *self._serving]:
            peer.abort(None)
