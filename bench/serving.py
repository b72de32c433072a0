"""What it costs to serve metadata: `python -m bench.serving`.

A Database behind a Fetcher that listens (`bench.library`), in a process of its own; functorrent and
libtorrent fetch from it, over loopback; then peers that ask for much and read nothing. Blocks a second,
CPU of the serving process for each magnet and block, its memory, and how late its reactor was at worst.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha1
from pathlib import Path
from typing import Any

from bench.netns import fresh
from bench.process import Helper, environment
from functorrent.testing import sample_info, sample_magnet
from functorrent.wire.bencode import encode
from functorrent.wire.framing import encode_frame
from functorrent.wire.handshake import Handshake
from functorrent.wire.metadata import BLOCK_SIZE, MetadataRequest

SIZES = {"2k": 2_000, "2m": 2_000_000, "20m": 20_000_000}
#: Rates that no client reaches: what it could do.
UNLIMITED = ("serve_rate=1e9", "serve_burst=1000000", "serve_rate_all=1e9", "serve_burst_all=1000000")
#: (size, how many, whether the rates are lifted)
ROWS = (("2k", 1000, False), ("2m", 20, False), ("2m", 20, True), ("20m", 2, True))
#: Libtorrent's way: what its user would set who fetches from one peer.
LIBTORRENT = """
import json, sys, time
import libtorrent as lt
host, port, lines, folder = sys.argv[1], int(sys.argv[2]), open(sys.argv[3]).read().split(), sys.argv[4]
session = lt.session({"listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False,
    "enable_upnp": False, "enable_natpmp": False, "enable_outgoing_utp": False, "enable_incoming_utp": False,
    "out_enc_policy": 2, "max_metadata_size": 64 << 20, "connection_speed": 5000, "tick_interval": 100,
    "allow_multiple_connections_per_ip": True, "connections_limit": 5000, "active_limit": -1})
left, waiting = [], iter(lines)
while True:
    while len(left) < 100 and (line := next(waiting, None)) is not None:
        parameters = lt.parse_magnet_uri(line)
        parameters.save_path = folder
        parameters.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        torrent = session.add_torrent(parameters)
        torrent.connect_peer((host, port))
        left.append(torrent)
    if not left:
        break
    done = [torrent for torrent in left if torrent.status().has_metadata]
    for torrent in done:
        print(torrent.info_hash(), flush=True)
        session.remove_torrent(torrent)
    left = [torrent for torrent in left if torrent not in done]
    time.sleep(0.002)
"""


class Served:
    """The serving process: `stats()` asks it."""

    def __init__(self, helper: Helper) -> None:
        self.helper = helper
        self.port: int = json.loads(helper.line())["port"]

    def stats(self) -> dict[str, Any]:
        """See `bench.library`."""
        assert self.helper.process.stdin is not None
        self.helper.process.stdin.write('{"stats": true}\n')
        self.helper.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.helper.line())
        return answer


@contextmanager
def serving(folder: Path, infos: list[bytes], *changes: str) -> Iterator[Served]:
    """A process that serves these."""
    fresh()
    folder.mkdir()
    for info in infos:
        (folder / f"{sha1(info).hexdigest()}.info").write_bytes(info)
    with Helper([sys.executable, "-m", "bench.library", str(folder), *changes], log=folder / "log") as helper:
        yield Served(helper)


def run_functorrent(port: int, magnets: Path, output: Path) -> int:
    """How many one `functorrent fetch` of all of them has fetched."""
    command = [sys.executable, "-m", "functorrent", "fetch", "-i", str(magnets), "-o", str(output)]
    command += ["--allow-local", "--listen", "off", "--quiet", "--timeout", "300", "--no-dht"]
    subprocess.run(
        command,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
        timeout=600,
    )
    return sum(1 for _ in output.glob("*.torrent"))


def run_libtorrent(port: int, magnets: Path, output: Path) -> int:
    """The same for a libtorrent session, 100 at a time."""
    command = [sys.executable, "-c", LIBTORRENT, "127.0.0.1", str(port), str(magnets), str(output)]
    done = subprocess.run(command, env=environment(), capture_output=True, check=False, timeout=600)
    return len(done.stdout.split())


CLIENTS: dict[str, Callable[[int, Path, Path], int]] = {
    "functorrent": run_functorrent,
    "libtorrent": run_libtorrent,
}


def fetched(folder: Path, size: str, count: int, lifted: bool, client: str) -> str:
    """One row: `client` fetches all."""
    infos = [sample_info(SIZES[size], f"serving {number}") for number in range(count)]
    with serving(folder, infos, *(UNLIMITED if lifted else ())) as served:
        peers = [("127.0.0.1", served.port)]
        magnets = folder / "magnets.txt"
        magnets.write_text("".join(f"{sample_magnet(info, peers=peers)}\n" for info in infos))
        output = folder / "out"
        output.mkdir()
        before = served.stats()
        began = time.monotonic()
        got = CLIENTS[client](served.port, magnets, output)
        wall = time.monotonic() - began
        after = served.stats()
    cpu = after["cpu"] - before["cpu"]
    blocks = after["serving"]["blocks"] - before["serving"]["blocks"]
    each, block = 1000 * cpu / max(1, got), 1e6 * cpu / max(1, blocks)
    return (
        f"{count:5} x {size:>3} {'lifted' if lifted else 'usual':>7}  {client:12} {got:5}/{count:<5}"
        f"{got / wall:8.1f} {blocks / wall:9.0f} {each:9.2f} {block:9.0f}"
        f"{after['resident'] / 1024:7.0f} {1000 * after['lag']:8.0f}"
    )


def slow_reader(port: int, address: str, info: bytes) -> socket.socket:
    """A peer that asks for every block that it may ask for, and reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.bind((address, 0))
    sock.connect(("127.0.0.1", port))
    blocks = range(min(1000, len(info) // BLOCK_SIZE))
    requests = b"".join(encode_frame(20, b"\1" + MetadataRequest(piece).encode()) for piece in blocks)
    greeting = Handshake(sha1(info).digest(), b"-XX0000-" + os.urandom(12)).encode()
    sock.sendall(greeting + encode_frame(20, b"\0" + encode({"m": {"ut_metadata": 3}})) + requests)
    return sock


def slow(folder: Path, size: str, readers: int) -> str:
    """Memory with peers that do not read."""
    info = sample_info(SIZES[size], "slow")
    with serving(folder, [info]) as served, ExitStack() as stack:
        # The first look-up brings what is shared.
        stack.enter_context(slow_reader(served.port, "127.0.20.1", info))
        time.sleep(0.5)
        before = served.stats()
        for number in range(readers - 1):
            address = f"127.0.{21 + number // 200}.{1 + number % 200}"
            stack.enter_context(slow_reader(served.port, address, info))
        time.sleep(3)
        after = served.stats()
    more = after["resident"] - before["resident"]
    return (
        f"{readers} that read nothing of {size}: {before['resident'] / 1024:.0f} MiB with one of them, "
        f"{after['resident'] / 1024:.0f} MiB with all: {more / max(1, readers - 1):.0f} KiB each; "
        f"{after['serving']['connections']} connected, worst lag {1000 * after['lag']:.0f} ms"
    )


def main(argv: list[str]) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m bench.serving", description=__doc__)
    parser.add_argument("--readers", type=int, default=200, help="peers that read nothing (default: 200)")
    parser.add_argument("--clients", default="functorrent,libtorrent")
    options = parser.parse_args(argv)
    print(
        "case                 rates  client          fetched  magnets/s  blocks/s ms/magnet  us/block"
        "    MiB  lag ms"
    )
    with tempfile.TemporaryDirectory(prefix="functorrent-serving-") as temporary:
        number = 0
        for size, count, lifted in ROWS:
            for client in options.clients.split(","):
                number += 1
                print(fetched(Path(temporary) / str(number), size, count, lifted, client), flush=True)
        for size in ("2k", "20m"):
            number += 1
            print(slow(Path(temporary) / str(number), size, options.readers), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
