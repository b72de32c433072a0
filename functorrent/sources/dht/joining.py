"""Finding the network: our old nodes first, then the hosts to begin with (BEP 5).

Laws of this file:

- `hold` is true from the beginning of a try until somebody answers, or until there is nobody left who
  could, `Limits.dht_unreachable` seconds at most: so long a lookup without nodes waits for some.
- A try that reached nobody sets `given_up`; any answer clears it. The next try comes by itself, and
  sooner when somebody asks for a lookup.
"""

from __future__ import annotations

from collections.abc import Callable

from functorrent.interfaces import IResolver, PeerAddress
from functorrent.sources.dht.bootstrap import Bootstrap
from functorrent.sources.dht.core import DhtCore
from functorrent.sources.dht.lookup import CLOSEST
from functorrent.sources.dht.searches import Searches
from functorrent.sources.dht.settings import DhtSettings
from functorrent.sources.dht.walk import Walk
from functorrent.wire.krpc import Response

#: Seconds that the nodes of an earlier run have to answer before the hosts are asked, too.
_HEDGE = 0.5
#: Seconds after which a lookup may start another try, and bounds of when one comes by itself.
_SOON = 10.0
_FIRST_RETRY = 15.0
_LAST_RETRY = 300.0


class Joining:
    """The tries of one node. `joined()` is called at the end of each, `searches` are told of nodes."""

    def __init__(
        self, core: DhtCore, settings: DhtSettings, resolver: IResolver, joined: Callable[[], None]
    ) -> None:
        self._core = core
        self._settings = settings
        self._resolver = resolver
        self._joined = joined
        self.searches: Searches | None = None
        self.hold = False
        self.given_up = False
        #: Where the hosts to begin with are.
        self.addresses: list[PeerAddress] = []
        self._names: Bootstrap | None = None
        self._naming = False
        self._walks: list[Walk] = []
        #: When this try began, and when somebody answered last.
        self._began = 0.0
        self._last = 0.0
        self._answered = False
        self._on = False
        self._retry_after = _FIRST_RETRY
        self._stopped = False

    # -- a try ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin a try, unless one is on."""
        if self._on or self._stopped:
            return
        core = self._core
        now = float(core.clock.seconds())
        core.deadlines.clear(self.start)
        self._began = now
        self._on = self.hold = True
        self._answered = False
        core.deadlines.set(self._too_late, now + core.limits.dht_unreachable)
        self._walks = [
            Walk(core, own_id, v6, "find_node", self, self._own_more) for v6, own_id in core.ids.items()
        ]
        self._naming = True
        for walk in self._walks:
            walk.start()
        if core.known or any(core.old_nodes.values()):
            core.deadlines.set(self._ask_names, now + _HEDGE)
        else:
            self._ask_names()

    def _own_more(self, walk: Walk) -> bool:
        return self._naming

    def _ask_names(self) -> None:
        if sum([walk.lookup.replied for walk in self._walks]) >= CLOSEST:
            self._named()
            return
        settings = self._settings
        self.addresses = []
        names = Bootstrap(self._resolver, settings.bootstrap, settings.trusted, self._found, self._named)
        self._names = names
        names.start()

    def is_host(self, address: PeerAddress) -> bool:
        """Whether it is one of everybody's hosts to begin with: a routing table does without them."""
        return not self._settings.trusted and address in self.addresses

    def _found(self, addresses: list[PeerAddress]) -> None:
        """Hosts to begin with have addresses."""
        self.addresses += addresses
        for walk in self._walks:
            walk.seed([each for each in addresses if (":" in each.host) == walk.v6])
        if self.searches is not None:
            self.searches.seed(addresses)

    def _named(self) -> None:
        """Every name has come to something."""
        self._names = None
        self._naming = False
        self._check()

    def _check(self) -> None:
        for walk in self._walks:
            walk.go_on()
        self._look()

    def walk_answered(self, walk: Walk, response: Response) -> None:
        """We are told by `heard`."""

    def walk_ended(self, walk: Walk) -> None:
        """Nobody is left to be asked."""
        self._look()

    def _look(self) -> None:
        if self._on and self._walks and not self._naming and all([walk.over for walk in self._walks]):
            self._on = False
            self._end()
            self._joined()

    def _too_late(self) -> None:
        """Nobody has answered yet; those who wait need not wait any longer."""
        self._end()

    def _end(self) -> None:
        """The time to wait is over, with or without a network."""
        core = self._core
        core.deadlines.clear(self._too_late)
        self.hold = False
        searches = self.searches
        if self._answered or self._stopped:
            self._retry_after = _FIRST_RETRY
            if searches is not None:
                searches.check()
            return
        self.given_up = True
        core.deadlines.set(self.start, core.clock.seconds() + self._retry_after)
        self._retry_after = min(2 * self._retry_after, _LAST_RETRY)
        if searches is not None:
            searches.flush()

    # -- what others tell and ask --------------------------------------------------------------

    def heard(self) -> None:
        """A node has answered."""
        self._last = float(self._core.clock.seconds())
        self.given_up = False
        if not self._answered:
            self._answered = True
            if self.hold:
                self.hold = False
                if self.searches is not None:
                    self.searches.check()

    def more(self, walk: Walk) -> bool:
        """Whether further nodes may come for a walk that has asked all it knows, in vain."""
        if self.hold:
            return True
        addresses = [each for each in self.addresses if (":" in each.host) == walk.v6]
        if addresses and not walk.helped:
            walk.helped = True
            walk.seed(addresses)
            return not walk.lookup.finished
        return self._again()

    def seeds(self) -> list[PeerAddress]:
        """Nodes to begin a lookup with, beside those of the tables."""
        return self.addresses if self._core.known < CLOSEST else []

    def reachable(self) -> bool:
        """Whether a lookup has a chance now; begins another try where the last one is a while ago."""
        return not self.given_up or self._again()

    def _again(self) -> bool:
        now = self._core.clock.seconds()
        if not self._on and now - max(self._began, self._last) >= _SOON:
            self.start()
        return self.hold

    def stop(self) -> None:
        """Leave nothing running."""
        self._stopped = True
        self.hold = False
        core = self._core
        for call in (self.start, self._too_late, self._ask_names):
            core.deadlines.clear(call)
        if self._names is not None:
            self._names.stop()
        for walk in self._walks:
            walk.cancel()
