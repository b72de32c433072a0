"""The HTTP side on an SQLite store, for bench.http: prints where it is, and at SIGTERM how late it was."""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from functorrent.daemon.collector import calm_collector
from functorrent.daemon.interfaces import IQueue
from functorrent.interfaces import IWallClock
from functorrent.store.database import open_store
from functorrent.store.jobs import Job, NewJob, Submitted
from functorrent.web.context import WebContext
from functorrent.web.service import HttpService
from functorrent.web.site import make_site

#: Seconds between two looks at the clock.
_TICK = 0.01


@implementer(IWallClock)
class _Wall:
    """The time of day."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()


@implementer(IQueue)
class _Queue:
    """Hands everything to the store, and fetches nothing."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def submit(self, jobs: Sequence[NewJob]) -> Deferred[list[Submitted]]:
        """Accept magnets."""
        answer: Deferred[list[Submitted]] = self._store.submit(jobs)
        return answer

    def cancel(self, key: bytes) -> Deferred[Job | None]:
        """Stop wanting it."""
        answer: Deferred[Job | None] = self._store.cancel(key)
        return answer

    def retry(self, key: bytes) -> Deferred[Job | None]:
        """Try it now."""
        answer: Deferred[Job | None] = self._store.retry(key)
        return answer


class _Lag:
    """How late the reactor is, at each tick."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.late: list[float] = []
        self._tick(reactor.seconds())

    def _tick(self, due: float) -> None:
        now = self._reactor.seconds()
        self.late.append(1000 * max(0.0, now - due))
        self._reactor.callLater(_TICK, self._tick, now + _TICK)

    def told(self) -> dict[str, float]:
        """Milliseconds."""
        late = sorted(self.late)
        return {
            "p50_ms": late[len(late) // 2],
            "p99_ms": late[int(len(late) * 0.99)],
            "worst_ms": late[-1],
        }


async def _serve(reactor: Any, folder: str) -> None:
    store = await open_store(reactor, _Wall(), os.path.join(folder, "store.sqlite"))
    context = WebContext(reactor, _Wall(), store, _Queue(store), "bench")
    service = HttpService(reactor, "tcp:0:interface=127.0.0.1", make_site(context), sys.exit)
    service.startService()
    port = await service.ready
    calm_collector()
    lag = _Lag(reactor)
    print(json.dumps({"url": f"http://127.0.0.1:{port.getHost().port}", "pid": os.getpid()}), flush=True)

    async def stop() -> None:
        print(json.dumps(lag.told()), flush=True)
        await service.stopService()
        await store.close()

    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(stop()))


def main() -> None:
    """Serve until SIGTERM."""
    from twisted.internet import reactor as the_reactor

    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("profile", nargs="?")
    options = parser.parse_args()
    reactor: Any = the_reactor
    reactor.seconds = time.monotonic
    reactor.callWhenRunning(
        lambda: Deferred.fromCoroutine(_serve(reactor, options.folder)).addErrback(
            lambda failure: (failure.printTraceback(file=sys.stderr), reactor.stop())
        )
    )
    if options.profile:
        profiler = cProfile.Profile()
        profiler.runcall(reactor.run)
        profiler.dump_stats(options.profile)
    else:
        reactor.run()


if __name__ == "__main__":
    main()
