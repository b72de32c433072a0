"""`python -m bench.floor`: the ceiling that Python sets here: bare loops with the peers given.

They do both handshakes, one request and SHA-1; no tracker, no checks, no files. functorrent and
libtorrent run beside them with the peers given too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench.clients import clients, floors
from bench.fetch import machine, opened, run_scenario
from bench.report import table
from bench.scenarios import Scenario


def main(argv: list[str] | None = None) -> int:
    """Runs the loops and prints a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.floor", description=__doc__)
    parser.add_argument("-n", type=int, default=10_000, help="magnets (default 10,000)")
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    options = parser.parse_args(argv)
    known = {**clients(), **floors()}
    names = ("sockets", "twisted", "functorrent", "libtorrent")
    scenario = Scenario(
        f"{options.n} magnets, peers given", options.n, (), rounds=options.rounds, clients=names
    )
    print(machine())
    with tempfile.TemporaryDirectory(prefix="functorrent-bench-") as name:
        results = run_scenario(scenario, known, opened(Path(name)), 180.0)
    print(table(scenario.title, results))
    return 0 if all(result.complete for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
