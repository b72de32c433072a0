"""Nodes that lie, for `tests.sources.dht.network`. Those of one `Gang` work together."""

from __future__ import annotations

from functorrent.interfaces import PeerAddress
from functorrent.wire.compact import pack
from functorrent.wire.krpc import NodeInfo, Query, decode_krpc, encode_response, pack_node
from tests.sources.dht.network import PORT, Network


class Gang:
    """What hostile nodes know of each other: where they are, and as whom each was named last."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.members: list[HostileNode] = []
        #: Those that change their ids.
        self.liars: list[HostileNode] = []
        self.asked = 0

    def add(self, kind: type[HostileNode]) -> HostileNode:
        address = PeerAddress(self.network.host(), PORT)
        node = kind(self, address)
        self.members.append(node)
        if kind in (WrongId, Endless):
            self.liars.append(node)
        self.network.attach(node, address)
        return node


class HostileNode:
    """Keeps silent."""

    def __init__(self, gang: Gang, address: PeerAddress) -> None:
        self.gang = gang
        self.address = address
        self.id = gang.network.id_for(None)

    @property
    def info(self) -> NodeInfo:
        return NodeInfo(self.id, self.address)

    def received(self, data: bytes, source: tuple[str, int]) -> None:
        query = decode_krpc(data)
        if isinstance(query, Query):
            self.gang.asked += 1
            answer = self.answer(query)
            if answer is not None:
                self.gang.network.send(self.address, answer, source)

    def answer(self, query: Query) -> bytes | None:
        return None

    def near(self, target: bytes, count: int = 8) -> bytes:
        """Members of the gang, each under an id that is closer to the target than any."""
        liars = self.gang.liars
        others = self.gang.network.random.sample(liars, min(count, len(liars)))
        for other in others:
            other.id = target[:16] + self.gang.network.random.randbytes(4)
        return b"".join([pack_node(other.info) for other in others])


class Silent(HostileNode):
    """Never answers."""


class WrongId(HostileNode):
    """Answers each time by another id, and names the gang."""

    def answer(self, query: Query) -> bytes:
        target = query.target or bytes(20)
        return encode_response(
            query.transaction, self.gang.network.id_for(None), nodes=self.near(target), token=b"t"
        )


class Endless(HostileNode):
    """Names nodes of the gang that are ever closer, and answers for each by the id it was named with."""

    def answer(self, query: Query) -> bytes:
        target = query.target or bytes(20)
        return encode_response(query.transaction, self.id, nodes=self.near(target), token=b"t")


class Poison(HostileNode):
    """Behaves, but knows a hundred peers of whatever it is asked for; none is one."""

    def answer(self, query: Query) -> bytes:
        target = query.target or bytes(20)
        random = self.gang.network.random
        peers = [
            pack(
                PeerAddress(
                    f"45.{random.randrange(256)}.{random.randrange(256)}.9", random.randrange(1, 65536)
                )
            )
            for _ in range(100)
        ]
        nodes = b"".join([pack_node(each) for each in self.gang.network.true_closest(target)])
        return encode_response(query.transaction, self.id, nodes=nodes, values=peers, token=b"t")


class Misnamer(HostileNode):
    """Names honest nodes by ids that are not theirs, close to the target, so that they are dropped."""

    def answer(self, query: Query) -> bytes:
        target = query.target or bytes(20)
        network = self.gang.network
        closest = network.true_closest(target, 16)
        nodes = [
            NodeInfo(target[:12] + self.gang.network.random.randbytes(8), each.address) for each in closest
        ]
        return encode_response(
            query.transaction, self.id, nodes=b"".join([pack_node(each) for each in nodes]), token=b"t"
        )


KINDS: tuple[type[HostileNode], ...] = (Silent, WrongId, Endless, Poison, Misnamer)
