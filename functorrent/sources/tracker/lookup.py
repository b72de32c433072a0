"""One magnet's trackers: many at once, UDP first, HTTP a moment later.

Laws of this file:

- Each tracker has one turn; a turn is settled once, with a report. The lookup ends when every turn is
  settled, or when it is cancelled; then nothing of it runs any more.
- HTTP trackers wait for `Limits.http_hedge`, or until a UDP one fails or names no peers: a GET costs
  more than the rest of a fetch.
- At most `Limits.trackers_at_once` turns are taken at once; those that have not settled after `_PATIENCE`
  go on, but no longer keep others from their turn: dead trackers never block live ones.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from functorrent.errors import AddressNotAllowed, FunctorrentError, TrackerError
from functorrent.interfaces import IPeerSink, SourceReport, TrackerReport
from functorrent.sources.tracker.address import Tracker
from functorrent.sources.tracker.announce import NO_PORT, Answer
from functorrent.sources.tracker.http import HttpAnnounce
from functorrent.sources.tracker.udp_server import UdpAnnounce, UdpServer
from functorrent.text import printable

if TYPE_CHECKING:
    from functorrent.sources.tracker.desk import Desk
    from functorrent.sources.tracker.tiers import Plan

#: Seconds after which unanswered trackers let others have their turn.
_PATIENCE = 1.0
#: How long a tracker that answered over one family is waited for over the other.
_OTHER_FAMILY = 2.0


class Lookup:
    """All trackers of one magnet; `deferred` fires with the SourceReport, never fails."""

    __slots__ = (
        "_active",
        "_hedged",
        "_held",
        "_patience",
        "_plan",
        "_turns",
        "_unsettled",
        "_waiting",
        "announced",
        "deferred",
        "desk",
        "infohash",
        "over",
        "sink",
        "yielded",
    )  # fmt: skip

    def __init__(self, desk: Desk, plan: Plan, infohash: bytes, sink: IPeerSink) -> None:
        self.desk = desk
        self.infohash = infohash
        self.sink = sink
        self.yielded = 0
        self.announced = False
        self.over = False
        self.deferred: Deferred[SourceReport] = Deferred(self._cancelled)
        self._plan = plan
        self._turns: dict[int, Turn] = {}
        self._unsettled = len(plan.udp) + len(plan.http)
        self._active = 0
        self._hedged = 0.0
        self._patience: Any = None
        first, held = plan.udp or plan.http, plan.http if plan.udp else ()
        useless = desk.memory.useless(infohash)
        if useless:
            # Those that failed the last time do not keep others from their turn.
            first, held = _last(first, useless), _last(held, useless)
        self._waiting = deque(first)
        self._held = held

    def start(self) -> None:
        self.desk.lookups.add(self)
        if self._held:
            self.desk.hedges.add(self._hedge_due)
        self._fill()
        if not self._unsettled:
            self._finish()

    def _fill(self) -> None:
        limit = self.desk.limits.trackers_at_once
        while self._waiting and self._active < limit and not self.over:
            place, tracker = self._waiting.popleft()
            self._active += 1
            turn = self._turns[place] = Turn(self, tracker)
            turn.begin()
        if self._waiting and self._patience is None and not self.over:
            self._patience = self.desk.clock.callLater(_PATIENCE, self._widen)

    def _widen(self) -> None:
        self._patience = None
        self._active = 0
        self._fill()

    def _hedge_due(self) -> None:
        """HTTP trackers' turn has come, unless the peers that UDP ones named are still being tried."""
        limits = self.desk.limits
        self._hedged += limits.http_hedge
        if self.yielded and not self.sink.hungry and self._hedged < limits.http_hold:
            self.desk.hedges.add(self._hedge_due)
        else:
            self._release()

    def _release(self) -> None:
        """Ask the HTTP trackers."""
        self.desk.hedges.drop(self._hedge_due)
        held, self._held = self._held, ()
        self._waiting.extend(held)
        self._fill()

    def settled(self, found_peers: bool) -> None:
        """A turn is over."""
        if self.over:
            return
        self._unsettled -= 1
        if self._active:
            self._active -= 1
        if not self._unsettled:
            self._finish()
        elif self._held and not found_peers:
            self._release()
        elif self._waiting:
            self._fill()

    def _finish(self) -> None:
        if not self.over:
            self.deferred.callback(self._end())

    def _cancelled(self, deferred: Deferred[SourceReport]) -> None:
        turns = list(self._turns.values())
        report = self._end()
        for turn in turns:
            turn.cancel()
        deferred.callback(report)

    def _end(self) -> SourceReport:
        self.over = True
        self.desk.lookups.discard(self)
        if self._held:
            self.desk.hedges.drop(self._hedge_due)
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        reports = list(self._plan.reports)
        for place, turn in self._turns.items():
            reports[place] = turn.report()
        # A cycle less for the garbage collector.
        self._turns.clear()
        for place, tracker in self._waiting:
            reports[place] = TrackerReport(tracker.shown, "cancelled")
        for place, tracker in self._held:
            reports[place] = TrackerReport(tracker.shown, "cancelled")
        return SourceReport("trackers", self.yielded, tuple(reports), None, self.announced)  # type: ignore[arg-type]


class Turn:
    """One tracker of one magnet, over one address family or both."""

    __slots__ = (
        "_answer", "_asks", "_error", "_found", "_left", "_lookup", "_resolving", "_settled", "_timer",
        "_tracker",
    )  # fmt: skip

    def __init__(self, lookup: Lookup, tracker: Tracker) -> None:
        self._lookup = lookup
        self._tracker = tracker
        self._answer: Answer | None = None
        self._error: FunctorrentError | None = None
        self._found = 0
        self._left = 1
        self._asks: list[UdpAnnounce | HttpAnnounce] = []
        self._resolving: Deferred[Any] | None = None
        self._timer: Any = None
        self._settled = False

    def begin(self) -> None:
        lookup, tracker = self._lookup, self._tracker
        desk = lookup.desk
        known = desk.memory.recall(tracker.url, lookup.infohash, desk.clock.seconds())
        if known is not None:
            self._left = 0
            self._answer = known
            self._take(known)
        elif tracker.scheme == "udp":
            servers = desk.servers(tracker)
            if servers is not None:
                self._ask(servers)
                return
            self._resolving = resolving = desk.resolve(tracker)
            resolving.addCallback(self._ask).addErrback(self._unresolved)
        else:
            announce = desk.announce(tracker, lookup.infohash)
            self._asks.append(desk.http.announce(announce, self._outcome))

    def _ask(self, servers: list[UdpServer]) -> None:
        self._resolving = None
        self._left = len(servers)
        desk = self._lookup.desk
        announce = desk.announce(self._tracker, self._lookup.infohash)
        for server in servers:
            self._asks.append(desk.udp.announce(server, announce, self._outcome))
            if self._settled:
                return

    def _unresolved(self, failure: Failure) -> None:
        self._resolving = None
        if isinstance(failure.value, FunctorrentError):
            self._error = failure.value
            self._fall_back()
        elif not failure.check(CancelledError):
            failure.raiseException()  # a bug

    def _outcome(self, ask: UdpAnnounce | HttpAnnounce, outcome: Answer | FunctorrentError) -> None:
        self._left -= 1
        if not isinstance(outcome, Answer):
            self._error = self._error or outcome
            if not self._left:
                self._fall_back()
            return
        lookup, announce = self._lookup, ask.announce
        desk = lookup.desk
        desk.started(ask.server if isinstance(ask, UdpAnnounce) else None, announce)
        if announce.port != NO_PORT:
            lookup.announced = True
        whole = outcome if self._answer is None else _both(self._answer, outcome)
        desk.memory.keep(self._tracker.url, lookup.infohash, whole, desk.clock.seconds())
        self._answer = whole
        self._take(outcome)

    def _take(self, answer: Answer) -> None:
        """Pass on the peers; the sink may end the fetch meanwhile, and cancel us."""
        peers = answer.peers()
        if peers:
            self._found += len(peers)
            self._lookup.yielded += len(peers)
            self._lookup.sink.peers(peers)
        if self._settled:
            return
        if not self._left:
            self._settle()
        elif self._timer is None:
            self._timer = self._lookup.desk.clock.callLater(_OTHER_FAMILY, self._give_up_other)

    def _fall_back(self) -> None:
        """It does not answer: the peers that it named earlier may still be there."""
        lookup, url = self._lookup, self._tracker.url
        memory = lookup.desk.memory
        if self._answer is None and not isinstance(self._error, AddressNotAllowed):
            memory.failed(url, lookup.infohash)
            known = memory.stale(url, lookup.infohash, lookup.desk.clock.seconds())
            if known is not None:
                # Not an answer: the report says what it did now.
                self._left = 0
                self._take(known)
                return
        self._settle()

    def _give_up_other(self) -> None:
        self._drop()
        self._settle()

    def _settle(self) -> None:
        if self._settled:
            return
        self._settled = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._lookup.settled(self._found > 0)

    def cancel(self) -> None:
        """The lookup is over."""
        if self._settled:
            return
        self._settled = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._drop()

    def _drop(self) -> None:
        """Stop asking."""
        if self._resolving is not None:
            self._resolving.cancel()
        desk = self._lookup.desk
        for ask in self._asks:
            if isinstance(ask, UdpAnnounce):
                desk.udp.cancel(ask)
            else:
                desk.http.cancel(ask)

    def report(self) -> TrackerReport:
        """What came of it, so far."""
        shown, answer, error = self._tracker.shown, self._answer, self._error
        if answer is not None:
            return TrackerReport(shown, "ok", self._found, answer.seeders, answer.leechers)
        if not self._settled or error is None:
            return TrackerReport(shown, "cancelled")
        if isinstance(error, AddressNotAllowed):
            return TrackerReport(shown, "not_allowed", error=printable(str(error)))
        status = error.status if isinstance(error, TrackerError) else "failed"
        return TrackerReport(shown, status, error=printable(str(error)))


def _last(places: tuple[tuple[int, Tracker], ...], useless: set[str]) -> tuple[tuple[int, Tracker], ...]:
    """The same trackers, the useless ones behind the others."""
    return tuple(sorted(places, key=lambda place: place[1].url in useless))


def _both(first: Answer, second: Answer) -> Answer:
    """The answers of one tracker over both families as one."""
    return Answer(
        first.peers4 + second.peers4,
        first.peers6 + second.peers6,
        second.interval if first.interval is None else first.interval,
        max(first.seeders or 0, second.seeders or 0),
        max(first.leechers or 0, second.leechers or 0),
        first.tracker_id or second.tracker_id,
    )
