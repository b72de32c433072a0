"""`python -m bench.dht`: our DHT node among sixty real ones, beside libtorrent's in the same bed.

The nodes are those of the tests: libtorrent's and, where npm has installed it, bittorrent-dht's, each on an
address of its own, in a loopback of their own. Three parts: what a lookup costs, how many queries a second
one node answers, and how long a fetch takes of magnets that name no tracker.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench.corpus import torrents
from bench.dht_flood import METHODS
from bench.fetch import machine
from bench.measure import launch
from bench.netns import fresh
from bench.process import ROOT, Helper, environment
from bench.verify import verified
from tests.integration.harness.dht_network import DHTNetwork, LibtorrentNodes

PARTS = ("lookups", "answers", "fetch")
#: Infohashes looked for one by one, of known ones and of unknown.
LOOKUPS = 100
BULK = 200
FLOOD_SECONDS = 3
#: Where the two nodes are that are measured.
OURS, THEIRS = "127.13.1.1", "127.13.2.1"


@contextmanager
def network(folder: Path, count: int) -> Iterator[tuple[DHTNetwork, list[str]]]:
    """Sixty nodes in a loopback of their own, and the infohashes of `count` torrents seeded there."""
    fresh()
    nodes = DHTNetwork(folder / "nodes", 60, clients=2)
    try:
        seeder, _ = nodes.clients[0]
        hashes = nodes.seed_all(seeder, [torrent.info for torrent in torrents("2k", count)])
        # Eight nodes are told of each; the rest of them a moment later.
        time.sleep(0.5)
        yield nodes, [infohash.hex() for infohash in hashes]
    finally:
        nodes.kill()


@contextmanager
def theirs(folder: Path, nodes: DHTNetwork) -> Iterator[tuple[LibtorrentNodes, int]]:
    """libtorrent's node that is measured, in a process of its own; with its port."""
    program = LibtorrentNodes(folder / "theirs")
    try:
        ((host, port),) = program("open", hosts=[THEIRS])
        program("join", host=host, nodes=nodes.some(12))
        time.sleep(1)
        yield program, port
    finally:
        program.kill()


def begin(nodes: DHTNetwork) -> str:
    """The node that a newcomer begins with."""
    return "{}:{}".format(*nodes.nodes[0])


def spread(values: list[float], scale: float = 1.0, digits: int = 1) -> str:
    """Median, lowest and highest."""
    low, mid, high = (f"{each * scale:,.{digits}f}" for each in (min(values), median(values), max(values)))
    return f"{mid} ({low}-{high})"


# -- what a lookup costs ---------------------------------------------------------------------


def lookups(folder: Path, rounds: int) -> None:
    """Print it."""
    ours: list[dict[str, Any]] = []
    other: list[dict[str, dict[str, Any]]] = []
    for _ in range(rounds):
        with network(folder, LOOKUPS) as (nodes, hashes):
            path = folder / "hashes"
            path.write_text("\n".join(hashes))
            # libtorrent first, and there to the end: it waits 15 s for a node that is gone.
            with theirs(folder, nodes) as (program, _):
                unknown = [os.urandom(20).hex() for _ in range(BULK)]
                known = program("look", host=THEIRS, infohashes=hashes, at_once=False)
                crowd = program("look", host=THEIRS, infohashes=unknown, at_once=True)
                other.append({"known": known, "crowd": crowd})
                arguments = [sys.executable, "-m", "bench.dht_node", "look", OURS, str(path), begin(nodes)]
                run = subprocess.run(
                    arguments, env=environment(), cwd=ROOT, capture_output=True, text=True, check=True
                )
                ours.append(json.loads(run.stdout))

    def rows(kind: str, column: int) -> list[float]:
        return [row[column] or 0.0 for run in ours for row in run[kind]["rows"]]

    first = [each for run in other for each in run["known"]["first"] if each is not None]
    print(f"### Lookups, one by one, {LOOKUPS} of each kind, {rounds} rounds\n")
    print(f"functorrent, known: packets {spread(rows('known', 0), digits=0)}")
    print(f"  seconds to the first peer, ms: {spread(rows('known', 3), 1000)}")
    print(f"  to the end, ms: {spread(rows('known', 2), 1000)}")
    print(f"  CPU ms each: {spread([run['known']['cpu'] for run in ours], 1000, 2)}")
    print(f"functorrent, nobody has it: packets {spread(rows('unknown', 0), digits=0)}")
    print(f"  to the end, ms: {spread(rows('unknown', 2), 1000)}")
    print(f"  CPU ms each: {spread([run['unknown']['cpu'] for run in ours], 1000, 2)}")
    print(f"libtorrent, known: packets {spread([run['known']['packets'] for run in other])}")
    print(f"  seconds to the first peer, ms: {spread(first, 1000)}")
    print(f"  CPU ms each: {spread([run['known']['cpu'] for run in other], 1000, 2)}")
    print(f"\n### {BULK} lookups at once, nobody has them\n")
    for name, words in (("usual", "250 queries a second"), ("quick", "without a rate")):
        print(f"functorrent, {words}: {spread([run[name]['rate'] for run in ours])} a second")
        print(f"  packets each: {spread([run[name]['packets'] for run in ours])}")
        print(f"  CPU ms each: {spread([run[name]['cpu'] for run in ours], 1000, 2)}")
    print(f"libtorrent: packets each {spread([run['crowd']['packets'] for run in other])}")
    print(f"  CPU ms each: {spread([run['crowd']['cpu'] for run in other], 1000, 2)}")
    print(f"find() and cancel before its turn: {spread([run['cancel'] for run in ours], 1e6)} us of CPU\n")


# -- how many queries one node answers -------------------------------------------------------


def answers(folder: Path, rounds: int) -> None:
    """Print it."""
    figures: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with network(folder, 0) as (nodes, _), theirs(folder, nodes) as (program, port):
        arguments = [sys.executable, "-m", "bench.dht_node", "answer", OURS, "-", begin(nodes)]
        with (
            Helper(arguments, log=folder / "node.log") as node,
            _Cpu(program.process.pid) as other,
        ):
            line = node.line()
            if not line:
                raise SystemExit((folder / "node.log").read_text())
            for _ in range(rounds):
                for method in METHODS:
                    for name, host, where, cpu in (
                        ("functorrent", OURS, int(line), node.cpu_seconds),
                        ("libtorrent", THEIRS, port, other.cpu_seconds),
                    ):
                        row = figures.setdefault((method, name), [])
                        row.append(flooded(host, where, method, cpu))
    print(f"### Queries answered, {FLOOD_SECONDS} s of each, {rounds} rounds\n")
    print("| method | functorrent: a second, us of CPU | libtorrent: a second, us of CPU |\n|---|---|---|")
    for method in METHODS:
        cells = [
            f"{spread([a for a, _ in row], digits=0)}, {spread([b for _, b in row], 1e6)}"
            for row in (figures[method, "functorrent"], figures[method, "libtorrent"])
        ]
        print(f"| {method} | {' | '.join(cells)} |")
    print()


class _Cpu:
    """CPU seconds of a process that somebody else has started, as `Helper` counts them."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> _Cpu:
        return self

    def __exit__(self, *_: object) -> None:
        return


def flooded(host: str, port: int, method: str, cpu: Callable[[], float]) -> tuple[float, float]:
    """Queries answered a second, and CPU seconds of each in the process that answers."""
    before = cpu()
    arguments = [sys.executable, "-m", "bench.dht_flood", host, str(port), method, str(FLOOD_SECONDS)]
    run = subprocess.run(arguments, env=environment(), cwd=ROOT, capture_output=True, text=True, check=True)
    told = json.loads(run.stdout)
    if told["errors"]:
        raise SystemExit(f"{method}: {told['errors']} errors")
    return told["answered"] / told["seconds"], (cpu() - before) / max(1, told["answered"])


# -- how long a fetch takes ------------------------------------------------------------------


def fetch(folder: Path, rounds: int) -> None:
    """Print it."""
    print(f"### Fetches by DHT alone, {rounds} rounds, who is first changes\n")
    print("| magnets | client | seconds | CPU ms each | right |\n|---|---|---|---|---|")
    clients: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("functorrent", ()),
        ("functorrent --dht-rate 5000", ("--dht-rate", "5000")),
        ("libtorrent", ()),
    )
    for count in (1, 100):
        figures: dict[str, list[tuple[float, float, int]]] = {}
        running = [each for each in clients if count > 1 or "rate" not in each[0]]
        for number in range(rounds):
            for offset in range(len(running)):
                name, more = running[(number + offset) % len(running)]
                figures.setdefault(name, []).append(fetched(folder, count, name, more))
        for name, _ in running:
            runs = figures[name]
            whole = sum(right == count for _, _, right in runs)
            seconds = spread([run[0] for run in runs], digits=2)
            cpu = spread([run[1] / count for run in runs], 1000, 2)
            print(f"| {count} | {name} | {seconds} | {cpu} | {whole} of {len(runs)} |")
    print()


def fetched(folder: Path, count: int, name: str, more: tuple[str, ...]) -> tuple[float, float, int]:
    """One run in a network of its own: seconds, CPU seconds, right files."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        run = Path(place)
        output = run / "out"
        output.mkdir()
        with network(run, count) as (nodes, hashes):
            magnets = run / "magnets.txt"
            magnets.write_text("".join(f"magnet:?xt=urn:btih:{each}\n" for each in hashes))
            if name == "libtorrent":
                script = str(ROOT / "bench" / "clients" / "run_libtorrent.py")
                command = [sys.executable, script, "tuned", str(magnets), str(output), "100", begin(nodes)]
            else:
                # A cache of its own: no table of an earlier run.
                command = ["env", f"XDG_CACHE_HOME={run}", sys.executable, "-m", "functorrent", "fetch"]
                command += ["-i", str(magnets), "-o", str(output), "--allow-local", "--quiet"]
                command += ["--dht-bootstrap", begin(nodes), *more]
            cost = launch(command, run, seconds=60)
            return cost.wall, cost.cpu, len(verified(output))


def main(argv: list[str] | None = None) -> int:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.dht", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; may repeat (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="default 3; fetches: twice as many less one")
    options = parser.parse_args(argv)
    print(f"{machine()}\n")
    with tempfile.TemporaryDirectory(prefix="functorrent-bench-") as name:
        folder = Path(name)
        for part in options.only or PARTS:
            if part == "lookups":
                lookups(folder, options.rounds)
            elif part == "answers":
                answers(folder, options.rounds)
            else:
                fetch(folder, 2 * options.rounds - 1)
    print(f"load at the end {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
