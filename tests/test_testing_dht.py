"""The scripted node: honest where nothing else was asked, and each lie the lie its name says."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import BencodeError
from functorrent.interfaces import PeerAddress
from functorrent.testing import NodeLie, ScriptedNode, dht_lies
from functorrent.testing.dht import unpack_nodes
from functorrent.wire.bencode import Value, decode, encode
from functorrent.wire.compact import pack, parse_v4

INFOHASH = b"i" * 20
ASKER = PeerAddress("127.0.0.9", 999)


class Wire:
    """A transport that keeps what is written."""

    def __init__(self, host: str = "127.0.0.5", port: int = 5_005) -> None:
        self.written: list[tuple[bytes, Any]] = []
        self._host = IPv4Address("UDP", host, port)

    def write(self, data: bytes, address: Any) -> None:
        self.written.append((data, address))

    def getHost(self) -> IPv4Address:
        return self._host


def scripted(*lies: NodeLie, **options: Any) -> tuple[ScriptedNode, Wire]:
    node, wire = ScriptedNode(*lies, **options), Wire()
    node.transport = wire  # type: ignore[assignment]
    return node, wire


def ask(
    node: ScriptedNode, method: str, *, source: PeerAddress = ASKER, ro: int = 0, **arguments: Any
) -> None:
    """A query whose transaction is ``tt``."""
    arguments = {"id": b"a" * 20, **arguments}
    node.datagramReceived(encode({"t": b"tt", "y": "q", "q": method, "ro": ro, "a": arguments}), source)


def answers(node: ScriptedNode, wire: Wire, method: str, **arguments: Any) -> list[dict[bytes, Value]]:
    """What is answered to the asker, decoded."""
    wire.written.clear()
    ask(node, method, **arguments)
    assert all(address == tuple(arguments.get("source", ASKER)) for _, address in wire.written)
    decoded = [decode(data) for data, _ in wire.written]
    return decoded  # type: ignore[return-value]


def answer(node: ScriptedNode, wire: Wire, method: str, **arguments: Any) -> Any:
    (only,) = answers(node, wire, method, **arguments)
    return only


def peers(*lies: NodeLie) -> Any:
    """The ``r`` of the answer to a get_peers."""
    return answer(*scripted(*lies), "get_peers", info_hash=INFOHASH)[b"r"]


class HonestTests(SynchronousTestCase):
    def test_ping(self) -> None:
        node, wire = scripted(node_id=b"n" * 20)
        self.assertEqual(
            answer(node, wire, "ping"),
            {b"t": b"tt", b"y": b"r", b"r": {b"id": b"n" * 20}, b"ip": pack(ASKER)},
        )
        (query,) = node.queries
        self.assertEqual((query.method, query.sender, query.source), ("ping", b"a" * 20, ASKER))

    def test_learns_who_asks(self) -> None:
        """But not a node that is read-only (BEP 43)."""
        node, _ = scripted()
        ask(node, "ping", ro=1)
        self.assertEqual(node.known, {})
        ask(node, "ping")
        self.assertEqual(node.known, {b"a" * 20: ASKER})

    def test_the_closest_eight(self) -> None:
        node, wire = scripted()
        for number in range(20):
            node.learn(bytes(19) + bytes([number + 1]), PeerAddress("127.0.0.7", 1 + number))
        node.learn(bytes(20), PeerAddress("::1", 1))
        found = answer(node, wire, "find_node", target=bytes(19) + b"\x04")[b"r"]
        nodes = unpack_nodes(found[b"nodes"], 26)
        self.assertEqual([node_id[19] for node_id, _ in nodes], [4, 5, 6, 7, 1, 2, 3, 12])
        self.assertNotIn(b"nodes6", found)
        both = answer(node, wire, "find_node", target=bytes(20), want=["n4", "n6"])[b"r"]
        self.assertEqual(unpack_nodes(both[b"nodes6"], 38), [(bytes(20), PeerAddress("::1", 1))])

    def test_announce(self) -> None:
        """With the token it gave to this host alone; then others are told."""
        node, wire = scripted()
        token = answer(node, wire, "get_peers", info_hash=INFOHASH)[b"r"][b"token"]
        other = PeerAddress("127.0.0.10", 1)
        refused = answer(node, wire, "announce_peer", info_hash=INFOHASH, port=7, token=token, source=other)
        self.assertEqual(refused[b"e"], [203, b"bad token"])
        answer(node, wire, "announce_peer", info_hash=INFOHASH, port=7, token=token)
        answer(node, wire, "announce_peer", info_hash=INFOHASH, port=7, implied_port=1, token=token)
        values = answer(node, wire, "get_peers", info_hash=INFOHASH)[b"r"][b"values"]
        self.assertEqual(parse_v4(b"".join(values)), [PeerAddress("127.0.0.9", 7), ASKER])

    def test_refuses(self) -> None:
        node, wire = scripted()
        self.assertEqual(answer(node, wire, "vote")[b"e"][0], 204)
        self.assertEqual(answer(node, wire, "get_peers", info_hash=b"short")[b"e"][0], 203)

    def test_not_a_query(self) -> None:
        node, wire = scripted()
        for junk in [
            *dht_lies.JUNK,
            b"i1e",
            b"d1:y1:qe",
            encode({"t": b"t", "y": "q", "q": "ping", "a": {}}),
        ]:
            node.datagramReceived(junk, ASKER)
        self.assertEqual((node.queries, wire.written), ([], []))

    def test_join(self) -> None:
        """It asks where it is told to, and at those it hears of, each once."""
        node, wire = scripted()
        node.join([ASKER, ASKER])
        (sent, address), *rest = wire.written
        self.assertEqual((address, rest), (tuple(ASKER), []))
        query: Any = decode(sent)
        self.assertEqual((query[b"q"], query[b"a"][b"target"]), (b"find_node", node.node_id))
        other = PeerAddress("127.0.0.11", 11)
        reply = {"id": b"a" * 20, "nodes": b"o" * 20 + pack(other) + b"p" * 20 + pack(ASKER)}
        node.datagramReceived(encode({"t": query[b"t"], "y": "r", "r": reply}), ASKER)
        self.assertEqual(node.known, {b"a" * 20: ASKER})
        self.assertEqual([address for _, address in wire.written], [tuple(ASKER), tuple(other)])


class LieTests(SynchronousTestCase):
    def test_silent(self) -> None:
        self.assertEqual(answers(*scripted(dht_lies.Silent()), "ping"), [])
        node, wire = scripted(dht_lies.Silent("get_peers", after=1))
        said = [len(answers(node, wire, "get_peers", info_hash=INFOHASH)) for _ in range(3)]
        self.assertEqual(said, [1, 0, 0])
        self.assertEqual(len(answers(node, wire, "ping")), 1)

    def test_slow(self) -> None:
        clock = Clock()
        node, wire = scripted(dht_lies.Slow(3), clock=clock)
        ask(node, "ping")
        clock.advance(2.9)
        self.assertEqual(wire.written, [])
        clock.advance(0.2)
        self.assertEqual(len(wire.written), 1)

    def test_refuses(self) -> None:
        node, wire = scripted(dht_lies.Refuses(201, "no", "get_peers"))
        self.assertEqual(answer(node, wire, "get_peers", info_hash=INFOHASH)[b"e"], [201, b"no"])
        self.assertEqual(answer(node, wire, "ping")[b"y"], b"r")

    def test_ids(self) -> None:
        node, wire = scripted(dht_lies.WrongId())
        given = {answer(node, wire, "ping")[b"r"][b"id"] for _ in range(5)}
        self.assertEqual(len(given - {node.node_id}), 5)
        claimed = peers(dht_lies.ClaimsTarget())[b"id"]
        self.assertEqual(claimed[:19], INFOHASH[:19])
        self.assertEqual(peers(dht_lies.BadId(7))[b"id"], 7)

    def test_another_port(self) -> None:
        elsewhere = Wire()
        node, wire = scripted(dht_lies.AnotherPort(elsewhere))
        ask(node, "ping")
        self.assertEqual((wire.written, len(elsewhere.written)), ([], 1))

    def test_wrong_transaction(self) -> None:
        said = answer(*scripted(dht_lies.WrongTransaction()), "ping")
        self.assertNotEqual(said[b"t"], b"tt")

    def test_wrong_external_address(self) -> None:
        said = answer(*scripted(dht_lies.WrongExternalAddress("198.51.100.1", 7)), "ping")
        self.assertEqual(said[b"ip"], b"\xc63d\x01\x00\x07")

    def test_endless_nodes(self) -> None:
        """Closer and closer, each at a place of its own, of the same address."""
        node, wire = scripted(dht_lies.EndlessNodes())
        nodes: list[tuple[bytes, PeerAddress]] = []
        for _ in range(100):
            found = answer(node, wire, "get_peers", info_hash=INFOHASH)[b"r"]
            nodes += unpack_nodes(found[b"nodes"], 26)
        self.assertEqual(len(set(nodes)), 800)
        self.assertEqual(len({address for _, address in nodes}), 800)
        self.assertEqual({address.host for _, address in nodes}, {"127.0.0.5"})
        self.assertTrue(nodes[-1][0].startswith(INFOHASH[:10]))

    def test_endless_nodes_that_answer(self) -> None:
        """The ghosts answer by the ids that they are named with."""
        ghosts = [scripted()[0] for _ in range(8)]
        for port, ghost in enumerate(ghosts):
            ghost.transport = Wire("127.0.0.6", 1 + port)  # type: ignore[assignment]
        named = unpack_nodes(peers(dht_lies.EndlessNodes(ghosts))[b"nodes"], 26)
        self.assertEqual(dict(named), {g.node_id: g.address for g in ghosts})

    def test_names_itself_and_the_asker(self) -> None:
        named = unpack_nodes(peers(dht_lies.EveryNodeIsMe())[b"nodes"], 26)
        self.assertEqual({address for _, address in named}, {PeerAddress("127.0.0.5", 5_005)})
        self.assertEqual(len({node_id for node_id, _ in named}), 8)
        named = unpack_nodes(peers(dht_lies.EveryNodeIsYou())[b"nodes"], 26)
        self.assertEqual({address for _, address in named}, {ASKER})
        self.assertIn(b"a" * 20, dict(named))

    def test_nowhere_and_floods(self) -> None:
        named = unpack_nodes(peers(dht_lies.NamesNowhere())[b"nodes"], 26)
        self.assertEqual([address for _, address in named], list(dht_lies.NOWHERE))
        named = unpack_nodes(peers(dht_lies.FloodsNodes(300))[b"nodes"], 26)
        self.assertEqual(len({address for _, address in named}), 300)

    def test_names_no_nodes_where_none_are_asked_for(self) -> None:
        node, wire = scripted(dht_lies.EndlessNodes())
        self.assertEqual(answer(node, wire, "ping")[b"r"], {b"id": node.node_id})

    def test_poison(self) -> None:
        """Other peers each time, for every infohash."""
        node, wire = scripted(dht_lies.PoisonPeers(lambda n: PeerAddress("127.0.0.8", 1 + n), 5))
        seen: list[bytes] = []
        for infohash in (INFOHASH, b"j" * 20):
            seen += answer(node, wire, "get_peers", info_hash=infohash)[b"r"][b"values"]
        self.assertEqual([peer.port for peer in parse_v4(b"".join(seen))], list(range(1, 11)))
        self.assertNotIn(b"values", answer(node, wire, "find_node", target=INFOHASH)[b"r"])

    def test_tokens(self) -> None:
        self.assertNotIn(b"token", peers(dht_lies.NoToken()))
        self.assertEqual(len(peers(dht_lies.LongToken(900))[b"token"]), 900)

    def test_items(self) -> None:
        self.assertEqual(peers(dht_lies.Items(nodes=7, values={}))[b"nodes"], 7)

    def test_bytes(self) -> None:
        node, wire = scripted(dht_lies.Junk())
        for _ in dht_lies.JUNK:
            ask(node, "ping")
        kept = {data for data, _ in wire.written}
        self.assertIn(b"d1:rde1:t2:tt1:y1:re", kept)
        self.assertEqual(len(kept), len(dht_lies.JUNK))
        node, wire = scripted(dht_lies.Truncated())
        ask(node, "ping")
        self.assertRaises(BencodeError, decode, wire.written[0][0])
        node, wire = scripted(dht_lies.Huge(9_000))
        ask(node, "ping")
        self.assertTrue(8_980 < len(wire.written[0][0]) <= 9_000)

    def test_repeats(self) -> None:
        first, *more = answers(*scripted(dht_lies.Repeats(4)), "ping")
        self.assertEqual(more, [first] * 3)

    def test_asks_back(self) -> None:
        node, wire = scripted(dht_lies.AnswersWithQueries(1))
        said = answer(node, wire, "get_peers", info_hash=INFOHASH)
        self.assertEqual((said[b"y"], said[b"q"], said[b"a"][b"info_hash"]), (b"q", b"get_peers", INFOHASH))
        self.assertEqual(said[b"a"][b"id"], node.node_id)
        self.assertEqual(answers(node, wire, "ping"), [])
