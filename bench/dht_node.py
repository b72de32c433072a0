"""Our DHT node in a process of its own: `python -m bench.dht_node answer|look HOST PATH NODE...`.

`answer`: answers without a limit on rates until standard input ends; prints its port. `look`: reads
infohashes (hex) from PATH, looks for them in four ways, and prints a line of JSON. NODE is HOST:PORT. In a
network of sixty, limits by address would count what a real network spreads over millions: they are lifted.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from functorrent.fetch.fetcher import Fetcher
from functorrent.fetch.settings import FetchSettings
from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.magnet import Magnet
from functorrent.sources.dht.settings import DhtSettings
from functorrent.sources.dht.source import DhtSourceMaker

LOTS = 1e9
LIMITS = replace(DEFAULT_LIMITS, dht_address_rate=LOTS, dht_address_burst=LOTS)
ANSWERING = replace(
    LIMITS,
    dht_answers_rate=LOTS,
    dht_answers_burst=LOTS,
    dht_answers_rate_all=LOTS,
    dht_answers_burst_all=LOTS,
)
#: Magnets at once in a bulk, and those that are taken back before they are looked for.
BULK = 200
CANCELLED = 10_000


class Sink:
    """Takes peers (IPeerSink)."""

    hungry = True

    def peers(
        self, addresses: Iterable[PeerAddress], *, hearsay: bool = False, on_link: bool = False
    ) -> None:
        """Of no interest here."""

    def whole(self, info_bytes: bytes) -> bool:
        """There is none."""
        return False


async def joined(reactor: Any, host: str, nodes: list[str], rate: float, limits: Limits) -> Fetcher:
    """A Fetcher whose DHT node has joined the network."""
    begin = [(name, int(port)) for name, _, port in (node.rpartition(":") for node in nodes)]
    settings = DhtSettings(tuple(begin), trusted=True, interfaces=(host,), port=0, rate=rate)
    fetcher = Fetcher(
        reactor,
        FetchSettings(listen=("off",), allow_local=True),
        limits=limits,
        sources=[DhtSourceMaker(settings)],
        plugins=False,
    )
    await fetcher.start()
    await source_of(fetcher).node.ready
    return fetcher


def source_of(fetcher: Fetcher) -> Any:
    """Its DhtSource."""
    return next(source for source in fetcher.core.sources if source.name == "dht")


async def answer(reactor: Any, host: str, nodes: list[str]) -> None:
    """Answer until standard input ends."""
    fetcher = await joined(reactor, host, nodes, 250.0, ANSWERING)
    print(source_of(fetcher).node_port, flush=True)
    over: Deferred[None] = Deferred()
    reactor.callInThread(lambda: (sys.stdin.read(), reactor.callFromThread(over.callback, None)))
    await over
    await fetcher.stop()


async def one_by_one(node: Any, hashes: list[bytes]) -> dict[str, Any]:
    """Each to its end, before the next."""
    rows = []
    cpu = time.process_time()
    for infohash in hashes:
        began = time.monotonic()
        first: list[float] = []
        report = await node.get_peers(
            infohash, lambda peers, began=began, first=first: first.append(time.monotonic() - began)
        )
        rows.append((report.packets, report.asked, report.seconds, first[0] if first else None))
    return {"rows": rows, "cpu": (time.process_time() - cpu) / len(hashes)}


async def at_once(node: Any) -> dict[str, float]:
    """Infohashes that nobody has, all at once."""
    cpu, began = time.process_time(), time.monotonic()
    reports = await gatherResults([node.get_peers(os.urandom(20), lambda peers: None) for _ in range(BULK)])
    took = time.monotonic() - began
    return {
        "rate": BULK / took,
        "cpu": (time.process_time() - cpu) / BULK,
        "packets": sum(report.packets for report in reports) / BULK,
    }


async def taken_back(source: Any) -> float:
    """CPU seconds of one find and its cancel, in a crowd."""
    magnets = [Magnet(os.urandom(20), None, None, (), (), (), (), (), None, (), "") for _ in range(CANCELLED)]
    cpu = time.process_time()
    finding = [source.find(magnet, Sink()) for magnet in magnets]
    for each in finding:
        each.cancel()
    return (time.process_time() - cpu) / CANCELLED


async def look(reactor: Any, host: str, path: str, nodes: list[str]) -> None:
    """All ways, in turn."""
    with open(path) as file:
        hashes = [bytes.fromhex(line) for line in file.read().split()]
    found: dict[str, Any] = {}
    for name, rate in (("quick", LOTS), ("usual", 250.0)):
        fetcher = await joined(reactor, host, nodes, rate, LIMITS)
        source = source_of(fetcher)
        if name == "quick":
            found["known"] = await one_by_one(source.node, hashes)
            found["unknown"] = await one_by_one(source.node, [os.urandom(20) for _ in hashes])
        else:
            found["cancel"] = await taken_back(source)
        found[name] = await at_once(source.node)
        await fetcher.stop()
    print(json.dumps(found), flush=True)


def main(reactor: Any, mode: str, host: str, path: str, *nodes: str) -> Deferred[None]:
    """The program."""
    doing = answer(reactor, host, list(nodes)) if mode == "answer" else look(reactor, host, path, list(nodes))
    return Deferred.fromCoroutine(doing)


if __name__ == "__main__":
    react(main, sys.argv[1:])
