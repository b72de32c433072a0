"""One client, one run: time, CPU and memory of its process tree, and whether its files are right."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.bed import Bed
from bench.clients import Client
from bench.process import ROOT, environment, kill_group
from bench.verify import verified


@dataclass(frozen=True, slots=True)
class Result:
    """What one run cost. Times in seconds, peak memory in MiB."""

    client: str
    fetched: int
    wanted: int
    #: From the start of the process to its end; in a mixed swarm to the last live file.
    wall: float
    cpu: float
    peak: float
    #: From the start of the process to its last right file.
    last_file: float
    status: int
    seeder_cpu: float
    tracker_cpu: float

    @property
    def complete(self) -> bool:
        """Every torrent that somebody seeds was fetched and hashes right."""
        return self.fetched == self.wanted

    @property
    def rate(self) -> float:
        """Magnets a second."""
        return self.fetched / self.wall

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU for each magnet."""
        return 1000 * self.cpu / max(1, self.fetched)

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        return {**asdict(self), "rate": self.rate, "cpu_ms": self.cpu_ms}


@dataclass(frozen=True, slots=True)
class Cost:
    """What the launcher wrote."""

    status: int
    start: float
    wall: float
    cpu: float
    peak: int


def launch(command: list[str], folder: Path, *, seconds: float, live: tuple[Path, int] | None = None) -> Cost:
    """Runs `command` in `folder` for at most `seconds`.

    With `live` (folder, count) it is stopped as soon as `count` files are there.
    """
    result = folder / "cost.json"
    launcher = [sys.executable, "-ISE", str(ROOT / "bench" / "launch.py"), str(result)]
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(
            [*launcher, *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment(),
            start_new_session=True,
        )
        try:
            _wait(process, seconds, live)
        finally:
            kill_group(process.pid)
            process.wait()
    if not result.exists():
        return Cost(-9, 0.0, seconds, 0.0, 0)
    return Cost(**json.loads(result.read_text()))


def _wait(process: subprocess.Popen[bytes], seconds: float, live: tuple[Path, int] | None) -> None:
    end = time.monotonic() + seconds
    if live is not None:
        folder, count = live
        while process.poll() is None and time.monotonic() < end:
            # Counted before the client is asked to stop, so a finished file, not a temporary one.
            if sum(name.endswith(".torrent") for name in os.listdir(folder)) >= count:
                break
            time.sleep(0.05)
        kill_group(process.pid, signal.SIGINT)
        end = time.monotonic() + 5
    try:
        process.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        # The launcher ignores this and writes the cost down.
        kill_group(process.pid, signal.SIGTERM)
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            return


def measure(bed: Bed, client: Client, *, seconds: float) -> Result:
    """Runs `client` once over `bed` with a tracker of its own."""
    with bed.run() as run:
        live = (run.output, bed.scenario.count) if bed.scenario.dead_magnets else None
        seeder, tracker = run.seeder.cpu_seconds(), run.tracker.cpu_seconds() if run.tracker else 0.0
        cost = launch(client.command(run), run.folder, seconds=seconds, live=live)
        seeder = run.seeder.cpu_seconds() - seeder
        tracker = run.tracker.cpu_seconds() - tracker if run.tracker else 0.0
        found = verified(run.output)
        wanted = {infohash for infohash, _ in bed.live}
        right = [at for infohash, at in found.items() if infohash in wanted]
        last_file = max(right, default=cost.start) - cost.start
        fetched = client.count(run) if client.count is not None else len(right)
        return Result(
            client=client.name,
            fetched=fetched,
            wanted=len(wanted),
            wall=last_file if live is not None and fetched == len(wanted) else cost.wall,
            cpu=cost.cpu,
            peak=cost.peak / 1024,
            last_file=last_file,
            status=cost.status,
            seeder_cpu=seeder,
            tracker_cpu=tracker,
        )
