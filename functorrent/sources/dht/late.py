"""The DHT a moment late: for a process that fetches one magnet and is gone.

Loading the DHT takes ten milliseconds. A peer that the magnet names, or a tracker nearby, has answered by
then: so those are asked first, and the DHT while their answers are on the way. A magnet that names nobody
goes to the DHT at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from functorrent.interfaces import (
    INodeSource,
    IPeerSink,
    IPeerSource,
    IPeerSourceMaker,
    IQueueingSource,
    IStartingSource,
    PeerAddress,
    SourceContext,
    SourceReport,
)

if TYPE_CHECKING:
    from functorrent.magnet import Magnet

#: Seconds that the others have for themselves.
HEAD_START = 0.02
_NOT_ASKED = SourceReport("dht")


@implementer(IPeerSource, IStartingSource, IQueueingSource, INodeSource)
class LateDht:
    """A DHT source that is made when its time has come. `load()` gives its maker."""

    name = "dht"

    def __init__(self, context: SourceContext, load: Callable[[], IPeerSourceMaker]) -> None:
        self._context = context
        self._load = load
        self._inner: Any = None
        self._timer: Any = None
        self._stopped = False
        #: Those who wait for it to be made, with what they want; then their lookups.
        self._waiting: dict[Deferred[SourceReport], tuple[Magnet, IPeerSink]] = {}
        self._lookups: dict[Deferred[SourceReport], Deferred[SourceReport]] = {}

    @property
    def node(self) -> Any:
        """The DhtNode, None before it is made."""
        return None if self._inner is None else self._inner.node

    @property
    def node_port(self) -> int | None:
        """The port of our node, None before it is made."""
        return None if self._inner is None else self._inner.node_port

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin soon."""
        self._timer = self._context.clock.callLater(HEAD_START, self._begin)

    def _begin(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        inner: Any = self._load().make(self._context)
        self._inner = inner
        inner.start()
        waiting, self._waiting = self._waiting, {}
        for deferred, (magnet, sink) in waiting.items():
            self._lookups[deferred] = lookup = inner.find(magnet, sink)
            lookup.addBoth(self._found, deferred)

    def _found(self, result: Any, deferred: Deferred[SourceReport]) -> None:
        self._lookups.pop(deferred, None)
        # A failure goes on as one.
        deferred.callback(result)

    def stop(self) -> Deferred[None]:
        """Begin no more, or stop what has begun."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        for deferred in list(self._waiting):
            deferred.cancel()
        stopped: Deferred[None] = succeed(None) if self._inner is None else self._inner.stop()
        return stopped

    # -- IPeerSource, IQueueingSource ----------------------------------------------------------

    def find(self, magnet: Magnet, sink: IPeerSink) -> Deferred[SourceReport]:
        """Look for peers, as soon as it has begun."""
        if self._inner is None:
            if self._stopped:
                return succeed(_NOT_ASKED)
            if magnet.trackers or magnet.peers:
                deferred: Deferred[SourceReport] = Deferred(self._cancel)
                self._waiting[deferred] = (magnet, sink)
                return deferred
            self._begin()
        lookup: Deferred[SourceReport] = self._inner.find(magnet, sink)
        return lookup

    def _cancel(self, deferred: Deferred[SourceReport]) -> None:
        if self._waiting.pop(deferred, None) is not None:
            deferred.callback(_NOT_ASKED)
        else:
            self._lookups[deferred].cancel()

    def waits(self, infohash: bytes) -> bool:
        """Whether it has not been looked for yet."""
        if self._inner is None:
            return any(magnet.infohash == infohash for magnet, _ in self._waiting.values())
        waits: bool = self._inner.waits(infohash)
        return waits

    def ended(self, infohash: bytes) -> None:
        """The fetch is over."""
        if self._inner is not None:
            self._inner.ended(infohash)

    # -- INodeSource ---------------------------------------------------------------------------

    def heard_node(self, address: PeerAddress) -> None:
        """A peer says that it has a node there."""
        if self._inner is not None:
            self._inner.heard_node(address)

    def nodes(self, infohash: bytes) -> Sequence[PeerAddress]:
        """Nodes that answered in the last lookup of this infohash."""
        return () if self._inner is None else self._inner.nodes(infohash)


@implementer(IPeerSourceMaker)
class LateDhtMaker:
    """The plugin; `load()` gives the maker of the DHT source when it is needed."""

    name = "dht"

    def __init__(self, load: Callable[[], IPeerSourceMaker]) -> None:
        self._load = load

    def make(self, context: SourceContext) -> LateDht:
        return LateDht(context, self._load)
