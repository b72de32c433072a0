"""functorrent's own DHT node in the tests' process, with a Fetcher around it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from functorrent.fetch.fetcher import Fetcher
from functorrent.fetch.settings import FetchSettings
from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.sources.dht.node import DhtNode
from functorrent.sources.dht.report import LookupReport
from functorrent.sources.dht.settings import DhtSettings
from functorrent.sources.dht.source import DhtSourceMaker


@dataclass
class Looked:
    """What one lookup brought; `first`: seconds until the first peer, None where there was none."""

    report: LookupReport
    peers: list[PeerAddress]
    first: float | None


class OwnNode:
    """A node at `host` that begins with `nodes`. `fetcher` listens on `host`, too, and may serve `have`."""

    def __init__(
        self,
        reactor: Any,
        nodes: Iterable[tuple[str, int]],
        *,
        host: str = "127.30.1.1",
        have: dict[bytes, bytes] | None = None,
        limits: Limits = DEFAULT_LIMITS,
        **settings: Any,
    ) -> None:
        self.reactor = reactor
        self.host = host
        maker = DhtSourceMaker(
            DhtSettings(bootstrap=tuple(nodes), trusted=True, interfaces=(host,), port=0, **settings)
        )
        literal = host.replace(":", r"\:")
        self.fetcher = Fetcher(
            reactor,
            FetchSettings(listen=(f"tcp:0:interface={literal}",), allow_local=True),
            limits=limits,
            sources=[maker],
            provider=_Provider(have or {}),
            plugins=False,
        )

    async def start(self) -> OwnNode:
        """Join the network; returns itself once that is done."""
        await self.fetcher.start()
        await self.node.ready
        return self

    @property
    def source(self) -> Any:
        """The DhtSource."""
        (source,) = [source for source in self.fetcher.core.sources if source.name == "dht"]
        return source

    @property
    def node(self) -> DhtNode:
        """The node, once it was started."""
        node: DhtNode = self.source.node
        return node

    @property
    def address(self) -> PeerAddress:
        """Where it is asked."""
        return PeerAddress(self.host, self.port)

    @property
    def port(self) -> int:
        """Its UDP port, also of a read-only node, which tells nobody."""
        v6 = ":" in self.host
        port: int = self.source._sockets.open(v6)
        return port

    @property
    def known(self) -> int:
        """Nodes in its tables."""
        return sum(len(table) for table in self.node.tables if table is not None)

    async def look(self, infohash: bytes, *, announce: bool = False) -> Looked:
        """Look for an infohash, to the end of the lookup."""
        began = self.reactor.seconds()
        peers: list[PeerAddress] = []
        first: list[float] = []

        def found(more: list[PeerAddress]) -> None:
            first.append(self.reactor.seconds() - began)
            peers.extend(more)

        port = self.fetcher.port if announce else None
        report = await self.node.get_peers(infohash, found, port)
        return Looked(report, peers, first[0] if first else None)

    async def stop(self) -> None:
        """End it."""
        await self.fetcher.stop()


class _Provider:
    """Info dictionaries by infohash (IMetadataProvider)."""

    def __init__(self, have: dict[bytes, bytes]) -> None:
        self._have = have

    def info_bytes(self, infohash: bytes) -> bytes | None:
        return self._have.get(infohash)
