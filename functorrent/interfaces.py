"""The seams of functorrent: small interfaces, each owned by who calls it, and the values they pass.

Plugins implement `IPeerExtension` (an extension of the peer protocol, BEP 10) or `IPeerSourceMaker`
(a place where peers come from); the built-in ut_metadata and trackers use nothing else. See
docs/extending.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from functorrent.addresses import AddressGuard
    from functorrent.errors import PeerError
    from functorrent.limits import Limits
    from functorrent.magnet import Magnet
    from functorrent.wire.extended import ExtendedHandshake
    from functorrent.wire.handshake import Handshake


# -- values ----------------------------------------------------------------------------------


class PeerAddress(NamedTuple):
    """Where a peer listens: an IP literal as inet_ntop writes it, and a port (1 to 65535)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TrackerReport:
    """What came of one tracker.

    `url` has its passkeys redacted; `status` is a word of `errors.TRACKER_STATUSES`; `seeders` and
    `leechers` are None where the tracker did not say; `error` is a sentence, None when ok.
    """

    url: str
    status: str
    peers: int = 0
    seeders: int | None = None
    leechers: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What came of one peer source.

    `source` is the source's name; `peers` how many it yielded; `trackers` a line for each tracker
    (empty for others); `detail` words for the report's sentence ("31 DHT nodes asked, none knew a peer"),
    None where there is nothing to say; `announced`: our port was accepted by somebody, so peers may call us.
    """

    source: str
    peers: int = 0
    trackers: tuple[TrackerReport, ...] = ()
    detail: str | None = None
    announced: bool = False


# -- clocks ----------------------------------------------------------------------------------


class IWallClock(Interface):
    """The time of day, for what outlives the process. Durations come from IReactorTime."""

    def now() -> float:
        """Seconds since the epoch."""


# -- extensions of the peer protocol ---------------------------------------------------------


class IPeerHandle(Interface):
    """What an extension sees of one connection. Valid until its session's `closed`."""

    infohash: bytes = Attribute("The torrent (bytes of 20).")
    address: PeerAddress = Attribute("Where the peer is.")
    inbound: bool = Attribute("Whether the peer called us.")
    congested: bool = Attribute(
        "Whether what was sent waits to go out: send more once the session's `writable` is called, "
        "if it has that method; a peer that does not read is hung up on."
    )

    def send(payload: bytes) -> None:
        """Send one message of this extension; dropped if the peer has not offered it (or has
        turned it off)."""

    def progress() -> None:
        """The peer was of use: its progress deadline starts again."""

    def keep_open(seconds: float) -> None:
        """Do not hang up for lack of metadata for so long (capped), while sockets are plenty. An extension's
        last word counts; 0 takes it back."""

    def abort(error: PeerError) -> None:
        """Hang up; the peer is counted by ``error.outcome``."""


class IPeerExtensionSession(Interface):
    """One extension on one connection."""

    def handshake_items() -> Mapping[str, Any]:
        """What it adds to our extended handshake beside ``m`` (bencodable; str keys)."""

    def peer_handshake(handshake: Handshake) -> None:
        """The peer's BEP 3 handshake; called once, right after `IPeerExtension.connect`."""

    def extended_handshake(handshake: ExtendedHandshake) -> None:
        """The peer's extended handshake; called for each one it sends."""

    def message(payload: bytes) -> None:
        """One message of this extension, without its id."""

    def closed(reason: PeerError | None) -> None:
        """The connection is gone; called once."""


class IPeerExtension(Interface):
    """A plugin: an extension of the peer protocol (BEP 10), one object for the whole process."""

    name: str = Attribute("Its name in the extended handshake's ``m``, as 'ut_pex'.")

    def connect(peer: IPeerHandle) -> IPeerExtensionSession | None:
        """A peer that speaks BEP 10 is there, its handshake done. Returns the session for it; None where
        the extension is of no use with this torrent: then it is not offered to this peer."""


# -- metadata exchange -----------------------------------------------------------------------


class IMetadataRequester(Interface):
    """A peer that has said it has metadata, as a sink sees it (ut_metadata's session)."""

    address: PeerAddress = Attribute("Where the peer is.")

    def request(pieces: Iterable[int]) -> None:
        """Ask the peer for these pieces of the info dictionary."""

    def progress() -> None:
        """The peer sent what was wanted: its deadline starts again."""

    def keep_open(seconds: float) -> None:
        """There is nothing to ask for now: do not count that as the peer's silence."""

    def fail(error: PeerError) -> None:
        """Hang up on it."""


class IMetadataSink(Interface):
    """Takes in what peers send of one info dictionary; owned by ut_metadata."""

    def offered(peer: IMetadataRequester, size: int, reqq: int | None) -> None:
        """A peer offers an info dictionary of `size` bytes, and answers `reqq` requests at once."""

    def block(peer: IMetadataRequester, piece: int, block: bytes, total_size: int | None) -> None:
        """A peer sent a block. Raises PeerError where it lies."""

    def rejected(peer: IMetadataRequester, piece: int) -> None:
        """A peer rejected a request. Raises PeerError where it is of no more use."""

    def lost(peer: IMetadataRequester) -> None:
        """A peer that had offered is gone."""


class IMetadataProvider(Interface):
    """Has whole info dictionaries to serve to peers."""

    def info_bytes(infohash: bytes) -> bytes | None:
        """The info dictionary of an infohash (bytes of 20), or None."""


class IMetadataLibrary(Interface):
    """Has info dictionaries to serve that take a while to be found; owned by the listener."""

    def look_up(infohash: bytes, caller: PeerAddress) -> Deferred[bytes | None]:
        """The info dictionary of an infohash (bytes of 20, as in a handshake), or None.

        A peer at `caller` asks, and is hung up on when this fails or takes long; if it hangs up
        itself, the Deferred is cancelled. What it gives is served as it is, and hashed by nobody.
        A library may begin a fetch before it gives None: the peer then joins it.
        """


# -- peer sources ----------------------------------------------------------------------------


class IPeerSink(Interface):
    """Takes in the peers of one magnet as a source finds them."""

    hungry: bool = Attribute(
        "Whether every peer so far was tried in vain: what is kept back, as it costs more, is wanted now."
    )

    def peers(addresses: Iterable[PeerAddress], *, hearsay: bool = False, on_link: bool = False) -> None:
        """Further peers; strangers' words, checked and counted by the sink. Call it often.

        `hearsay`: a peer named them, who may name anybody: dialed when no other is left to be dialed, and
        no more than `Limits.max_hearsay` of them. `on_link`: they spoke to us from our own subnet, so
        local addresses pass.
        """

    def whole(info_bytes: bytes) -> bool:
        """A whole info dictionary, from elsewhere than a peer.

        True where it hashes right: then the fetch is over, and has been told so before this returns.
        False where it does not, or the fetch is over already.
        """


class IPeerExchangeSink(IPeerSink):
    """Takes in the peers that peers name; owned by ut_pex."""

    exhausted: bool = Attribute(
        "Whether nothing is left but peers without metadata that are kept open: no peer to be tried, no "
        "source at work. The fetch ends when the last of them is let go."
    )


class IPeerSource(Interface):
    """A place where peers come from, one object for the whole process."""

    name: str = Attribute("A word for reports, as 'trackers'.")

    def find(magnet: Magnet, sink: IPeerSink) -> Deferred[SourceReport]:
        """Look for peers of `magnet` until every way was tried once.

        Returns a Deferred of the `SourceReport`. Cancelled, it fires at once with the report so
        far (not with CancelledError), and leaves nothing running.
        """

    def ended(infohash: bytes) -> None:
        """The fetch of this infohash is over, well or not: tell those who were told of it
        (trackers: `stopped`), without anybody waiting."""

    def stop() -> Deferred[None]:
        """Close down: what must still go out goes, within `Limits.stop_timeout` seconds."""


class IStartingSource(Interface):
    """What an `IPeerSource` may have, too: something to do before the first `find`."""

    def start() -> None:
        """The process has begun: its listener is open, `IIdentity.port` is known. Called once."""


class IQueueingSource(Interface):
    """What an `IPeerSource` may have, too: more magnets to look for than it can at once."""

    def waits(infohash: bytes) -> bool:
        """Whether the lookup for this infohash has not had its turn yet: so long the magnet's own time
        does not run out."""


class INodeSource(Interface):
    """What an `IPeerSource` may have, too: a DHT node of our own (BEP 5)."""

    node_port: int | None = Attribute("The UDP port of our node as peers are told it, or None.")

    def heard_node(address: PeerAddress) -> None:
        """A peer says that it has a node there (its PORT message, or ``nodes``); a stranger's word."""

    def nodes(infohash: bytes) -> Sequence[PeerAddress]:
        """Nodes that answered in the last lookup of this infohash, the closest first, 8 at most: what a
        .torrent without trackers names as ``nodes``. Asked before `ended`."""


class IRecallingSource(Interface):
    """What an `IPeerSource` may have, too: what one try learned helps the next, across restarts.

    The daemon keeps it with the magnet between two tries. `now` is the time of day (seconds since the
    epoch), which is also what times in it are told by: the process of the next try has another clock.
    """

    def learned(infohash: bytes, now: float) -> Mapping[str, Any] | None:
        """What is worth knowing when this infohash is looked for again: a JSON object of a few
        kilobytes at most, or None. Called when a try has failed."""

    def recall(infohash: bytes, known: Mapping[str, Any], now: float) -> None:
        """What `learned` gave after an earlier try; called before `find`. Old by any time, and once
        strangers' words: check types and lengths."""


class IResolver(Interface):
    """Turns host names into addresses that the guard allows: coalesced, cached, bounded."""

    def resolve(host: str, *, trusted: bool = False) -> Deferred[list[str]]:
        """The IP literals of a name (or of an IP literal: itself), at least one.

        `trusted`: the user typed this name, so the guard lets local addresses pass.
        Fails with NameNotResolved, or with AddressNotAllowed when none of its addresses may be used.
        """


class IIdentity(Interface):
    """Who we are to trackers and peers."""

    port: int | None = Attribute("The TCP port where we listen, or None.")
    interface: str = Attribute("The IP literal that we listen on alone, '' for all.")
    key: int = Attribute("32 bits that show a tracker that it is still us (BEP 15 'key').")

    def peer_id(infohash: bytes) -> bytes:
        """Our peer id for this torrent (bytes of 20), the same each time within a process."""


@dataclass(frozen=True)
class SourceContext:
    """What a source is made with.

    `reactor` is used for sockets (IReactorUDP, IReactorTCP) and, where `clock` is not given apart,
    for time; `agent()` gives the shared, guarded HTTP client (an `HttpClient` of
    `functorrent.sources.http`), made at first use.
    """

    reactor: Any
    clock: Any
    resolver: IResolver
    guard: AddressGuard
    limits: Limits
    identity: IIdentity
    agent: Callable[[], Any]


class IPeerSourceMaker(Interface):
    """A plugin: makes a peer source."""

    name: str = Attribute("A word for reports and options, as 'trackers'.")

    def make(context: SourceContext) -> IPeerSource:
        """The source, made once a process. It opens nothing before its first `find`, or its `start` where
        it is an `IStartingSource`."""
