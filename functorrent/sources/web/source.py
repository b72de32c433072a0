"""Web sources as a peer source (``--web-sources``): it names no peers, and yields the whole at once.

Off where the user does not ask for it: whoever made the magnet learns by its URL who fetches, and chooses
what we GET (FIELD.md 3.14, anacrolix#512). The address guard is asked at each connection and redirect.
"""

from __future__ import annotations

from itertools import islice

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from functorrent.interfaces import (
    IPeerSink,
    IPeerSource,
    IPeerSourceMaker,
    IQueueingSource,
    SourceContext,
    SourceReport,
)
from functorrent.magnet import Magnet
from functorrent.sources.web.downloads import Downloads
from functorrent.sources.web.lookup import Lookup
from functorrent.sources.web.place import places

_NOTHING = SourceReport("web sources")


@implementer(IPeerSource, IQueueingSource)
class WebSource:
    """.torrent files that magnets name by URL (``xs``, ``as``; ``ws`` of a .torrent). Opens nothing before
    the first `find` of a magnet that names one."""

    name = "web sources"

    def __init__(self, context: SourceContext) -> None:
        self._clock = context.clock
        self._limits = context.limits
        self._downloads = Downloads(context)
        self._lookups: dict[bytes, list[Lookup]] = {}
        #: The URLs that were asked while a fetch is on: its duplicates name them, too.
        self._asked: dict[bytes, set[str]] = {}
        self._stopped = False

    def find(self, magnet: Magnet, sink: IPeerSink) -> Deferred[SourceReport]:
        """Get each .torrent that `magnet` names, until one of them is its own; `sink` gets the whole."""
        # Nearly no magnet names any.
        if not (magnet.exact_sources or magnet.acceptable_sources or magnet.web_seeds) or self._stopped:
            return succeed(_NOTHING)
        infohash = magnet.wire_infohash
        asked = self._asked.get(infohash, set())
        room = self._limits.web_sources_per_magnet - len(asked)
        new = list(islice((each for each in places(magnet) if each.url not in asked), room))
        if not new:
            return succeed(_NOTHING)
        asked.update(each.url for each in new)
        self._asked[infohash] = asked
        lookup = Lookup(self._downloads, self._clock, self._limits, infohash, new, sink, self._over)
        self._lookups.setdefault(infohash, []).append(lookup)
        lookup.start()
        return lookup.deferred

    def _over(self, lookup: Lookup) -> None:
        lookups = self._lookups[lookup.infohash]
        lookups.remove(lookup)
        if not lookups:
            del self._lookups[lookup.infohash]

    def waits(self, infohash: bytes) -> bool:
        """Whether nothing of this magnet has been asked for yet."""
        now = self._clock.seconds()
        return any(lookup.waits(now) for lookup in self._lookups.get(infohash, ()))

    def ended(self, infohash: bytes) -> None:
        """Nobody is owed a word; at the next try its URLs may be asked again."""
        self._asked.pop(infohash, None)

    def stop(self) -> Deferred[None]:
        """End what runs."""
        self._stopped = True
        for lookup in [each for lookups in self._lookups.values() for each in lookups]:
            lookup.deferred.cancel()
        self._downloads.stop()
        return succeed(None)


@implementer(IPeerSourceMaker)
class WebSourceMaker:
    """The plugin."""

    name = "web sources"

    def make(self, context: SourceContext) -> WebSource:
        return WebSource(context)
