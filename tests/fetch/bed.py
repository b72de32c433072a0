"""What the tests of fetch/ share: a core without sockets, sources that a test speaks for, and names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from functorrent.addresses import AddressGuard
from functorrent.deadlines import Deadlines
from functorrent.errors import PEER_OUTCOMES, FetchFailed, NameNotResolved
from functorrent.fetch import race as race_module
from functorrent.fetch.budget import MemoryBudget
from functorrent.fetch.core import FetchCore
from functorrent.fetch.dialer import Dialer
from functorrent.fetch.factory import MetadataClientFactory
from functorrent.fetch.identity import Identity
from functorrent.fetch.patience import Patience
from functorrent.fetch.result import Metadata
from functorrent.fetch.settings import FetchSettings
from functorrent.interfaces import (
    IPeerSink,
    IPeerSource,
    IResolver,
    PeerAddress,
    SourceReport,
    TrackerReport,
)
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.magnet import Magnet
from functorrent.peer.dispatch import ExtensionTable
from functorrent.peer.ut_metadata import UtMetadata
from functorrent.testing import sample_info, sample_magnet
from tests.fetch.network import Network

INFO = sample_info(2_000)
BIG = sample_info(100_000)  # seven blocks


def peer(number: int, port: int = 6881) -> PeerAddress:
    """One of many peers."""
    return PeerAddress(f"93.184.{number // 250}.{number % 250 + 1}", port)


@implementer(IPeerSource)
class Source:
    """A source that a test speaks for: `say` names peers, `finish` ends the last lookup."""

    def __init__(self, name: str = "tests") -> None:
        self.name = name
        self.finds: list[tuple[Magnet, IPeerSink, Deferred[SourceReport]]] = []
        self.told: list[bytes] = []
        self.cancelled = 0
        self.stopped = 0
        #: The report so far, given when it is cancelled.
        self.so_far = SourceReport(name)
        #: Peers that each lookup yields at once, ending then.
        self.at_once: list[PeerAddress] | None = None

    def find(self, magnet: Magnet, sink: IPeerSink) -> Deferred[SourceReport]:
        if self.at_once is not None:
            sink.peers(self.at_once)
            return succeed(tracker_report(len(self.at_once)))
        lookup: Deferred[SourceReport] = Deferred(self._cancel)
        self.finds.append((magnet, sink, lookup))
        return lookup

    def _cancel(self, lookup: Deferred[SourceReport]) -> None:
        self.cancelled += 1
        lookup.callback(self.so_far)

    def say(self, *addresses: PeerAddress) -> None:
        """The last lookup yields these."""
        self.finds[-1][1].peers(addresses)

    def finish(self, report: SourceReport | None = None) -> None:
        """The last lookup is finished."""
        self.finds[-1][2].callback(report or self.so_far)

    def ended(self, infohash: bytes) -> None:
        self.told.append(infohash)

    def stop(self) -> Deferred[None]:
        self.stopped += 1
        return succeed(None)


def tracker_report(
    peers: int = 0, status: str = "ok", error: str | None = None, *, announced: bool = False
) -> SourceReport:
    """A source's report with one tracker."""
    trackers = (TrackerReport("http://tracker.example/announce", status, peers, error=error),)
    return SourceReport("trackers", peers, trackers, announced=announced)


@implementer(IResolver)
class Names:
    """Names from a table; those in `held` wait until a test fires them."""

    def __init__(self, guard: AddressGuard) -> None:
        self.guard = guard
        self.table: dict[str, list[str]] = {}
        self.held: dict[str, Deferred[list[str]]] = {}
        self.asked: list[tuple[str, bool]] = []

    def resolve(self, host: str, *, trusted: bool = False) -> Deferred[list[str]]:
        self.asked.append((host, trusted))
        if host in self.held:
            return self.held[host]
        hosts = self.table.get(host)
        if hosts is None:
            hosts = [host] if host.replace(".", "").isdigit() or ":" in host else []
        if not hosts:
            return fail(NameNotResolved(f"{host} has no address"))
        try:
            for each in hosts:
                self.guard.check_host(each, trusted=trusted)
        except Exception:
            return fail(Failure())
        return succeed(list(hosts))


class FetchCase(SynchronousTestCase):
    """A core over a network in memory."""

    limits: Limits = DEFAULT_LIMITS

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = Network(self.clock)
        self.patch(race_module, "PeerConnection", self.network.connection)
        self.source = Source()
        self.core = self.make_core(FetchSettings(), self.limits, [self.source])

    def make_core(
        self, settings: FetchSettings, limits: Limits, sources: Sequence[IPeerSource], *extensions: Any
    ) -> FetchCore:
        """A core, nothing of it running."""
        guard = AddressGuard(settings.allow_local)
        core = FetchCore(
            reactor=None,
            pollset=None,
            clock=self.clock,
            deadlines=Deadlines(self.clock),
            patience=Patience(self.clock, limits.slot_patience),
            settings=settings,
            limits=limits,
            guard=guard,
            resolver=Names(guard),
            identity=Identity("0.1.0"),
            table=ExtensionTable(()),
            dialer=Dialer(self.clock, limits, rate=settings.dial_rate),
            budget=MemoryBudget(limits.max_assembling),
            sources=sources,
        )

        def sink(infohash: bytes) -> Any:
            fetch = core.fetches.get(infohash)
            return fetch.race.exchange if fetch is not None and not fetch.race.over else None

        core.table = ExtensionTable([UtMetadata(self.clock, sink, limits=limits), *extensions], "0.1")
        return core

    @property
    def names(self) -> Names:
        resolver = self.core.resolver
        assert isinstance(resolver, Names)
        return resolver

    def factory(
        self,
        info: bytes = INFO,
        *,
        peers: Iterable[tuple[str, int]] = (),
        released: Any = None,
        **magnet: Any,
    ) -> MetadataClientFactory:
        """A fetch that has not begun."""
        parsed = Magnet.parse(sample_magnet(info, peers=peers, **magnet))
        return MetadataClientFactory(parsed, self.core, released)

    def run_for(self, seconds: float) -> None:
        self.network.run(seconds)

    def run_until_told(self, result: Deferred[Metadata], seconds: float = 120) -> float:
        """Let time pass until `result` has fired; returns how long that took."""
        began = self.clock.seconds()
        self.network.run(seconds, lambda: result.called)
        self.assertTrue(result.called, "it has not ended")
        return self.clock.seconds() - began

    def fetched(self, result: Deferred[Metadata], info: bytes = INFO) -> Metadata:
        """The result of a fetch that went well."""
        metadata: Metadata = self.successResultOf(result)
        self.assertEqual(metadata.info_bytes, info)
        self.check_counts(metadata.report.peers)
        return metadata

    def failed(self, result: Deferred[Metadata]) -> FetchFailed:
        """Why a fetch failed."""
        error: FetchFailed = self.failureResultOf(result, FetchFailed).value
        self.check_counts(error.report.peers)
        return error

    def check_counts(self, counts: Any) -> None:
        """Every peer found ended as exactly one outcome."""
        told = {word: number for word, number in counts.items() if number}
        self.assertEqual(counts["found"], sum(counts[word] for word in PEER_OUTCOMES), told)
        self.assertEqual(set(counts), {"found", *PEER_OUTCOMES})
        self.assertGreaterEqual(min(counts.values()), 0, told)

    def outcomes(self, counts: Any) -> dict[str, int]:
        """The counts that are not 0, but for `found`."""
        return {word: number for word, number in counts.items() if number and word != "found"}

    def assert_nothing_left(self) -> None:
        """No dial, connection, timer, or place in a table."""
        core = self.core
        self.run_for(0.5)
        self.assertEqual(self.network.open, set())
        self.assertEqual((core.dialer.sockets, core.fetches), (0, {}))
        self.assertEqual((core.budget.held, core.budget._holders, core.budget._waiting), (0, {}, {}))
        self.assertEqual(self.clock.getDelayedCalls(), [])
