"""Local service discovery as a peer source (BEP 14).

Laws of this file:

- What is heard counts only from a neighbour: a source address on a subnet of ours, of the interface it came
  in by. Only such peers are given to sinks as `on_link`.
- `find` waits for nobody but where an announce of ours goes out within a moment, and then a few seconds: two
  for a magnet with trackers, which must not take longer for our sake. In a bulk fetch those are a few
  magnets a minute, and the others cost two entries in dictionaries. Peers heard later go to the sink until
  `ended`.
- Nothing goes out for an infohash after its `ended`, or where nobody can call us.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from zope.interface import implementer

from functorrent.deadlines import Deadlines
from functorrent.errors import MalformedLsd
from functorrent.interfaces import (
    IPeerSink,
    IPeerSource,
    IPeerSourceMaker,
    IStartingSource,
    PeerAddress,
    SourceContext,
    SourceReport,
)
from functorrent.sources.lsd.announcer import Announcer
from functorrent.sources.lsd.links import Link, Neighbourhood, read_links
from functorrent.sources.lsd.multicast import Multicast
from functorrent.sources.lsd.neighbours import Neighbours
from functorrent.sources.lsd.rates import Rates
from functorrent.text import plural
from functorrent.wire.lsd import HOST4, HOST6, decode_announce, encode_announce, is_announce

if TYPE_CHECKING:
    from functorrent.magnet import Magnet

_NAME = "lsd"
_NOTHING = SourceReport(_NAME)
_NOBODY = SourceReport(_NAME, detail="nobody on the local network answered")
_LINK_LOCAL = "fe80:"


@dataclass(slots=True)
class LsdStats:
    """Counters: datagrams sent (one into each subnet) and read; announces of neighbours taken in; those
    dropped because their sender was no neighbour, or too many came; and peers given to sinks."""

    sent: int = 0
    read: int = 0
    heard: int = 0
    strangers: int = 0
    too_many: int = 0
    peers: int = 0


@implementer(IPeerSource, IStartingSource)
class LsdSource:
    """Neighbours of all magnets. Opens nothing before `start`; off where this machine has no multicast.

    `multicast(received)` makes the transport, `links()` tells our subnets: for tests.
    """

    name = _NAME
    log = Logger()

    def __init__(self, context: SourceContext, multicast: Any = None, links: Any = None) -> None:
        limits = context.limits
        self._limits = limits
        self._clock = context.clock
        self._identity = context.identity
        if multicast is None:
            self._multicast = Multicast(context.reactor, context.clock, limits, self.received)
        else:
            self._multicast = multicast(self.received)
        self._read_links = links or (lambda: read_links(limits.lsd_interfaces))
        self._deadlines = Deadlines(context.clock)
        self._announcer = Announcer(context.clock, limits, self._send)
        self._neighbours = Neighbours(limits)
        self._rates = Rates(context.clock, limits)
        self._around = Neighbourhood()
        self._cookie = secrets.token_hex(8)
        self._seeking: dict[bytes, Seeking] = {}
        self._timer: Any = None
        self._on = False
        self._joined: set[str] = set()
        #: What the log was last told of; a change is worth a line.
        self._told: str | None = None
        #: Plain counters, for metrics.
        self.stats = LsdStats()

    # -- IStartingSource, IPeerSource ----------------------------------------------------------

    def start(self) -> None:
        """Join the groups on each interface, and look again now and then: laptops change networks."""
        self._on = True
        self._look()

    def find(self, magnet: Magnet, sink: IPeerSink) -> Deferred[SourceReport]:
        """Give `sink` the neighbours that have announced `magnet` or do so until `ended`, and announce it.

        A v2 magnet is looked for by the first 20 bytes of its infohash (BEP 52). For a magnet that is looked
        for already (a duplicate, with further trackers) there is nothing to be done.
        """
        infohash = magnet.wire_infohash
        seekers = self._seeking
        if not self._on or infohash in seekers or len(seekers) >= self._limits.lsd_magnets:
            return succeed(_NOTHING)
        seeking = seekers[infohash] = Seeking(self, infohash, sink)
        now = self._clock.seconds()
        if len(self._neighbours):
            for peer in self._neighbours.peers(infohash, now):
                self._give(seeking, peer)
        if not self._joined or self._identity.port is None or not self._announcer.want(infohash):
            return succeed(seeking.report())
        seeking.alone = not magnet.trackers
        seeking.deferred = Deferred(seeking.cancelled)
        wait = self._limits.lsd_wait if magnet.trackers else self._limits.lsd_wait_alone
        self._deadlines.set(seeking.waited, now + self._limits.lsd_gather + wait)
        return seeking.deferred

    def ended(self, infohash: bytes) -> None:
        """Nobody is told (BEP 14 has no word for it); but it is announced no more."""
        seeking = self._seeking.pop(infohash, None)
        if seeking is not None:
            self._announcer.unwant(infohash)
            seeking.finish()

    def stop(self) -> Deferred[None]:
        """Leave the groups; what is looked for ends with what was found."""
        self._on = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._announcer.stop()
        for infohash in list(self._seeking):
            self.ended(infohash)
        self._deadlines.stop()
        self._multicast.close()
        self._joined = set()
        return succeed(None)

    def forget(self, seeking: Seeking) -> None:
        """It was cancelled, or has waited long enough: no deadline is left."""
        self._deadlines.clear(seeking.waited)

    # -- our links -----------------------------------------------------------------------------

    def _look(self) -> None:
        """See which subnets we are on, and be in the groups there."""
        self._timer = self._clock.callLater(self._limits.lsd_look, self._look)
        try:
            links = self._of_interest(self._read_links())
        except Exception as error:
            # An odd interface; what we know is good enough, and there may be no odd one the next time.
            self.log.debug("our interfaces could not be read: {error!r}", error=error)
            links = self._around.links
        if links != self._around.links:
            self._around = Neighbourhood(links)
            self._neighbours.clear()
        self._joined = self._multicast.join(links)
        told = ", ".join(sorted(self._joined))
        if told != self._told:
            self._told = told
            if told:
                self.log.info("looking for peers on the local network ({interfaces})", interfaces=told)
            else:
                self.log.info("there is no local network here to look for peers on")

    def _of_interest(self, links: Sequence[Link]) -> tuple[Link, ...]:
        """Where we listen (BEP 14): on all of them, or on the one with the address we are bound to."""
        only = self._identity.interface
        return tuple(link for link in links if link.address == only) if only else tuple(links)

    # -- announces -----------------------------------------------------------------------------

    def _send(self, infohashes: Sequence[bytes]) -> None:
        port = self._identity.port
        if port is not None:
            self.stats.sent += self._multicast.send(
                {
                    False: encode_announce(HOST4, port, infohashes, self._cookie),
                    True: encode_announce(HOST6, port, infohashes, self._cookie),
                }
            )

    def received(self, data: bytes, host: str, index: int) -> None:
        """A datagram to the group: from `host` (no scope), in by the interface of this number."""
        stats = self.stats
        stats.read += 1
        if not is_announce(data):
            return
        if not self._around.has(host, index):
            stats.strangers += 1
            return
        if not self._rates.take(host):
            stats.too_many += 1
            return
        try:
            announce = decode_announce(data)
        except MalformedLsd:
            return
        if announce.cookie == self._cookie.encode() or (
            announce.port == self._identity.port and host in self._around.ours
        ):
            return
        if host.startswith(_LINK_LOCAL):
            host = f"{host}%{self._around.name(index)}"
        stats.heard += 1
        peer = PeerAddress(host, announce.port)
        self._neighbours.add(peer, announce.infohashes, self._clock.seconds())
        for infohash in announce.infohashes:
            seeking = self._seeking.get(infohash)
            if seeking is not None:
                self._give(seeking, peer)
                self._announcer.answer(infohash)

    def _give(self, seeking: Seeking, peer: PeerAddress) -> None:
        limits = self._limits
        given = seeking.given
        if peer in given or len(given) >= limits.lsd_peers:
            return
        # Anybody on the subnet may write any address of it: nobody's every port is knocked at for that.
        if sum(each.host == peer.host for each in given) >= limits.lsd_ports:
            return
        given.append(peer)
        self.stats.peers += 1
        seeking.sink.peers([peer], on_link=True)


class Seeking:
    """One magnet that is looked for. `deferred` is there while `find` waits. `alone`: it names no trackers,
    so that what neighbours said is worth telling even where that is nothing."""

    __slots__ = ("alone", "deferred", "given", "infohash", "sink", "source")

    def __init__(self, source: LsdSource, infohash: bytes, sink: IPeerSink) -> None:
        self.source = source
        self.infohash = infohash
        self.sink = sink
        self.given: list[PeerAddress] = []
        self.alone = False
        self.deferred: Deferred[SourceReport] | None = None

    def report(self) -> SourceReport:
        """What came of it so far."""
        found = len(self.given)
        if not found:
            return _NOTHING
        return SourceReport(_NAME, found, detail=f"{plural(found, 'peer')} on the local network")

    def waited(self) -> None:
        """Neighbours had their time; those that come later are welcome, too."""
        self.finish(_NOBODY if self.alone and not self.given else None)

    def cancelled(self, _: object) -> None:
        """Who asked wants no more."""
        self.source.ended(self.infohash)

    def finish(self, report: SourceReport | None = None) -> None:
        """Tell who waits, if anybody does: `report`, or what there is."""
        deferred, self.deferred = self.deferred, None
        if deferred is not None:
            self.source.forget(self)
            deferred.callback(report or self.report())


@implementer(IPeerSourceMaker)
class LsdSourceMaker:
    """The plugin."""

    name = _NAME

    def make(self, context: SourceContext) -> LsdSource:
        return LsdSource(context)
