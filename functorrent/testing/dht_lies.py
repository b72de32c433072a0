"""What a `ScriptedNode` does otherwise than an honest one: one small class each, to be combined.

The attacks that the DHT has seen (nodes that name more of themselves for ever, that are the peer for every
infohash, that take any id), and what a careless or broken node sends.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from functorrent.interfaces import PeerAddress
from functorrent.testing.dht import NodeError, NodeQuery, ScriptedNode, pack_nodes
from functorrent.wire.bencode import encode
from functorrent.wire.compact import pack

Result = dict[str, Any]
Message = dict[str, Any]


class NodeLie:
    """An honest node's steps. Derive, and change one."""

    def takes(self, node: ScriptedNode, query: NodeQuery) -> bool:
        """Whether to answer at all."""
        return True

    def result(self, node: ScriptedNode, query: NodeQuery, result: Result) -> Result:
        """The response's ``r``. May raise NodeError."""
        return result

    def message(self, node: ScriptedNode, query: NodeQuery, message: Message) -> Message:
        """The whole message: a response or an error."""
        return message

    def datagrams(self, node: ScriptedNode, query: NodeQuery, datagrams: list[bytes]) -> list[bytes]:
        """What to send."""
        return datagrams

    def sends(self, node: ScriptedNode, data: bytes, address: PeerAddress) -> bool:
        """Send it in another way. True: that is done."""
        return False


# -- whether it answers ----------------------------------------------------------------------


class Silent(NodeLie):
    """Answers nothing; with `methods` only these are not answered, with `after` only the first few are."""

    def __init__(self, *methods: str, after: int = 0) -> None:
        self.methods = methods
        self.left = after

    def takes(self, node: ScriptedNode, query: NodeQuery) -> bool:
        if self.methods and query.method not in self.methods:
            return True
        self.left -= 1
        return self.left >= 0


class Slow(NodeLie):
    """Answers after `seconds`. The node needs a clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def sends(self, node: ScriptedNode, data: bytes, address: PeerAddress) -> bool:
        assert node.clock is not None
        node.clock.callLater(self.seconds, node.send, data, address)
        return True


class Refuses(NodeLie):
    """Answers with an error (BEP 5: 201 generic, 202 server, 203 protocol, 204 method unknown)."""

    def __init__(self, code: int = 202, words: str = "A Server Error Occurred", *methods: str) -> None:
        self.code = code
        self.words = words
        self.methods = methods

    def result(self, node: ScriptedNode, query: NodeQuery, result: Result) -> Result:
        if self.methods and query.method not in self.methods:
            return result
        raise NodeError(self.code, self.words)


# -- who it is -------------------------------------------------------------------------------


class WrongId(NodeLie):
    """Another id in each answer."""

    def result(self, node: ScriptedNode, query: NodeQuery, result: Result) -> Result:
        return {**result, "id": secrets.token_bytes(20)}


class ClaimsTarget(NodeLie):
    """Its id is always next to what is looked for, but for the last byte."""

    def result(self, node: ScriptedNode, query: NodeQuery, result: Result) -> Result:
        return {**result, "id": near(query.target or node.node_id, 19)}


class BadId(NodeLie):
    """An id that is none: too short, or no string."""

    def __init__(self, node_id: Any = b"short") -> None:
        self.node_id = node_id

    def result(self, node: ScriptedNode, query: NodeQuery, result: Result) -> Result:
        return {**result, "id": self.node_id}


class AnotherPort(NodeLie):
    """Answers from elsewhere than it was asked: `transport` has `write(data, address)`."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    def sends(self, node: ScriptedNode, data: bytes, address: PeerAddress) -> bool:
        self.transport.write(data, (address.host, address.port))
        return True


class WrongTransaction(NodeLie):
    """A transaction id that was not asked with."""

    def message(self, node: ScriptedNode, query: NodeQuery, message: Message) -> Message:
        return {**message, "t": secrets.token_bytes(max(1, len(query.transaction)))}


class WrongExternalAddress(NodeLie):
    """Says that the asker is somewhere else (BEP 42's ``ip``)."""

    def __init__(self, host: str = "198.51.100.66", port: int = 6881) -> None:
        self.address = PeerAddress(host, port)

    def message(self, node: ScriptedNode, query: NodeQuery, message: Message) -> Message:
        return {**message, "ip": pack(self.address)}


# -- which nodes it names --------------------------------------------------------------------


class NamesNodes(NodeLie):
    """Names what `nodes` makes of each query, instead of nodes it knows."""

    def __init__(
        self, nodes: Callable[[ScriptedNode, NodeQuery], Iterable[tuple[bytes, PeerAddress]]]
    ) -> None:
        self.nodes = nodes

    def result(self, node: ScriptedNode, query: NodeQuery, result: Result) -> Result:
        if query.target is None or query.method == "announce_peer":
            return result
        key = "nodes6" if ":" in query.source.host else "nodes"
        return {**result, key: pack_nodes(self.nodes(node, query))}


class EndlessNodes(NamesNodes):
    """Always names eight that are closer than any before: at ports of its own address where nobody is, or
    the `ghosts` in turn, which take the ids that they are named with, so that they answer for them."""

    def __init__(self, ghosts: Sequence[ScriptedNode] = ()) -> None:
        super().__init__(self._closer)
        self.ghosts = ghosts
        self.given = 0

    def _closer(self, node: ScriptedNode, query: NodeQuery) -> Iterable[tuple[bytes, PeerAddress]]:
        assert query.target is not None
        for _ in range(8):
            self.given += 1
            # A byte more in common after each eight answers; the rest is chance.
            node_id = near(query.target, min(18, 3 + self.given // 64))
            if self.ghosts:
                ghost = self.ghosts[self.given % len(self.ghosts)]
                ghost.node_id = node_id
                yield node_id, ghost.address
            else:
                yield node_id, PeerAddress(node.address.host, 1_024 + self.given * 7 % 60_000)


class EveryNodeIsMe(NamesNodes):
    """Eight ids close to the target, all at its own address."""

    def __init__(self) -> None:
        super().__init__(lambda node, query: [(near(query.target or b"", 4), node.address) for _ in range(8)])


class EveryNodeIsYou(NamesNodes):
    """The asker's address under eight ids, its own among them."""

    def __init__(self) -> None:
        super().__init__(
            lambda node, query: [
                (query.sender, query.source),
                *((near(query.target or b"", 4), query.source) for _ in range(7)),
            ]
        )


#: Where no node is: this network, loopback, private, link-local, CGNAT, multicast, broadcast; port 0.
NOWHERE = (
    PeerAddress("0.0.0.0", 6881),
    PeerAddress("127.0.0.1", 22),
    PeerAddress("10.0.0.1", 53),
    PeerAddress("192.168.1.1", 80),
    PeerAddress("172.16.0.1", 6881),
    PeerAddress("169.254.169.254", 80),
    PeerAddress("100.64.0.1", 6881),
    PeerAddress("224.0.0.1", 6881),
    PeerAddress("255.255.255.255", 6881),
    PeerAddress("198.51.100.1", 0),
)


class NamesNowhere(NamesNodes):
    """Nodes at addresses that no stranger may name: whoever asks them asks its own router."""

    def __init__(self, places: Sequence[PeerAddress] = NOWHERE) -> None:
        super().__init__(lambda node, query: [(near(query.target or b"", 3), place) for place in places])


class FloodsNodes(NamesNodes):
    """Names `count` nodes where BEP 5 has eight."""

    def __init__(self, count: int = 1_000) -> None:
        super().__init__(
            lambda node, query: [
                (near(query.target or b"", 3), PeerAddress(f"203.0.113.{number % 256}", 1 + number))
                for number in range(count)
            ]
        )


# -- which peers it names --------------------------------------------------------------------


class PoisonPeers(NodeLie):
    """Has `count` peers for every infohash, made by `make`; other ones each time it is asked."""

    def __init__(self, make: Callable[[int], PeerAddress], count: int = 100) -> None:
        self.make = make
        self.count = count
        self.given = 0

    def result(self, node: ScriptedNode, query: NodeQuery, result: Result) -> Result:
        if query.method != "get_peers":
            return result
        first, self.given = self.given, self.given + self.count
        return {**result, "values": [pack(self.make(number)) for number in range(first, self.given)]}


class NoToken(NodeLie):
    """Gives no token, so that nobody can announce himself."""

    def result(self, node: ScriptedNode, query: NodeQuery, result: Result) -> Result:
        return {key: value for key, value in result.items() if key != "token"}


class LongToken(NodeLie):
    """A token of `length` bytes, which would have to be sent back."""

    def __init__(self, length: int = 1_400) -> None:
        self.length = length

    def result(self, node: ScriptedNode, query: NodeQuery, result: Result) -> Result:
        return {**result, "token": bytes(self.length)} if "token" in result else result


# -- what it sends ---------------------------------------------------------------------------


class Items(NodeLie):
    """Puts `items` in the place of the honest ones, of whatever type they are."""

    def __init__(self, **items: Any) -> None:
        self.items = items

    def result(self, node: ScriptedNode, query: NodeQuery, result: Result) -> Result:
        return {**result, **self.items}


#: Bytes that are no message.
JUNK = (
    b"",
    b"d",
    b"junk",
    b"i1e",
    b"de",
    b"d1:ad2:id20:",
    b"d1:rd2:id99999999999:" + bytes(30) + b"ee",
    b"l" * 1_400,
    b"d1:a" * 300,
    b"d1:rde1:t2:aa1:y1:re",
    b"d1:eli201ee1:t2:aa1:y1:ee",
    bytes(range(256)) * 4,
)


class Junk(NodeLie):
    """One of these, in turn, for each answer; with the transaction id in the place of ``2:aa``."""

    def __init__(self, junk: Sequence[bytes] = JUNK) -> None:
        self.junk = junk
        self.given = 0

    def datagrams(self, node: ScriptedNode, query: NodeQuery, datagrams: list[bytes]) -> list[bytes]:
        self.given += 1
        data = self.junk[self.given % len(self.junk)]
        return [data.replace(b"2:aa", encode(query.transaction))]


class Truncated(NodeLie):
    """Its answers lack the last `count` bytes."""

    def __init__(self, count: int = 5) -> None:
        self.count = count

    def datagrams(self, node: ScriptedNode, query: NodeQuery, datagrams: list[bytes]) -> list[bytes]:
        return [data[: -self.count] for data in datagrams]


class Huge(NodeLie):
    """Its answers are filled up to `size` bytes, with a key that nobody knows."""

    def __init__(self, size: int = 60_000) -> None:
        self.size = size

    def message(self, node: ScriptedNode, query: NodeQuery, message: Message) -> Message:
        return {**message, "z": bytes(self.size - len(encode(message)) - 10)}


class Repeats(NodeLie):
    """Sends each answer `count` times."""

    def __init__(self, count: int = 10) -> None:
        self.count = count

    def datagrams(self, node: ScriptedNode, query: NodeQuery, datagrams: list[bytes]) -> list[bytes]:
        return datagrams * self.count


class AnswersWithQueries(NodeLie):
    """Asks the same back instead of answering: `count` times, as two of these would never end."""

    def __init__(self, count: int = 100) -> None:
        self.left = count

    def takes(self, node: ScriptedNode, query: NodeQuery) -> bool:
        self.left -= 1
        return self.left >= 0

    def message(self, node: ScriptedNode, query: NodeQuery, message: Message) -> Message:
        arguments: dict[bytes, Any] = {**query.arguments, b"id": node.node_id}
        return {"t": query.transaction, "y": b"q", "q": query.method, "a": arguments}


def near(target: bytes, same: int) -> bytes:
    """An id whose first `same` bytes are those of `target`."""
    return target[:same] + secrets.token_bytes(20 - same)
