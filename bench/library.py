"""A store that peers are served from: a Database and a Fetcher that listens, in a process of their own.

    python -m bench.library FOLDER [host="127.0.0.1"] [LIMIT=VALUE ...]

FOLDER holds info dictionaries (``*.info``), which are put into a new store there. It writes
``{"port": n}``, then answers each line of JSON on stdin: ``{"stats": true}`` (counters, CPU seconds,
resident KiB, the worst reactor lag since it was asked last), ``{"wait": magnet}`` (makes it a job that
waits for its next try), ``{"job": infohash}`` (the job's state).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from dataclasses import asdict, replace
from hashlib import sha1
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall
from twisted.protocols.basic import LineReceiver
from zope.interface import implementer

from functorrent.daemon.library import Library
from functorrent.errors import FetchFailed
from functorrent.fetch.fetcher import Fetcher
from functorrent.fetch.settings import FetchSettings
from functorrent.interfaces import IWallClock
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.magnet import Magnet
from functorrent.store.database import Database, open_store
from functorrent.store.jobs import Claim, NewJob, Result, key_of

WORKER = "bench"
LEASE = 3600.0
#: Seconds between looks at how late the reactor is.
LOOK = 0.01


@implementer(IWallClock)
class Wall:
    """The time of day."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()


def result_of(key: bytes, info: bytes) -> Result:
    """What a fetch of this info dictionary gives."""
    return Result(key, info, "bench", 1, 1, False, 0.0, {})


class Served(LineReceiver):
    """The program; also its standard input and output."""

    delimiter = b"\n"

    def __init__(self, reactor: Any, folder: Path, limits: Limits, host: str) -> None:
        self.reactor = reactor
        self.folder = folder
        self.limits = limits
        self.host = host
        self.lag = 0.0
        self._looked = 0.0
        self.store: Database
        self.library: Library
        self.fetcher: Fetcher

    async def run(self) -> None:
        """Fill the store, then listen."""
        self.store = store = await open_store(self.reactor, Wall(), str(self.folder / "store.db"))
        for path in sorted(self.folder.glob("*.info")):
            info = path.read_bytes()
            key = sha1(info).digest()
            await store.submit([NewJob(Magnet.parse(key.hex()))])
            await store.claim_one(WORKER, key, LEASE)
            assert await store.fetched(WORKER, result_of(key, info))
        self.library = Library(self.reactor, store, self.limits)
        self.library.called = self.called
        listen = f"tcp:0:interface={self.host}"
        settings = FetchSettings(listen=(listen,), allow_local=True, timeout=10.0)
        self.fetcher = Fetcher(
            self.reactor, settings, limits=self.limits, library=self.library, plugins=False
        )
        await self.fetcher.start()
        look = LoopingCall(self.look)
        look.clock = self.reactor
        look.start(LOOK, now=False)
        StandardIO(self)
        self.tell({"port": self.fetcher.port})

    # -- a queue as far as callers need one ----------------------------------------------------

    def called(self, infohash: bytes) -> Deferred[bool]:
        """A peer has called for a job that waits."""
        return Deferred.fromCoroutine(self._called(infohash))

    async def _called(self, infohash: bytes) -> bool:
        claim = await self.store.claim_one(WORKER, infohash, LEASE)
        if claim is None:
            return False
        # Begun before this returns, so that the caller finds it.
        fetch = self.fetcher.fetch(claim.magnet)
        Deferred.fromCoroutine(self._fetched(claim, fetch))
        return True

    async def _fetched(self, claim: Claim, fetch: Deferred[Any]) -> None:
        try:
            metadata = await fetch
        except FetchFailed:
            await self.store.failed(WORKER, claim.key, {}, 1.0, time.time() + LEASE)
        else:
            await self.store.fetched(WORKER, result_of(claim.key, metadata.info_bytes))

    async def _wait(self, text: str) -> None:
        magnet = Magnet.parse(text)
        key = key_of(magnet)
        await self.store.submit([NewJob(magnet)])
        await self.store.claim_one(WORKER, key, LEASE)
        await self.store.failed(WORKER, key, {}, 1.0, time.time() + LEASE)

    # -- what is asked on stdin ----------------------------------------------------------------

    def lineReceived(self, line: bytes) -> None:
        """One question."""
        Deferred.fromCoroutine(self._answer(json.loads(line))).addErrback(
            lambda failure: self.tell({"error": failure.getTraceback()})
        )

    async def _answer(self, asked: dict[str, Any]) -> None:
        if "wait" in asked:
            await self._wait(asked["wait"])
            self.tell({})
        elif "job" in asked:
            job = await self.store.job(bytes.fromhex(asked["job"]))
            self.tell({"status": job.status if job is not None else None})
        else:
            self.tell(self.stats())

    def stats(self) -> dict[str, Any]:
        """What it has done and what it costs."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        lag, self.lag = self.lag, 0.0
        library = self.library
        names = ("hits", "found", "missing", "refused", "started", "size")
        return {
            "serving": asdict(self.fetcher.serving),
            "library": {name: getattr(library, name) for name in names},
            "cpu": used.ru_utime + used.ru_stime,
            "resident": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
            "lag": lag,
        }

    def look(self) -> None:
        """How late is this call?"""
        now = time.monotonic()
        if self._looked:
            self.lag = max(self.lag, now - self._looked - LOOK)
        self._looked = now

    def tell(self, what: dict[str, Any]) -> None:
        """One line of JSON."""
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()

    def connectionLost(self, reason: Any = None) -> None:
        """Whoever started us is gone."""
        self.reactor.stop()


def main(folder: str, *changes: str) -> None:
    """The program."""
    from twisted.internet import reactor as it

    from functorrent.commands.console import raise_file_limit

    reactor: Any = it
    reactor.seconds = time.monotonic
    raise_file_limit()
    given: dict[str, Any] = {
        name: json.loads(value) for name, _, value in (c.partition("=") for c in changes)
    }
    host = given.pop("host", "127.0.0.1")
    served = Served(reactor, Path(folder), replace(DEFAULT_LIMITS, **given), host)

    def broke(failure: Any) -> None:
        failure.printTraceback(sys.stderr)
        reactor.stop()

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(served.run()).addErrback(broke))
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
