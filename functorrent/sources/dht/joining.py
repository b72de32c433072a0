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
from functorrent.sources.dht.lookup import CLOSEST, Candidate
from functorrent.sources.dht.searches import Searches
from functorrent.sources.dht.settings import DhtSettings
from functorrent.sources.dht.walk import Walk, Walks
from functorrent.wire.krpc import Response

#: Seconds that the nodes of an earlier run have to answer before the hosts are asked, too.
_HEDGE = 0.5
#: Seconds after which a lookup may start another try, and bounds of when one comes by itself.
_SOON = 10.0
_FIRST_RETRY = 15.0
_LAST_RETRY = 300.0
#: ... and when it comes while few nodes are known.
_FEW_RETRY = 30.0


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
        #: Why a host that the user typed is of no use, in words.
        self.why: str | None = None
        self._names: Bootstrap | None = None
        self._naming = False
        self._walks: Walks | None = None
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
        self._naming = True
        # Our own id is where the table has to be full.
        own_id = next(iter(core.ids.values()))
        self._walks = walks = Walks(core, own_id, "find_node", self, self._own_more)
        if any([core.closest(v6, own_id, 1) for v6 in core.ids]):
            core.deadlines.set(self._ask_names, now + _HEDGE)
            walks.start()
        else:
            walks.start()
            self._ask_names()

    def _own_more(self, walk: Walk) -> bool:
        return self._naming

    def _ask_names(self) -> None:
        if self._walks is not None and self._walks.replied >= CLOSEST:
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
        if self._walks is not None:
            self._walks.seed(addresses)
        if self.searches is not None:
            self.searches.seed(addresses)

    def _named(self) -> None:
        """Every name has come to something."""
        names, self._names = self._names, None
        if names is not None and self._settings.trusted:
            self.why = names.why
        self._naming = False
        self._check()

    def _check(self) -> None:
        if self._walks is not None:
            self._walks.go_on()
        self._look()

    def walk_answered(self, walk: Walk, candidate: Candidate, response: Response) -> None:
        """We are told by `heard`."""

    def walk_ended(self, walk: Walk) -> None:
        """Nobody is left to be asked."""
        self._look()

    def _look(self) -> None:
        if self._on and self._walks is not None and not self._naming and self._walks.over:
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
        core = self._core
        self._last = float(core.clock.seconds())
        if self.given_up:
            # By a ping perhaps, of a node that a peer has named.
            self.given_up = False
            core.deadlines.set(self.start, self._last)
        if not self._answered:
            self._answered = True
            if self.hold:
                self.hold = False
                if self.searches is not None:
                    self.searches.check()

    def more(self, walk: Walk) -> bool:
        """Whether further nodes may come for a walk that has asked all it knows, in vain."""
        if self.hold or walk.seed_again():
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

    def look(self) -> None:
        """Called now and then: with next to nobody known, the network is looked for once more."""
        now = self._core.clock.seconds()
        if not self._on and self._core.known < CLOSEST and now - self._began >= _FEW_RETRY:
            self.start()

    def stop(self) -> None:
        """Leave nothing running."""
        self._stopped = True
        self.hold = False
        core = self._core
        for call in (self.start, self._too_late, self._ask_names):
            core.deadlines.clear(call)
        if self._names is not None:
            self._names.stop()
        if self._walks is not None:
            self._walks.cancel()
