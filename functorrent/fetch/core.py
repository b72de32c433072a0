"""What all fetches of a process share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from functorrent.addresses import AddressGuard
from functorrent.deadlines import Deadlines
from functorrent.fetch.budget import MemoryBudget
from functorrent.fetch.dialer import Dialer
from functorrent.fetch.identity import Identity
from functorrent.fetch.settings import FetchSettings
from functorrent.interfaces import IPeerSource, IResolver, PeerAddress
from functorrent.limits import Limits
from functorrent.peer.dispatch import ExtensionTable

if TYPE_CHECKING:
    from functorrent.fetch.factory import MetadataClientFactory

#: Where our own listener is known to be reachable.
_OWN_HOSTS = frozenset(("127.0.0.1", "::1"))


@dataclass(slots=True)
class Stats:
    """Counters of a process, for progress displays."""

    fetches: int = 0
    fetched: int = 0
    failed: int = 0
    peers_found: int = 0
    peers_tried: int = 0
    peers_connected: int = 0
    blocks: int = 0


class Pace:
    """How quickly peers that are of use answer here: from dial to handshake, smoothed (seconds)."""

    __slots__ = ("_most", "_smoothed")

    def __init__(self, most: float) -> None:
        self._most = most
        self._smoothed: float | None = None

    def answered(self, seconds: float) -> None:
        """A peer's handshake came so long after its dial."""
        before = self._smoothed
        self._smoothed = seconds if before is None else before + (seconds - before) / 8

    @property
    def patience(self) -> float:
        """How long a magnet with nothing but unanswered dials keeps its slot.

        At most `Limits.slot_patience`; where peers answer at once (a LAN, a seedbox) there is no
        reason to let dead magnets hold live ones up for so long.
        """
        if self._smoothed is None:
            return self._most
        return min(self._most, max(0.05, 8 * self._smoothed))


@dataclass
class FetchCore:
    """Clock, dialer, sources and tables shared by all fetches; `fetches` is those that are on."""

    reactor: Any
    #: The reactor's IReactorFDSet for connections to peers, or quicker than it.
    pollset: Any
    clock: Any
    deadlines: Deadlines
    #: For slots, which are given up sooner.
    patiences: Deadlines
    settings: FetchSettings
    limits: Limits
    guard: AddressGuard
    resolver: IResolver
    identity: Identity
    table: ExtensionTable
    dialer: Dialer
    budget: MemoryBudget
    pace: Pace
    sources: Sequence[IPeerSource] = ()
    stats: Stats = field(default_factory=Stats)
    fetches: dict[bytes, MetadataClientFactory] = field(default_factory=dict)
    #: `settings.peers`, resolved.
    extra_peers: tuple[PeerAddress, ...] = ()

    def is_self(self, address: PeerAddress) -> bool:
        """Whether an address is our own listener's (a tracker names us to ourselves)."""
        return address.port == self.identity.port and address.host in _OWN_HOSTS
