"""What the lookups of all magnets share: clients, memory, resolved names, and who is to hear `stopped`."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from twisted.internet.defer import Deferred

from functorrent.addresses import AddressGuard
from functorrent.errors import AddressNotAllowed
from functorrent.interfaces import SourceContext
from functorrent.sources.tracker.address import Tracker
from functorrent.sources.tracker.announce import NO_PORT, Announce
from functorrent.sources.tracker.hedges import Hedges
from functorrent.sources.tracker.http import HttpTrackers
from functorrent.sources.tracker.lookup import Lookup
from functorrent.sources.tracker.memory import Memory
from functorrent.sources.tracker.tiers import Plans
from functorrent.sources.tracker.udp import UdpTrackers
from functorrent.sources.tracker.udp_server import UdpServer

#: UDP trackers whose addresses are kept at hand.
_MAX_RESOLVED = 10_000


class Desk:
    """One for the process; made by `TrackerSource`."""

    def __init__(self, context: SourceContext, trusted: frozenset[str]) -> None:
        self.clock: Any = context.clock
        self.limits = context.limits
        self.plans = Plans(context.limits, trusted)
        self.udp = UdpTrackers(context.reactor, context.clock, context.limits)
        self.http = HttpTrackers(context.agent, context.clock, context.limits)
        self.memory = Memory(context.limits)
        self.hedges = Hedges(context.clock, context.limits.http_hedge)
        #: Those under way.
        self.lookups: set[Lookup] = set()
        self._guard: AddressGuard = context.guard
        self._resolver = context.resolver
        self._identity = context.identity
        self._resolved: OrderedDict[Tracker, tuple[float, list[UdpServer]]] = OrderedDict()
        self._started: OrderedDict[bytes, list[tuple[UdpServer | None, Announce]]] = OrderedDict()

    def announce(self, tracker: Tracker, infohash: bytes) -> Announce:
        """What to tell a tracker now; our port may be another one by the next."""
        identity = self._identity
        port = identity.port or NO_PORT
        tracker_id = None if tracker.scheme == "udp" else self.memory.tracker_id(tracker.url, infohash)
        return Announce(tracker, infohash, identity.peer_id(infohash), port, identity.key, tracker_id)

    # -- the servers behind a UDP tracker's name -----------------------------------------------

    def servers(self, tracker: Tracker) -> list[UdpServer] | None:
        """The servers to ask, one for each family, where the name was resolved lately."""
        kept = self._resolved.get(tracker)
        now = self.clock.seconds()
        if kept is None or kept[0] <= now:
            return None
        return kept[1] if len(kept[1]) == 1 else _one_of_each_family(kept[1], now)

    def resolve(self, tracker: Tracker) -> Deferred[list[UdpServer]]:
        """The same, by resolving it. Fails with NameNotResolved or AddressNotAllowed."""
        found = self._resolver.resolve(tracker.host, trusted=tracker.trusted)
        return found.addCallback(self._keep, tracker)

    def _keep(self, addresses: list[str], tracker: Tracker) -> list[UdpServer]:
        servers = []
        refused: AddressNotAllowed | None = None
        for address in addresses:
            try:
                self._guard.check(address, tracker.port, trusted=tracker.trusted)
            except AddressNotAllowed as error:
                refused = refused or error
            else:
                servers.append(self.udp.server(address, tracker.port))
        if not servers:
            raise refused or AddressNotAllowed(tracker.host, "without an address")
        now = self.clock.seconds()
        self._resolved[tracker] = (now + self.limits.resolve_ttl, servers)
        if len(self._resolved) > _MAX_RESOLVED:
            self._resolved.popitem(last=False)
        return _one_of_each_family(servers, now)

    # -- who was told that we take part --------------------------------------------------------

    def started(self, server: UdpServer | None, announce: Announce) -> None:
        """A tracker accepted our `started`, so it is owed a `stopped`."""
        self._started.setdefault(announce.infohash, []).append((server, announce))
        if len(self._started) > self.limits.remembered_announces:
            self._started.popitem(last=False)

    def ended(self, infohash: bytes) -> None:
        """Send the `stopped` of this torrent."""
        for server, announce in self._started.pop(infohash, ()):
            if server is None:
                self.http.stopped(announce)
            else:
                self.udp.stopped(server, announce)

    def all_ended(self) -> None:
        """Send every `stopped` that is still owed."""
        for infohash in list(self._started):
            self.ended(infohash)


def _one_of_each_family(servers: list[UdpServer], now: float) -> list[UdpServer]:
    """The first of each family that is not known to be dead; if all are, the first."""
    chosen: dict[bool, UdpServer] = {}
    for server in servers:
        held = chosen.get(server.v6)
        if held is None or (held.health.is_down(now) and not server.health.is_down(now)):
            chosen[server.v6] = server
    return list(chosen.values())
