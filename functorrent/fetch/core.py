"""What all fetches of a process share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from functorrent.addresses import AddressGuard
from functorrent.deadlines import Deadlines
from functorrent.fetch.budget import MemoryBudget
from functorrent.fetch.dialer import Dialer
from functorrent.fetch.identity import Identity
from functorrent.fetch.patience import Patience
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
    """Counters of a process, for progress displays and metrics; blocks are metadata blocks of use."""

    fetches: int = 0
    fetched: int = 0
    failed: int = 0
    peers_found: int = 0
    peers_tried: int = 0
    peers_connected: int = 0
    blocks: int = 0
    block_bytes: int = 0


@dataclass
class FetchCore:
    """Clock, dialer, sources and tables shared by all fetches; `fetches` is those that are on."""

    reactor: Any
    #: The reactor's IReactorFDSet for connections to peers, or quicker than it.
    pollset: Any
    clock: Any
    deadlines: Deadlines
    patience: Patience
    settings: FetchSettings
    limits: Limits
    guard: AddressGuard
    resolver: IResolver
    identity: Identity
    table: ExtensionTable
    dialer: Dialer
    budget: MemoryBudget
    sources: Sequence[IPeerSource] = ()
    stats: Stats = field(default_factory=Stats)
    fetches: dict[bytes, MetadataClientFactory] = field(default_factory=dict)
    #: `settings.peers`, resolved.
    extra_peers: tuple[PeerAddress, ...] = ()
    #: Whether a peer has called for a torrent, and is about to be handed over.
    expects: Callable[[bytes], bool] = lambda infohash: False

    def is_self(self, address: PeerAddress) -> bool:
        """Whether an address is our own listener's (a tracker names us to ourselves)."""
        return address.port == self.identity.port and address.host in _OWN_HOSTS
