"""A queue over a store, a wall clock that follows a clock, and jobs in every state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from functorrent.daemon.interfaces import IQueue
from functorrent.errors import PEER_OUTCOMES
from functorrent.interfaces import IWallClock
from functorrent.metainfo.summary import summarize
from functorrent.store.jobs import Claim, Job, NewJob, Result, Submitted


@implementer(IWallClock)
class FollowingWall:
    """The time of day: `start`, and what has passed on `clock` since."""

    def __init__(self, clock: Any, start: float = 1_790_000_000.0) -> None:
        self._clock = clock
        self._start = start - clock.seconds()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._start + float(self._clock.seconds())


@implementer(IQueue)
class StoreQueue:
    """An IQueue that fetches nothing: what is asked of it is asked of the store."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def submit(self, jobs: Sequence[NewJob]) -> Deferred[list[Submitted]]:
        """Accept magnets."""
        return self.store.submit(jobs)

    def cancel(self, key: bytes) -> Deferred[Job | None]:
        """Stop wanting it."""
        return self.store.cancel(key)

    def retry(self, key: bytes) -> Deferred[Job | None]:
        """Try it now."""
        return self.store.retry(key)


def report(reason: str | None) -> dict[str, Any]:
    """A report, of a try that ended so."""
    trackers = [
        {
            "url": "http://tracker.example:6969/announce",
            "status": "ok" if reason is None else "timed_out",
            "peers": 3,
            "seeders": 2,
            "leechers": 1,
            "error": None if reason is None else "no answer within 15 s",
        }
    ]
    peers = dict.fromkeys(PEER_OUTCOMES, 0) | {"found": 3}
    peers |= {"timed_out": 2} | ({"fetched": 1} if reason is None else {"refused": 1})
    return {"trackers": trackers, "peers": peers, "reason": reason}


def result_of(claim: Claim, info: bytes) -> Result:
    """The result of a fetch that got `info`."""
    summary = summarize(info)
    return Result(
        claim.key, info, summary.name, summary.size, summary.files, summary.private, 1.25, report(None)
    )
