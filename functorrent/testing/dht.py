"""`ScriptedNode`: a node of the DHT (BEP 5, 32, 43), honest or not.

    node = ScriptedNode()                                              # honest
    reactor.listenUDP(0, node, interface="127.0.0.1")
    node.named[infohash] = [PeerAddress("192.0.2.7", 6881)]
    liar = ScriptedNode(WrongId(), PoisonPeers())                      # see dht_lies
    node.learn(liar.node_id, PeerAddress("127.0.0.1", port))

It encodes with bencode.py, apart from functorrent's own codec of such messages, so that one finds the
other's mistakes. It needs no reactor: its transport may be anything with `write(data, address)` and
`getHost()`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha1
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import DatagramProtocol

from functorrent.errors import BencodeError
from functorrent.interfaces import PeerAddress
from functorrent.wire.bencode import Value, decode, encode
from functorrent.wire.compact import pack, parse_v4, parse_v6

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from functorrent.testing.dht_lies import NodeLie

#: Nodes in an answer (BEP 5), nodes kept, peers of an infohash kept and named.
CLOSEST = 8
KNOWN = 1_000
PEERS = 100

PROTOCOL_ERROR = 203
METHOD_UNKNOWN = 204


class NodeError(Exception):
    """An honest node's refusal: an error message (BEP 5, "Errors")."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


@dataclass(frozen=True, slots=True)
class NodeQuery:
    """A query as it came. `sender`: the id it gave (bytes of 20); `arguments`: all of its ``a``."""

    transaction: bytes
    method: str
    sender: bytes
    arguments: dict[bytes, Value]
    source: PeerAddress
    read_only: bool = False

    @property
    def target(self) -> bytes | None:
        """What it asks for: an infohash or an id, bytes of 20; None where it has none."""
        value = self.arguments.get(b"info_hash", self.arguments.get(b"target"))
        return value if isinstance(value, bytes) and len(value) == 20 else None

    @property
    def port(self) -> int:
        """The port announced; with ``implied_port`` the one it came from."""
        port = self.arguments.get(b"port")
        if self.arguments.get(b"implied_port") or not isinstance(port, int):
            return self.source.port
        return port


class ScriptedNode(DatagramProtocol):
    """A node. `lies` apply in the order given, and may be changed at any time.

    `known`: nodes by id, which it learns from those who ask it; `named`: peers by infohash, those who
    announced themselves among them; `queries`: everything it was asked; `sent`: how many datagrams it sent.
    `clock` is for lies that take their time.
    """

    noisy = False

    def __init__(
        self, *lies: NodeLie, node_id: bytes | None = None, clock: IReactorTime | None = None
    ) -> None:
        self.node_id = node_id if node_id is not None else secrets.token_bytes(20)
        self.lies = list(lies)
        self.clock = clock
        self.known: dict[bytes, PeerAddress] = {}
        self.named: dict[bytes, list[PeerAddress]] = {}
        self.queries: list[NodeQuery] = []
        self.sent = 0
        self._secret = secrets.token_bytes(8)
        self._greeted: set[PeerAddress] = set()

    @property
    def address(self) -> PeerAddress:
        """Where it listens."""
        assert self.transport is not None
        host = self.transport.getHost()
        return PeerAddress(host.host, host.port)

    def learn(self, node_id: bytes, address: PeerAddress) -> None:
        """Know a node."""
        if len(self.known) < KNOWN and node_id != self.node_id:
            self.known[node_id] = address

    def join(self, addresses: Iterable[PeerAddress]) -> None:
        """Look for our own id there, and at those who are named in the answers (64 at most)."""
        for address in addresses:
            if address not in self._greeted and len(self._greeted) < 64:
                self._greeted.add(address)
                self.ask(address, "find_node", target=self.node_id)

    def ask(self, address: PeerAddress, method: str, **arguments: Any) -> None:
        """Send a query; what comes back is only learned from."""
        message = {
            "t": secrets.token_bytes(2),
            "y": b"q",
            "q": method,
            "a": {"id": self.node_id, **arguments},
        }
        self.send(encode(message), address)

    def send(self, data: bytes, address: PeerAddress) -> None:
        """A datagram."""
        if self.transport is not None:
            self.sent += 1
            self.transport.write(data, (address.host, address.port))

    def closest(self, target: bytes, v6: bool = False) -> list[tuple[bytes, PeerAddress]]:
        """The nodes it knows that are closest to `target`, of one family."""
        aim = int.from_bytes(target, "big")
        nodes = [item for item in self.known.items() if (":" in item[1].host) == v6]
        return sorted(nodes, key=lambda item: int.from_bytes(item[0], "big") ^ aim)[:CLOSEST]

    def token(self, host: str) -> bytes:
        """What this host must show to announce itself."""
        return sha1(self._secret + host.encode()).digest()[:8]

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        source = PeerAddress(addr[0], addr[1])
        try:
            message = decode(datagram)
        except BencodeError:
            return
        if not isinstance(message, dict):
            return
        if message.get(b"y") == b"r":
            self._learn_from(message.get(b"r"), source)
            return
        query = _query(message, source)
        if query is None:
            return
        self.queries.append(query)
        if not query.read_only:
            self.learn(query.sender, source)
        self._answer(query)

    def _learn_from(self, result: Value | None, source: PeerAddress) -> None:
        if not isinstance(result, dict):
            return
        sender = result.get(b"id")
        if isinstance(sender, bytes) and len(sender) == 20:
            self.learn(sender, source)
        nodes = result.get(b"nodes")
        if isinstance(nodes, bytes):
            self.join(address for _, address in unpack_nodes(nodes, 26))

    def _answer(self, query: NodeQuery) -> None:
        if not all(lie.takes(self, query) for lie in self.lies):
            return
        message: dict[str, Any] = {"t": query.transaction, "y": b"r", "ip": pack(query.source)}
        try:
            result = self._result(query)
            for lie in self.lies:
                result = lie.result(self, query, result)
            message["r"] = result
        except NodeError as error:
            message = {"t": query.transaction, "y": b"e", "e": [error.code, error.words]}
        for lie in self.lies:
            message = lie.message(self, query, message)
        datagrams = [encode(message)]
        for lie in self.lies:
            datagrams = lie.datagrams(self, query, datagrams)
        for data in datagrams:
            if not any(lie.sends(self, data, query.source) for lie in self.lies):
                self.send(data, query.source)

    def _result(self, query: NodeQuery) -> dict[str, Any]:
        """What an honest node answers. Raises NodeError."""
        if query.method == "ping":
            return {"id": self.node_id}
        if query.method not in ("find_node", "get_peers", "announce_peer"):
            raise NodeError(METHOD_UNKNOWN, "Method Unknown")
        if query.target is None:
            raise NodeError(PROTOCOL_ERROR, "no target")
        if query.method == "announce_peer":
            if query.arguments.get(b"token") != self.token(query.source.host):
                raise NodeError(PROTOCOL_ERROR, "bad token")
            named = self.named.setdefault(query.target, [])
            peer = PeerAddress(query.source.host, query.port)
            if peer not in named and len(named) < PEERS:
                named.append(peer)
            return {"id": self.node_id}
        result: dict[str, Any] = {"id": self.node_id, **self.nodes(query)}
        if query.method == "get_peers":
            result["token"] = self.token(query.source.host)
            v6 = ":" in query.source.host
            peers = [peer for peer in self.named.get(query.target, ()) if (":" in peer.host) == v6]
            if peers:
                result["values"] = [pack(peer) for peer in peers]
        return result

    def nodes(self, query: NodeQuery) -> dict[str, bytes]:
        """``nodes`` and ``nodes6``, as it wants them (BEP 32)."""
        want = query.arguments.get(b"want")
        if not isinstance(want, list):
            want = [b"n6" if ":" in query.source.host else b"n4"]
        assert query.target is not None
        families = {"nodes": (b"n4", False), "nodes6": (b"n6", True)}
        return {
            key: pack_nodes(self.closest(query.target, v6))
            for key, (word, v6) in families.items()
            if word in want
        }


def pack_nodes(nodes: Iterable[tuple[bytes, PeerAddress]]) -> bytes:
    """Compact node info: id, address and port of each."""
    return b"".join(node_id + pack(address) for node_id, address in nodes)


def unpack_nodes(data: bytes, length: int) -> list[tuple[bytes, PeerAddress]]:
    """The nodes in compact node info of `length` bytes each (26, or 38 over IPv6)."""
    parse = parse_v4 if length == 26 else parse_v6
    each = [data[at : at + length] for at in range(0, len(data) - length + 1, length)]
    return [(entry[:20], parse(entry[20:])[0]) for entry in each]


def _query(message: dict[bytes, Value], source: PeerAddress) -> NodeQuery | None:
    transaction, method, arguments = (message.get(key) for key in (b"t", b"q", b"a"))
    if not (isinstance(transaction, bytes) and isinstance(method, bytes) and isinstance(arguments, dict)):
        return None
    sender = arguments.get(b"id")
    if message.get(b"y") != b"q" or not isinstance(sender, bytes) or len(sender) != 20:
        return None
    return NodeQuery(
        transaction, method.decode("latin-1"), sender, arguments, source, message.get(b"ro") == 1
    )
