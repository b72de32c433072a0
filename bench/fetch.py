"""`python -m bench.fetch`: functorrent beside other clients on one bed; ratios printed.

Clients take turns, each run has a fresh tracker, and every file is checked by hash.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from types import FrameType

from bench.bed import Bed
from bench.clients import Client, clients
from bench.corpus import SIZES
from bench.measure import Result, measure
from bench.netns import SHARED
from bench.process import ROOT, environment
from bench.report import beside_dead, table
from bench.scenarios import ALL, TABLE, Scenario


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m bench.fetch", description=__doc__)
    parser.add_argument("--all", action="store_true", help="the whole table of docs/performance.md")
    parser.add_argument("-n", type=int, default=1000, help="magnets (default 1000)")
    parser.add_argument(
        "--clients", help=f"separated by commas, of {', '.join([*ALL, 'libtorrent-defaults'])}"
    )
    parser.add_argument(
        "--trackers", default="udp,http", help="udp,http (default), udp, http, or none: peers given"
    )
    parser.add_argument("--size", choices=sorted(SIZES), default="2k", help="of each info dictionary")
    parser.add_argument("--rounds", type=int, help="runs of each client (default 3)")
    parser.add_argument("--dead", action="store_true", help="5 refusing and 5 mute peers beside the seeder")
    parser.add_argument(
        "--mixed", action="store_true", help="nine magnets with only dead peers for each live one"
    )
    parser.add_argument("--seconds", type=float, default=180.0, help="limit for one run (default 180)")
    parser.add_argument(
        "--shared-loopback",
        action="store_true",
        help="no network namespace for each run",
    )
    parser.add_argument("--functorrent", metavar="COMMAND", help="default: this checkout")
    parser.add_argument("--json", action="store_true", help="everything as one JSON object on stdout")
    parser.add_argument("--only", metavar="TEXT", help="with --all: rows whose title has TEXT in it")
    return parser.parse_args(argv)


def scenarios(options: argparse.Namespace) -> list[Scenario]:
    """What the options ask for."""
    if options.all:
        rows = [row for row in TABLE if not options.only or options.only in row.title]
    else:
        trackers = () if options.trackers == "none" else tuple(options.trackers.split(","))
        rows = [
            Scenario(
                title=f"{options.n} magnets of {options.size}, {options.trackers}"
                + (", dead peers beside the seeder" if options.dead else "")
                + (f", among {options.n * 9} whose peers are dead" if options.mixed else ""),
                count=options.n,
                trackers=trackers,
                size=options.size,
                dead_beside=(("refuse", 5), ("mute", 5)) if options.dead else (),
                dead_magnets=options.n * 9 if options.mixed else 0,
            )
        ]
    if options.clients:
        rows = [replace(row, clients=tuple(options.clients.split(","))) for row in rows]
    if options.rounds:
        rows = [replace(row, rounds=options.rounds) for row in rows]
    return rows


def run_scenario(scenario: Scenario, known: dict[str, Client], folder: Path, seconds: float) -> list[Result]:
    """Every client of the scenario in turn, as many rounds as it says; who is first changes."""
    running = [known[name] for name in scenario.clients if known[name].supports(scenario)]
    results = []
    bed = Bed(scenario, folder)
    for number in range(scenario.rounds):
        for offset in range(len(running)):
            client = running[(number + offset) % len(running)]
            result = measure(bed, client, seconds=seconds)
            print(_progress(scenario, result), file=sys.stderr, flush=True)
            results.append(result)
    order = list(scenario.clients)
    return sorted(results, key=lambda result: order.index(result.client))


def _progress(scenario: Scenario, result: Result) -> str:
    return (
        f"{scenario.title}: {result.client} {result.fetched}/{result.wanted} in {result.wall:.2f} s,"
        f" {result.rate:,.0f}/s, {result.cpu_ms:.2f} ms, {result.peak:.0f} MiB"
    )


def opened(folder: Path) -> Path:
    """`folder`, which opentracker may now read as nobody."""
    folder.chmod(0o755)
    return folder


def version_seconds(command: list[str], rounds: int = 7) -> float:
    """The median time of the whole process that prints the version."""
    times = []
    for _ in range(rounds):
        start = time.monotonic()
        subprocess.run(command, stdout=subprocess.DEVNULL, env=environment(), cwd=ROOT, check=False)
        times.append(time.monotonic() - start)
    return median(times)


def machine() -> str:
    """One line on where this ran."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} x {model}, {platform.system()} {platform.release()}, load at start {load:.1f}"


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(argv: list[str] | None = None) -> int:
    """Runs what was asked; 1 when a client left magnets unfetched, 130 when it was stopped."""
    signal.signal(signal.SIGTERM, _stop)
    options = arguments(argv)
    if options.shared_loopback:
        os.environ[SHARED] = "1"
    known = clients(options.functorrent)
    rows = scenarios(options)
    unknown = {name for row in rows for name in row.clients} - set(known)
    if unknown:
        print(f"no such client: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    used = {name for row in rows for name in row.clients}
    versions = {name: known[name].version() for name in known if name in used}
    about = machine()
    measured: list[tuple[Scenario, list[Result]]] = []
    stopped = False
    with tempfile.TemporaryDirectory(prefix="functorrent-bench-") as name:
        folder = opened(Path(name))
        try:
            for index, row in enumerate(rows):
                measured.append((row, run_scenario(row, known, folder / f"bed{index}", options.seconds)))
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            stopped = True
    seconds = None
    if options.all and "functorrent" in used and not options.only:
        seconds = version_seconds([*known["functorrent"].base, "--version"])
    _print(options.json, about, versions, measured, seconds)
    if stopped:
        return 130
    return 0 if all(result.complete for _, results in measured for result in results) else 1


def _print(
    as_json: bool,
    about: str,
    versions: dict[str, str],
    measured: list[tuple[Scenario, list[Result]]],
    version_time: float | None,
) -> None:
    if as_json:
        rows = [
            {"scenario": row.title, "runs": [result.as_dict() for result in results]}
            for row, results in measured
        ]
        found = {"machine": about, "versions": versions, "rows": rows, "version_seconds": version_time}
        print(json.dumps(found, indent=1))
        return
    print(about)
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    for row, results in measured:
        print(f"\n{table(row.title, results)}")
    for line in beside_dead(measured):
        print(f"\n{line}")
    if version_time is not None:
        print(f"\nfunctorrent --version: {version_time:.3f} s")


if __name__ == "__main__":
    sys.exit(main())
