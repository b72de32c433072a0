"""The exchange of one magnet's metadata: what its peers are asked, and what they send (BEP 9).

The `MetadataAssembly` says what to ask of whom; the process's memory budget says when.
"""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from functorrent.fetch.budget import SMALL
from functorrent.fetch.core import FetchCore
from functorrent.interfaces import IMetadataRequester, IMetadataSink, PeerAddress
from functorrent.wire.assembly import MetadataAssembly
from functorrent.wire.whole import PATIENCE


@implementer(IMetadataSink)
class Exchange:
    """Takes in what all peers of one magnet send.

    `infohash`: bytes of 20. `verified(info_bytes)` is called once, with the whole that hashed right.
    """

    def __init__(self, infohash: bytes, core: FetchCore, verified: Callable[[bytes], None]) -> None:
        self.core = core
        self.over = False
        self.assembly = MetadataAssembly(infohash, core.limits, grew=self._grew)
        self._verified = verified
        self._requesters: list[IMetadataRequester] = []
        #: Blocks of use that an address gave on its last connection.
        self._useful: dict[PeerAddress, int] = {}
        self._paused = False
        self._asks_again = False

    # -- IMetadataSink -------------------------------------------------------------------------

    def offered(self, peer: IMetadataRequester, size: int, reqq: int | None) -> None:
        """A peer offers an info dictionary. Raises BadMetadataSize, CorruptMetadata."""
        origin = peer if getattr(peer, "inbound", False) else peer.address
        self.assembly.offer(peer, size, reqq, origin)
        if peer not in self._requesters:
            self._requesters.append(peer)
        if (size > SMALL or self._paused) and not self.core.budget.claim(self, size):
            self._paused = True
        self._ask(peer)

    def block(self, peer: IMetadataRequester, piece: int, block: bytes, total_size: int | None) -> None:
        """A block. Raises PeerError where the peer lies."""
        assembly = self.assembly
        whole = assembly.block(peer, piece, block, self.core.clock.seconds(), total_size)
        self.core.stats.blocks += 1
        self.core.stats.block_bytes += len(block)
        if whole:
            assert assembly.verified is not None
            self._verified(assembly.verified)
            return
        peer.progress()
        if assembly.parted:
            assembly.parted = False
            self._ask_all()
        else:
            self._ask(peer)

    def rejected(self, peer: IMetadataRequester, piece: int) -> None:
        """A reject. Raises MetadataRejected where the peer is of no more use."""
        before = self.assembly.outstanding(peer)
        self.assembly.reject(peer, piece)
        # One that was not asked for changes nothing, and may be one of thousands.
        if self.assembly.outstanding(peer) != before:
            self._ask_all()

    def lost(self, peer: IMetadataRequester) -> None:
        """A peer that had offered is gone."""
        if self.over:
            return
        useful = self.assembly.useful(peer)
        if useful:
            self._useful[peer.address] = useful
        self.assembly.lost(peer)
        if peer in self._requesters:
            self._requesters.remove(peer)
        self._ask_all()

    def _ask(self, peer: IMetadataRequester) -> None:
        """Ask a peer for what its window lets."""
        pieces = () if self._paused else self.assembly.next_requests(peer, self.core.clock.seconds())
        if pieces:
            peer.request(pieces)
        elif not self.assembly.outstanding(peer):
            peer.keep_open(self.core.limits.max_keep_open)
            if not self._paused and not self._asks_again:
                # Those asked before it may never answer.
                self._asks_again = True
                self.core.deadlines.set(self._ask_again, self.core.clock.seconds() + PATIENCE)

    def _ask_again(self) -> None:
        self._asks_again = False
        self._ask_all()

    def _ask_all(self) -> None:
        for peer in list(self._requesters):
            if self.over:
                return
            self._ask(peer)

    # -- memory: a Holder of the budget --------------------------------------------------------

    def _grew(self, change: int) -> None:
        self.core.budget.changed(self, change)

    def completeness(self) -> float:
        """How near to its end it is, 0 to 1."""
        return self.assembly.completeness

    def give_way(self) -> None:
        """Let go of every block, and ask for none until `resume`."""
        self._paused = True
        self.assembly.give_way()

    def resume(self) -> None:
        """There is room again."""
        self._paused = False
        self._ask_all()

    # -- the end -------------------------------------------------------------------------------

    def useful(self, address: PeerAddress) -> int:
        """How many blocks of use the connection to this address gave that was lost last; asked once."""
        return self._useful.pop(address, 0)

    def close(self) -> None:
        """Nothing is asked or taken any more."""
        self.over = True
        if self._asks_again:
            self.core.deadlines.clear(self._ask_again)
        if self.assembly.verified is None:
            self.assembly.close()
        # What refers to each other waits for the collector; a bulk fetch is quicker without it.
        self.assembly.verified = None
        self._verified = _nothing
        self._requesters.clear()
        self.core.budget.forget(self)


def _nothing(info_bytes: bytes) -> None:
    """Takes the place of who was told: the exchange is over."""
