"""The HTTP side with a real SQLite store and made-up jobs, some of which change all the time.

``python -m tests.web.devserver [--jobs N] [--port P] [--token T] [--data DIR] [--quiet]``: to try the page
and the API by hand. Magnets that are posted are "fetched" after some seconds, or fail.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import deque
from hashlib import sha1, sha256
from importlib.util import find_spec
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from functorrent import __version__
from functorrent.interfaces import IWallClock
from functorrent.magnet import Magnet
from functorrent.store.database import open_store
from functorrent.store.jobs import Claim, NewJob, iso
from functorrent.testing.samples import sample_magnet
from functorrent.web.context import WebContext
from functorrent.web.service import HttpService
from functorrent.web.site import make_site
from functorrent.wire.bencode import encode
from tests.web.fakes import StoreQueue, report, result_of

WORKER = "devserver"
NAMES = (
    "debian-13.2.0-amd64-netinst.iso",
    "Some Show S01 1080p",
    "Книга о вкусной и здоровой пище",
    "日本語の名前",
    "evil \u202egpj.exe",
    "tab\there \x1b[31mred\x1b[0m",
    "<script>alert(1)</script>",
    "a" * 300,
    "مرحبا بالعالم",
    "🎬 film 🎞",
)


@implementer(IWallClock)
class Wall:
    """The time of day."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()


def made_up_info(number: int) -> bytes:
    """An info dictionary with a number of files, some of them odd."""
    name = f"{NAMES[number % len(NAMES)]} {number}"
    pieces = sha1(b"%d" % number).digest()
    if number % 3:
        return encode({"length": 1000 + number * 7919, "name": name, "piece length": 16384, "pieces": pieces})
    files = [
        {"length": 1024 * (part + 1), "path": [f"folder {part // 20}", f"file {part:04}.bin"]}
        for part in range(2000 if number % 300 == 0 else 5 + number % 40)
    ]
    return encode({"files": files, "name": name, "piece length": 16384, "pieces": pieces})


class Fetching:
    """Stands for the daemon's engine: claims jobs, and ends them some seconds later."""

    log = Logger()

    def __init__(self, clock: Any, store: Any) -> None:
        self._clock = clock
        self._store = store
        self._infos: dict[bytes, bytes] = {}
        self.minutes_: deque[dict[str, Any]] = deque(maxlen=60)
        self.in_flight = 0

    def remember(self, info: bytes) -> str:
        """A magnet of an info dictionary that can be "fetched"."""
        self._infos[sha1(info).digest()] = info
        return sample_magnet(info, trackers=["udp://tracker.example:6969/announce"], name="dn of it")

    def minutes(self) -> list[dict[str, Any]]:
        """The last hour."""
        now = int(time.time() // 60) * 60
        known = {minute["at"]: minute for minute in self.minutes_}
        empty = {"fetched": 0, "failed": 0, "gave_up": 0}
        ats = [iso(now - 60 * back) for back in range(59, -1, -1)]
        return [known.get(at, {"at": at, **empty}) for at in ats]

    def count(self, outcome: str, at: float | None = None) -> None:
        """A try has ended."""
        at_ = iso(int((time.time() if at is None else at) // 60) * 60)
        for minute in self.minutes_:
            if minute["at"] == at_:
                break
        else:
            minute = {"at": at_, "fetched": 0, "failed": 0, "gave_up": 0}
            self.minutes_.append(minute)
        minute[outcome] += 1

    async def tick(self, count: int = 3) -> None:
        """Claim some, and end them later."""
        claims = await self._store.claim(WORKER, count, 600.0)
        self.in_flight += len(claims)
        for number, claim in enumerate(claims):
            self._clock.callLater(2.0 + number * 1.7, self._end, claim)

    def _end(self, claim: Claim) -> None:
        self.in_flight -= 1
        self.end(claim).addErrback(lambda failure: self.log.failure("the store failed", failure))

    def end(self, claim: Claim, give_up: bool = False) -> Any:
        """Tell the store how a try ended."""
        info = self._infos.get(claim.key)
        if info is not None and not give_up:
            self.count("fetched")
            return self._store.fetched(WORKER, result_of(claim, info))
        reason = "The 1 tracker named 3 peers; 2 did not answer and 1 refused the connection."
        self.count("gave_up" if give_up else "failed")
        next_attempt = None if give_up else time.time() + 60
        return self._store.failed(WORKER, claim.key, report(reason), 61.5, next_attempt)


async def fill(store: Any, fetching: Fetching, jobs: int) -> None:
    """Jobs in every state: most fetched, then waiting, given up, cancelled, queued."""
    for begin in range(0, jobs, 2000):
        new_jobs, kinds = [], {}
        for number in range(begin, min(jobs, begin + 2000)):
            kind = number % 10
            if kind < 5:
                text = fetching.remember(made_up_info(number))
            elif kind == 9 and number % 4 == 1:
                text = "magnet:?xt=urn:btmh:1220" + sha256(b"%d" % number).hexdigest() + "&dn=v2+only"
            else:
                text = sample_magnet(sha1(b"none %d" % number).hexdigest(), name=f"{NAMES[kind]} {number}")
            magnet = Magnet.parse(text)
            kinds[magnet.infohash or magnet.infohash_v2] = kind
            new_jobs.append(NewJob(magnet, priority=number % 7 - 3, source="examples.txt", line=number + 1))
        await store.submit(new_jobs)
        for claim in await store.claim(WORKER, len(new_jobs), 600.0):
            kind = kinds.get(claim.key, 9)
            if kind < 7:
                await fetching.end(claim, give_up=kind == 6)
            elif kind == 7:
                await store.cancel(claim.key)
        await store.release(WORKER)
    for back in range(1, 60):
        for outcome, every in (("fetched", 1), ("failed", 3), ("gave_up", 7)):
            for _ in range((back * 7919) % 23 // every):
                fetching.count(outcome, time.time() - 60 * back)


async def serve(reactor: Any, options: argparse.Namespace) -> None:
    """Fill the store and listen."""
    data = options.data or tempfile.mkdtemp(prefix="metafetch-dev-")
    store = await open_store(reactor, Wall(), f"{data}/store.sqlite")
    fetching = Fetching(reactor, store)
    await fill(store, fetching, options.jobs)
    pages = []
    if find_spec("functorrent.web.page") is not None:
        from functorrent.web import page

        pages.append(page.page_routes)
    context = WebContext(
        reactor,
        Wall(),
        store,
        StoreQueue(store),
        __version__,
        token=options.token,
        in_flight=lambda: fetching.in_flight,
        minutes=fetching.minutes,
        pages=pages,
    )

    def gave_up(words: str) -> None:
        sys.stderr.write(words + "\n")
        reactor.stop()

    service = HttpService(reactor, f"tcp:{options.port}:interface=127.0.0.1", make_site(context), gave_up)
    service.ready.addCallback(
        lambda port: print(f"http://127.0.0.1:{port.getHost().port}/ (store: {data})", flush=True)
    )
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.addSystemEventTrigger("during", "shutdown", store.close)
    if not options.quiet:
        LoopingCall(lambda: fetching_later(fetching)).start(3.0)


def fetching_later(fetching: Fetching) -> Any:
    """One tick as a Deferred."""
    from twisted.internet.defer import Deferred

    return Deferred.fromCoroutine(fetching.tick())


def main() -> None:
    """Run until stopped."""
    from twisted.internet import reactor as the_reactor
    from twisted.internet.defer import Deferred
    from twisted.logger import globalLogBeginner, textFileLogObserver

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--port", type=int, default=9667)
    parser.add_argument("--token")
    parser.add_argument("--data")
    parser.add_argument("--quiet", action="store_true", help="no job changes by itself")
    options = parser.parse_args()
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)])
    reactor: Any = the_reactor
    reactor.seconds = time.monotonic
    reactor.callWhenRunning(
        lambda: Deferred.fromCoroutine(serve(reactor, options)).addErrback(
            lambda failure: (failure.printTraceback(), reactor.stop())
        )
    )
    reactor.run()


if __name__ == "__main__":
    main()
