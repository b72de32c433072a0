"""What the tests of local service discovery run against: a network in memory, and sinks that take notes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from functorrent.addresses import AddressGuard
from functorrent.interfaces import IIdentity, IPeerSink, PeerAddress, SourceContext, SourceReport
from functorrent.limits import Limits
from functorrent.magnet import Magnet
from functorrent.sources.lsd.links import Link
from functorrent.sources.lsd.source import LsdSource
from functorrent.wire.lsd import HOST4, LsdAnnounce, decode_announce, encode_announce

#: Two interfaces: one with both families, and one whose subnet another can only pretend to be on.
ETH, ETH6, LINK = (
    Link("eth0", 2, "192.168.1.5", 24),
    Link("eth0", 2, "fd00::5", 64),
    Link("eth0", 2, "fe80::5", 64),
)
DOCKER = Link("docker0", 3, "172.17.0.1", 16)
LINKS = (ETH, ETH6, LINK, DOCKER)
NEIGHBOUR = "192.168.1.77"


def infohash(number: int) -> bytes:
    return number.to_bytes(20, "big")


def magnet(number: int, *trackers: str) -> Magnet:
    """A magnet of this infohash."""
    tail = "".join(f"&tr={url}" for url in trackers)
    return Magnet.parse(f"magnet:?xt=urn:btih:{infohash(number).hex()}{tail}")


def announce(*numbers: int, port: int = 6881, cookie: str = "theirs") -> bytes:
    """What a neighbour sends."""
    return encode_announce(HOST4, port, [infohash(number) for number in numbers], cookie)


class FakeMulticast:
    """Both groups, without sockets. `works` False: no multicast here."""

    def __init__(self, received: Callable[[bytes, str, int], None]) -> None:
        self.received = received
        self.works = True
        self.links: tuple[Link, ...] = ()
        self.sent: list[dict[bool, bytes]] = []
        self.joins = 0
        self.closed = False

    def join(self, links: Iterable[Link]) -> set[str]:
        self.joins += 1
        self.links = tuple(links)
        return {link.name for link in self.links} if self.works else set()

    def send(self, datagrams: dict[bool, bytes]) -> int:
        assert not self.closed
        self.sent.append(datagrams)
        return len(self.links)

    def close(self) -> None:
        self.closed = True

    def announces(self) -> list[LsdAnnounce]:
        """What went out over IPv4."""
        return [decode_announce(datagrams[False]) for datagrams in self.sent]


@implementer(IIdentity)
class Identity:
    """Where we listen."""

    port: int | None = 50000
    interface = ""
    key = 1

    def peer_id(self, infohash: bytes) -> bytes:
        return bytes(20)


@implementer(IPeerSink)
class Sink:
    """Takes notes of the peers."""

    hungry = False

    def __init__(self) -> None:
        self.found: list[PeerAddress] = []
        self.kinds: set[tuple[bool, bool]] = set()

    def peers(
        self, addresses: Iterable[PeerAddress], *, hearsay: bool = False, on_link: bool = False
    ) -> None:
        self.found += addresses
        self.kinds.add((hearsay, on_link))

    def whole(self, info_bytes: bytes) -> bool:
        raise AssertionError("no web source")


class Bed:
    """A source on a network in memory; `source.start()` is the test's to call."""

    def __init__(self, links: Any = LINKS, **limits: Any) -> None:
        self.clock = Clock()
        self.limits = Limits(**limits)
        self.identity = Identity()
        #: What our interfaces are; an exception is raised.
        self.links: Any = links
        self.guard = AddressGuard()
        context = SourceContext(
            reactor=None,
            clock=self.clock,
            resolver=None,  # type: ignore[arg-type]
            guard=self.guard,
            limits=self.limits,
            identity=self.identity,
            agent=lambda: None,
        )
        self.source = LsdSource(context, self._make, self._links)

    def _make(self, received: Callable[[bytes, str, int], None]) -> FakeMulticast:
        self.multicast = FakeMulticast(received)
        return self.multicast

    def _links(self) -> tuple[Link, ...]:
        if isinstance(self.links, Exception):
            raise self.links
        links: tuple[Link, ...] = self.links
        return links

    def hear(self, data: bytes, host: str = NEIGHBOUR, index: int = ETH.number) -> None:
        """A datagram comes in."""
        self.multicast.received(data, host, index)

    def find(self, number: int, *trackers: str) -> tuple[Sink, list[SourceReport]]:
        """Look for a magnet; its report is in the list once it is there."""
        sink = Sink()
        return sink, self.reports(self.source.find(magnet(number, *trackers), sink))

    def reports(self, deferred: Deferred[SourceReport]) -> list[SourceReport]:
        found: list[SourceReport] = []
        deferred.addCallback(found.append)
        return found

    def pass_time(self, seconds: float) -> None:
        """In small steps, as a reactor does."""
        steps = max(1, int(seconds / 0.05))
        self.clock.pump([seconds / steps] * steps)
