"""`python -m bench.profile`: where functorrent's time goes: one fetch under cProfile.

cProfile adds time to every call, so it shows what is called and how often rather than how fast.
"""

from __future__ import annotations

import argparse
import pstats
import sys
import tempfile
from pathlib import Path

from bench.bed import Bed
from bench.clients import clients
from bench.fetch import machine, opened
from bench.measure import launch
from bench.scenarios import Scenario


def main(argv: list[str] | None = None) -> int:
    """Profiles one run and prints its most expensive functions."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("-n", type=int, default=5000, help="magnets (default 5000)")
    parser.add_argument("--trackers", default="udp,http", help="udp,http (default), udp, http, none")
    parser.add_argument("--size", default="2k", help="2k (default), 2m or 20m")
    parser.add_argument("--sort", default="tottime", help="tottime (default), cumtime, ncalls")
    parser.add_argument("--top", type=int, default=40, help="functions shown (default 40)")
    parser.add_argument("--keep", metavar="FILE", help="keep the statistics for pstats or snakeviz")
    options = parser.parse_args(argv)
    trackers = () if options.trackers == "none" else tuple(options.trackers.split(","))
    scenario = Scenario("profile", options.n, trackers, size=options.size)
    print(machine())
    with tempfile.TemporaryDirectory(prefix="functorrent-bench-") as name:
        folder = opened(Path(name))
        stats_file = Path(options.keep).resolve() if options.keep else folder / "stats"
        with Bed(scenario, folder).run() as run:
            command = clients()["functorrent"].command(run)
            profiled = [command[0], "-m", "cProfile", "-o", str(stats_file), *command[1:]]
            cost = launch(profiled, run.folder, seconds=300)
            if not stats_file.exists():
                print((run.folder / "stderr").read_text(), file=sys.stderr)
                return 1
        each = 1000 * cost.cpu / options.n
        print(f"{options.n} magnets in {cost.wall:.2f} s, {each:.2f} ms CPU each, while profiled")
        pstats.Stats(str(stats_file)).strip_dirs().sort_stats(options.sort).print_stats(options.top)
    return 0


if __name__ == "__main__":
    sys.exit(main())
