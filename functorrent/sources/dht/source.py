"""The DHT as a peer source: one node for the process, and its searches as `find`.

The node is made a moment after the start, or when the first magnet is looked for that names neither
trackers nor peers: its modules take some milliseconds to import, in which a fetch from a near one may be
over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from functorrent.errors import AddressNotAllowed
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
from functorrent.sources.dht.report import NOTHING, LookupReport
from functorrent.sources.dht.settings import DhtSettings
from functorrent.sources.udp_socket import UdpSockets
from functorrent.text import plural

if TYPE_CHECKING:
    from functorrent.magnet import Magnet
    from functorrent.sources.dht.node import DhtNode

#: Seconds after the start until the node is made.
_MOMENT = 0.02
#: Infohashes whose closest nodes are remembered, for callers that never say `ended`.
_MAX_CLOSEST = 10_000
UNREACHABLE = "no DHT node could be reached"
_NOT_ASKED = SourceReport("dht")
_OFF = SourceReport("dht", detail=UNREACHABLE)


class _Find:
    """One `find`: a waiter of the node's search (`IWaiter`)."""

    __slots__ = ("_infohash", "_sink", "_source", "announce_port", "deferred")

    def __init__(
        self, source: DhtSource, infohash: bytes, sink: IPeerSink, announce_port: int | None
    ) -> None:
        self._source = source
        self._infohash = infohash
        self._sink = sink
        self.announce_port = announce_port
        self.deferred: Deferred[SourceReport] = Deferred(self._cancel)

    def found(self, peers: list[PeerAddress]) -> None:
        """Peers go on at once."""
        self._sink.peers(peers)

    def ended(self, report: LookupReport) -> None:
        """The search is over."""
        self._tell(report, cancelled=False)

    def _cancel(self, _: object) -> None:
        self._tell(self._source.leave(self._infohash, self), cancelled=True)

    def _tell(self, report: LookupReport, *, cancelled: bool) -> None:
        if self.deferred.called:
            return
        if report is NOTHING and cancelled:
            self.deferred.callback(_NOT_ASKED)
            return
        self._source.remember(self._infohash, report)
        detail = describe(report, cancelled=cancelled)
        if detail is UNREACHABLE and self._source.why:
            detail = f"{detail} ({self._source.why})"
        self.deferred.callback(
            SourceReport("dht", peers=report.peers, detail=detail, announced=report.announced > 0)
        )


def describe(report: LookupReport, *, cancelled: bool = False) -> str | None:
    """What came of a lookup, in words; None where there is nothing to say."""
    asked = plural(report.asked, "DHT node")
    if report.peers:
        return f"{asked} asked, {plural(report.peers, 'peer')} found"
    if report.answered:
        return f"{asked} asked, none knew a peer"
    if not cancelled:
        return UNREACHABLE
    return f"{asked} asked, none has answered yet" if report.asked else None


@implementer(IPeerSource, IStartingSource, IQueueingSource, INodeSource)
class DhtSource:
    """The process's DHT node, as a source of peers."""

    name = "dht"
    log = Logger()

    def __init__(self, context: SourceContext, settings: DhtSettings) -> None:
        self.node_port: int | None = None
        self._context = context
        self._settings = settings
        self._node: DhtNode | None = None
        self._sockets: UdpSockets | None = None
        self._families: tuple[bool, ...] = ()
        self._closest: dict[bytes, tuple[PeerAddress, ...]] = {}
        #: Those that came before the node was made.
        self._early: dict[_Find, bytes] = {}
        self._timer: Any = None
        self._stopped = False

    # -- life ----------------------------------------------------------------------------------

    @property
    def node(self) -> DhtNode | None:
        """The node; None before the start, and after the end of a source that made none."""
        if self._node is None and self._families and self._sockets is not None and not self._stopped:
            return self._made(self._sockets)
        return self._node

    @property
    def why(self) -> str | None:
        """Why a host to begin with that the user typed is of no use."""
        return self._node.why if self._node is not None else None

    def start(self) -> None:
        """Open the sockets; the node joins the network in a moment."""
        if self._sockets is not None:
            return
        context, settings = self._context, self._settings
        identity = context.identity
        listener = (identity.interface,) if identity.interface else ()
        sockets = self._sockets = UdpSockets(
            context.reactor,
            context.limits.udp_receive_buffer,
            self._received,
            port=settings.port if settings.port is not None else identity.port or 0,
            interfaces=settings.interfaces or listener,
        )
        ports = {v6: sockets.open(v6) for v6 in (False, True)}
        self._families = tuple([v6 for v6, port in ports.items() if port is not None])
        if not self._families:
            self.log.warn("the DHT is off: no UDP socket can be opened here")
            return
        if not settings.read_only:
            self.node_port = next((port for port in ports.values() if port), None)
        self._timer = context.clock.callLater(_MOMENT, self._made, sockets)

    def _made(self, sockets: UdpSockets) -> DhtNode:
        if self._node is not None:
            return self._node
        from functorrent.sources.dht.node import DhtNode
        from functorrent.sources.dht.saved import load

        self._cancel_timer()
        context, settings = self._context, self._settings
        self._node = node = DhtNode(
            context.clock,
            lambda data, address: sockets.write(address, data),
            settings,
            context.resolver,
            limits=context.limits,
            may_ask=self._may_ask,
            families=self._families,
            saved=load(settings.table_file) if settings.table_file is not None else None,
        )
        node.start()
        early, self._early = self._early, {}
        for waiter, infohash in early.items():
            if not waiter.deferred.called:
                node.join_search(infohash, waiter)
        return node

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _received(self, data: bytes, address: tuple[str, int]) -> None:
        node = self.node
        if node is not None:
            node.received(data, address)

    def _may_ask(self, address: PeerAddress) -> bool:
        try:
            self._context.guard.check(address.host, address.port)
        except AddressNotAllowed:
            return False
        return True

    def stop(self) -> Deferred[None]:
        """Save the routing table, end every search, close the sockets."""
        self._stopped = True
        self._cancel_timer()
        early, self._early = self._early, {}
        for waiter in early:
            waiter.deferred.cancel()
        if self._node is not None:
            self._node.stop()
        return succeed(None) if self._sockets is None else self._sockets.close()

    # -- IPeerSource, IQueueingSource ----------------------------------------------------------

    def find(self, magnet: Magnet, sink: IPeerSink) -> Deferred[SourceReport]:
        """Look for the peers of `magnet`; `sink` gets them as they come, and the nodes that it ends at
        are told of us where we listen.

        A v2 magnet is looked for by the first 20 bytes of its infohash (BEP 52).
        """
        if self._stopped:
            return succeed(_NOT_ASKED)
        infohash = magnet.wire_infohash
        port = None if self._settings.read_only else self._context.identity.port
        waiter = _Find(self, infohash, sink, port)
        node = self._node
        if node is None:
            self.start()
            if not self._families:
                return succeed(_OFF)
            if magnet.trackers or magnet.peers:
                self._early[waiter] = infohash
                return waiter.deferred
            node = self.node
        if node is not None:
            node.join_search(infohash, waiter)
        return waiter.deferred

    def waits(self, infohash: bytes) -> bool:
        """Whether no node has been asked for this infohash yet."""
        if self._node is None:
            return infohash in self._early.values()
        return self._node.searches.waits(infohash)

    def leave(self, infohash: bytes, waiter: _Find) -> LookupReport:
        """A find is cancelled; what its search has brought so far."""
        if self._early.pop(waiter, None) is not None or self._node is None:
            return NOTHING
        searches = self._node.searches
        search = searches.running.get(infohash)
        report = search.report() if search is not None else NOTHING
        searches.leave(infohash, waiter)
        return report

    def ended(self, infohash: bytes) -> None:
        """The fetch is over. Nodes forget who does not announce again (BEP 5 knows no farewell)."""
        self._closest.pop(infohash, None)

    # -- INodeSource ---------------------------------------------------------------------------

    def heard_node(self, address: PeerAddress) -> None:
        """A peer says that it has a node there; it is pinged if that is allowed."""
        node = self.node
        if node is not None:
            node.heard_node(address)

    def nodes(self, infohash: bytes) -> Sequence[PeerAddress]:
        """Nodes that answered in the last search of this infohash, the closest first, 8 at most."""
        search = self._node.searches.running.get(infohash) if self._node is not None else None
        if search is not None:
            return tuple([node.address for node in search.walks.nodes()])
        return self._closest.get(infohash, ())

    def remember(self, infohash: bytes, report: LookupReport) -> None:
        """A search of this infohash is over."""
        if report.closest:
            self._closest[infohash] = tuple([node.address for node in report.closest])
            if len(self._closest) > _MAX_CLOSEST:
                del self._closest[next(iter(self._closest))]


@implementer(IPeerSourceMaker)
class DhtSourceMaker:
    """The plugin."""

    name = "dht"

    def __init__(self, settings: DhtSettings | None = None, name: str = "dht") -> None:
        self.settings = settings or DhtSettings()
        self.name = name

    def make(self, context: SourceContext) -> DhtSource:
        return DhtSource(context, self.settings)
