"""Peers fetch metadata from us: a Database behind a Fetcher that listens, in a process of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import deferLater

from functorrent.testing import ScriptedSeeder, behaviours, sample_info, sample_magnet
from functorrent.wire.bencode import encode
from functorrent.wire.framing import encode_frame
from functorrent.wire.handshake import Handshake
from functorrent.wire.lenient import raw_span
from functorrent.wire.metadata import MetadataRequest
from tests.integration.harness.command import check_file, fetch
from tests.integration.harness.opentracker import OpenTracker
from tests.integration.harness.programs import Program, require
from tests.integration.harness.serving import Aria2Fetcher, LibtorrentFetcher, ServedStore

Tracker = Callable[..., OpenTracker]
#: One block, 123 blocks, and 1,221 of them, which is 128 at once and 11 s for the rest.
SIZES = (2_000, 2_000_000, 20_000_000)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedStore]:
    infos = [info_of(size) for size in (*SIZES, 4_000_000)]
    store = ServedStore(tmp_path_factory.mktemp("served") / "store", infos)
    yield store
    store.kill()


def info_of(size: int) -> bytes:
    return sample_info(size, f"served {size}")


async def until(reactor: Any, ready: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What `ready` gives once it gives something; the reactor runs meanwhile."""
    end = reactor.seconds() + seconds
    while not (found := ready()):
        assert reactor.seconds() < end, f"not within {seconds:g} s"
        await deferLater(reactor, 0.05)
    return found


# -- other programs ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest_twisted.ensureDeferred
async def test_libtorrent(reactor: Any, tmp_path: Path, served: ServedStore, size: int) -> None:
    """With its default encryption: it begins with that, is hung up on, and comes back in plain."""
    client = LibtorrentFetcher(tmp_path)
    info = info_of(size)
    before = served.stats()["serving"]
    infohash = client.fetch(sample_magnet(info), served.host, served.port)
    assert await until(reactor, lambda: client.info(infohash), 40) == info
    after = served.stats()["serving"]
    assert after["not_bittorrent"] == before["not_bittorrent"] + 1
    assert after["served"] == before["served"] + 1
    # Every block once, or nearly: it may ask again for what comes late.
    assert size <= after["bytes"] - before["bytes"] <= 1.1 * size
    client.stop()


@pytest_twisted.ensureDeferred
async def test_libtorrent_encrypted_only(reactor: Any, tmp_path: Path, served: ServedStore) -> None:
    """Hung up on, and counted."""
    client = LibtorrentFetcher(tmp_path, out_enc_policy=0, in_enc_policy=0)
    before = served.stats()["serving"]
    infohash = client.fetch(sample_magnet(info_of(2_000)), served.host, served.port)
    await until(reactor, lambda: served.stats()["serving"]["not_bittorrent"] > before["not_bittorrent"])
    assert client.info(infohash) is None
    assert served.stats()["serving"]["served"] == before["served"]
    client.stop()


@pytest.mark.parametrize("size", [2_000, 2_000_000, 4_000_000])
@pytest_twisted.ensureDeferred
async def test_aria2(
    reactor: Any,
    tmp_path: Path,
    served: ServedStore,
    opentracker: Tracker,
    programs: list[Program],
    size: int,
) -> None:
    """It learns of us from a tracker. Its own limit is 5 MiB ("Maximum length(5242880) exceeded")."""
    info = info_of(size)
    infohash = sha1(info).digest()
    tracker = opentracker(infohash)
    tracker.announce(infohash, served.port)
    client = Aria2Fetcher(tmp_path / "aria2", info, tracker.http)
    programs.append(client)
    await until(reactor, lambda: client.done, 40)
    torrent = client.torrent()
    begin, end = raw_span(torrent, b"info")
    assert torrent[begin:end] == info


def test_transmission(tmp_path: Path) -> None:
    """It learns of us from a tracker, too; see harness/transmission_fetch.py for its network."""
    for program in ("transmission-daemon", "opentracker", "unshare", "ip"):
        require(program)
    network = ["unshare", "--net"]
    if subprocess.run([*network, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs a network namespace of its own (root)")
    # opentracker gives up root, and reads its whitelist below.
    tmp_path.chmod(0o755)
    module = "tests.integration.harness.transmission_fetch"
    run = subprocess.run(
        [*network, sys.executable, "-m", module, str(tmp_path), "40000"],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        cwd=Path(__file__).parents[2],
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["there"], told
    # Encrypted first, and then in plain.
    assert told["stats"]["not_bittorrent"] >= 1 and told["stats"]["blocks"] >= 3, told


@pytest.mark.parametrize("size", SIZES)
@pytest_twisted.ensureDeferred
async def test_functorrent(reactor: Any, tmp_path: Path, served: ServedStore, size: int) -> None:
    info = info_of(size)
    magnet = sample_magnet(info, peers=[(served.host, served.port)])
    outcome = await fetch(reactor, tmp_path, magnet, "--listen", "off")
    check_file(outcome, info, seconds=30.0)


@pytest_twisted.ensureDeferred
async def test_unknown(reactor: Any, tmp_path: Path, served: ServedStore) -> None:
    """What we have not: the caller is hung up on, and soon fails."""
    before = served.stats()["serving"]["unknown"]
    magnet = sample_magnet("ab" * 20, peers=[(served.host, served.port)])
    outcome = await fetch(reactor, tmp_path, magnet, "--listen", "off")
    assert outcome.status == 1 and outcome.results[0]["report"]["peers"]["closed"] == 1, outcome
    assert served.stats()["serving"]["unknown"] > before


@pytest_twisted.ensureDeferred
async def test_a_hybrid(reactor: Any, tmp_path: Path, programs: list[Program]) -> None:
    """libtorrent asks for it by either infohash: in the handshake stand 20 bytes of the v2 one (BEP 52)."""
    lt = pytest.importorskip("libtorrent", reason="needs libtorrent's bindings")
    content = tmp_path / "content"
    content.write_bytes(bytes(range(256)) * 200)
    files = lt.file_storage()
    lt.add_files(files, str(content))
    made = lt.create_torrent(files, 16_384)
    lt.set_piece_hashes(made, str(tmp_path))
    torrent = lt.bencode(made.generate())
    begin, end = raw_span(torrent, b"info")
    info = torrent[begin:end]
    assert b"12:meta versioni2e" in info
    store = ServedStore(tmp_path / "store", [info])
    programs.append(store)
    for topic in (f"urn:btih:{sha1(info).hexdigest()}", f"urn:btmh:1220{sha256(info).hexdigest()}"):
        client = LibtorrentFetcher(tmp_path)
        infohash = client.fetch(f"magnet:?xt={topic}", store.host, store.port)
        assert await until(reactor, lambda c=client, i=infohash: c.info(i)) == info
        client.stop()


# -- callers for jobs that wait ----------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_caller_for_what_waits(reactor: Any, tmp_path: Path, programs: list[Program]) -> None:
    """A seeder that nobody can reach calls while its job waits: it is fetched, and then served."""
    info = sample_info(100_000, "waits")
    store = ServedStore(tmp_path / "store")
    programs.append(store)
    store.wait(sample_magnet(info))
    assert store.status(info) == "waiting"
    seeder = ScriptedSeeder(info, clock=reactor)
    seeder.call(reactor, store.host, store.port)
    await until(reactor, lambda: store.status(info) == "fetched")
    seeder.stop()
    assert store.stats()["library"]["started"] == 1
    outcome = await fetch(reactor, tmp_path, sample_magnet(info, peers=[(store.host, store.port)]))
    check_file(outcome, info)


@pytest_twisted.ensureDeferred
async def test_a_liar_calls_for_what_waits(reactor: Any, tmp_path: Path, programs: list[Program]) -> None:
    """The job is as it was, and an honest seeder that calls a minute later is taken."""
    info = sample_info(100_000, "waits")
    store = ServedStore(tmp_path / "store", (), "called_again=1")
    programs.append(store)
    store.wait(sample_magnet(info))
    liar = ScriptedSeeder(info, behaviours.CorruptBlock(0), clock=reactor)
    liar.call(reactor, store.host, store.port)
    await until(reactor, lambda: store.stats()["library"]["started"] == 1)
    await until(reactor, lambda: store.status(info) == "waiting")
    await deferLater(reactor, 1.1)
    honest = ScriptedSeeder(info, clock=reactor)
    honest.call(reactor, store.host, store.port)
    await until(reactor, lambda: store.status(info) == "fetched")
    liar.stop()
    honest.stop()


# -- hostile clients beside an honest one ------------------------------------------------------


def hostile(kind: str, store: ServedStore, address: str, info: bytes) -> socket.socket:
    """A client that wants no good, from `address`; it has said all that it says."""
    sock = socket.socket()
    # Little room to read into: it never does.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.bind((address, 0))
    sock.settimeout(1)
    sock.connect((store.host, store.port))
    infohash = sha1(info).digest() if kind != "unknown" else sha1(address.encode()).digest()
    greeting = Handshake(infohash, b"-XX0000-" + bytes(12)).encode()
    handshake = encode_frame(20, b"\0" + encode({"m": {"ut_metadata": 3}}))
    request = encode_frame(20, b"\1" + MetadataRequest(0).encode())
    said = {
        "half a handshake": greeting[:40],
        "half an extended handshake": greeting + handshake[:20],
        "a 4 GB prefix": greeting + handshake + b"\xff\xff\xff\xff\x14",
        "a 4 GB prefix first": b"\xff\xff\xff\xff\x14" * 20,
        "a flood of requests": greeting + handshake + request * 20_000,
        "never reads": greeting
        + handshake
        + b"".join(encode_frame(20, b"\1" + MetadataRequest(piece).encode()) for piece in range(120)),
        "keep-alives": greeting + bytes(4_000_000),
        "beyond the end": greeting
        + handshake
        + encode_frame(20, b"\1" + MetadataRequest(10**9).encode()) * 100,
        "negative": greeting + handshake + encode_frame(20, b"\1" + MetadataRequest(-1).encode()),
        "hostile bencode": greeting + encode_frame(20, b"\0d1:a1:b-6:"),
        "another extension": greeting + handshake + encode_frame(20, b"\x77" + bytes(50)) * 1000,
        "unknown": greeting,
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    }[kind]
    try:
        sock.sendall(said)
    except OSError:
        # Hung up on, or not read any more.
        pass
    return sock


KINDS = (
    "half a handshake",
    "half an extended handshake",
    "a 4 GB prefix",
    "a 4 GB prefix first",
    "a flood of requests",
    "never reads",
    "keep-alives",
    "beyond the end",
    "negative",
    "hostile bencode",
    "another extension",
    "unknown",
    "TLS",
)


@pytest_twisted.ensureDeferred
async def test_hostile_clients(reactor: Any, tmp_path: Path, programs: list[Program]) -> None:
    """Ten of each kind, from addresses of their own, beside one honest client: 2 MB within 10 s."""
    info = info_of(2_000_000)
    store = ServedStore(tmp_path / "store", [info])
    programs.append(store)
    with ExitStack() as stack:
        for number, kind in enumerate(KINDS):
            for client in range(10):
                stack.enter_context(hostile(kind, store, f"127.0.{number + 10}.{client + 1}", info))
        assert store.stats()["serving"]["connections"] > 20
        magnet = sample_magnet(info, peers=[(store.host, store.port)])
        check_file(await fetch(reactor, tmp_path, magnet, "--listen", "off"), info)
        # All of them are hung up on, those last that were given time to read.
        stats = await until(reactor, lambda: (s := store.stats())["serving"]["connections"] == 0 and s, 40)
    assert stats["serving"]["pending"] == stats["serving"]["serving"] == 0
    assert "Traceback" not in store.log.read_text(), store.log.read_text()


@pytest_twisted.ensureDeferred
async def test_one_address_takes_what_it_can(reactor: Any, tmp_path: Path, programs: list[Program]) -> None:
    """It gets half of the places, and somebody else is served."""
    info = info_of(2_000)
    store = ServedStore(tmp_path / "store", [info], "max_pending_inbound=20")
    programs.append(store)
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(hostile("half a handshake", store, "127.0.0.9", info))
        await until(reactor, lambda: store.stats()["serving"]["turned_away"] == 30)
        assert store.stats()["serving"]["pending"] == 10
        magnet = sample_magnet(info, peers=[(store.host, store.port)])
        check_file(await fetch(reactor, tmp_path, magnet, "--listen", "off"), info)
