"""Peer exchange with real libtorrent, and with peers that lie: on loopback, each on an address of its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import deferLater
from zope.interface import implementer

from functorrent.fetch.fetcher import Fetcher
from functorrent.fetch.settings import FetchSettings
from functorrent.interfaces import INodeSource, IPeerSourceMaker, PeerAddress, SourceReport
from functorrent.limits import DEFAULT_LIMITS
from functorrent.magnet import Magnet
from functorrent.testing import behaviours, sample_info, sample_magnet
from functorrent.wire.bencode import decode
from tests.integration.harness.command import check_file, fetch, start
from tests.integration.harness.libtorrent_leecher import LibtorrentLeecher
from tests.integration.harness.libtorrent_seeder import LibtorrentSeeder
from tests.integration.harness.listening import Listening
from tests.integration.harness.programs import Program
from tests.naming import Floods, Names, Says, message

LIMITS = DEFAULT_LIMITS


@pytest.fixture(scope="module")
def leecher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibtorrentLeecher]:
    """A libtorrent peer that never has any metadata."""
    started = LibtorrentLeecher(tmp_path_factory.mktemp("leecher"))
    yield started
    started.kill()


@pytest_twisted.ensureDeferred
async def test_a_leecher_names_the_seeder(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, leecher: LibtorrentLeecher
) -> None:
    """All that the magnet names has no metadata, and is connected to a peer that has it."""
    info = sample_info(100_000, "exchanged")
    infohash = honest.add(info)
    there = leecher.join(infohash, [PeerAddress(honest.host, honest.port)])
    outcome = await fetch(reactor, tmp_path / "out", sample_magnet(info, peers=[there]))
    result = check_file(outcome, info, (), seconds=LIMITS.pex_wait + 3)
    counts = result["report"]["peers"]
    assert (counts["fetched"], counts["no_metadata"]) == (1, 1), outcome


@pytest_twisted.ensureDeferred
async def test_through_another_leecher(
    reactor: Any,
    tmp_path: Path,
    honest: LibtorrentSeeder,
    leecher: LibtorrentLeecher,
    programs: list[Program],
) -> None:
    """One that knows one that knows the seeder."""
    info = sample_info(2_000, "exchanged twice")
    infohash = honest.add(info)
    second = LibtorrentLeecher(tmp_path / "second", "127.0.0.4")
    programs.append(second)
    leecher.join(infohash, [PeerAddress(honest.host, honest.port)])
    there = second.join(infohash, [leecher.address])
    outcome = await fetch(reactor, tmp_path / "out", sample_magnet(info, peers=[there]))
    check_file(outcome, info, (), seconds=2 * LIMITS.pex_wait + 3)


@pytest_twisted.ensureDeferred
async def test_a_leecher_that_knows_nobody(reactor: Any, tmp_path: Path, leecher: LibtorrentLeecher) -> None:
    """libtorrent says nothing then: the fetch does not wait its time out for that."""
    info = sample_info(2_000, "alone")
    there = leecher.join(bytes.fromhex(sample_magnet(info)[20:60]))
    outcome = await fetch(reactor, tmp_path / "out", sample_magnet(info, peers=[there]))
    (result,) = outcome.results
    assert (outcome.status, result["status"]) == (1, "failed"), outcome
    assert result["report"]["peers"]["no_metadata"] == 1, outcome
    assert result["seconds"] < LIMITS.pex_wait + 1.5, outcome


# -- lies ------------------------------------------------------------------------------------

JUNK = [PeerAddress(f"127.{n // 60_000 + 1}.{n // 250 % 240}.{n % 250 + 1}", 9) for n in range(4000)]
PEX_LIES: dict[str, Names] = {
    "thousands of peers": Says(message(*JUNK[:3000]), metadata=True),
    "thousands of ports": Says(message(*[PeerAddress("127.9.9.9", n) for n in range(1, 3000)])),
    "many messages": Names(*[JUNK[n : n + 50] for n in range(0, 4000, 50)], after=0.0),
    "a flood of names": Floods(message(*JUNK[:50])),
    "a flood of junk": Floods(b"d5:added" + b"\xff" * 50),
    "a flood of nothing, and metadata": Floods(b"", metadata=True),
    "nested 30,000 deep": Says(b"d1:x" + b"l" * 30_000 + b"e" * 30_000 + b"e"),
    "d1:a1:b-6:": Says(b"d1:a1:b-6:"),
    "itself": Says(message(*[PeerAddress(host, 0) for host in ("0.0.0.0", "224.0.0.1", "::", "::1")])),
}
FLOODS = [lie for lie in PEX_LIES if "flood" in lie or "many" in lie]


@pytest.mark.parametrize("lie", PEX_LIES)
@pytest_twisted.ensureDeferred
async def test_liar_beside_an_honest_peer(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, listening: Listening, lie: str
) -> None:
    """The one that it names among its lies, or that is named beside it, is what counts."""
    info = sample_info(100_000, f"pex {lie}")
    honest.add(info)
    liar = listening.seeder(info, PEX_LIES[lie], behaviours.ClosesAfter(0), host="127.0.0.5")
    helps = Names([PeerAddress(honest.host, honest.port)], after=0.5)
    helper = listening.seeder(info, helps, host="127.0.0.6")
    outcome = await fetch(reactor, tmp_path / "out", sample_magnet(info, peers=[liar, helper]))
    counts = check_file(outcome, info, ())["report"]["peers"]
    assert counts["found"] <= 3 + LIMITS.max_pex_peers, outcome
    # Who floods is hung up on; who talks nonsense is not.
    assert counts["bad_data"] == (lie in FLOODS), outcome
    assert listening.seeders[0].connections, "the liar was never met"


@pytest_twisted.ensureDeferred
async def test_local_addresses(reactor: Any, tmp_path: Path, listening: Listening) -> None:
    """What the user typed may be local; what it names may not, however it is written."""
    info = sample_info(2_000, "local")
    with socket.create_server(("127.0.0.1", 0)) as canary:
        port = canary.getsockname()[1]
        hosts = ("127.0.0.1", "127.0.0.7", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::")
        names = Says(message(*[PeerAddress(host, port) for host in hosts]))
        liar = listening.seeder(info, names, host="127.0.0.5")
        command = start(
            reactor, "fetch", sample_magnet(info), "--peer", str(liar), "-o", str(tmp_path), "--json"
        )
        outcome = await command.ended
        canary.settimeout(0.1)
        with pytest.raises(TimeoutError):
            canary.accept()
    (result,) = outcome.results
    counts = result["report"]["peers"]
    assert (counts["not_allowed"], counts["no_metadata"]) == (len(hosts), 1), outcome
    assert "Traceback" not in outcome.err, outcome


# -- PORT ------------------------------------------------------------------------------------


@implementer(INodeSource, IPeerSourceMaker)
class Node(DatagramProtocol):
    """Takes the place of a DHT node, and notes what it hears: of nodes, and from them."""

    name = "dht"

    def __init__(self) -> None:
        self.node_port: int | None = None
        self.heard: list[PeerAddress] = []
        self.packets: list[bytes] = []

    def make(self, context: Any) -> Node:
        return self

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.packets.append(datagram)

    def heard_node(self, address: PeerAddress) -> None:
        self.heard.append(address)

    def nodes(self, infohash: bytes) -> list[PeerAddress]:
        return []

    def find(self, magnet: Any, sink: Any) -> Deferred[SourceReport]:
        found: Deferred[SourceReport] = Deferred()
        found.callback(SourceReport(self.name))
        return found

    def ended(self, infohash: bytes) -> None:
        pass

    def stop(self) -> None:
        pass


@pytest_twisted.ensureDeferred
async def test_nodes_hear_of_each_other(reactor: Any, tmp_path: Path, programs: list[Program]) -> None:
    """libtorrent tells us of its node, and asks ours once it is told."""
    info = sample_info(2_000, "nodes")
    other = LibtorrentSeeder(tmp_path / "dht", "127.0.0.8", dht=True)
    programs.append(other)
    other.add(info)
    there = PeerAddress(other.host, other.port)
    node = Node()
    port = reactor.listenUDP(0, node, interface="127.0.0.1")
    node.node_port = port.getHost().port
    fetcher = Fetcher(
        reactor, FetchSettings(allow_local=True, listen=("off",)), sources=[node], plugins=False
    )
    try:
        await fetcher.start()
        await fetcher.fetch(Magnet.parse(sample_magnet(info, peers=[there])))
        for _ in range(100):
            if node.packets:
                break
            await deferLater(reactor, 0.05)
        assert node.heard == [there]
        asked = decode(node.packets[0])
        assert isinstance(asked, dict)
        assert asked[b"y"] == b"q", asked
    finally:
        await fetcher.stop()
        await port.stopListening()
