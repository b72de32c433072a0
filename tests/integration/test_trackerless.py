"""Magnets without trackers: the command and the daemon among real DHT nodes (see test_dht.py)."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, socket
from typing import Any

import pytest
import pytest_twisted

from functorrent.metainfo import Metainfo
from functorrent.testing import sample_info, sample_magnet
from tests.integration.harness.command import Command, check_file, start
from tests.integration.harness.dht_network import DHTNetwork, until
from tests.integration.harness.programs import wait_until
from tests.integration.test_daemon import RUNNERS

INFOS = [sample_info(20_000, f"of client {number}") for number in range(5)]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DHTNetwork]:
    """A small one, of libtorrent's nodes alone. INFOS are seeded in it, each at a client of its own, all at
    the start: libtorrent takes its time to announce a later one."""
    network = DHTNetwork(tmp_path_factory.mktemp("dht"), 16, npm=0, clients=len(INFOS))
    try:
        hashes = [network.seed(host, info) for (host, _), info in zip(network.clients, INFOS, strict=True)]
        wait_until("the announces", lambda: all(network.announces(each) >= 3 for each in hashes), 15)
        yield network
    finally:
        network.kill()


def bootstrap(network: DHTNetwork, count: int = 2) -> list[str]:
    return [f"--dht-bootstrap={host}:{port}" for host, port in network.some(count)]


@pytest_twisted.ensureDeferred
async def test_fetch(reactor: Any, tmp_path: Path, network: DHTNetwork) -> None:
    """The command finds the peer, its file names nodes, and the next run knows the network by itself."""
    info = INFOS[0]
    out, cache = tmp_path / "out", tmp_path / "cache"
    arguments = ["fetch", "-o", str(out), "--allow-local", "--json", "--listen", "tcp:0:interface=127.0.0.1"]
    outcome = await start(
        reactor, *arguments, *bootstrap(network), sample_magnet(info), env={"XDG_CACHE_HOME": str(cache)}
    ).ended
    result = check_file(outcome, info)
    (source,) = [each for each in result["report"]["sources"] if each["source"] == "dht"]
    assert source["peers"] == 1, source
    assert result["report"]["trackers"] == []
    named = Metainfo.parse(Path(result["file"]).read_bytes()).nodes
    assert named and set(named) <= {*network.nodes, *network.clients}
    # The table alone, without a node to begin with but one that is not there.
    table = cache / "functorrent" / "dht.table"
    assert table.stat().st_size > 100
    again = INFOS[1]
    outcome = await start(
        reactor, *arguments, "--dht-bootstrap=127.0.0.1:9", sample_magnet(again),
        env={"XDG_CACHE_HOME": str(cache)},
    ).ended  # fmt: skip
    check_file(outcome, again)


@pytest_twisted.ensureDeferred
async def test_nobody_knows_a_peer(reactor: Any, tmp_path: Path, network: DHTNetwork) -> None:
    """The report says it in words."""
    arguments = ["fetch", "-o", str(tmp_path), "--allow-local", "--listen=off", "ab" * 20]
    outcome = await start(reactor, *arguments, *bootstrap(network)).ended
    assert outcome.status == 1
    assert "no trackers; " in outcome.err and " DHT nodes asked, none knew a peer" in outcome.err, outcome
    nowhere = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    outcome = await start(reactor, *arguments, "--dht-bootstrap=127.0.0.1:9", env=nowhere).ended
    assert (outcome.status, "no trackers; no DHT node could be reached" in outcome.err) == (1, True), outcome


@pytest_twisted.ensureDeferred
async def test_peers(reactor: Any, network: DHTNetwork) -> None:
    info = INFOS[2]
    host, _ = network.clients[2]
    outcome = await start(
        reactor, "peers", "--allow-local", *bootstrap(network), "--json", sample_magnet(info)
    ).ended
    assert outcome.status == 0, outcome
    assert [(each["host"], each["source"]) for each in outcome.results] == [(host, "dht")]
    assert "1 peer found; no trackers; " in outcome.err
    outcome = await start(reactor, "peers", "--allow-local", *bootstrap(network), "ab" * 20).ended
    assert (outcome.status, outcome.out) == (1, ""), outcome


@pytest_twisted.ensureDeferred
async def test_interrupted(reactor: Any, tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM end what waits for an answer, soon and in order; a reader who leaves does, too."""
    nowhere = {"XDG_CACHE_HOME": str(tmp_path)}
    with socket(AF_INET, SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        more = ["--allow-local", f"--dht-bootstrap=127.0.0.1:{port}", "--tracker", f"udp://127.0.0.1:{port}"]
        for arguments, signal, status in (
            (["peers", "ab" * 20, *more], "INT", 130),
            (["peers", "--quiet", "ab" * 20, *more], "TERM", 143),
            (["dht", "ping", f"127.0.0.1:{port}"], "INT", 130),
        ):
            silent.settimeout(0)
            command = start(reactor, *arguments, env=nowhere)
            await until(reactor, "a datagram", lambda: received(silent))
            command.signal(signal)
            outcome = await command.ended
            assert outcome.status == status, outcome
            assert "Traceback" not in outcome.err, outcome
            assert ("; interrupted\n" in outcome.err) == ("peers" in arguments and "--quiet" not in arguments)


def received(sock: socket) -> bool:
    """Whether a datagram is there; it is taken."""
    try:
        return bool(sock.recv(65536))
    except BlockingIOError:
        return False


@pytest_twisted.ensureDeferred
async def test_dht_commands(reactor: Any, network: DHTNetwork) -> None:
    """get-peers, ping, and nodes, in words and as JSON."""
    info = INFOS[3]
    known = {*network.nodes, *network.clients}
    more = ["--allow-local", *bootstrap(network)]
    runs = {
        what: start(reactor, "dht", *what.split(), *more, *arguments)
        for what, arguments in (
            ("get-peers", [sample_magnet(info)]),
            ("get-peers --json", [sample_magnet(info)]),
            ("nodes", ["ab" * 20]),
            ("nodes --json", []),
        )
    }
    host, port = network.nodes[0]
    runs["ping"] = start(reactor, "dht", "ping", f"{host}:{port}")
    runs["ping --json"] = start(reactor, "dht", "ping", "--json", "127.0.0.1:9")
    ended = {what: await run.ended for what, run in runs.items()}
    assert {what: outcome.status for what, outcome in ended.items()} == {
        **dict.fromkeys(runs, 0),
        "ping --json": 1,
    }
    seeder = network.clients[3][0]
    assert ended["get-peers"].out.startswith(f"{seeder}:"), ended["get-peers"]
    assert "functorrent: 1 peer; " in ended["get-peers"].err
    (told,) = ended["get-peers --json"].results
    assert [each["host"] for each in told["peers"]] == [seeder]
    assert {(each["host"], each["port"]) for each in told["nodes"]} <= known
    lines = [line.split("\t") for line in ended["nodes"].out.splitlines()]
    assert 1 < len(lines) <= 8 and all(len(node) == 40 for node, _ in lines), ended["nodes"]
    (told,) = ended["nodes --json"].results
    assert len(told["nodes"]) >= 3
    assert ended["ping"].out.startswith(f"{host}:{port}\t")
    assert ended["ping --json"].results[0]["error"] == "it does not answer"


@pytest_twisted.ensureDeferred
async def test_daemon(reactor: Any, tmp_path: Path, network: DHTNetwork) -> None:
    """It says when it is warm, fetches, names nodes out of its store, and keeps its table."""
    info = INFOS[4]
    options = ["--data", str(tmp_path), "--allow-local", "--http=off", *bootstrap(network)]
    daemon = Command(
        reactor, [*RUNNERS["twistd -n"], *options, sample_magnet(info)], 30, env={"METAFETCH_NO_DHT": "0"}
    )
    try:
        path = tmp_path / "torrents" / f"{sha1(info).hexdigest()}.torrent"
        await until(reactor, "the file", lambda: path.exists() or daemon.ended.called, 15)
        await daemon.until(lambda it: b"DHT: " in it.out)
        daemon.signal("TERM")
        outcome = await daemon.ended
    finally:
        daemon.kill()
    assert "Traceback" not in outcome.out + outcome.err, outcome
    assert int(outcome.out.partition("DHT: ")[2].split()[0]) >= 3, outcome
    made = Metainfo.parse(path.read_bytes())
    assert made.info_bytes == info
    assert made.nodes and set(made.nodes) <= {*network.nodes, *network.clients}
    assert (tmp_path / "dht.table").stat().st_size > 100
