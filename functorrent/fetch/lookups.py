"""What the sources of peers are asked for one magnet, and what they report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.fetch.core import FetchCore
from functorrent.fetch.race import Race
from functorrent.interfaces import INodeSource, IPeerSource, IQueueingSource, PeerAddress, SourceReport
from functorrent.magnet import Magnet

#: Nodes that a .torrent names.
_MAX_NODES = 8


class Lookups:
    """The lookups of one magnet that are on. A source's bug never takes the fetch along.

    `race` gets the peers; `changed()` is called when one has ended.
    """

    __slots__ = ("_changed", "_core", "_race", "over", "pending", "reports")

    log = Logger()

    def __init__(self, core: FetchCore, race: Race, changed: Callable[[], None]) -> None:
        self._core = core
        self._race = race
        self._changed = changed
        #: Those that are on, with the source; None for one of a name.
        self.pending: dict[Deferred[Any], IPeerSource | None] = {}
        self.reports: list[SourceReport] = []
        self.over = False

    def find(self, magnet: Magnet) -> None:
        """Ask every source for the peers of `magnet`."""
        for source in self._core.sources:
            name = getattr(source, "name", "?")
            try:
                lookup = source.find(magnet, self._race)
                if not isinstance(lookup, Deferred):
                    raise TypeError(f"find gave {lookup!r}, not a Deferred")
            except Exception:
                self.log.failure("the source {name!r} failed", name=name)
                continue
            self.pending[lookup] = source
            lookup.addCallbacks(
                self._found, self._broke, callbackArgs=(lookup, name), errbackArgs=(lookup, name)
            )
            if self.over:
                # It had the whole at once.
                lookup.cancel()
                return

    def _found(self, report: SourceReport, lookup: Deferred[Any], name: str) -> None:
        """A source is finished."""
        self.pending.pop(lookup, None)
        if isinstance(report, SourceReport):
            self.reports.append(report)
        else:
            self.log.error("the source {name!r} gave {report!r} for a SourceReport", name=name, report=report)
        if not self.over:
            self._changed()

    def _broke(self, failure: Failure, lookup: Deferred[Any], name: str) -> None:
        self.pending.pop(lookup, None)
        if not (self.over and failure.check(CancelledError)):
            self.log.failure("the source {name!r} failed", failure, name=name)
        self._changed()

    @property
    def announced(self) -> bool:
        """Whether somebody was told of us, who may call."""
        return any(report.announced for report in self.reports)

    def wait_for_turns(self) -> bool:
        """Whether a source has not had the time to look for the magnet yet."""
        for source in self.pending.values():
            try:
                if IQueueingSource.providedBy(source) and source.waits(self._race.infohash):
                    return True
            except Exception:
                self.log.failure("a source could not tell whether it is at work")
        return False

    def nodes(self) -> tuple[PeerAddress, ...]:
        """DHT nodes where a client may begin to ask (BEP 5, "torrent file extensions")."""
        nodes: list[PeerAddress] = []
        for source in self._core.sources:
            if INodeSource.providedBy(source):
                try:
                    nodes += source.nodes(self._race.infohash)
                except Exception:
                    self.log.failure("a source could not tell its nodes")
        return tuple(nodes[:_MAX_NODES])

    def stop(self) -> None:
        """The fetch is over: what is on ends, and every source is told."""
        self.over = True
        for lookup in list(self.pending):
            try:
                lookup.cancel()
            except Exception:
                self.log.failure("a source failed to end a lookup")
        for source in self._core.sources:
            try:
                source.ended(self._race.infohash)
            except Exception:
                self.log.failure("a source failed as a fetch ended")
        # What refers to each other waits for the collector; a bulk fetch is quicker without it.
        self._changed = _nothing

    def had_their_time(self) -> None:
        """The time limit has ended the fetch: what was not answered was not cut off, but late."""
        self.reports = [_waited_for(report) for report in self.reports]


def _nothing() -> None:
    """Takes the place of who was told: the fetch is over."""


def _waited_for(report: SourceReport) -> SourceReport:
    trackers = tuple(
        [
            replace(tracker, status="timed_out", error="no answer in time")
            if tracker.status == "cancelled"
            else tracker
            for tracker in report.trackers
        ]
    )
    return replace(report, trackers=trackers)
