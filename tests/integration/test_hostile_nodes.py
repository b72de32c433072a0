"""Each lie of a DHT node, told by a third of a small network: the honest peer is found all the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import deferLater

from functorrent.interfaces import PeerAddress
from functorrent.testing import NodeLie, ScriptedNode, dht_lies
from tests.integration.harness.hostile_nodes import ScriptedNodes
from tests.integration.harness.own_node import Looked, OwnNode

INFOHASH = bytes(range(20))
PEER = PeerAddress("127.77.7.7", 7)
Lies = Callable[[ScriptedNode], Sequence[NodeLie]]


def poison(number: int) -> PeerAddress:
    """A false peer."""
    return PeerAddress(f"127.66.{number // 200 % 250}.{1 + number % 200}", 6881)


#: By name: what each liar is given.
LIES: dict[str, Lies] = {
    "silent": lambda node: [dht_lies.Silent()],
    "mute to get_peers": lambda node: [dht_lies.Silent("get_peers")],
    "silent after two": lambda node: [dht_lies.Silent(after=2)],
    "slow": lambda node: [dht_lies.Slow(1.0)],
    "error 201": lambda node: [dht_lies.Refuses(201, "Generic Error")],
    "error 202": lambda node: [dht_lies.Refuses(202)],
    "error 203": lambda node: [dht_lies.Refuses(203, "x" * 1_000)],
    "error 204": lambda node: [dht_lies.Refuses(204, "Method Unknown", "get_peers")],
    "wrong id": lambda node: [dht_lies.WrongId()],
    "the target's id": lambda node: [dht_lies.ClaimsTarget()],
    "a short id": lambda node: [dht_lies.BadId()],
    "a number for an id": lambda node: [dht_lies.BadId(7)],
    "wrong transaction": lambda node: [dht_lies.WrongTransaction()],
    "wrong external address": lambda node: [dht_lies.WrongExternalAddress()],
    "endless nodes": lambda node: [dht_lies.EndlessNodes()],
    "every node is me": lambda node: [dht_lies.EveryNodeIsMe()],
    "every node is you": lambda node: [dht_lies.EveryNodeIsYou()],
    "nodes nowhere": lambda node: [dht_lies.NamesNowhere()],
    "a flood of nodes": lambda node: [dht_lies.FloodsNodes()],
    "poison peers": lambda node: [dht_lies.PoisonPeers(poison, 200)],
    "no token": lambda node: [dht_lies.NoToken()],
    "a long token": lambda node: [dht_lies.LongToken()],
    "nodes of 25 bytes": lambda node: [dht_lies.Items(nodes=bytes(25))],
    "wrong types": lambda node: [dht_lies.Items(nodes=7, values={"a": []}, token=[1], id=node.node_id)],
    "peers of all lengths": lambda node: [
        dht_lies.Items(values=[b"", b"x", bytes(6), bytes(18), b"y" * 500])
    ],
    "junk": lambda node: [dht_lies.Junk()],
    "truncated": lambda node: [dht_lies.Truncated()],
    "huge": lambda node: [dht_lies.Huge()],
    "each answer ten times": lambda node: [dht_lies.Repeats()],
    "asks back": lambda node: [dht_lies.AnswersWithQueries()],
}


@pytest_twisted.async_yield_fixture
async def small(reactor: Any) -> Any:
    """Sixteen nodes that know each other; the eight closest to the infohash know the one peer."""
    nodes = ScriptedNodes(reactor, 16)
    for node in nodes.nodes:
        for other in nodes.nodes:
            node.learn(other.node_id, other.address)
    aim = int.from_bytes(INFOHASH, "big")
    nodes.nodes.sort(key=lambda node: int.from_bytes(node.node_id, "big") ^ aim)
    for node in nodes.nodes[:8]:
        node.named[INFOHASH] = [PEER]
    yield nodes
    await nodes.stop()


async def looked(reactor: Any, nodes: ScriptedNodes) -> tuple[Looked, OwnNode]:
    """A lookup that begins with two honest nodes, and announces us; and who looked, stopped by now."""
    begin = [tuple(node.address) for node in nodes.nodes if not node.lies][:2]
    own = OwnNode(reactor, begin)
    try:
        await own.start()
        return await own.look(INFOHASH, announce=True), own
    finally:
        await own.stop()


def lying(nodes: ScriptedNodes, lies: Lies) -> list[ScriptedNode]:
    """Every third node is a liar now, some of the closest among them."""
    liars = nodes.nodes[::3]
    for node in liars:
        node.lies[:] = lies(node)
    return liars


@pytest.mark.parametrize("lie", LIES)
@pytest_twisted.ensureDeferred
async def test_lie(reactor: Any, small: ScriptedNodes, lie: str) -> None:
    """Found, announced, at an end in time, and without many more packets than honest nodes cost."""
    liars = lying(small, LIES[lie])
    result, own = await looked(reactor, small)
    assert PEER in result.peers, result
    assert any(node.queries for node in liars), "the lie was not told"
    assert result.report.announced >= 4, result
    assert result.report.seconds < 6, result
    assert result.report.packets <= 150, result
    # Who announces tells each of them once: what was announced is our port.
    honest = [node for node in small.nodes if not node.lies]
    ours = PeerAddress(own.host, own.fetcher.port or 0)
    assert any(ours in node.named.get(INFOHASH, ()) for node in honest)
    # Who says to be somebody else is nobody.
    real = {node.node_id: node.address for node in small.nodes}
    assert all(real.get(node.id) == node.address for node in result.report.closest), result


@pytest_twisted.ensureDeferred
async def test_answers_from_another_port(reactor: Any, small: ScriptedNodes) -> None:
    """They are nobody's, whatever transaction they name."""
    liars = lying(small, lambda node: [])
    elsewhere = reactor.listenUDP(0, ScriptedNode(), "127.12.99.1")
    try:
        for node in liars:
            node.lies.append(dht_lies.AnotherPort(elsewhere))
        result, own = await looked(reactor, small)
        assert PEER in result.peers, result
        known = {node.id for node in result.report.closest}
        assert not known & {node.node_id for node in liars}
        assert own.node.stats.unknown >= 1
    finally:
        await elsewhere.stopListening()


@pytest_twisted.ensureDeferred
async def test_endless_nodes_that_answer(
    reactor: Any, small: ScriptedNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hosts name ever closer nodes at a hundred ports of their own, and these answer by the ids that
    they were named with. One of each host is asked, or two; as they would not be here, where local addresses
    are counted by port, this counts them as it does the world's."""
    monkeypatch.setattr("functorrent.sources.dht.walk.place", lambda address: (address.host, address.host))
    liars = small.nodes[:2]
    ports: list[Any] = []
    ghosts = {node: [ScriptedNode() for _ in range(50)] for node in liars}
    for node, own_ghosts in ghosts.items():
        ports += [reactor.listenUDP(0, ghost, node.address.host) for ghost in own_ghosts]
        for each in (node, *own_ghosts):
            each.lies.append(dht_lies.EndlessNodes(own_ghosts))
    try:
        result, _ = await looked(reactor, small)
        assert PEER in result.peers, result
        assert result.report.announced >= 4, result
        assert result.report.packets <= 150, result
        assert result.report.seconds < 6, result
        asked = [
            sum(query.method == "get_peers" for ghost in own_ghosts for query in ghost.queries)
            for own_ghosts in ghosts.values()
        ]
        assert max(asked) <= 2, asked
    finally:
        for port in ports:
            await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_all_of_them_lie(reactor: Any, small: ScriptedNodes) -> None:
    """Nothing is found, nothing is believed, and it ends."""
    for node in small.nodes:
        node.lies.append(dht_lies.EndlessNodes())
        node.named.clear()
    own = OwnNode(reactor, [tuple(node.address) for node in small.nodes])
    try:
        await own.start()
        result = await own.look(INFOHASH)
        assert not result.peers
        assert result.report.packets <= 300, result
        assert result.report.seconds < 20, result
    finally:
        await own.stop()


@pytest_twisted.ensureDeferred
async def test_cancelled(reactor: Any, small: ScriptedNodes) -> None:
    """A lookup that is cancelled says what it has, asks no more, and leaves nothing running."""
    lying(small, lambda node: [dht_lies.Silent()])
    own = OwnNode(reactor, [tuple(small.nodes[1].address)])
    try:
        await own.start()
        looking = own.node.get_peers(INFOHASH, lambda peers: None)
        await deferLater(reactor, 0.02)
        looking.cancel()
        report = await looking
        assert report.asked >= 1
        await deferLater(reactor, 0.2)
        before = own.node.stats.queries_sent
        await deferLater(reactor, 0.5)
        assert own.node.stats.queries_sent == before
        assert not own.node.searches.running
    finally:
        await own.stop()
    assert not [call for call in reactor.getDelayedCalls() if "dht" in repr(call)]
