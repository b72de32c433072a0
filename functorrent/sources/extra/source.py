"""Extra trackers as a peer source: a `TrackerSource` of its own, asked what the magnet does not ask itself.

They name peers, and are shown with the other trackers; they never go into the .torrent. What is private
is not theirs (BEP 27): that it is, only its info dictionary says, and with that the fetch is over, and
nothing is sent but the `stopped` that those are owed who were told `started`. But a magnet whose own
trackers have a passkey is taken to be private from the first.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from functorrent.interfaces import (
    IPeerSink,
    IPeerSource,
    IPeerSourceMaker,
    IRecallingSource,
    IStartingSource,
    IWallClock,
    SourceContext,
    SourceReport,
)
from functorrent.magnet import Magnet
from functorrent.sources.extra.providers import FileList, Provider, WebList
from functorrent.sources.tracker.source import TrackerSource
from functorrent.text import redact_url

NAME = "extra trackers"
#: Magnets that go on, when the list is there, before the reactor gets its turn.
_AT_ONCE = 20
_NOTHING = SourceReport(NAME)
_COMING = SourceReport(NAME, detail="the list of extra trackers was not here yet")
_PRIVATE = SourceReport(NAME, detail="extra trackers were not asked, as the magnet's own have a passkey")
_UDP = re.compile(r"udp://([^/?#]+)", re.IGNORECASE)


def _same(url: str) -> str:
    """What URLs of one tracker have in common: over UDP the server, whatever the path."""
    match = _UDP.match(url)
    return match[0].lower() if match is not None else url


class _Waiting:
    """A magnet for which the list is waited for."""

    __slots__ = ("inner", "magnet", "outer", "sink")

    def __init__(self, source: ExtraTrackers, magnet: Magnet, sink: IPeerSink) -> None:
        self.magnet = magnet
        self.sink = sink
        self.inner: Deferred[SourceReport] | None = None
        self.outer: Deferred[SourceReport] = Deferred(lambda _: source.give_up(self))


@implementer(IPeerSource, IRecallingSource, IStartingSource)
class ExtraTrackers:
    """The trackers of a list, for all magnets."""

    name = NAME

    def __init__(self, context: SourceContext, provider: Provider) -> None:
        self._context = context
        self._provider = provider
        limits = replace(context.limits, max_trackers=context.limits.extra_trackers)
        self._trackers = TrackerSource(replace(context, limits=limits))
        #: The list as it was read, and its trackers by what URLs of each have in common.
        self._read: tuple[str, ...] = ()
        self._urls: dict[str, str] = {}
        self._all: tuple[str, ...] = ()
        #: Torrents that are being looked for: a duplicate that joins asks nobody anew.
        self._asked: set[bytes] = set()
        self._waiting: OrderedDict[_Waiting, None] = OrderedDict()
        self._timer: Any = None
        self._begun = False
        self._stopped = False

    def start(self) -> None:
        """Get the list, if it is to be fetched."""
        self._begun = True
        self._provider.begin(self._context, self._arrived)

    def find(self, magnet: Magnet, sink: IPeerSink) -> Deferred[SourceReport]:
        """Ask each tracker of the list that `magnet` does not name itself, once."""
        if self._stopped:
            return succeed(_NOTHING)
        if not self._begun:
            self.start()
        provider = self._provider
        provider.look()
        infohash = magnet.wire_infohash
        if infohash in self._asked:
            return succeed(_NOTHING)
        if any(redact_url(url) != url for tier in magnet.trackers for url in tier):
            return succeed(_PRIVATE)
        self._asked.add(infohash)
        if not provider.coming and not self._waiting:
            return self._ask(magnet, sink)
        waiting = _Waiting(self, magnet, sink)
        self._waiting[waiting] = None
        return waiting.outer

    def _ask(self, magnet: Magnet, sink: IPeerSink) -> Deferred[SourceReport]:
        urls = self._provider.urls
        if not urls:
            return succeed(SourceReport(NAME, detail=self._provider.problem))
        if urls is not self._read:
            self._read = urls
            self._urls = {}
            for url in urls:
                self._urls.setdefault(_same(url), url)
            self._all = tuple(self._urls.values())
        urls = self._all
        if magnet.trackers:
            own = {_same(url) for tier in magnet.trackers for url in tier}
            if not own.isdisjoint(self._urls):
                urls = tuple([url for key, url in self._urls.items() if key not in own])
        lookup = self._trackers.find(replace(magnet, trackers=(urls,)), sink)
        return lookup.addCallback(_named)

    # -- those that wait for the list ----------------------------------------------------------

    def _arrived(self) -> None:
        """The list is there, or will not be: who waited goes on, a few in each turn of the reactor."""
        self._timer = None
        for _ in range(min(_AT_ONCE, len(self._waiting))):
            waiting, _ = self._waiting.popitem(last=False)
            waiting.inner = self._ask(waiting.magnet, waiting.sink)
            waiting.inner.addCallback(waiting.outer.callback)
        if self._waiting and not self._stopped:
            self._timer = self._context.clock.callLater(0, self._arrived)

    def give_up(self, waiting: _Waiting) -> None:
        """It is not waited for any more: its lookup ends with what there is."""
        if waiting.inner is not None:
            waiting.inner.cancel()
        else:
            del self._waiting[waiting]
            waiting.outer.callback(_COMING)

    # -- as trackers do ------------------------------------------------------------------------

    def ended(self, infohash: bytes) -> None:
        """Send `stopped` to those that accepted our `started`."""
        self._asked.discard(infohash)
        self._trackers.ended(infohash)

    def learned(self, infohash: bytes, now: float) -> Mapping[str, Any] | None:
        """When each may be asked again, the peers it named, and which of them failed."""
        return self._trackers.learned(infohash, now)

    def recall(self, infohash: bytes, known: Mapping[str, Any], now: float) -> None:
        """Take in what an earlier process learned."""
        self._trackers.recall(infohash, known, now)

    def stop(self) -> Deferred[None]:
        """Cancel what runs, and send what `stopped` are owed."""
        self._stopped = True
        self._provider.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiting in list(self._waiting):
            waiting.outer.cancel()
        return self._trackers.stop()


def _named(report: SourceReport) -> SourceReport:
    return replace(report, source=NAME)


@implementer(IPeerSourceMaker)
class ExtraTrackersMaker:
    """The plugin. `where`: a file's path, or an http or https URL of a list of trackers.

    `cache`: path of the file where the list of a URL is kept between runs, or None; `wall`: the time of
    day, by which its age is told. Raises UsageError where a file cannot be read. The list's URL is the
    user's, so it may be local; the trackers in it may not, for most lists are somebody else's.
    """

    name = NAME

    def __init__(self, where: str, cache: str | None = None, wall: IWallClock | None = None) -> None:
        self._provider: Provider = (
            WebList(where, cache, wall) if re.match("https?://", where, re.IGNORECASE) else FileList(where)
        )

    def make(self, context: SourceContext) -> ExtraTrackers:
        return ExtraTrackers(context, self._provider)
