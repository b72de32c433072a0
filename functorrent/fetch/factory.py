"""`MetadataClientFactory`: one for each magnet; from magnet to verified info dictionary.

It asks the sources for peers, builds a `PeerProtocol` for each peer that is dialed, and ends the
magnet: with the first whole that hashes right, or with a report when every source is finished and
every peer was tried, or at the time limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.errors import (
    AddressNotAllowed,
    FetchFailed,
    InvalidTorrent,
    NameNotResolved,
    NotAnInfoDictionary,
    UnsupportedMagnet,
)
from functorrent.fetch.core import FetchCore
from functorrent.fetch.lookups import Lookups
from functorrent.fetch.race import Race
from functorrent.fetch.reading import Reading
from functorrent.fetch.report import FetchReport, explain
from functorrent.fetch.result import Metadata
from functorrent.interfaces import PeerAddress, SourceReport
from functorrent.magnet import Magnet
from functorrent.metainfo import InfoSummary, summarize, torrent_bytes
from functorrent.peer.protocol import PeerProtocol

#: Peers that magnets of one torrent may name, all duplicates together.
_MAX_NAMED = 500
#: What else magnets of one torrent add up to: URLs of .torrent files, and web seeds.
_URLS = ("exact_sources", "acceptable_sources", "web_seeds")
#: Seconds between looks at a source where a magnet waits for its turn.
_WAIT = 10.0


class MetadataClientFactory(ClientFactory):
    """Fetches the info dictionary of one magnet.

    `core`: what all fetches of the process share. `released` is called once, when this magnet needs
    its slot no more because nobody answers. Raises UnsupportedMagnet for a magnet of v2 alone.
    """

    noisy = False
    log = Logger()

    def __init__(self, magnet: Magnet, core: FetchCore, released: Callable[[], None] | None = None) -> None:
        if magnet.infohash is None:
            raise UnsupportedMagnet(
                "a magnet of BitTorrent v2 alone (urn:btmh without urn:btih) cannot be fetched yet"
            )
        self.magnet = magnet
        self.core = core
        self.infohash = magnet.infohash
        self.race = Race(self.infohash, core, self, self._look, self._verified)
        self._released = released
        self._result: Deferred[Metadata] | None = None
        self._lookups = Lookups(core, self.race, self._look)
        self.race.lookups = self._lookups.pending
        self._lingering = False
        self._lingered = False
        self._began = 0.0
        #: How many of the peers found the magnet, or the user, named.
        self._given = 0
        self._over = False
        self._starting = False
        self._reading: Reading | None = None
        #: Its time was over while it waited for its turn at a source.
        self._waited = False
        #: Nodes of the DHT for the .torrent, where the magnet has no trackers.
        self._nodes: tuple[PeerAddress, ...] = ()

    # -- the fetch -----------------------------------------------------------------------------

    def fetch(self) -> Deferred[Metadata]:
        """Start. The Deferred fails with FetchFailed; cancelled, it does so at once."""
        core = self.core
        result: Deferred[Metadata] = Deferred(lambda _: self.cancel())
        self._result = result
        self._began = core.clock.seconds()
        core.deadlines.set(self._too_late, self._began + core.settings.timeout)
        if self._released is not None:
            self.core.patience.wait(self._impatient)
        core.fetches[self.infohash] = self
        core.stats.fetches += 1
        self._starting = True
        if core.extra_peers:
            self._give(core.extra_peers, trusted=True)
        self._find(self.magnet, core.settings.trackers)
        self._starting = False
        self._look()
        return result

    def join(self, magnet: Magnet) -> None:
        """The same torrent once more: its further trackers, peers and web sources join in."""
        if self._over:
            return
        ours = self.magnet
        known = set(ours.all_trackers())
        # As many as one magnet may have: duplicates of a hostile list must not add up.
        room = max(0, self.core.limits.max_trackers - len(known))
        trackers = [url for url in magnet.all_trackers() if url not in known][:room]
        peers = [each for each in magnet.peers if each not in ours.peers][: _MAX_NAMED - len(ours.peers)]
        urls: dict[str, Any] = {}
        for name in _URLS:
            have = getattr(ours, name)
            room = max(0, self.core.limits.max_trackers - len(have))
            urls[name] = tuple([url for url in getattr(magnet, name) if url not in have][:room])
        if not trackers and not peers and not any(urls.values()):
            return
        further = replace(magnet, trackers=tuple((url,) for url in trackers), peers=tuple(peers), **urls)
        self.magnet = ours.merged(further)
        self._find(further, ())

    def cancel(self) -> None:
        """End it now: it fails with what was tried so far."""
        reading, self._reading = self._reading, None
        if reading is None:
            self._fail(cancelled=True)
            return
        reading.stop()
        self.core.stats.failed += 1
        report = self._report("interrupted; the metadata was there, and was being read")
        self._tell(Failure(FetchFailed(report)))

    def _find(self, magnet: Magnet, trackers: tuple[str, ...]) -> None:
        """Ask every source for the peers of `magnet`, and resolve those it names."""
        for host, port in magnet.peers:
            self._add_named(host, port)
        if trackers:
            magnet = replace(magnet, trackers=(*magnet.trackers, *((url,) for url in trackers)))
        self._lookups.find(magnet)

    def _add_named(self, host: str, port: int) -> None:
        lookup = self.core.resolver.resolve(host)
        self._lookups.pending[lookup] = None
        lookup.addCallbacks(
            self._resolved, self._not_resolved, callbackArgs=(port, lookup), errbackArgs=(lookup,)
        )

    def _resolved(self, hosts: list[str], port: int, lookup: Deferred[Any]) -> None:
        self._lookups.pending.pop(lookup, None)
        if not self._over:
            # A name stands for one peer, however many addresses it has.
            self._give([PeerAddress(host, port) for host in hosts[:2]])
            self._look()

    def _give(self, addresses: Iterable[PeerAddress], *, trusted: bool = False) -> None:
        counts = self.race.counts
        before = counts["found"]
        self.race.peers(addresses, trusted=trusted)
        self._given += counts["found"] - before

    def _not_resolved(self, failure: Failure, lookup: Deferred[Any]) -> None:
        self._lookups.pending.pop(lookup, None)
        if self._over:
            return
        self._given += 1
        error = failure.value
        if isinstance(error, AddressNotAllowed):
            self.race.not_allowed(error)
        else:
            self.race.unreachable()
            if not isinstance(error, NameNotResolved):
                self.log.failure("a name could not be resolved", failure)
        self._look()

    # -- what the reactor calls ----------------------------------------------------------------

    def buildProtocol(self, addr: IAddress | None) -> PeerProtocol | None:
        """A protocol for a dial that was accepted; None once the magnet is over."""
        if self._over:
            return None
        address = PeerAddress(addr.host, addr.port)  # type: ignore[union-attr]
        race = self.race
        peer = PeerProtocol(race, self.core.table, address, self.infohash, race.peer_id, self.core.limits)
        peer.factory = self
        race.dial_answered(address, peer)
        return peer

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """A dial came to nothing."""
        destination = connector.getDestination()
        self.race.dial_failed(PeerAddress(destination.host, destination.port), reason)  # type: ignore[attr-defined]

    # -- slots ---------------------------------------------------------------------------------

    def _impatient(self) -> None:
        if self.race.exchanging:
            self.core.patience.wait(self._impatient)
        else:
            self._release()

    def _release(self) -> None:
        """Nobody answers: the slot goes to another magnet, the deadlines stay."""
        self.core.patience.clear(self._impatient)
        released, self._released = self._released, None
        if released is not None:
            released()

    # -- the end -------------------------------------------------------------------------------

    def _look(self) -> None:
        """Something ended: is there anything left to wait for?"""
        race = self.race
        if self._over or self._starting or not race.hungry or self._lingering:
            return
        if self._lookups.pending or not race.idle:
            if race.counts["found"]:
                # All it has so far is dead peers: who waits for a word of a source, or of a peer that has
                # no metadata, needs no slot.
                self._release()
            return
        core = self.core
        listening = core.identity.port is not None
        awaited = self._lookups.announced or core.expects(self.infohash)
        if listening and not self._lingered and awaited:
            self._lingering = True
            core.deadlines.set(self._nobody_called, core.clock.seconds() + core.settings.linger)
            self._release()
            return
        self._fail()

    def _nobody_called(self) -> None:
        self._lingering = False
        self._lingered = True
        self._look()

    def _too_late(self) -> None:
        core = self.core
        if self._lookups.wait_for_turns():
            # Its time is for being looked for, not for waiting until others have been.
            self._waited = True
            core.deadlines.set(self._too_late, core.clock.seconds() + min(_WAIT, core.settings.timeout))
        elif self._waited:
            self._waited = False
            core.deadlines.set(self._too_late, core.clock.seconds() + core.settings.timeout)
        else:
            self._fail(timed_out=True)

    def _verified(self, info_bytes: bytes) -> None:
        """The whole that hashed right: everything else of this magnet ends now."""
        self._nodes = () if self.magnet.trackers else self._lookups.nodes()
        self._stop()
        if len(info_bytes) > self.core.limits.parse_at_once:
            self._reading = Reading(self.core.clock, info_bytes, self._read)
            self._reading.step()
            return
        summary: InfoSummary | Failure
        try:
            summary = summarize(info_bytes)
        except Exception:
            summary = Failure()
        self._read(info_bytes, summary)

    def _read(self, info_bytes: bytes, summary: InfoSummary | Failure) -> None:
        """The info dictionary was read; what hashes right but is none fails for good."""
        self._reading = None
        core = self.core
        try:
            if isinstance(summary, Failure):
                summary.raiseException()
            trackers: Iterable[str] = core.settings.trackers if core.settings.save_trackers else ()
            # A private torrent's peers come from its own trackers alone (BEP 27).
            nodes = () if summary.private else self._nodes
            torrent = torrent_bytes(info_bytes, self.magnet, trackers=trackers, nodes=nodes)
            report = self._report(None)
            outcome: Metadata | Failure = Metadata(
                self.infohash, info_bytes, torrent, summary.name, report, summary, nodes
            )
        except InvalidTorrent as error:
            outcome = Failure(NotAnInfoDictionary(self._report(f"the hash matches, but {error}")))
        except Exception:
            # A bug of ours: who waits must hear of it.
            outcome = Failure()
        if isinstance(outcome, Failure):
            core.stats.failed += 1
        else:
            core.stats.fetched += 1
        self._tell(outcome)

    def _fail(self, *, timed_out: bool = False, cancelled: bool = False) -> None:
        if self._over:
            return
        self._stop(timed_out=timed_out)
        self.core.stats.failed += 1
        settings, race = self.core.settings, self.race
        if timed_out:
            self._lookups.had_their_time()
        reports = self._lookups.reports
        reason = explain(
            [tracker for report in reports for tracker in report.trackers],
            race.counts,
            [report for report in reports if not report.trackers],
            given=self._given,
            called=race.called,
            heard=race.heard,
            local=race.local,
            timed_out_after=settings.timeout if timed_out else None,
            waited_for_callers=settings.linger if self._lingered else None,
        )
        if cancelled:
            reason = f"interrupted; so far: {reason}"
        self._tell(Failure(FetchFailed(self._report(reason))))

    def _stop(self, *, timed_out: bool = False) -> None:
        """Leave no dial, connection, lookup or timer."""
        self._over = True
        core = self.core
        core.deadlines.clear(self._too_late)
        if self._lingering:
            core.deadlines.clear(self._nobody_called)
        if self._released is not None:
            core.patience.clear(self._impatient)
            self._released = None
        self.race.close(timed_out=timed_out)
        self._lookups.stop()

    def _report(self, reason: str | None) -> FetchReport:
        told: list[SourceReport] = []
        others: list[SourceReport] = []
        for report in self._lookups.reports:
            (told if report.trackers else others).append(report)
        if len(told) == 1:
            trackers = told[0].trackers
        else:
            trackers = tuple([tracker for report in told for tracker in report.trackers])
        if self.race.heard:
            others.append(SourceReport("pex", self.race.heard))
        return FetchReport(
            trackers,
            self.race.counts,
            tuple(others),
            reason,
            round(self.core.clock.seconds() - self._began, 3),
        )

    def _tell(self, outcome: Metadata | Failure) -> None:
        core = self.core
        if core.fetches.get(self.infohash) is self:
            del core.fetches[self.infohash]
        result, self._result = self._result, None
        if result is None:
            return
        if isinstance(outcome, Failure):
            result.errback(outcome)
        else:
            result.callback(outcome)
