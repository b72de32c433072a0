"""`python -m bench.store`: what the daemon's store takes, and how quickly it answers meanwhile.

Magnets are submitted, claimed and fetched; beside that a page of the listing is asked for all the time,
and the reactor's lag is measured. Rates are for each second of wall time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from hashlib import sha1
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall, deferLater, react
from zope.interface import implementer

from bench.fetch import machine
from functorrent.interfaces import IWallClock
from functorrent.magnet import Magnet
from functorrent.store.database import Database, open_store
from functorrent.store.jobs import JobQuery, NewJob, Result

#: Magnets of one call, as the HTTP API makes them.
_CALL = 5000
#: Fetches in flight.
_IN_FLIGHT = 200
_TRACKERS = "&tr=udp%3A%2F%2Ftracker.example.org%3A6969%2Fannounce&tr=https%3A%2F%2Fb.example.net%2Fannounce"
_REPORT = {
    "trackers": [
        {
            "url": f"udp://tracker{n}.example.org:6969/announce",
            "status": "ok",
            "peers": 50,
            "seeders": 3,
            "leechers": 1,
            "error": None,
        }
        for n in range(5)
    ],
    "peers": {f"outcome {n}": n for n in range(16)},
    "reason": "no peer shares the metadata",
}


@implementer(IWallClock)
class _Wall:
    def now(self) -> float:
        return time.time()


def _info(number: int) -> bytes:
    body = b"d6:lengthi1e4:name12:%012d6:pieces1900:%be" % (number, b"%019d" % number * 100)
    return body


def _magnet(number: int) -> str:
    name = f"Some.Release.{number % 9973}.of.{number}.1080p-GROUP"
    return f"magnet:?xt=urn:btih:{sha1(_info(number)).hexdigest()}&dn={name}{_TRACKERS}"


class _Watch:
    """Asks for pages while something else goes on, and measures the reactor's lag."""

    def __init__(self, reactor: Any, store: Database) -> None:
        self._reactor = reactor
        self._store = store
        self._running = True
        self._pages: list[float] = []
        self._lags: list[float] = []
        self._asking = Deferred.fromCoroutine(self._ask())
        self._last = time.perf_counter()
        self._tick = LoopingCall(self._ticked)
        self._tick.clock = reactor
        self._tick.start(0.01, now=False)

    def _ticked(self) -> None:
        now = time.perf_counter()
        self._lags.append(max(0.0, now - self._last - 0.01))
        self._last = now

    async def _ask(self) -> None:
        while self._running:
            start = time.perf_counter()
            await self._store.jobs(JobQuery(limit=100))
            self._pages.append(time.perf_counter() - start)
            await deferLater(self._reactor, 0.01)

    async def end(self) -> str:
        """Stops, and says what it saw."""
        self._running = False
        self._tick.stop()
        await self._asking
        return f"a page of 100 meanwhile {_spread(self._pages)}; reactor lag {_spread(self._lags)}"


def _spread(seconds: list[float]) -> str:
    if len(seconds) < 2:
        return "not measured"
    p99 = quantiles(seconds, n=100)[98]
    return f"{median(seconds) * 1000:.1f} ms (p99 {p99 * 1000:.1f}, at most {max(seconds) * 1000:.1f})"


async def _timed(
    reactor: Any, store: Database, what: str, number: int, work: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    watch = _Watch(reactor, store)
    start, cpu = time.perf_counter(), time.process_time()
    await work()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    told = await watch.end()
    rates = f"{number / seconds:,.0f}/s, {cpu / number * 1000:.3f} ms of CPU each"
    print(f"{what}: {number:,} in {seconds:.2f} s, {rates}; {told}", flush=True)


async def _question(what: str, ask: Callable[[], Awaitable[Any]], times: int = 20) -> None:
    took = []
    for _ in range(times):
        start = time.perf_counter()
        await ask()
        took.append(time.perf_counter() - start)
    print(f"  {what}: {_spread(took)}", flush=True)


async def run(reactor: Any, path: Path, options: argparse.Namespace) -> None:
    """The whole of it, on a store in `path`."""
    store = await open_store(reactor, _Wall(), str(path / "store.sqlite"))

    async def submit(first: int, last: int) -> None:
        for start in range(first, last, _CALL):
            # Parsing is the intake's work, in slices; here it is part of the time.
            new = []
            for at, number in enumerate(range(start, min(start + _CALL, last))):
                new.append(NewJob(Magnet.parse(_magnet(number))))
                if at % 50 == 49:
                    await deferLater(reactor, 0)
            await store.submit(new)

    async def fetch(number: int) -> None:
        left = number
        while left:
            claims = await store.claim("bench", min(left, _IN_FLIGHT), 60.0)
            left -= len(claims)
            done = []
            for claim in claims:
                info = _info(int(str(claim.magnet.name).split(".")[4]))
                result = Result(claim.key, info, str(claim.magnet.name), 1, 1, False, 1.0, _REPORT)
                done.append(store.fetched("bench", result, ("hook",)))
            await gatherResults(done)

    async def fail(number: int) -> None:
        for _ in range(0, number, _IN_FLIGHT):
            claims = await store.claim("bench", _IN_FLIGHT, 60.0)
            due = time.time() + 3600
            await gatherResults(
                [
                    store.failed("bench", c.key, _REPORT, 1.0, due, {"peers": [["192.0.2.1", 1]] * 20})
                    for c in claims
                ]
            )

    async def claim_all(number: int) -> None:
        for _ in range(0, number, _IN_FLIGHT):
            await store.claim("bench", _IN_FLIGHT, 60.0)

    if options.before:
        await _timed(
            reactor, store, "before", options.before, lambda: submit(options.n, options.n + options.before)
        )
    await _timed(reactor, store, "submit", options.n, lambda: submit(0, options.n))
    await _timed(reactor, store, "submit again", options.n, lambda: submit(0, options.n))
    some = min(options.n // 4, 20_000)
    await _timed(reactor, store, "claim and fetch", some, lambda: fetch(some))
    await _timed(reactor, store, "claim and fail", some, lambda: fail(some))
    await _timed(reactor, store, "claim", some, lambda: claim_all(some))
    await store.release("bench")
    print(f"questions, with {options.n + options.before:,} jobs:")
    some_key = sha1(_info(options.n // 2)).digest()
    for what, ask in (
        ("claim one", lambda: store.claim("bench", 1, 60.0)),
        ("next_due", store.next_due),
        ("counts", store.counts),
        ("oldest_queued", store.oldest_queued),
        ("job", lambda: store.job(some_key)),
        ("a page", lambda: store.jobs(JobQuery())),
        ("a page of those fetched", lambda: store.jobs(JobQuery(status="fetched"))),
        ("a page of those queued", lambda: store.jobs(JobQuery(status="queued"))),
        ("an infohash", lambda: store.jobs(JobQuery(infohash=some_key.hex()))),
        ("the first 2 digits", lambda: store.jobs(JobQuery(infohash=some_key.hex()[:2]))),
        ("a name that is frequent", lambda: store.jobs(JobQuery(text="RELEASE"))),
        ("a name that is not there", lambda: store.jobs(JobQuery(text="nowhere to be found"))),
        ("... among those queued", lambda: store.jobs(JobQuery(text="nowhere", status="queued"))),
        ("unexported", lambda: store.unexported(100)),
        ("deliveries", lambda: store.deliveries("hook", 100)),
        ("torrent", lambda: store.torrent(some_key)),
    ):
        await _question(what, ask)
    await store.close()
    size = sum(file.stat().st_size for file in path.iterdir())
    print(f"on disk: {size / 1e6:,.0f} MB")
    start = time.perf_counter()
    store = await open_store(reactor, _Wall(), str(path / "store.sqlite"))
    print(f"open: {time.perf_counter() - start:.2f} s")
    await store.close()


def main(argv: list[str] | None = None) -> int:
    """Runs it and prints what was measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.store", description=__doc__)
    parser.add_argument("-n", type=int, default=100_000, help="magnets (default 100,000)")
    parser.add_argument("--before", type=int, default=0, help="magnets that are there before (default 0)")
    parser.add_argument("--folder", help="where to make the store (default: the folder for temporary files)")
    options = parser.parse_args(argv)
    print(machine())
    with tempfile.TemporaryDirectory(prefix="functorrent-bench-", dir=options.folder) as name:
        try:
            react(lambda reactor: Deferred.fromCoroutine(run(reactor, Path(name), options)))
        except SystemExit as end:
            return int(end.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
