"""`Waiters`: requests that wait for a job to end its fetch, woken by the store's commits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from functorrent.store.jobs import FETCHING, QUEUED, Job
from functorrent.web.cooperate import shielded
from functorrent.web.problems import Problem

if TYPE_CHECKING:
    from functorrent.web.context import WebContext

PENDING = frozenset((QUEUED, FETCHING))


class Waiters:
    """Waits, without asking again and again, for jobs to leave `queued` and `fetching`."""

    def __init__(self, context: WebContext) -> None:
        self._clock = context.clock
        self._store = context.store
        self._most = context.limits.web_waiters
        self._waiting: dict[bytes, list[Deferred[None]]] = {}
        self._closed = False
        #: How many wait now.
        self.count = 0
        context.store.watch(self._changed)

    async def job(self, key: bytes, seconds: float) -> Job | None:
        """The job: as it is when it is no longer pending, or when `seconds` are over.

        Raises a Problem (429) when too many wait already.
        """
        job: Job | None = await shielded(self._store.job(key))
        if job is None or job.status not in PENDING or not seconds or self._closed:
            return job
        if self.count >= self._most:
            raise Problem(429, "Too many requests wait for magnets already.", retry_after=5)
        # By the job's own key: a hybrid's is asked for by another one, too.
        own = job.key
        waiting = self._waiting.setdefault(own, [])
        done: Deferred[None] = Deferred()
        waiting.append(done)
        self.count += 1
        timer = self._clock.callLater(seconds, _fire, done)
        try:
            # It may have changed between the reading and now.
            job = await shielded(self._store.job(key))
            if job is not None and job.status in PENDING:
                await done
                job = await shielded(self._store.job(key))
            return job
        finally:
            if timer.active():
                timer.cancel()
            self.count -= 1
            waiting.remove(done)
            if not waiting:
                del self._waiting[own]

    def close(self) -> None:
        """Time is up for all, also for those that come later."""
        self._closed = True
        for waiting in list(self._waiting.values()):
            for done in list(waiting):
                _fire(done)

    def _changed(self, jobs: Sequence[Job]) -> None:
        if not self._waiting:
            return
        for job in jobs:
            if job.status not in PENDING:
                for done in list(self._waiting.get(job.key, ())):
                    _fire(done)


def _fire(done: Deferred[None]) -> None:
    if not done.called:
        done.callback(None)
