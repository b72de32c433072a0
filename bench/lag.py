"""`python -m bench.lag`: how late the daemon's event loop is while 200 magnets are in flight.

A real daemon on a loopback of its own, a libtorrent seeder, opentracker, and dead peers beside the seeder so
that magnets stay in flight. The magnets come in one POST while it works. The lag is the daemon's own
measure (`/metrics`), which counts a stall for all that it swallowed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.bed import Bed, Run
from bench.corpus import SIZES
from bench.process import Helper
from bench.scenarios import Scenario

#: What issue 3 asks for: p99 in seconds.
GOAL = 0.1
PORT = 29_667
WHERE = f"127.0.0.1:{PORT}"


@dataclass
class Seen:
    """What was read while the daemon worked; seconds."""

    in_flight: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    worst: list[float] = field(default_factory=list)
    scrapes: list[float] = field(default_factory=list)
    buckets: dict[float, float] = field(default_factory=dict)
    megabytes: float = 0.0


def ask(method: str, path: str, body: bytes | None = None) -> bytes:
    """One request to the daemon. Raises OSError."""
    connection = http.client.HTTPConnection(WHERE, timeout=60)
    try:
        connection.request(method, path, body, {"Content-Type": "text/plain"} if body is not None else {})
        answer = connection.getresponse()
        said = answer.read()
    finally:
        connection.close()
    if answer.status not in (200, 202):
        raise SystemExit(f"{method} {path}: {answer.status} {said[:200]!r}")
    return said


def metrics() -> dict[str, float]:
    """The daemon's numbers: the series as it is written, to its value."""
    lines = ask("GET", "/metrics").decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def quantile(buckets: dict[float, float], fraction: float) -> float:
    """Seconds, between the bounds of a histogram."""
    bounds = sorted(buckets)
    wanted = fraction * buckets[bounds[-1]]
    lower = below = 0.0
    for bound in bounds:
        if buckets[bound] >= wanted:
            if bound == float("inf") or buckets[bound] == below:
                return lower
            return lower + (bound - lower) * (wanted - below) / (buckets[bound] - below)
        lower, below = bound, buckets[bound]
    return lower


def started(run: Run, jobs: int, more: list[str]) -> Helper:
    """The daemon, once it answers."""
    data = run.folder / "data"
    arguments = [
        sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=",
        "--logfile", str(run.folder / "daemon.log"), "metafetch", "--data", str(data), "--allow-local",
        "--http", f"tcp:{PORT}:interface=127.0.0.1", "--jobs", str(jobs), "--listen", "tcp:26881",
        "--no-dht", "--no-lsd", *more,
    ]  # fmt: skip
    helper = Helper(arguments, log=run.folder / "daemon.err")
    for _ in range(300):
        try:
            ask("GET", "/readyz")
            return helper
        except OSError:
            time.sleep(0.1)
    helper.stop()
    raise SystemExit(f"the daemon did not start: {(run.folder / 'daemon.err').read_text()}")


def measure(run: Run, jobs: int, count: int, seconds: float, more: list[str]) -> Seen:
    """Post the magnets, and look at the daemon until all are fetched, or time is up."""
    seen = Seen()
    with started(run, jobs, more):
        began = time.monotonic()
        ask("POST", "/api/v1/magnets", run.magnets.read_bytes())
        posted = time.monotonic() - began
        while True:
            time.sleep(0.5)
            asked = time.monotonic()
            now = metrics()
            seen.scrapes.append(time.monotonic() - asked)
            seen.p99.append(now["metafetch_reactor_lag_p99_seconds"])
            seen.worst.append(now["metafetch_reactor_lag_max_seconds"])
            stats = json.loads(ask("GET", "/api/v1/stats"))
            fetched = stats["jobs"]["fetched"]
            if fetched >= count or time.monotonic() - began > seconds:
                break
            seen.in_flight.append(stats["in_flight"])
        took = time.monotonic() - began
        lead = 'metafetch_reactor_lag_seconds_bucket{le="'
        seen.buckets = {
            float(name.removeprefix(lead).removesuffix('"}')): value
            for name, value in now.items()
            if name.startswith(lead)
        }
        seen.megabytes = now.get("process_resident_memory_bytes", 0.0) / (1 << 20)
    print(
        f"posted in {posted:.1f} s; {fetched:,} of {count:,} fetched in {took:.1f} s, {fetched / took:,.0f}/s"
    )
    return seen


def main(argv: list[str] | None = None) -> int:
    """Print what was found; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.lag", description=__doc__)
    parser.add_argument("-n", type=int, default=10_000, help="magnets (default 10,000)")
    parser.add_argument("--jobs", type=int, default=200, help="magnets in exchange at once (default 200)")
    parser.add_argument("--size", choices=sorted(SIZES), default="2k", help="of each info dictionary")
    parser.add_argument("--seconds", type=float, default=180.0, help="limit (default 180)")
    parser.add_argument("--option", action="append", default=[], help="a further option of the daemon")
    options = parser.parse_args(argv)
    dead = (("refuse", 2), ("mute", 2))
    scenario = Scenario("lag", options.n, ("udp",), options.size, dead)
    with tempfile.TemporaryDirectory() as folder:
        # opentracker runs as nobody, and reads its list there.
        os.chmod(folder, 0o755)
        with Bed(scenario, Path(folder)).run() as run:
            seen = measure(run, options.jobs, options.n, options.seconds, options.option)
    p50, p99 = quantile(seen.buckets, 0.5), quantile(seen.buckets, 0.99)
    print(f"in flight: median {median(seen.in_flight or [0]):.0f}, {max(seen.in_flight or [0]):.0f} at most")
    print(f"lag: p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms of the whole run")
    print(
        f"lag: p99 {max(seen.p99) * 1000:.1f} ms of the worst minute, {max(seen.worst) * 1000:.1f} ms at most"
    )
    print(f"/metrics: {median(seen.scrapes) * 1000:.1f} ms median; resident {seen.megabytes:.0f} MiB")
    print(f"load of this machine: {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    missed = max(seen.p99) > GOAL
    print(f"goal, p99 under {GOAL * 1000:.0f} ms: {'MISSED' if missed else 'met'}")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
