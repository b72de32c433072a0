"""The DHT as a peer source: one node for the process, and its searches as `find`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
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
from functorrent.sources.dht.node import DhtNode
from functorrent.sources.dht.report import NOTHING, LookupReport
from functorrent.sources.dht.saved import load
from functorrent.sources.dht.settings import DhtSettings
from functorrent.sources.udp_socket import UdpSockets
from functorrent.text import plural

if TYPE_CHECKING:
    from functorrent.magnet import Magnet

_HASH = 20
#: Infohashes whose closest nodes are remembered, for callers that never say `ended`.
_MAX_CLOSEST = 10_000
UNREACHABLE = "no DHT node could be reached"
_NOT_ASKED = SourceReport("dht")


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
    """The process's DHT node, as a source of peers. `node` is None before `start`."""

    name = "dht"

    def __init__(self, context: SourceContext, settings: DhtSettings) -> None:
        self.node: DhtNode | None = None
        self.node_port: int | None = None
        self._context = context
        self._settings = settings
        self._sockets: UdpSockets | None = None
        self._closest: dict[bytes, tuple[PeerAddress, ...]] = {}
        self._stopped = False

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the sockets and join the network."""
        self._started()

    def _started(self) -> DhtNode:
        if self.node is not None:
            return self.node
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
        families = [v6 for v6, port in ports.items() if port is not None]
        if not settings.read_only:
            self.node_port = next((port for port in ports.values() if port), None)
        self.node = node = DhtNode(
            context.clock,
            lambda data, address: sockets.write(address, data),
            settings,
            context.resolver,
            limits=context.limits,
            may_ask=self._may_ask,
            families=families,
            saved=load(settings.table_file) if settings.table_file is not None else None,
        )
        node.start()
        return node

    def _received(self, data: bytes, address: tuple[str, int]) -> None:
        if self.node is not None:
            self.node.received(data, address)

    def _may_ask(self, address: PeerAddress) -> bool:
        try:
            self._context.guard.check(address.host, address.port)
        except AddressNotAllowed:
            return False
        return True

    def stop(self) -> Deferred[None]:
        """Save the routing table, end every search, close the sockets."""
        self._stopped = True
        if self.node is None or self._sockets is None:
            return succeed(None)
        self.node.stop()
        return self._sockets.close()

    # -- IPeerSource, IQueueingSource ----------------------------------------------------------

    def find(self, magnet: Magnet, sink: IPeerSink) -> Deferred[SourceReport]:
        """Look for the peers of `magnet`; `sink` gets them as they come, and the nodes that it ends at
        are told of us where we listen.

        A v2 magnet is looked for by the first 20 bytes of its infohash (BEP 52).
        """
        if self._stopped:
            return succeed(_NOT_ASKED)
        node = self.node or self._started()
        infohash = magnet.infohash or (magnet.infohash_v2 or b"")[:_HASH]
        port = None if self._settings.read_only else self._context.identity.port
        waiter = _Find(self, infohash, sink, port)
        node.join_search(infohash, waiter)
        return waiter.deferred

    def waits(self, infohash: bytes) -> bool:
        """Whether no node has been asked for this infohash yet."""
        return self.node is not None and self.node.searches.waits(infohash)

    def leave(self, infohash: bytes, waiter: _Find) -> LookupReport:
        """A find is cancelled; what its search has brought so far."""
        if self.node is None:
            return NOTHING
        searches = self.node.searches
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
        if self.node is not None:
            self.node.heard_node(address)

    def nodes(self, infohash: bytes) -> Sequence[PeerAddress]:
        """Nodes that answered in the last search of this infohash, the closest first, 8 at most."""
        search = self.node.searches.running.get(infohash) if self.node is not None else None
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
