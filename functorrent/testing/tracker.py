"""`ScriptedTracker`: a tracker over HTTP (BEP 3, 7, 23) and UDP (BEP 15, 41), honest or not.

    tracker = ScriptedTracker([PeerAddress("192.0.2.7", 6881)])
    reactor.listenTCP(0, tracker.http_site(), interface="127.0.0.1")              # honest
    reactor.listenTCP(0, tracker.http_site(GzipBomb()), interface="127.0.0.1")    # see tracker_lies
    reactor.listenUDP(0, tracker.udp_protocol(LosesFirst()), interface="127.0.0.1")

One tracker may serve any number of sites and UDP protocols; they share its peers and its record of
announces.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from twisted.internet.protocol import DatagramProtocol
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import Site

from functorrent.errors import TrackerProtocolError
from functorrent.interfaces import PeerAddress
from functorrent.wire import udp_tracker
from functorrent.wire.bencode import encode
from functorrent.wire.compact import pack

if TYPE_CHECKING:
    from functorrent.testing.tracker_lies import HTTPLie, UDPLie

CONNECTION_ID = 0x0123456789ABCDEF
_EVENTS = {
    udp_tracker.NO_EVENT: "",
    udp_tracker.COMPLETED: "completed",
    udp_tracker.STARTED: "started",
    udp_tracker.STOPPED: "stopped",
}


@dataclass(frozen=True, slots=True)
class Announce:
    """What a client said. `scheme` is "http" or "udp"; `path` the URL's path and query (bytes)."""

    scheme: str
    infohash: bytes
    peer_id: bytes
    port: int
    event: str
    left: int
    host: str
    path: bytes = b""


class ScriptedTracker:
    """A swarm as a tracker sees it.

    `peers`: named to whoever asks. With `remembers`, those who announce (and have not stopped) are
    named to others, too. `interval`: seconds. `announces`: everything clients said, in order.
    """

    def __init__(
        self, peers: Iterable[PeerAddress] = (), *, remembers: bool = False, interval: int = 1800
    ) -> None:
        self.peers = list(peers)
        self.remembers = remembers
        self.interval = interval
        self.announces: list[Announce] = []

    def http_site(self, *lies: HTTPLie) -> Site:
        """A site to listen with: any path announces. `lies` apply in the order given."""
        site = Site(TrackerResource(self, *lies))
        site.noisy = False
        return site

    def udp_protocol(self, *lies: UDPLie) -> TrackerDatagrams:
        """A protocol for listenUDP. `lies` apply in the order given."""
        return TrackerDatagrams(self, lies)

    def announced(self, announce: Announce) -> list[PeerAddress]:
        """Note an announce; returns the peers to name."""
        self.announces.append(announce)
        named = list(self.peers)
        caller = PeerAddress(announce.host, announce.port)
        if self.remembers:
            if announce.event == "stopped":
                self.peers = [peer for peer in self.peers if peer != caller]
            elif caller not in self.peers:
                self.peers.append(caller)
        return [peer for peer in named if peer != caller]


class TrackerResource(Resource):
    """The HTTP side: a `twisted.web` leaf, for any site of yours."""

    isLeaf = True

    def __init__(self, tracker: ScriptedTracker, *lies: HTTPLie) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tracker = tracker
        self.lies = lies

    def render_GET(self, request: HTTPRequest) -> bytes | int:
        given = _query(request.uri)
        for lie in self.lies:
            answer = lie.respond(request)
            if answer is not None:
                return answer
        infohash, peer_id = given.get("info_hash", b""), given.get("peer_id", b"")
        if len(infohash) != 20 or len(peer_id) != 20:
            return encode({"failure reason": "info_hash and peer_id have 20 bytes each"})
        announce = Announce(
            "http",
            infohash,
            peer_id,
            _number(given.get("port")),
            given.get("event", b"").decode("latin-1"),
            _number(given.get("left")),
            request.getClientAddress().host,
            request.uri,
        )
        peers = self.tracker.announced(announce)
        items: dict[str, Any] = {
            "interval": self.tracker.interval,
            "complete": len(peers),
            "incomplete": 0,
            "peers": b"".join(pack(peer) for peer in peers if ":" not in peer.host),
        }
        if any(":" in peer.host for peer in peers):
            items["peers6"] = b"".join(pack(peer) for peer in peers if ":" in peer.host)
        for lie in self.lies:
            items = lie.items(items, peers)
        body: bytes | int = encode(items)
        for lie in self.lies:
            if isinstance(body, bytes):
                body = lie.body(request, body)
        return body


class TrackerDatagrams(DatagramProtocol):
    """The UDP side. `requests` counts the datagrams that came."""

    noisy = False

    def __init__(self, tracker: ScriptedTracker, lies: Iterable[UDPLie] = ()) -> None:
        self.tracker = tracker
        self.lies = tuple(lies)
        self.requests = 0

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.requests += 1
        try:
            request = udp_tracker.decode_request(datagram)
        except TrackerProtocolError:
            return
        if isinstance(request, udp_tracker.ConnectRequest):
            answer: udp_tracker.Answer = udp_tracker.ConnectAnswer(request.transaction_id, CONNECTION_ID)
        elif request.connection_id != CONNECTION_ID:
            answer = udp_tracker.ErrorAnswer(request.transaction_id, b"unknown connection id")
        else:
            answer = self._announce(request, addr[0])
        answers = [udp_tracker.encode_answer(answer)]
        for lie in self.lies:
            answers = lie.answers(request, answers)
        for data in answers:
            if self.transport is not None:
                self.transport.write(data, addr)

    def _announce(self, request: udp_tracker.AnnounceRequest, host: str) -> udp_tracker.AnnounceAnswer:
        announce = Announce(
            "udp",
            request.infohash,
            request.peer_id,
            request.port,
            _EVENTS.get(request.event, "?"),
            request.left,
            host,
            udp_tracker.decode_options(request.options),
        )
        peers = self.tracker.announced(announce)
        same_family = [peer for peer in peers if (":" in peer.host) == (":" in host)]
        return udp_tracker.AnnounceAnswer(
            request.transaction_id,
            self.tracker.interval,
            0,
            len(peers),
            b"".join(pack(peer) for peer in same_family),
        )


def _query(uri: bytes) -> dict[str, bytes]:
    """The query's values as bytes: twisted.web's own parsing turns ``+`` into a space, as it may."""
    _, _, query = uri.partition(b"?")
    pairs = (pair.partition(b"=") for pair in query.split(b"&") if pair)
    return {name.decode("latin-1"): unquote_to_bytes(value) for name, _, value in pairs}


def _number(value: bytes | None) -> int:
    return int(value) if value and value.isdigit() else 0
