"""The DHT (BEP 5) among real nodes: 60 of libtorrent and bittorrent-dht, each on an address of its own.

What ends or blinds nodes stands at the end: the network is one for the whole module.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import sha1
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from functorrent.interfaces import PeerAddress
from functorrent.testing import ScriptedNode, dht_lies, sample_info, sample_magnet
from functorrent.wire.bencode import decode
from functorrent.wire.compact import pack
from tests.integration.harness.command import Outcome, check_file, fetch, torrent
from tests.integration.harness.dht_network import DHTNetwork, Endpoint, until
from tests.integration.harness.hostile_nodes import ScriptedNodes
from tests.integration.harness.own_node import Looked, OwnNode
from tests.integration.harness.programs import free_port

Start = Callable[..., Any]


class Bed(DHTNetwork):
    """The network, and what is seeded in it. All of that is announced before a node of ours comes and goes:
    libtorrent waits 15 s for each dead node it knows before it announces anything."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, clients=6)
        self.seeder, self.client, self.behind_nat = self.clients[:3]
        self._pool = [sample_info(20_000, f"pool {number}") for number in range(60)]
        self.nat_info = sample_info(20_000, "behind NAT")
        self.seed_all(self.seeder[0], self._pool)
        self.seed_all(self.behind_nat[0], [self.nat_info], listens=False)

    def take(self, count: int = 1) -> list[bytes]:
        """Info dictionaries that are seeded, and were not taken before."""
        taken, self._pool = self._pool[:count], self._pool[count:]
        assert len(taken) == count
        return taken


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """For all of the module."""
    bed = Bed(tmp_path_factory.mktemp("dht"))
    yield bed
    bed.kill()


@pytest.fixture(autouse=True)
def _no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins with no routing table of an earlier one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest_twisted.async_yield_fixture(scope="module")
async def own() -> AsyncIterator[Start]:
    """Starts nodes of our own: `await own(nodes, **settings)`; each on a /24 of its own. They live as long as
    the network, which would miss them."""
    from twisted.internet import reactor

    started: list[OwnNode] = []

    async def start(nodes: list[Endpoint], **settings: Any) -> OwnNode:
        node = OwnNode(reactor, nodes, **{"host": f"127.30.{len(started) + 1}.1", **settings})
        started.append(node)
        return await node.start()

    yield start
    for node in started:
        await node.stop()


def infohash_of(info: bytes) -> bytes:
    return sha1(info).digest()


def bootstrap(*nodes: Endpoint) -> list[str]:
    """Options of the command."""
    return [word for host, port in nodes for word in ("--dht-bootstrap", f"{host}:{port}")]


@pytest_twisted.ensureDeferred
async def test_the_network_itself(reactor: Any, tmp_path: Path, network: Bed) -> None:
    """libtorrent finds libtorrent in it: what the other tests stand on."""
    (info,) = network.take()
    client = network.client[0]
    network.libtorrent("fetch", host=client, magnets=[sample_magnet(info)], folder=str(tmp_path))
    wanted = infohash_of(info).hex()
    await until(reactor, "the fetch", lambda: wanted in network.libtorrent("fetched", host=client))


# -- being found and asked -------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_libtorrent_finds_us(reactor: Any, tmp_path: Path, network: Bed, own: Start) -> None:
    """We announce ourselves; libtorrent looks, dials our listener, and gets its metadata from us."""
    info = sample_info(50_000, "libtorrent finds us")
    infohash = infohash_of(info)
    node = await own(network.nodes[:1], have={infohash: info})
    looked = await node.look(infohash, announce=True)
    assert looked.report.announced >= 6, looked
    assert network.announces(infohash) >= 6
    client = network.client[0]
    network.libtorrent("fetch", host=client, magnets=[sample_magnet(info)], folder=str(tmp_path))
    wanted = infohash.hex()
    await until(reactor, "the fetch", lambda: wanted in network.libtorrent("fetched", host=client))
    if network.npm is not None:
        found = network.npm("lookup", host=network.of_npm[0][0], infohash=wanted)
        assert f"{node.host}:{node.fetcher.port}" in found["peers"]


@pytest_twisted.ensureDeferred
async def test_seeder_behind_nat_calls_us(reactor: Any, tmp_path: Path, network: Bed) -> None:
    """It cannot be dialed where it says it is; it finds us by our own announce_peer, and calls."""
    info = network.nat_info
    running = fetch(
        reactor, tmp_path, sample_magnet(info), *bootstrap(network.nodes[0]), "--linger", "12", limit=25
    )
    ended: list[Outcome] = []
    fetching = _deferred(running).addCallback(ended.append)
    while not ended:
        # Its own next look would be in a quarter of an hour.
        network.libtorrent("announce", host=network.behind_nat[0])
        await deferLater(reactor, 0.5)
    await fetching
    result = check_file(ended[0], info, seconds=12)
    assert result["report"]["peers"]["refused"] >= 1, result


@pytest_twisted.ensureDeferred
async def test_libtorrent_joins_through_us(reactor: Any, network: Bed, own: Start) -> None:
    """A node that knows only ours fills its table, and finds what is there."""
    (info,) = network.take()
    node = await own(network.nodes[:1])
    (place,) = network.libtorrent("open", hosts=["127.14.1.1"])
    network.libtorrent("join", host=place[0], nodes=[tuple(node.address)])
    await until(reactor, "the table", lambda: network.libtorrent("sizes")[place[0]] >= 12)
    network.libtorrent("fetch", host=place[0], magnets=[sample_magnet(info)], folder="/nonexistent")
    wanted = infohash_of(info).hex()
    await until(reactor, "the fetch", lambda: wanted in network.libtorrent("fetched", host=place[0]))
    assert node.node.stats.answered >= 1 and node.node.stats.refused == 0


@pytest_twisted.ensureDeferred
async def test_bittorrent_dht_joins_through_us(reactor: Any, network: Bed, own: Start) -> None:
    """The same with npm's; and it announces itself to us and through us."""
    if network.npm is None:
        pytest.skip("needs bittorrent-dht (npm install bittorrent-dht)")
    (info,) = network.take()
    node = await own(network.nodes[:1])
    ((host, _),) = network.npm("open", hosts=["127.14.2.1"])
    network.npm("add", host=host, nodes=[tuple(node.address)])
    await until(reactor, "its first node", lambda: network.npm("sizes")[host] >= 1)
    infohash = infohash_of(info)
    looking = network.npm.later("lookup", host=host, infohash=infohash.hex())
    found = await looking
    assert "{}:{}".format(*network.seeder) in found["peers"], found
    # An infohash next to our id: we are among the closest, and are told.
    own_id = node.node.ids[0]
    assert own_id is not None
    told = own_id[:19] + bytes([own_id[19] ^ 1])
    announced = await network.npm.later("announce", host=host, infohash=told.hex(), port=4711)
    assert announced["error"] is None and announced["count"] >= 8, announced
    assert node.node.storage.sample(told, 4, 8, reactor.seconds()) == [pack(PeerAddress(host, 4711))]


@pytest_twisted.ensureDeferred
async def test_what_we_answer(reactor: Any, network: Bed, own: Start) -> None:
    """Told by a scripted node: our id, eight nodes, a token that holds, and where we see it (BEP 42)."""
    node = await own(network.nodes[:1])
    asker, port = _listening(reactor)
    try:
        pong = await asker.told(node.address, "ping")
        assert pong[b"r"][b"id"] == node.node.ids[0]
        assert pong[b"ip"] == pack(asker.address)
        found = (await asker.told(node.address, "find_node", target=b"t" * 20))[b"r"]
        assert len(found[b"nodes"]) == 8 * 26 and b"token" not in found
        got = (await asker.told(node.address, "get_peers", info_hash=b"h" * 20))[b"r"]
        assert b"values" not in got
        announce = {"info_hash": b"h" * 20, "port": 4711, "token": got[b"token"]}
        assert (await asker.told(node.address, "announce_peer", **announce))[b"y"] == b"r"
        got = (await asker.told(node.address, "get_peers", info_hash=b"h" * 20))[b"r"]
        assert got[b"values"] == [pack(PeerAddress(asker.address.host, 4711))]
        refused = await asker.told(node.address, "announce_peer", **{**announce, "token": b"wrong"})
        assert refused[b"e"][0] == 203
        assert (await asker.told(node.address, "vote"))[b"e"][0] == 204
    finally:
        await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_read_only(reactor: Any, network: Bed, own: Start) -> None:
    """BEP 43: it says so in each query, answers none, and gets into nobody's table."""
    (info,) = network.take()
    asker, port = _listening(reactor)
    try:
        node = await own([tuple(asker.address), *network.nodes[:3]], read_only=True)
        looked = await node.look(infohash_of(info), announce=True)
        assert looked.peers and looked.report.announced == 0
        assert asker.queries and all(query.read_only for query in asker.queries)
        assert node.node.ids[0] not in asker.known
        assert await asker.told(node.address, "ping") is None
    finally:
        await port.stopListening()


class Asker(ScriptedNode):
    """A scripted node that can wait for an answer."""

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self.clock = reactor
        self._asked: PeerAddress | None = None
        self._answers: list[Any] = []

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        message: Any = decode(datagram)
        if message[b"y"] != b"q" and addr[:2] == self._asked:
            self._answers.append(message)
        super().datagramReceived(datagram, addr)

    async def told(self, address: PeerAddress, method: str, **arguments: Any) -> Any:
        """The answer to a query, None where there is none within half a second."""
        self._answers.clear()
        self._asked = address
        self.ask(address, method, **arguments)
        for _ in range(50):
            await deferLater(self.clock, 0.01)  # type: ignore[arg-type]
            if self._answers:
                return self._answers[-1]
        return None


def _listening(reactor: Any) -> tuple[Asker, Any]:
    asker = Asker(reactor)
    return asker, reactor.listenUDP(0, asker, "127.15.1.1")


@pytest_twisted.ensureDeferred
async def test_ipv6(reactor: Any, tmp_path: Path, network: Bed, own: Start) -> None:
    """BEP 32, on the one loopback address there is: libtorrent and ours, both on ::1."""
    info = sample_info(5_000, "IPv6")
    asker = Asker(reactor)
    port = reactor.listenUDP(0, asker, "::1")
    try:
        ((host, number),) = network.libtorrent("open", hosts=["::1"])
        network.libtorrent("join", host=host, nodes=[tuple(asker.address)])
        node = await own([tuple(asker.address)], host="::1")
        infohash = network.seed(host, info)
        await until(reactor, "the announce", lambda: infohash in asker.named)
        looked = await node.look(infohash, announce=True)
        assert looked.peers == [PeerAddress("::1", number)]
        assert PeerAddress("::1", node.fetcher.port or 0) in asker.named[infohash]
        outcome = await fetch(
            reactor, tmp_path, sample_magnet(info), *bootstrap(("[::1]", asker.address.port))
        )
        check_file(outcome, info, seconds=5)
    finally:
        await port.stopListening()


# -- looking ---------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_fetch(reactor: Any, tmp_path: Path, network: Bed) -> None:
    """A magnet with no tracker, by the command; the file names nodes (BEP 5, "Torrent File Extensions")."""
    (info,) = network.take()
    outcome = await fetch(reactor, tmp_path, sample_magnet(info), *bootstrap(network.nodes[0]))
    result = check_file(outcome, info, trackers=(), seconds=5)
    _, rest = torrent(result["file"])
    nodes = rest[b"nodes"]
    assert isinstance(nodes, list) and nodes
    # Ours of other tests may be among them; each of them once.
    named = {tuple(node) for node in nodes}  # type: ignore[arg-type]
    assert len(named) == len(nodes) <= 8
    known = {(host.encode(), port) for host, port in [*network.nodes, *network.clients]}
    assert 2 * len(named & known) >= len(named), nodes


@pytest_twisted.ensureDeferred
async def test_lookups(reactor: Any, network: Bed, own: Start) -> None:
    """Twenty infohashes, by a node that begins with one other: all found, soon, with few packets."""
    infos = network.take(20)
    node = await own(network.nodes[:1])
    assert node.known >= 8
    looked: list[Looked] = [await node.look(infohash_of(info)) for info in infos]
    seeder = PeerAddress(*network.seeder)
    assert all(each.peers == [seeder] for each in looked)
    packets = [each.report.packets for each in looked]
    first = [each.first for each in looked if each.first is not None]
    # A lookup that asks every node of the network takes 130.
    assert median(packets) <= 90 and max(packets) <= 130, packets
    assert median(first) < 0.5, first
    assert all(len(each.report.closest) == 8 and each.report.announced == 0 for each in looked)


@pytest_twisted.ensureDeferred
async def test_lookups_together(reactor: Any, network: Bed, own: Start) -> None:
    """Twenty at once, one of them twice, which is looked for once; the most of them nobody has."""
    infos = network.take(5)
    hashes = [infohash_of(info) for info in infos]
    node = await own(network.nodes[:1])
    began = node.node.stats.lookups
    wanted = [*hashes, hashes[0], *(bytes([number]) * 20 for number in range(14))]
    looked = await gatherResults([_deferred(node.look(infohash)) for infohash in wanted])
    assert all(each.peers for each in looked[:6]), looked[:6]
    assert not any(each.peers for each in looked[6:])
    assert all(each.report.answered for each in looked[6:])
    assert node.node.stats.lookups - began == 19


def _deferred(looking: Any) -> Any:
    return Deferred.fromCoroutine(looking)


@pytest_twisted.ensureDeferred
async def test_saved_table(reactor: Any, tmp_path: Path, network: Bed) -> None:
    """The second start needs no node to begin with: the table of the first one is in the cache."""
    first, second = network.take(2)
    outcome = await fetch(reactor, tmp_path / "1", sample_magnet(first), *bootstrap(network.nodes[0]))
    check_file(outcome, first, seconds=5)
    (table,) = (tmp_path / "cache").rglob("dht.table")
    assert table.stat().st_size > 500
    nobody = ("127.0.0.1", free_port())
    outcome = await fetch(reactor, tmp_path / "2", sample_magnet(second), *bootstrap(nobody))
    check_file(outcome, second, seconds=5)
    # And a broken one is as good as none.
    table.write_bytes(b"d3:id4999:" + table.read_bytes())
    outcome = await fetch(reactor, tmp_path / "3", sample_magnet(second), *bootstrap(network.nodes[0]))
    check_file(outcome, second, seconds=5)


@pytest_twisted.ensureDeferred
async def test_nobody_there(reactor: Any, tmp_path: Path) -> None:
    """One node to begin with is dead, the other one mute: it ends soon, and says what was tried."""
    mute = ScriptedNode(dht_lies.Silent())
    port = reactor.listenUDP(0, mute, "127.12.1.1")
    dead = ("127.0.0.1", free_port())
    try:
        outcome = await fetch(
            reactor, tmp_path, sample_magnet("ab" * 20), *bootstrap(dead, tuple(mute.address))
        )
    finally:
        await port.stopListening()
    assert mute.queries
    words = _failed(outcome)
    assert words.startswith("no trackers; no DHT node could be reached"), words
    assert outcome.seconds < 8, outcome


@pytest_twisted.ensureDeferred
async def test_nobody_knows(reactor: Any, tmp_path: Path, network: Bed) -> None:
    """The words of the issue: so many nodes asked, none knew a peer."""
    outcome = await fetch(
        reactor, tmp_path, sample_magnet("cd" * 20), *bootstrap(network.nodes[0]), "--listen", "off"
    )
    words = _failed(outcome)
    assert words.startswith("no trackers; ") and words.endswith("DHT nodes asked, none knew a peer"), words
    assert outcome.seconds < 8, outcome


def _failed(outcome: Outcome) -> str:
    assert outcome.status == 1, outcome
    (result,) = outcome.results
    words: str = result["report"]["reason"]
    return words


# -- what hurts the network ------------------------------------------------------------------


def nowhere(number: int) -> PeerAddress:
    """A peer of the poison: refused at once, as nobody listens there."""
    return PeerAddress(f"127.66.{number // 200 % 250}.{1 + number % 200}", 6881)


@pytest_twisted.ensureDeferred
async def test_a_third_hostile(
    reactor: Any,
    tmp_path: Path,
    network: Bed,
    own: Start,
) -> None:
    """Thirty of ninety nodes give wrong ids, endless nodes, poison peers, or nothing."""
    infos = network.take(6)
    hostile = ScriptedNodes(reactor, 30)
    try:
        hostile.join(network)
        await until(reactor, "their way in", lambda: min(len(node.known) for node in hostile.nodes) >= 20)
        hostile.lie(
            lambda node: [dht_lies.WrongId()],
            lambda node: [dht_lies.EndlessNodes()],
            lambda node: [dht_lies.PoisonPeers(nowhere)],
            lambda node: [dht_lies.Silent()],
        )
        node = await own([network.nodes[0], tuple(hostile.nodes[1].address)])
        looked = [await node.look(infohash_of(info)) for info in infos]
        seeder = PeerAddress(*network.seeder)
        assert sum(seeder in each.peers for each in looked) == len(looked)
        packets = [each.report.packets for each in looked]
        assert median(packets) <= 150, packets
        asked = {query.method for each in hostile.nodes for query in each.queries}
        assert "get_peers" in asked
        outcome = await fetch(reactor, tmp_path, sample_magnet(infos[0]), *bootstrap(network.nodes[0]))
        check_file(outcome, infos[0], seconds=10)
    finally:
        await hostile.stop()


@pytest_twisted.ensureDeferred
async def test_half_of_them_die(reactor: Any, network: Bed, own: Start) -> None:
    """Every second node goes silent once a lookup has begun; it ends well, and so do those after it."""
    infos = network.take(6)
    node = await own(network.nodes[:1])
    seeder = PeerAddress(*network.seeder)
    first = _deferred(node.look(infohash_of(infos[0])))
    network.silence(network.nodes[::2])
    looked = [await first]
    for info in infos[1:]:
        looked.append(await node.look(infohash_of(info)))
    assert all(seeder in each.peers for each in looked), looked
    seconds = [each.report.seconds for each in looked]
    assert max(seconds) < 10, seconds
    fresh = await own(network.nodes[1:2])
    assert (await fresh.look(infohash_of(infos[-1]))).peers == [seeder]
