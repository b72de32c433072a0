"""`Fetcher`: everything that fetches of one process share, put together and taken apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from functorrent import __version__
from functorrent.addresses import AddressGuard
from functorrent.deadlines import Deadlines
from functorrent.errors import (
    AddressNotAllowed,
    FunctorrentError,
    NameNotResolved,
    UnsupportedMagnet,
    UsageError,
)
from functorrent.fetch.budget import MemoryBudget
from functorrent.fetch.core import FetchCore, Stats
from functorrent.fetch.dialer import Dialer
from functorrent.fetch.factory import MetadataClientFactory
from functorrent.fetch.identity import Identity
from functorrent.fetch.patience import Patience
from functorrent.fetch.race import Race
from functorrent.fetch.result import Metadata
from functorrent.fetch.settings import FetchSettings
from functorrent.interfaces import (
    IMetadataLibrary,
    IMetadataProvider,
    IMetadataSink,
    INodeSource,
    IPeerExtension,
    IPeerSource,
    IPeerSourceMaker,
    IRecallingSource,
    IStartingSource,
    PeerAddress,
    SourceContext,
)
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.magnet import Magnet
from functorrent.peer.dispatch import ExtensionTable, discover_extensions
from functorrent.peer.endpoint import DirectEndpoint
from functorrent.peer.listener import PeerListener
from functorrent.peer.pollset import PollSet, make_pollset
from functorrent.peer.serving import ServingStats
from functorrent.peer.shelf import Shelf
from functorrent.peer.ut_metadata import UtMetadata
from functorrent.peer.ut_pex import UtPex
from functorrent.resolver import GuardedResolver
from functorrent.sources.tracker import TrackerSourceMaker


def discover_sources() -> list[IPeerSourceMaker]:
    """The installed third-party peer sources (namespace ``functorrent.plugins``)."""
    from twisted.plugin import getPlugins

    import functorrent.plugins

    return list(getPlugins(IPeerSourceMaker, functorrent.plugins))


class Fetcher:
    """Fetches magnets, any number at once, over one dialer, one resolver, one listener.

    `reactor`: IReactorTime, IReactorTCP, IReactorUDP, IReactorThreads; its `seconds` should be
    monotonic. `plugins`: whether installed third-party plugins are used. `sources`, `extensions`:
    further ones. `provider`: what peers that call us may have; `library`: what they may have, too, if it
    takes a while to be found.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        settings: FetchSettings | None = None,
        *,
        limits: Limits = DEFAULT_LIMITS,
        sources: Iterable[IPeerSourceMaker] = (),
        extensions: Iterable[IPeerExtension] = (),
        provider: IMetadataProvider | None = None,
        library: IMetadataLibrary | None = None,
        plugins: bool = True,
    ) -> None:
        self.settings = settings = settings or FetchSettings()
        self.limits = limits = settings.limits(limits)
        self._reactor = reactor
        self._library = library
        self._shelf = Shelf(reactor, provider, limits)
        #: What became of peers that called us, and what they were given.
        self.serving = ServingStats()
        self._further = (tuple(sources), tuple(extensions), plugins)
        guard = AddressGuard(settings.allow_local)
        self._resolver = GuardedResolver(reactor, reactor, guard, limits)
        self._http: Any = None
        self._listener: PeerListener | None = None
        self._ports: list[Any] = []
        self._starting: Deferred[None] | None = None
        self._stopped = False
        self.core = FetchCore(
            reactor=reactor,
            pollset=make_pollset(reactor),
            clock=reactor,
            deadlines=Deadlines(reactor),
            patience=Patience(reactor, limits.slot_patience),
            settings=settings,
            limits=limits,
            guard=guard,
            resolver=self._resolver,
            identity=Identity(__version__),
            table=ExtensionTable(()),
            dialer=Dialer(reactor, limits, rate=settings.dial_rate),
            budget=MemoryBudget(limits.max_assembling),
        )

    @property
    def stats(self) -> Stats:
        """Counters for progress displays."""
        return self.core.stats

    @property
    def port(self) -> int | None:
        """The TCP port where peers may call us, None where we do not listen."""
        return self.core.identity.port

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> Deferred[None]:
        """Listen, and get everything ready. Fails with UsageError where it cannot listen."""
        core = self.core
        sources, extensions, plugins = self._further
        ut_metadata = UtMetadata(core.clock, self._sink, self._shelf, core.limits, self.serving)
        found = self._discover(discover_extensions) if plugins else []
        ut_pex = UtPex(core.deadlines, self._wanted, core.limits)
        core.table = ExtensionTable([ut_metadata, ut_pex, *extensions, *found], __version__)
        makers = [TrackerSourceMaker(frozenset(self.settings.trackers)), *sources]
        if plugins:
            makers += self._discover(discover_sources)
        core.sources = self._make_sources(makers)
        self._starting = Deferred.fromCoroutine(self._start())
        return self._starting

    async def _start(self) -> None:
        if self.settings.listens:
            await self._listen()
        for source in self.core.sources:
            if IStartingSource.providedBy(source):
                try:
                    source.start()
                except Exception:
                    self.log.failure("the source {name!r} could not begin", name=source.name)
        self._use_node()
        peers: list[PeerAddress] = []
        for host, port in self.settings.peers:
            try:
                for literal in (await self._resolver.resolve(host, trusted=True))[:2]:
                    peers.append(PeerAddress(literal, port))
            except (NameNotResolved, AddressNotAllowed) as error:
                raise UsageError(f"--peer {host}:{port}: {error}") from error
        self.core.extra_peers = tuple(peers)

    def _use_node(self) -> None:
        """Our DHT node, if we have one: peers are told of it, and it hears of theirs (BEP 5)."""
        node = next((source for source in self.core.sources if INodeSource.providedBy(source)), None)
        if node is None:
            return
        table = self.core.table

        def heard_node(address: PeerAddress) -> None:
            try:
                node.heard_node(address)
            except Exception:
                self.log.failure("the source {name!r} could not hear of a node", name=node.name)

        try:
            table.node_port = node.node_port
            table.heard_node = heard_node
        except Exception:
            self.log.failure("the source {name!r} could not tell its port", name=node.name)

    def _discover(self, find: Callable[[], list[Any]]) -> list[Any]:
        try:
            return find()
        except Exception:
            self.log.failure("plugins could not be looked up")
            return []

    def _make_sources(self, makers: Iterable[IPeerSourceMaker]) -> list[IPeerSource]:
        core = self.core
        context = SourceContext(
            reactor=core.reactor,
            clock=core.clock,
            resolver=core.resolver,
            guard=core.guard,
            limits=core.limits,
            identity=core.identity,
            agent=self._agent,
        )
        made: list[IPeerSource] = []
        for maker in makers:
            try:
                made.append(maker.make(context))
            except Exception:
                self.log.failure("the source {name!r} could not be made", name=getattr(maker, "name", "?"))
        return made

    def _agent(self) -> Any:
        if self._http is None:
            from functorrent.sources.http import HttpClient

            core = self.core
            self._http = HttpClient(
                core.reactor, core.clock, core.resolver, core.guard, core.limits, endpoint=self._endpoint
            )
        return self._http

    def _endpoint(self, host: str, port: int, timeout: float) -> DirectEndpoint:
        return DirectEndpoint(self.core.pollset, self.core.deadlines, host, port, timeout)

    def _sink(self, infohash: bytes) -> IMetadataSink | None:
        race = self._wanted(infohash)
        return race.exchange if race is not None else None

    def _wanted(self, infohash: bytes) -> Race | None:
        fetch = self.core.fetches.get(infohash)
        return fetch.race if fetch is not None and not fetch.race.over else None

    async def _listen(self) -> None:
        core = self.core
        self._listener = listener = PeerListener(
            core.clock,
            core.deadlines,
            core.table,
            self._wanted,
            core.identity.peer_id,
            self._shelf,
            core.limits,
            library=self._library,
            stats=self.serving,
        )
        core.expects = listener.expects
        if not self.settings.listen:
            try:
                # One socket for both families.
                self._ports.append(core.reactor.listenTCP(0, listener, 128, "::"))
            except CannotListenError:
                try:
                    self._ports.append(core.reactor.listenTCP(0, listener, 128))
                except CannotListenError as error:
                    raise UsageError(
                        f"cannot listen for peers: {error.socketError} (--listen off does without)"
                    ) from error
        else:
            from twisted.internet.endpoints import serverFromString

            for description in self.settings.listen:
                try:
                    endpoint = serverFromString(core.reactor, description)
                    self._ports.append(await endpoint.listen(listener))
                except CannotListenError as error:
                    raise UsageError(f"--listen {description}: {error.socketError}") from error
                except CancelledError:
                    raise
                except Exception as error:
                    # Parsers of endpoints, plugins too, raise what they like for what a user typed.
                    raise UsageError(f"--listen {description}: not an endpoint ({error})") from error
        port = getattr(self._ports[0].getHost(), "port", None)
        core.identity.port = port
        host = getattr(self._ports[0].getHost(), "host", "")
        core.identity.interface = "" if host in ("0.0.0.0", "::") else host
        core.table.port = port
        core.guard.set_own(
            {getattr(each.getHost(), "port", 0) for each in self._ports}, frozenset(("127.0.0.1", "::1"))
        )

    def stop(self) -> Deferred[None]:
        """End every fetch, and leave no socket, timer or thread."""
        if self._stopped:
            return succeed(None)
        self._stopped = True
        if self._starting is not None:
            self._starting.cancel()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        core = self.core
        for fetch in list(core.fetches.values()):
            fetch.cancel()
        core.dialer.stop()
        # All begin at once; a plugin that raises, or never ends, must not keep the rest from it.
        stopping = [maybeDeferred(port.stopListening) for port in self._ports]
        if self._listener is not None:
            self._listener.close()
        stopping += [maybeDeferred(_stop, source) for source in core.sources]
        for each in stopping:
            await self._ended(each)
        if self._http is not None:
            await self._ended(self._http.stop())
        await self._ended(self._resolver.stop())
        if isinstance(core.pollset, PollSet):
            core.pollset.close()
        core.deadlines.stop()
        core.patience.stop()

    async def _ended(self, stopping: Deferred[Any]) -> None:
        """Wait until it has stopped, or should have."""
        stopping.addTimeout(self.limits.stop_timeout + 1.0, self.core.clock)
        try:
            await stopping
        except CancelledError:
            # Who no longer waits for the end wants it all the more.
            pass
        except Exception:
            self.log.failure("something did not stop as it should")

    # -- fetching ------------------------------------------------------------------------------

    def fetch(self, magnet: Magnet, released: Callable[[], None] | None = None) -> Deferred[Metadata]:
        """Fetch a magnet's info dictionary.

        Fails with FetchFailed (with its report), NotAnInfoDictionary or UnsupportedMagnet. Cancelled,
        it fails at once. `released` is called when nobody answers and its slot may go to another.
        One infohash is fetched once at a time: see `join`.
        """
        if self._stopped or not self.core.sources:
            return fail(FunctorrentError("the fetcher is not running"))
        try:
            if magnet.infohash in self.core.fetches:
                raise UsageError("this torrent is being fetched already")
            factory = MetadataClientFactory(magnet, self.core, released)
        except (UnsupportedMagnet, UsageError) as error:
            return fail(error)
        return factory.fetch()

    def learned(self, infohash: bytes, now: float) -> dict[str, Any] | None:
        """What a failed try has taught the sources, for `recall` at the next: a JSON object, or None.

        `now`: seconds since the epoch, here and there.
        """
        found: dict[str, Any] = {}
        for source in self.core.sources:
            try:
                known = source.learned(infohash, now) if IRecallingSource.providedBy(source) else None
            except Exception:
                self.log.failure("a source could not tell what it has learned")
                continue
            if known:
                found[source.name] = known
        return found or None

    def recall(self, infohash: bytes, learned: Mapping[str, Any], now: float) -> None:
        """Tell the sources what `learned` gave after an earlier try, perhaps of another process."""
        for source in self.core.sources:
            known = learned.get(source.name)
            if isinstance(known, Mapping) and IRecallingSource.providedBy(source):
                try:
                    source.recall(infohash, known, now)
                except Exception:
                    self.log.failure("a source could not recall what it had learned")

    def join(self, magnet: Magnet) -> bool:
        """Let a duplicate's trackers and peers join the fetch that is on; False where there is none."""
        fetch = self.core.fetches.get(magnet.infohash or b"")
        if fetch is None:
            return False
        fetch.join(magnet)
        return True


def _stop(source: IPeerSource) -> Deferred[None]:
    return source.stop()
