"""Our DHT node (BEP 5, 32, 42, 43): one for the whole process, on any clock and any transport."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed

from functorrent.errors import DhtSilent, MalformedKrpc
from functorrent.interfaces import IResolver, PeerAddress
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.sources.dht.answers import Answers
from functorrent.sources.dht.calls import Call, Calls
from functorrent.sources.dht.core import DhtCore
from functorrent.sources.dht.ids import AddressVotes, complies, id_for, random_id
from functorrent.sources.dht.joining import Joining
from functorrent.sources.dht.lookup import Candidate
from functorrent.sources.dht.pings import Pings
from functorrent.sources.dht.report import NOTHING, LookupReport
from functorrent.sources.dht.saved import SavedTable
from functorrent.sources.dht.search import IWaiter
from functorrent.sources.dht.searches import Searches
from functorrent.sources.dht.settings import DhtSettings
from functorrent.sources.dht.storage import PeerStorage
from functorrent.sources.dht.table import RoutingTable
from functorrent.sources.dht.tokens import Tokens
from functorrent.sources.dht.upkeep import Upkeep
from functorrent.sources.dht.walk import Walk, Walks
from functorrent.wire.krpc import NodeInfo, Query, Response, decode_krpc, encode_ping


class Pong(NamedTuple):
    """What a ping brought: the node's id, seconds it took, its ``v``, and where it sees us (or None)."""

    node_id: bytes
    seconds: float
    version: bytes | None
    external: PeerAddress | None


class DhtNode:
    """One node of the DHT, in the families that it is given.

    `clock`: IReactorTime. `send(data, (host, port))` sends a datagram, and returns None, or why it cannot.
    What comes in is given to `received`. `resolver` finds the hosts of `settings.bootstrap`; `may_ask`
    says of an address that a stranger names whether we may send to it. `saved`: the table of an earlier
    run. Everything begins with `start`.
    """

    def __init__(
        self,
        clock: Any,
        send: Callable[[bytes, tuple[str, int]], Any],
        settings: DhtSettings,
        resolver: IResolver,
        *,
        limits: Limits = DEFAULT_LIMITS,
        may_ask: Callable[[PeerAddress], bool] = lambda address: True,
        families: Sequence[bool] = (False, True),
        saved: SavedTable | None = None,
    ) -> None:
        self.settings = settings
        self._core = core = DhtCore(clock, limits, settings.read_only, may_ask)
        self.stats = core.stats
        for v6 in families:
            own_id = random_id() if saved is None else saved.id6 if v6 else saved.id4
            core.ids[v6] = own_id
            core.tables[v6] = RoutingTable(own_id, 6 if v6 else 4)
            if saved is not None:
                core.old_nodes[v6] = saved.nodes6 if v6 else saved.nodes4
        core.calls = Calls(clock, send, limits, settings.rate, core.stats, self._heard, self._silent)
        self._votes = {v6: AddressVotes() for v6 in families}
        self.storage = PeerStorage(limits)
        self._pings = Pings(core)
        self._answers = Answers(core, send, Tokens(), self.storage, self._pings)
        self._joining = joining = Joining(core, settings, resolver, self._joined)
        self.searches = Searches(core, joining.more, joining.seeds)
        joining.searches = self.searches
        self._upkeep = Upkeep(core, self._pings, self.storage, settings.table_file, joining)
        self._walks: set[Walks] = set()
        self._waiting: list[Deferred[None]] = []
        self._joined_once = False
        self._stopped = False

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Join the network, and stay in it. Called once."""
        self._joining.start()
        self._upkeep.start()

    def stop(self) -> Deferred[None]:
        """Save the table, end what runs, and send nothing more."""
        if not self._stopped:
            self._stopped = True
            self._upkeep.stop()
            self._joining.stop()
            self.searches.stop()
            self._pings.stop()
            for walks in list(self._walks):
                walks.cancel()
            self._core.calls.stop()
            self._core.deadlines.stop()
            self._joined()
        return succeed(None)

    @property
    def why(self) -> str | None:
        """Why a host to begin with that the user typed is of no use, in words; None where there is none."""
        return self._joining.why

    @property
    def ready(self) -> Deferred[None]:
        """Fires when the network was joined, or not for the time being; a new Deferred each time."""
        if self._joined_once:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    def _joined(self) -> None:
        self._joined_once = True
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    # -- what others may know ------------------------------------------------------------------

    @property
    def tables(self) -> tuple[RoutingTable | None, RoutingTable | None]:
        """The routing tables, of IPv4 and of IPv6; None for a family that is not used."""
        return self._core.tables.get(False), self._core.tables.get(True)

    @property
    def ids(self) -> tuple[bytes | None, bytes | None]:
        """Our ids (bytes of 20), in IPv4 and in IPv6."""
        return self._core.ids.get(False), self._core.ids.get(True)

    @property
    def external(self) -> tuple[str | None, str | None]:
        """Our addresses as most others see them, IPv4 and IPv6; None where not known."""
        return tuple(  # type: ignore[return-value]
            self._votes[v6].host if v6 in self._votes else None for v6 in (False, True)
        )

    # -- datagrams -----------------------------------------------------------------------------

    def received(self, data: bytes, address: tuple[str, int]) -> None:
        """A datagram of anybody."""
        if self._stopped or not address[1]:
            return
        try:
            message = decode_krpc(data)
        except MalformedKrpc as error:
            self.stats.malformed += 1
            self._answers.malformed(error, address)
            return
        if isinstance(message, Query):
            self._answers.received(message, address)
        else:
            self._core.calls.received(message, address)

    def _heard(self, call: Call, response: Response) -> None:
        """An answer to something we asked."""
        core = self._core
        now = float(core.clock.seconds())
        address, sender = call.address, response.sender
        v6 = ":" in address.host
        table = core.tables[v6]
        self._joining.heard()
        if sender in core.ids.values():
            return
        if call.node_id is not None and call.node_id != sender:
            # Named with a wrong id, or it has changed its id: the table sees to it.
            self.stats.wrong_ids += 1
        if not self._joining.is_host(address):
            table.answered(NodeInfo(sender, address), now)
        external = response.external
        if external is not None and (":" in external.host) == v6:
            if self._votes[v6].vote(address.host, external.host):
                self._moved(v6, external.host, now)

    def _silent(self, call: Call) -> None:
        """Something we asked was not answered in time."""
        core = self._core
        if call.node_id is not None:
            node = NodeInfo(call.node_id, call.address)
            core.tables[":" in call.address.host].failed(node, float(core.clock.seconds()))

    def _moved(self, v6: bool, host: str, now: float) -> None:
        """Others agree on where we are: our id has to comply with it (BEP 42)."""
        core = self._core
        if not complies(core.ids[v6], host):
            core.ids[v6] = own_id = id_for(host)
            core.tables[v6] = core.tables[v6].moved(own_id, now)
            # We have other neighbours now, who do not know us yet.
            self._upkeep.look_for(v6, own_id)

    def heard_node(self, address: PeerAddress) -> None:
        """A stranger says that there is a node; it is pinged, if that is allowed."""
        if not self._stopped and self._core.may_ask(address):
            self._pings.add(address)

    # -- asking --------------------------------------------------------------------------------

    def ping(self, address: PeerAddress) -> Deferred[Pong]:
        """Ask whether there is a node. Fails with DhtSilent where it does not answer in time."""
        return _Ping(self._core, address).deferred

    def find_node(self, target: bytes) -> Deferred[list[NodeInfo]]:
        """Look for the nodes closest to `target` (bytes of 20): up to 8 that answered, the closest first,
        of both families. Cancelled, it fires with those so far."""
        return _Finding(self._core, target, self._joining.more, self._walks).start(self._joining.seeds())

    def get_peers(
        self,
        infohash: bytes,
        found: Callable[[list[PeerAddress]], None],
        announce_port: int | None = None,
    ) -> Deferred[LookupReport]:
        """Look for the peers of an infohash (bytes of 20); `found` is given them as they come.

        `announce_port`: our TCP port, to be told to the nodes it ends at; None for nothing to tell.
        Cancelled, it fires at once with the report so far.
        """
        return _Getting(self, infohash, found, announce_port).deferred

    def join_search(self, infohash: bytes, waiter: IWaiter) -> None:
        """As `get_peers`, for who needs no Deferred; `waiter.ended` may be called before this returns."""
        if self._stopped or not self._joining.reachable():
            waiter.ended(NOTHING)
            return
        self.searches.join(infohash, waiter)


class _Getting:
    """Somebody who waits for a search, with a Deferred."""

    def __init__(
        self,
        node: DhtNode,
        infohash: bytes,
        found: Callable[[list[PeerAddress]], None],
        announce_port: int | None,
    ) -> None:
        self.announce_port = None if node.settings.read_only else announce_port
        self.found = found
        self._node = node
        self._infohash = infohash
        self.deferred: Deferred[LookupReport] = Deferred(self._cancel)
        node.join_search(infohash, self)

    def ended(self, report: LookupReport) -> None:
        """The search is over."""
        self.deferred.callback(report)

    def _cancel(self, _: object) -> None:
        searches = self._node.searches
        search = searches.running.get(self._infohash)
        report = search.report() if search is not None else NOTHING
        searches.leave(self._infohash, self)
        self.deferred.callback(report)


class _Finding:
    """A find_node lookup in every family, with a Deferred."""

    def __init__(
        self, core: DhtCore, target: bytes, more: Callable[[Walk], bool], running: set[Walks]
    ) -> None:
        self._running = running
        self._walks = Walks(core, target, "find_node", self, more)
        self._deferred: Deferred[list[NodeInfo]] = Deferred(self._cancel)

    def start(self, seeds: Sequence[PeerAddress]) -> Deferred[list[NodeInfo]]:
        self._running.add(self._walks)
        self._walks.start(seeds)
        self.walk_ended()
        return self._deferred

    def walk_answered(self, walk: Walk, candidate: Candidate, response: Response) -> None:
        """Its nodes are the lookup's."""

    def walk_ended(self, walk: Walk | None = None) -> None:
        if not self._deferred.called and self._walks.over:
            self._end()

    def _cancel(self, _: object) -> None:
        self._walks.cancel()
        self._end()

    def _end(self) -> None:
        self._running.discard(self._walks)
        self._deferred.callback(list(self._walks.nodes()))


class _Ping:
    """One ping, with a Deferred."""

    def __init__(self, core: DhtCore, address: PeerAddress) -> None:
        self._core = core
        self._call = call = Call(address, None, "ping", self, None)
        self.deferred: Deferred[Pong] = Deferred(lambda _: core.calls.forget(call))
        own_id = core.ids.get(":" in address.host)
        if own_id is None:
            self.deferred.errback(DhtSilent(f"there is no way to {address} from here"))
            return
        read_only = core.read_only
        core.calls.ask(call, lambda transaction: encode_ping(transaction, own_id, read_only=read_only))

    def answered(self, call: Call, response: Response) -> None:
        if not self.deferred.called:
            seconds = float(self._core.clock.seconds()) - call.sent
            self.deferred.callback(Pong(response.sender, seconds, response.version, response.external))

    def stalled(self, call: Call) -> None:
        """There is time yet."""

    def lost(self, call: Call) -> None:
        if not self.deferred.called:
            self.deferred.errback(DhtSilent(f"{call.address} does not answer"))
