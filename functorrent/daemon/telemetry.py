"""`Telemetry`: the numbers that a person on call looks at. What each means: docs/metrics.md.

Labels are words of ours alone (outcomes, states, schemes, routes): a stranger's string in a label would
make as many series as he likes. Nothing here waits: what the store knows is asked every few seconds, and
told as it was then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from functorrent.daemon.counters import Counter, Histogram, Metric, Read, Reading
from functorrent.daemon.dht import DhtWatch
from functorrent.daemon.lag import ReactorLag
from functorrent.daemon.minutes import Minutes
from functorrent.errors import PEER_OUTCOMES, TRACKER_STATUSES
from functorrent.store.jobs import FETCHED, GAVE_UP, QUEUED, STATES, WAITING

if TYPE_CHECKING:
    from collections.abc import Callable

    from functorrent.fetch.report import FetchReport
    from functorrent.interfaces import IWallClock
    from functorrent.store.interfaces import IStore
    from functorrent.store.jobs import Claim

#: How a try ends.
OUTCOMES = ("fetched", "failed", "gave_up", "interrupted", "cancelled")
SCHEMES = ("http", "https", "udp", "other")
#: What becomes of one try to hand a result to an outlet.
DELIVERIES = ("taken", "failed", "refused", "gave_up")
#: Seconds between two looks at the store.
LOOK = 5.0
#: Routes that are told apart; the web's table has fewer, this bounds a mistake.
_MOST_ROUTES = 100

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)


class Telemetry(Service):
    """Counts what it is told, and reads the rest. `store` is asked for numbers while the service runs.

    `clock`: IReactorTime, monotonic.
    """

    name = "telemetry"
    log = Logger()

    def __init__(self, clock: Any, wall: IWallClock, store: IStore, version: str) -> None:
        self._clock = clock
        self._wall = wall
        self._store = store
        self._looking: Deferred[None] | None = None
        self._timer: Any = None
        self._counts: Mapping[str, int] | None = None
        self._oldest: float | None = None
        #: When the store last answered, by the clock.
        self._looked: float | None = None
        self._fetcher: Any = None
        #: The DHT node of the fetcher.
        self.dht = DhtWatch(self._dht_node)
        self._routes: set[str] = set()
        self._minutes = Minutes(wall)
        started = wall.now()

        self.tries = Counter(
            "metafetch_tries_total", "Tries to fetch a magnet, by how they ended.", ("outcome",)
        )
        self.tries.start([(word,) for word in OUTCOMES])
        self.fetch_seconds = Histogram(
            "metafetch_fetch_seconds", "Seconds of each try, by how it ended.", _LONG, ("outcome",)
        )
        self.peers_found = Counter("metafetch_peers_found_total", "Peers that sources named or that called.")
        self.dials = Counter("metafetch_dials_total", "Peers tried, by what became of them.", ("outcome",))
        self.dials.start([(word,) for word in PEER_OUTCOMES])
        self.announces = Counter(
            "metafetch_tracker_announces_total", "Trackers asked, by scheme and answer.", ("scheme", "status")
        )
        self.announces.start([(scheme, status) for scheme in SCHEMES for status in TRACKER_STATUSES])
        self.requests = Counter(
            "metafetch_http_requests_total", "HTTP requests answered.", ("method", "route", "status")
        )
        self.deliveries = Counter(
            "metafetch_deliveries_total", "Tries to hand a result to an outlet.", ("outlet", "outcome")
        )
        self.lag_seconds = Histogram(
            "metafetch_reactor_lag_seconds", "How late a timer of the event loop came.", _SHORT
        )
        self.store_seconds = Histogram(
            "metafetch_store_answer_seconds", "Seconds that the store took to say its counts.", _SHORT
        )
        self.lag = ReactorLag(clock, self.lag_seconds.observe)
        self._served: Read = Read(
            "metafetch_served_blocks_total", "Metadata blocks sent to peers.", kind="counter"
        )
        self._served_bytes: Read = Read(
            "metafetch_served_bytes_total", "Metadata sent to peers.", kind="counter"
        )
        self._inbound: Read = Read("metafetch_inbound_peers", "Connections that peers have made to us.")
        self._metrics: tuple[Metric, ...] = (
            Read("metafetch_build_info", "The version that runs.", ("version",), lambda: {(version,): 1}),
            Read("metafetch_start_time_seconds", "When it was started (Unix time).", (), lambda: started),
            Read("metafetch_magnets", "Magnets in the store, by state.", ("state",), self._states),
            Read(
                "metafetch_queue_age_seconds", "How long the oldest queued magnet waits.", (), self._queue_age
            ),
            Read(
                "metafetch_store_age_seconds", "Since when the store has not answered.", (), self._store_age
            ),
            self.store_seconds,
            Read(
                "metafetch_in_flight", "Magnets being fetched.", (), self._of(lambda core: len(core.fetches))
            ),
            self.tries,
            self.fetch_seconds,
            Read(
                "metafetch_metadata_bytes_total",
                "Metadata received from peers.",
                (),
                self._of(lambda core: core.stats.block_bytes),
                "counter",
            ),
            self.peers_found,
            self.dials,
            self.announces,
            *self.dht.metrics,
            Read(
                "metafetch_sockets",
                "Sockets to peers in use.",
                (),
                self._of(lambda core: core.dialer.sockets),
            ),
            Read(
                "metafetch_sockets_limit",
                "Sockets to peers that may be in use.",
                (),
                self._of(lambda core: core.dialer.most_sockets),
            ),
            self._inbound,
            Read(
                "metafetch_assembling_bytes",
                "Metadata blocks held in memory.",
                (),
                self._of(lambda core: core.budget.held),
            ),
            Read(
                "metafetch_assembling_limit_bytes",
                "Metadata blocks that may be held in memory.",
                (),
                self._of(lambda core: core.budget.limit),
            ),
            self._served,
            self._served_bytes,
            self.requests,
            self.deliveries,
            self.lag_seconds,
            Read(
                "metafetch_reactor_lag_p99_seconds",
                "99th percentile of the event loop's lag over the last minute.",
                (),
                lambda: self.lag.percentile(0.99),
            ),
            Read(
                "metafetch_reactor_lag_max_seconds",
                "Worst lag of the event loop over the last minute.",
                (),
                lambda: self.lag.percentile(1.0),
            ),
        )

    # -- life ----------------------------------------------------------------------------------

    def startService(self) -> None:
        """Measure the lag, and look at the store every few seconds."""
        Service.startService(self)
        self.lag.start()
        self._look()

    def stopService(self) -> None:
        """Stop both."""
        if not self.running:
            return
        Service.stopService(self)
        self.lag.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._looking is not None:
            self._looking.cancel()

    # -- where numbers come from ---------------------------------------------------------------

    def watch_fetcher(self, fetcher: Any) -> None:
        """Read sockets, memory and bytes of this `Fetcher`."""
        self._fetcher = fetcher

    def watch_serving(
        self,
        blocks: Callable[[], float],
        sent_bytes: Callable[[], float],
        inbound: Callable[[], float] | None = None,
    ) -> None:
        """Read what peers were served, and how many have called, from these."""
        self._served.source, self._served_bytes.source = blocks, sent_bytes
        if inbound is not None:
            self._inbound.source = inbound

    async def seed(self) -> None:
        """Ask the store for the last hour's results, before the queue runs. Raises StoreError."""
        self._minutes.seed(await self._store.minutes(self._minutes.since()))

    # -- what it is told -----------------------------------------------------------------------

    def ended(
        self, claim: Claim, outcome: str, seconds: float, report: FetchReport | None, name: str | None
    ) -> None:
        """A try has ended; `outcome` is one of OUTCOMES."""
        self.tries.add(1, outcome)
        self.fetch_seconds.observe(seconds, outcome)
        self._minutes.add(outcome)
        if report is None:
            return
        self.peers_found.add(report.peers.get("found", 0))
        for word in PEER_OUTCOMES:
            number = report.peers.get(word, 0)
            if number:
                self.dials.add(number, word)
        for tracker in report.trackers:
            scheme = tracker.url.partition(":")[0].lower()
            status = tracker.status if tracker.status in TRACKER_STATUSES else "failed"
            self.announces.add(1, scheme if scheme in SCHEMES else "other", status)

    def answered(self, method: str, route: str, status: int) -> None:
        """An HTTP request was answered. `route`: the route's template, never the path."""
        if route not in self._routes:
            if len(self._routes) >= _MOST_ROUTES:
                route = "other"
            self._routes.add(route)
        known = method if method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS") else "other"
        self.requests.add(1, known, route, str(status))

    def delivery(self, outlet: str, outcome: str) -> None:
        """An outlet was handed a result; `outcome` is one of DELIVERIES."""
        self.deliveries.add(1, outlet, outcome)

    # -- what it tells -------------------------------------------------------------------------

    def metrics(self) -> Iterable[Metric]:
        """All of them, in a fixed order."""
        return self._metrics

    def minutes(self) -> list[dict[str, Any]]:
        """The last hour by minute, oldest first, as /api/v1/stats tells it: 60 of
        ``{"at": ISO, "fetched": n, "failed": n, "gave_up": n}``."""
        return self._minutes.told()

    def status(self) -> str:
        """How things stand, in a line."""
        counts = self._counts
        if counts is None:
            return "waiting for the store"
        flying = 0 if self._fetcher is None else len(self._fetcher.core.fetches)
        return f"{flying:,} in flight; " + ", ".join(
            f"{counts.get(state, 0):,} {state.replace('_', ' ')}"
            for state in (QUEUED, WAITING, FETCHED, GAVE_UP)
        )

    def _dht_node(self) -> Any:
        """The node of the fetcher's DHT source, once it has one."""
        for source in () if self._fetcher is None else self._fetcher.core.sources:
            if source.name == "dht":
                return getattr(source, "node", None)
        return None

    # -- readings ------------------------------------------------------------------------------

    def _of(self, read: Callable[[Any], float]) -> Callable[[], Reading]:
        """A reading of the fetcher's core, once there is one."""
        return lambda: None if self._fetcher is None else read(self._fetcher.core)

    def _states(self) -> Reading:
        counts = self._counts
        return None if counts is None else {(state,): counts.get(state, 0) for state in STATES}

    def _queue_age(self) -> Reading:
        if self._looked is None:
            return None
        return 0.0 if self._oldest is None else max(0.0, self._wall.now() - self._oldest)

    def _store_age(self) -> Reading:
        return None if self._looked is None else self._clock.seconds() - self._looked

    # -- the store -----------------------------------------------------------------------------

    def _look(self) -> None:
        """Ask; then, however long that took, again after a while: never two at once."""
        self._timer = None
        self._looking = Deferred.fromCoroutine(self._ask())
        self._looking.addErrback(self._not_answered)
        self._looking.addBoth(self._later)

    async def _ask(self) -> None:
        began = self._clock.seconds()
        counts = await self._store.counts()
        self.store_seconds.observe(self._clock.seconds() - began)
        self._oldest = await self._store.oldest_queued()
        self._counts = counts
        self._looked = self._clock.seconds()

    def _not_answered(self, failure: Any) -> None:
        if not failure.check(CancelledError) and self.running:
            self.log.warn("the store did not say its counts: {error}", error=str(failure.value))

    def _later(self, _: object) -> None:
        self._looking = None
        if self.running:
            self._timer = self._clock.callLater(LOOK, self._look)
