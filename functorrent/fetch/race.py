"""The race for one magnet: its peers are dialed, the first verified whole wins (DESIGN section 4).

Everything that becomes of a peer ends here as exactly one outcome. The race knows no sources and no
clock of its own deadline: `MetadataClientFactory` drives it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure
from zope.interface import implementer

from functorrent.errors import (
    PEER_OUTCOMES,
    AddressNotAllowed,
    MetadataRejected,
    PeerClosed,
    PeerError,
    PeerSilent,
    PeerStalled,
)
from functorrent.fetch.core import FetchCore
from functorrent.fetch.exchange import Exchange
from functorrent.fetch.report import empty_counts
from functorrent.infohash import matches
from functorrent.interfaces import IPeerExchangeSink, PeerAddress
from functorrent.peer.connection import PeerConnection
from functorrent.peer.listener import ICalledFor
from functorrent.peer.protocol import IPeerOwner, PeerProtocol
from functorrent.wire.handshake import Handshake

if TYPE_CHECKING:
    from functorrent.fetch.factory import MetadataClientFactory

#: Callers one magnet takes beside the peers it dials.
_MAX_CALLERS = 20
#: Seconds before peers that hung up on us, or never spoke, are tried once more.
_BREATH = 0.5
#: Hosts looked at for one that may be dialed now.
_LOOK_AHEAD = 32
#: How often a peer that gave blocks and went is called back. One that hangs up after every four blocks of
#: the largest info dictionary needs as many; one that lies each time anew must not keep us at it.
_MAX_REDIALS = 512


@implementer(IPeerExchangeSink, IPeerOwner, ICalledFor)
class Race:
    """All peers of one magnet.

    `infohash`: bytes of 20. `changed()` is called when a dial or a connection ended;
    `verified(info_bytes)` once, with the whole that hashed right.
    """

    def __init__(
        self,
        infohash: bytes,
        core: FetchCore,
        factory: MetadataClientFactory,
        changed: Callable[[], None],
        verified: Callable[[bytes], None],
    ) -> None:
        self.infohash = infohash
        self.core = core
        self.clock = core.clock
        self.deadlines = core.deadlines
        self.peer_id = core.identity.peer_id(infohash)
        self.counts = empty_counts()
        self.over = False
        #: Connections whose handshake is done, but for peers that lack the metadata and are kept open.
        self.exchanging = 0
        #: Lookups of sources that are on; whoever starts them puts them here.
        self.lookups: Collection[Any] = ()
        #: Of the peers found: those that called us, and those refused as local addresses.
        self.called = 0
        self.local = 0
        self.exchange = Exchange(infohash, core, self._whole)
        self._factory: MetadataClientFactory | None = factory
        self._changed = changed
        self._verified = verified
        self._known: set[PeerAddress] = set()
        self._candidates: deque[PeerAddress] = deque()
        #: Those that peers named, for when there is no candidate left; and how many there were.
        self._hearsay: deque[PeerAddress] = deque()
        self.heard = 0
        #: Local addresses that strangers named: refused, until somebody names them who may.
        self._not_trusted: set[PeerAddress] = set()
        self._dials: dict[PeerAddress, tuple[PeerConnection, float]] = {}
        self._peers: dict[PeerProtocol, float] = {}
        self._ready: set[PeerProtocol] = set()
        #: Those of them that lack the metadata.
        self._lacking: set[PeerProtocol] = set()
        self._callers = 0
        #: How often an address was called back.
        self._redials: dict[PeerAddress, int] = {}
        #: Peers to be tried once more when nobody else is left, with the outcome of their first try.
        self._again: dict[PeerAddress, str] = {}
        self._tried_again: set[PeerAddress] = set()

    # -- IPeerSink -----------------------------------------------------------------------------

    def peers(
        self,
        addresses: Iterable[PeerAddress],
        *,
        hearsay: bool = False,
        on_link: bool = False,
        trusted: bool = False,
    ) -> None:
        """Further peers. `trusted`: the user typed them."""
        if self.over:
            return
        known, core = self._known, self.core
        check = core.guard.check
        our_port = core.identity.port
        trusted = trusted or on_link
        candidates = self._hearsay if hearsay else self._candidates
        for address in addresses:
            if address in known:
                if not hearsay and (self._hearsay or self._not_trusted):
                    self._better_known(address, trusted)
                continue
            if len(known) >= core.limits.max_candidates:
                break
            if hearsay:
                if self.heard >= core.limits.max_hearsay:
                    break
                self.heard += 1
            known.add(address)
            self.counts["found"] += 1
            core.stats.peers_found += 1
            if address.port == our_port and core.is_self(address):
                self.counts["self"] += 1
                continue
            try:
                check(address.host, address.port, trusted=trusted)
            except AddressNotAllowed as error:
                if self._not_allowed(error):
                    self._not_trusted.add(address)
                continue
            candidates.append(address)
        if self._candidates or self._hearsay:
            core.dialer.want(self)

    def _better_known(self, address: PeerAddress, trusted: bool) -> None:
        """One that was named before is named again, by somebody whose word counts for more."""
        if address in self._hearsay:
            self._hearsay.remove(address)
        elif trusted and address in self._not_trusted:
            self._not_trusted.discard(address)
            self.counts["not_allowed"] -= 1
            self.local -= 1
        else:
            return
        self._candidates.append(address)

    def whole(self, info_bytes: bytes) -> bool:
        """A whole info dictionary, from elsewhere than a peer; its hash decides."""
        if self.over or not matches(self.infohash, info_bytes):
            return False
        self._verified(info_bytes)
        return True

    def not_allowed(self, error: AddressNotAllowed) -> None:
        """A peer was named that may not be dialed."""
        self.counts["found"] += 1
        self._not_allowed(error)

    def _not_allowed(self, error: AddressNotAllowed) -> bool:
        """Count it; returns whether it is one that may be dialed if somebody we trust names it."""
        local = "--allow-local" in error.why
        self.counts["not_allowed"] += 1
        self.local += local
        return local

    def unreachable(self) -> None:
        """A peer was named that has no address."""
        self.counts["found"] += 1
        self.counts["unreachable"] += 1

    # -- what the dialer calls -----------------------------------------------------------------

    def wants_dial(self) -> bool:
        """Whether there is a peer to dial now."""
        return (
            bool(self._candidates or self._hearsay)
            and not self.over
            and len(self._dials) + len(self._peers) - len(self._lacking) < self.core.dialer.share
        )

    def next_dial(self, allowed: Callable[[str, Any], bool]) -> PeerAddress | None:
        """Take the next peer whose host may be dialed now."""
        if not self.wants_dial():
            return None
        candidates = self._candidates or self._hearsay
        refused: set[str] = set()
        for _ in range(len(candidates)):
            address = candidates.popleft()
            if address.host not in refused:
                if allowed(address.host, self):
                    return address
                refused.add(address.host)
            candidates.append(address)
            if len(refused) >= _LOOK_AHEAD:
                break
        return None

    def dial(self, address: PeerAddress, timeout: float) -> None:
        """Dial a peer; it answers to the factory."""
        core = self.core
        now = self.clock.seconds()
        most, waiting = core.limits.max_peers_per_magnet, len(self._candidates) + len(self._hearsay)
        if waiting > most:
            # Many wait for this one's place.
            timeout = max(core.limits.connect_timeout_min, timeout * most / waiting)
        core.stats.peers_tried += 1
        connection = PeerConnection(core.pollset, address.host, address.port, self._factory)
        self._dials[address] = (connection, now)
        self.deadlines.set(connection.time_out, now + timeout)
        connection.connect()

    def dial_failed(self, address: PeerAddress, reason: Failure) -> None:
        """A dial came to nothing."""
        dial = self._dials.pop(address, None)
        if dial is None:
            return
        self.deadlines.clear(dial[0].time_out)
        outcome = self.core.dialer.failed(address, reason)
        if self.over:
            return
        if outcome is None:
            self._candidates.appendleft(address)
            self.core.dialer.want(self)
            return
        self.counts[outcome] += 1
        self._after_end()

    def dial_answered(self, address: PeerAddress, peer: PeerProtocol) -> None:
        """A dial was accepted; `peer` is the connection."""
        if address in self._tried_again:
            peer.handshake_timeout = self.core.limits.second_handshake_timeout
        dial = self._dials.pop(address, None)
        if dial is None:
            # Dialed by somebody else, with our factory.
            self.counts["found"] += 1
            self.core.stats.peers_found += 1
            self.core.dialer.sockets += 1
            self._peers[peer] = self.clock.seconds()
        else:
            connection, self._peers[peer] = dial
            self.deadlines.clear(connection.time_out)
        self.core.stats.peers_connected += 1
        self.core.dialer.answered(address)

    # -- IPeerOwner, ICalledFor ----------------------------------------------------------------

    def peer_joined(self, peer: PeerProtocol) -> None:
        """A peer that called us wants this torrent: it runs with the others."""
        if self.over or self._callers >= _MAX_CALLERS:
            raise PeerClosed("has called where no more callers are taken")
        self._callers += 1
        self.called += 1
        self.counts["found"] += 1
        self.core.stats.peers_found += 1
        self._peers[peer] = self.clock.seconds()
        peer.owner = self

    def peer_called(self, peer: PeerProtocol, handshake: Handshake) -> tuple[bytes, bytes]:
        """A caller that a race owns has said its handshake already."""
        raise PeerClosed("greets twice")

    def peer_ready(self, peer: PeerProtocol) -> None:
        """Both handshakes are done."""
        self._ready.add(peer)
        self._count()
        if not peer.inbound:
            self.core.patience.answered(self.clock.seconds() - self._peers[peer])

    def is_lone(self, peer: PeerProtocol) -> bool:
        """Whether no other peer is left to take its place."""
        return (
            not (self._candidates or self._hearsay or self._dials)
            and len(self._peers) - len(self._lacking) == 1
        )

    def peer_lacks(self, peer: PeerProtocol) -> bool:
        """A peer may stay without the metadata while sockets are plenty: those who may have it go first."""
        if self.core.dialer.share < self.core.limits.max_peers_per_magnet:
            return False
        if peer not in self._lacking and not self.over:
            self._lacking.add(peer)
            self._count()
            self._after_end()
        return True

    def peer_offers(self, peer: PeerProtocol) -> None:
        """It has the metadata now."""
        self._lacking.discard(peer)
        self._count()

    def _count(self) -> None:
        self.exchanging = len(self._ready) - len(self._lacking)

    def peer_ended(self, peer: PeerProtocol, error: PeerError | None) -> None:
        """A connection is over."""
        if self._peers.pop(peer, None) is None:
            return
        greeted = peer in self._ready
        self._ready.discard(peer)
        self._lacking.discard(peer)
        self._count()
        if peer.inbound:
            self._callers -= 1
        else:
            self.core.dialer.closed()
        if self.over:
            return
        useful = self.exchange.useful(peer.address)
        left = isinstance(error, (PeerClosed, PeerStalled, MetadataRejected))
        if useful and left and self._may_redial(peer):
            # It gave blocks before it went: what is missing may be had by coming back.
            self._candidates.append(peer.address)
        elif (
            not greeted
            and not peer.inbound
            and isinstance(error, (PeerClosed, PeerSilent))
            and peer.address not in self._tried_again
        ):
            # A seeder that too many call at once drops some of them.
            self._again[peer.address] = error.outcome
        else:
            outcome = error.outcome if error is not None else "cancelled"
            # A plugin's error may have a word of its own.
            self.counts[outcome if outcome in PEER_OUTCOMES else PeerError.outcome] += 1
        self._after_end()

    def _may_redial(self, peer: PeerProtocol) -> bool:
        if peer.inbound:
            return False
        before = self._redials.get(peer.address, 0)
        self._redials[peer.address] = before + 1
        return before < _MAX_REDIALS

    def _whole(self, info_bytes: bytes) -> None:
        """The exchange has ended well."""
        self.counts["fetched"] += 1
        self._verified(info_bytes)

    # -- the end -------------------------------------------------------------------------------

    @property
    def hungry(self) -> bool:
        """Whether every peer so far was tried in vain."""
        return not (self._candidates or self._hearsay or self._dials or self._again) and len(
            self._peers
        ) == len(self._lacking)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left but peers without metadata that are kept open."""
        return self.hungry and not self.lookups

    @property
    def idle(self) -> bool:
        """Whether no peer is left that could still be of use."""
        return not (self._candidates or self._hearsay or self._dials or self._peers or self._again)

    def close(self, *, timed_out: bool = False) -> None:
        """Hang up on everybody; who had no outcome yet counts as cancelled.

        `timed_out`: they had all the time there was, so they count as those who did not use it.
        """
        if self.over:
            return
        self.over = True
        dialer, counts = self.core.dialer, self.counts
        dialer.forget(self)
        counts["cancelled"] += len(self._candidates) + len(self._hearsay)
        waiting = len(self._dials) + len(self._peers) - len(self._ready)
        counts["timed_out" if timed_out else "cancelled"] += waiting
        counts["no_metadata"] += len(self._lacking)
        counts["stalled" if timed_out else "cancelled"] += len(self._ready) - len(self._lacking)
        if counts["fetched"]:
            # The winner's connection is among them.
            counts["cancelled"] -= 1
        self._candidates.clear()
        self._hearsay.clear()
        self.deadlines.clear(self._try_again)
        for outcome in self._again.values():
            counts[outcome] += 1
        self._again.clear()
        dials, self._dials = self._dials, {}
        for address, (connection, _) in dials.items():
            dialer.given_up(address)
            self.deadlines.clear(connection.time_out)
            connection.disconnect()
        self.exchange.close()
        for peer in list(self._peers):
            peer.abort(None)
        # What refers to each other waits for the collector; a bulk fetch is quicker without it.
        self._factory = None
        self.lookups = ()
        self._changed = self._verified = _nothing

    def _after_end(self) -> None:
        if self._candidates or self._hearsay:
            self.core.dialer.want(self)
        elif self._again and not self._dials and len(self._peers) == len(self._lacking):
            self.deadlines.set(self._try_again, self.clock.seconds() + _BREATH)
        self._changed()

    def _try_again(self) -> None:
        """Nobody else is left: dial once more who was there but did not speak."""
        self._tried_again.update(self._again)
        self._candidates.extend(self._again)
        self._again.clear()
        self.core.dialer.want(self)


def _nothing(*_: object) -> None:
    """Takes the place of who was told: the race is over."""
