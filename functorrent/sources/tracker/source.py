"""Trackers as a peer source: the built-in example of `IPeerSourceMaker`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList
from zope.interface import implementer

from functorrent.interfaces import (
    IPeerSink,
    IPeerSource,
    IPeerSourceMaker,
    IRecallingSource,
    SourceContext,
    SourceReport,
)
from functorrent.sources.tracker.desk import Desk
from functorrent.sources.tracker.lookup import Lookup

if TYPE_CHECKING:
    from functorrent.magnet import Magnet


@implementer(IPeerSource, IRecallingSource)
class TrackerSource:
    """HTTP, HTTPS and UDP trackers of all magnets. Opens nothing before the first `find`.

    `trusted_trackers`: URLs the user typed, whose hosts may be local.
    """

    name = "trackers"

    def __init__(self, context: SourceContext, trusted_trackers: frozenset[str] = frozenset()) -> None:
        self._desk = Desk(context, trusted_trackers)
        self._stopped: Deferred[None] | None = None

    def find(self, magnet: Magnet, sink: IPeerSink) -> Deferred[SourceReport]:
        """Ask every tracker of `magnet` once; `sink` gets the peers as they come.

        A v2 magnet is looked for by the first 20 bytes of its infohash (BEP 52).
        """
        infohash = magnet.wire_infohash
        lookup = Lookup(self._desk, self._desk.plans.plan(magnet.trackers), infohash, sink)
        if self._stopped is not None:
            lookup.deferred.cancel()
            return lookup.deferred
        lookup.start()
        return lookup.deferred

    def ended(self, infohash: bytes) -> None:
        """Send `stopped` to the trackers that accepted our `started` for this infohash."""
        self._desk.ended(infohash)

    def learned(self, infohash: bytes, now: float) -> Mapping[str, Any] | None:
        """When each tracker may be asked again, the peers it named, and which of them failed."""
        return self._desk.memory.learned(infohash, self._desk.clock.seconds(), now)

    def recall(self, infohash: bytes, known: Mapping[str, Any], now: float) -> None:
        """Take in what an earlier process learned."""
        self._desk.memory.take(infohash, known, self._desk.clock.seconds(), now)

    def stop(self) -> Deferred[None]:
        """Cancel what runs, send what `stopped` are owed, and close, in `Limits.stop_timeout` seconds."""
        if self._stopped is not None:
            waiting: Deferred[None] = Deferred()
            self._stopped.addCallback(lambda _: waiting.callback(None))
            return waiting
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        desk = self._desk
        for lookup in list(desk.lookups):
            lookup.deferred.cancel()
        desk.all_ended()
        said: Deferred[Any] = DeferredList([desk.udp.drain(), desk.http.drain()], consumeErrors=True)
        said.addTimeout(desk.limits.stop_timeout, desk.clock, onTimeoutCancel=lambda *_: None)
        said.addCallback(self._close)
        return said.addCallback(stopped.callback)

    def _close(self, _: object) -> Deferred[None]:
        self._desk.http.close()
        return self._desk.udp.close()


@implementer(IPeerSourceMaker)
class TrackerSourceMaker:
    """The plugin; `trusted_trackers`: URLs the user typed (``--tracker``)."""

    name = "trackers"

    def __init__(self, trusted_trackers: frozenset[str] = frozenset()) -> None:
        self._trusted = trusted_trackers

    def make(self, context: SourceContext) -> TrackerSource:
        return TrackerSource(context, self._trusted)
