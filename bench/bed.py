"""The bed: a seeder, dead peers, a tracker and a list of magnets; all of it on loopback, new for each run."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bench.announce import Entry
from bench.corpus import dead_torrents, torrents
from bench.netns import fresh
from bench.process import Helper
from bench.scenarios import Scenario
from bench.tracker import Tracker

#: Not 127.0.0.1: libtorrent keeps one peer per address, and clients that announce live there.
SEEDER_ADDRESS = "127.0.0.2"
#: Addresses of each kind of dead peer; magnets take theirs in turn.
DEAD_ADDRESSES = 100
#: Peers of a magnet that has only dead ones.
DEAD_PEERS = 5
DEAD_KINDS = ("refuse", "drop")


@dataclass(frozen=True, slots=True)
class Run:
    """What one client gets: a file of magnets and an empty folder; and who serves it."""

    folder: Path
    magnets: Path
    output: Path
    scenario: Scenario
    seeder: Helper
    tracker: Helper | None


#: Dead peers (address, port) by kind.
DeadPeers = dict[str, list[tuple[str, int]]]


class Bed:
    """The torrents of one scenario; `run()` builds all that a client needs to fetch them."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario = scenario
        self.folder = folder
        self.live = [(t.infohash, t.name) for t in torrents(scenario.size, scenario.count)]
        self.dead = list(dead_torrents(scenario.dead_magnets))
        self._runs = 0

    @contextmanager
    def run(self) -> Iterator[Run]:
        """A fresh loopback, seeder and tracker, magnets that name them, an empty output folder."""
        self._runs += 1
        folder = self.folder / f"run{self._runs}"
        output = folder / "out"
        output.mkdir(parents=True)
        log = folder / "helpers.log"
        fresh()
        with ExitStack() as stack:
            seeder = self._start(stack, log, "bench.seeder", *self._seeds())
            dead: DeadPeers = {}
            if self.scenario.dead_beside or self.dead:
                dead = json.loads(_said(self._start(stack, log, "bench.dead", str(DEAD_ADDRESSES)), log))
            port = int(_said(seeder, log))
            tracker = None
            if self.scenario.trackers:
                hashes = [infohash for infohash, _ in [*self.live, *self.dead]]
                tracker = stack.enter_context(Tracker(folder / "tracker", hashes, self._entries(port, dead)))
            lines = [self._magnet(*torrent, tracker, port) for torrent in [*self.live, *self.dead]]
            random.Random(0).shuffle(lines)
            magnets = folder / "magnets.txt"
            magnets.write_text("".join(f"{line}\n" for line in lines))
            yield Run(folder, magnets, output, self.scenario, seeder, tracker.helper if tracker else None)

    def _seeds(self) -> tuple[str, str, str]:
        return self.scenario.size, str(self.scenario.count), SEEDER_ADDRESS

    @staticmethod
    def _start(stack: ExitStack, log: Path, module: str, *args: str) -> Helper:
        return stack.enter_context(Helper([sys.executable, "-m", module, *args], log=log))

    def _entries(self, seeder_port: int, dead: DeadPeers) -> Iterator[Entry]:
        """Every peer the tracker is to know."""
        for index, (infohash, _) in enumerate(self.live):
            yield SEEDER_ADDRESS, seeder_port, infohash
            for kind, count in self.scenario.dead_beside:
                yield from _dead_entries(dead[kind], count, index, infohash)
        for index, (infohash, _) in enumerate(self.dead):
            yield from _dead_entries(dead[DEAD_KINDS[index % 2]], DEAD_PEERS, index, infohash)

    def _magnet(self, infohash: bytes, name: str, tracker: Tracker | None, seeder_port: int) -> str:
        text = f"magnet:?xt=urn:btih:{infohash.hex()}&dn={quote(name)}"
        if tracker is None:
            return f"{text}&x.pe={SEEDER_ADDRESS}:{seeder_port}"
        return text + "".join(f"&tr={quote(tracker.url(kind), safe='')}" for kind in self.scenario.trackers)


def _dead_entries(peers: list[tuple[str, int]], count: int, index: int, infohash: bytes) -> Iterator[Entry]:
    for number in range(count):
        address, port = peers[(index * count + number) % len(peers)]
        yield address, port, infohash


def _said(helper: Helper, log: Path) -> str:
    """The line with which a helper says that it is ready."""
    line = helper.line()
    if not line:
        raise SystemExit(f"a helper did not start: {log.read_text()}")
    return line
