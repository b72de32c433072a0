"""A DHT on loopback: real nodes of libtorrent and of bittorrent-dht (npm), each on an address of its own.

Each node lives in a /24 of its own (127.10.N.1 and 127.11.N.1), as rules that count addresses by /24 expect
of strangers. They know some of each other when they start, and make their tables by themselves.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.integration.harness.programs import Program, require_libtorrent, wait_until

ROOT = Path(__file__).parents[3]
#: Folder with bittorrent-dht in it (`npm install bittorrent-dht` makes it).
NODE_MODULES = "FUNCTORRENT_NODE_MODULES"
#: How many others a node is told of when it joins.
KNOWN = 12
#: Torrents announced at once.
BATCH = 8

Endpoint = tuple[str, int]


def node_modules() -> Path | None:
    """Where npm has put bittorrent-dht, or None: then all nodes are libtorrent's."""
    places = [Path(os.environ[NODE_MODULES])] if os.environ.get(NODE_MODULES) else []
    places.append(ROOT / "node_modules")
    if shutil.which("node") is None:
        return None
    return next((place for place in places if (place / "bittorrent-dht").is_dir()), None)


async def until(reactor: Any, what: str, ready: Callable[[], bool], seconds: float = 10.0) -> float:
    """Ask `ready` until it says so, while the reactor runs. Returns how long that took, in seconds."""
    begun = reactor.seconds()
    while not ready():
        if reactor.seconds() - begun > seconds:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        await deferLater(reactor, 0.02)
    took: float = reactor.seconds() - begun
    return took


class NodeProgram(Program):
    """A process with many nodes, which answers a line of JSON for each it is given."""

    def __init__(self, arguments: Sequence[str], folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"{name}.log"
        with log.open("ab") as errors:
            super().__init__(
                arguments,
                log,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
            )
        self.folder = folder

    def __call__(self, do: str, **more: Any) -> Any:
        """Ask it for something; what it answers. Blocks, so only for what takes milliseconds."""
        self.ask(do, **more)
        return self.answer()

    async def later(self, do: str, **more: Any) -> Any:
        """Ask for what takes a while, and let the reactor run until it is answered."""
        self.ask(do, **more)
        return await deferToThread(self.answer)

    def ask(self, do: str, **more: Any) -> None:
        """Ask, without waiting for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """The next answer that is due."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(5)
            self.check()
        answer = json.loads(line)
        assert "error" not in answer, answer
        return answer["is"]


class LibtorrentNodes(NodeProgram):
    """libtorrent's: they seed and fetch, too."""

    def __init__(self, folder: Path) -> None:
        require_libtorrent()
        super().__init__(
            [sys.executable, "-m", "tests.integration.harness.libtorrent_nodes"], folder, "libtorrent-nodes"
        )

    def seed(self, host: str, info: bytes, *, listens: bool = True) -> bytes:
        """Seed an info dictionary's torrent at a node, announced to the DHT. Returns the infohash."""
        infohash = sha1(info).digest()
        path = self.folder / f"{infohash.hex()}.torrent"
        path.write_bytes(b"d4:info" + info + b"e")
        self("seed", host=host, path=str(path), listens=listens)
        return infohash


class BittorrentDHTNodes(NodeProgram):
    """npm's."""

    def __init__(self, folder: Path, modules: Path) -> None:
        program = shutil.which("node")
        assert program is not None
        script = Path(__file__).with_name("bittorrent_dht_nodes.js")
        super().__init__([program, str(script), str(modules)], folder, "bittorrent-dht-nodes")


class DHTNetwork:
    """Nodes that know each other. `clients`: libtorrent nodes beyond them, to seed or fetch at."""

    def __init__(self, folder: Path, count: int = 60, *, npm: int = 20, clients: int = 4) -> None:
        modules = node_modules()
        npm = npm if modules is not None else 0
        self._random = random.Random(5)
        self.libtorrent = LibtorrentNodes(folder)
        self.npm = BittorrentDHTNodes(folder, modules) if modules is not None and npm else None
        hosts = [f"127.10.{number}.1" for number in range(1, count - npm + 1 + clients)]
        try:
            opened = [tuple(place) for place in self.libtorrent("open", hosts=hosts)]
            self.clients: list[Endpoint] = opened[count - npm :]
            self.of_libtorrent: list[Endpoint] = opened[: count - npm]
            self.of_npm: list[Endpoint] = []
            if self.npm is not None:
                hosts = [f"127.11.{number}.1" for number in range(1, npm + 1)]
                self.of_npm = [tuple(place) for place in self.npm("open", hosts=hosts)]
            self._join()
        except BaseException:
            self.kill()
            raise

    @property
    def nodes(self) -> list[Endpoint]:
        """All but the clients."""
        return [*self.of_libtorrent, *self.of_npm]

    def some(self, count: int, *but: Endpoint) -> list[Endpoint]:
        """`count` of the nodes, the same at each run."""
        return self._random.sample([node for node in self.nodes if node not in but], count)

    def _join(self) -> None:
        for node in [*self.of_libtorrent, *self.clients]:
            self.libtorrent("join", host=node[0], nodes=self.some(KNOWN, node))
        for node in self.of_npm:
            assert self.npm is not None
            self.npm("join", host=node[0], nodes=self.some(KNOWN, node))
        wait_until("the network", self._joined, 20)

    def _joined(self) -> bool:
        time.sleep(0.1)
        return min(self.sizes().values()) >= KNOWN // 2

    def add(self, nodes: Sequence[Endpoint]) -> None:
        """Name these to every node, which pings them."""
        for program, known in (
            (self.libtorrent, [*self.of_libtorrent, *self.clients]),
            (self.npm, self.of_npm),
        ):
            for node in known:
                assert program is not None
                program("add", host=node[0], nodes=list(nodes))

    def silence(self, nodes: Sequence[Endpoint]) -> None:
        """These answer no more. Nothing says so: their ports stay taken."""
        self.libtorrent("quiet", hosts=[node[0] for node in nodes if node in self.of_libtorrent], quiet=True)
        for node in nodes:
            if node in self.of_npm:
                assert self.npm is not None
                self.npm("quiet", host=node[0])

    def sizes(self) -> dict[str, int]:
        """How many nodes each has in its table, by host."""
        npm = self.npm("sizes") if self.npm is not None else {}
        return {**self.libtorrent("sizes"), **npm}

    def seed(self, host: str, info: bytes, *, listens: bool = True) -> bytes:
        """Seed an info dictionary at a client of ours, announced to the DHT. Returns the infohash."""
        return self.libtorrent.seed(host, info, listens=listens)

    def seed_all(self, host: str, infos: Sequence[bytes], *, listens: bool = True) -> list[bytes]:
        """Seed many, a few at a time: a burst loses datagrams, and libtorrent then waits for 15 s. Each is
        known to half of the eight nodes closest to it when this returns its infohash."""
        hashes: list[bytes] = []
        for at in range(0, len(infos), BATCH):
            batch = [self.seed(host, info, listens=listens) for info in infos[at : at + BATCH]]
            self.announced(host, batch)
            hashes += batch
        return hashes

    def announced(self, host: str, infohashes: Sequence[bytes], seconds: float = 30.0) -> None:
        """Wait until half of the eight nodes closest to each were told of the seeder at `host`."""
        end = time.monotonic() + seconds
        missing, again = list(infohashes), time.monotonic() + 1
        while missing:
            time.sleep(0.01)
            missing = [infohash for infohash in missing if self.announces(infohash) < 4]
            if missing and time.monotonic() > again:
                # By itself it would do so in a quarter of an hour.
                self.libtorrent("announce", host=host)
                again = time.monotonic() + 2
            assert time.monotonic() < end, f"{len(missing)} of {len(infohashes)} were not announced"

    def announces(self, infohash: bytes) -> int:
        """How many nodes were told of a peer of it."""
        count: int = self.libtorrent("announces", infohash=infohash.hex())
        if self.npm is not None:
            count += self.npm("announces", infohash=infohash.hex())
        return count

    def kill(self) -> None:
        """End it all."""
        self.libtorrent.kill()
        if self.npm is not None:
            self.npm.kill()
