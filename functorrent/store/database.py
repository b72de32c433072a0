"""`IStore` on a database: SQLite in a file by default."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Engine
from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from functorrent.errors import StoreError
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.store import claiming, handing_on, outcomes, reading, wishes
from functorrent.store.engine import Place
from functorrent.store.interfaces import IStore
from functorrent.store.jobs import Claim, Delivery, Job, JobQuery, NewJob, Page, Result, Submitted
from functorrent.store.pipeline import AtOnce, Operation, Threads
from functorrent.store.submitting import submit
from functorrent.store.transactions import Transactions

if TYPE_CHECKING:
    from functorrent.interfaces import IWallClock
    from functorrent.store.lock import FileLock

#: Reader threads: one for a listing that takes its time, one for the rest.
_READERS = 2
#: Bytes of an info dictionary that count as one row of a transaction.
_BYTES_A_ROW = 4096


@implementer(IStore)
class Database:
    """Jobs and results in a database. Call `open` first, and `close` at the end.

    `reactor` is used for `callFromThread` alone; None does everything at once, where it is asked for,
    and blocks (functorrent.testing.store). `wall`: the time of day. `url`: the path of an SQLite file,
    or a SQLAlchemy URL (UsageError where it is none).
    """

    def __init__(
        self, reactor: Any, wall: IWallClock, url: str | URL, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._reactor = reactor
        self._wall = wall
        self._limits = limits
        self._place = Place(url)
        self._observers: list[Callable[[Sequence[Job]], None]] = []
        self._engine: Engine | None = None
        self._lock: FileLock | None = None
        self._runner: Threads | AtOnce | None = None
        self._closing: list[Deferred[None]] | None = None

    # -- life ----------------------------------------------------------------------------------

    def open(self) -> Deferred[None]:
        """Make or migrate what is there. See `IStore.open`."""
        return Deferred.fromCoroutine(self._open())

    async def _open(self) -> None:
        if self._engine is not None:
            raise StoreError("the store is open already")
        lock = self._place.lock()
        if lock is not None:
            lock.take()
            self._lock = lock
        try:
            self._place.create()
            self._engine = self._place.connect(_READERS)
            transactions = Transactions(self._engine, self._place.title, self._observers)
            self._runner = self._make_runner(transactions)
            await self._runner.alone(transactions.prepare)
        except BaseException:
            await self.close()
            raise

    def _make_runner(self, transactions: Transactions) -> Threads | AtOnce:
        if self._reactor is None:
            return AtOnce(transactions.commit, transactions.answer)
        return Threads(self._reactor, self._limits, transactions.commit, transactions.answer, _READERS)

    def close(self) -> Deferred[None]:
        """Finish what was asked for, and let go of everything. See `IStore.close`.

        It may be called more than once; each Deferred fires at the end.
        """
        closed: Deferred[None] = Deferred()
        if self._closing is not None:
            self._closing.append(closed)
            return closed
        closing = self._closing = [closed]

        def done(result: None) -> None:
            self._closing = None
            for each in closing:
                each.callback(result)

        Deferred.fromCoroutine(self._end()).addBoth(done)
        return closed

    async def _end(self) -> None:
        runner, self._runner = self._runner, None
        engine = self._engine
        try:
            if runner is not None and engine is not None:
                # The last connection that closes brings the log into the database, and removes it.
                await runner.end(engine.dispose)
        finally:
            self._engine = None
            lock, self._lock = self._lock, None
            if lock is not None:
                lock.drop()

    def watch(self, observer: Callable[[Sequence[Job]], None]) -> None:
        """Tell `observer` of changes. See `IStore.watch`."""
        self._observers.append(observer)

    # -- the queue -----------------------------------------------------------------------------

    def submit(self, jobs: Sequence[NewJob]) -> Deferred[list[Submitted]]:
        """Accept magnets. See `IStore.submit`."""
        jobs = tuple(jobs)
        return self._write(lambda work: submit(work, jobs), len(jobs), brings_more=True)

    def claim(self, worker: str, count: int, lease: float) -> Deferred[list[Claim]]:
        """Lease jobs. See `IStore.claim`."""
        return self._write(lambda work: claiming.claim(work, worker, count, lease), count)

    def claim_one(self, worker: str, key: bytes, lease: float) -> Deferred[Claim | None]:
        """Lease one job. See `IStore.claim_one`."""
        return self._write(lambda work: claiming.claim_one(work, worker, key, lease))

    def renew(self, worker: str, lease: float) -> Deferred[None]:
        """Lengthen leases. See `IStore.renew`."""
        return self._write(lambda work: claiming.renew(work, worker, lease))

    def release(self, worker: str, keys: Iterable[bytes] | None = None) -> Deferred[None]:
        """Put jobs back. See `IStore.release`."""
        these = None if keys is None else tuple(keys)
        return self._write(lambda work: claiming.release(work, worker, these), len(these or ()) + 1)

    def release_others(self, worker: str) -> Deferred[int]:
        """Put back the jobs of other workers. See `IStore.release_others`."""
        return self._write(lambda work: claiming.release_others(work, worker))

    def next_due(self) -> Deferred[float | None]:
        """When the next job is due. See `IStore.next_due`."""
        return self._read(claiming.next_due)

    # -- what becomes of a job -----------------------------------------------------------------

    def fetched(self, worker: str, result: Result, outlets: Sequence[str] = ()) -> Deferred[bool]:
        """Keep a result. See `IStore.fetched`."""
        weight = 1 + len(outlets) + len(result.info_bytes) // _BYTES_A_ROW
        call = outcomes.Success(worker, result, tuple(outlets))
        return self._write(outcomes.end, weight, call)

    def failed(
        self,
        worker: str,
        key: bytes,
        report: Mapping[str, Any],
        seconds: float,
        next_attempt: float | None,
        learned: Mapping[str, Any] | None = None,
    ) -> Deferred[bool]:
        """Note a try that failed. See `IStore.failed`."""
        call = outcomes.NoSuccess(worker, key, report, seconds, next_attempt, learned)
        return self._write(outcomes.end, 1, call)

    def cancel(self, key: bytes) -> Deferred[Job | None]:
        """Nobody wants it any more. See `IStore.cancel`."""
        return self._write(lambda work: wishes.cancel(work, key))

    def retry(self, key: bytes) -> Deferred[Job | None]:
        """Queue it now. See `IStore.retry`."""
        return self._write(lambda work: wishes.retry(work, key))

    # -- reading -------------------------------------------------------------------------------

    def job(self, key: bytes) -> Deferred[Job | None]:
        """One job. See `IStore.job`."""
        return self._read(partial(reading.job, key=key))

    def jobs(self, query: JobQuery) -> Deferred[Page]:
        """A page of jobs. See `IStore.jobs`."""
        return self._read(partial(reading.listing, query=query))

    def info_bytes(self, key: bytes) -> Deferred[bytes | None]:
        """An info dictionary. See `IStore.info_bytes`."""
        return self._read(partial(reading.info_bytes, key=key))

    def torrent(self, key: bytes) -> Deferred[bytes | None]:
        """A .torrent file. See `IStore.torrent`."""
        return self._read(partial(reading.torrent, key=key))

    def counts(self) -> Deferred[dict[str, int]]:
        """Jobs in each state. See `IStore.counts`."""
        return self._read(reading.job_counts)

    def oldest_queued(self) -> Deferred[float | None]:
        """Since when the oldest queued job waits. See `IStore.oldest_queued`."""
        return self._read(reading.oldest_queued)

    def minutes(self, since: float) -> Deferred[list[tuple[float, int]]]:
        """Results by minute. See `IStore.minutes`."""
        return self._read(partial(reading.by_minute, since=since))

    # -- files and outlets ---------------------------------------------------------------------

    def unexported(self, limit: int) -> Deferred[list[bytes]]:
        """Keys of fetched jobs without a file. See `IStore.unexported`."""
        return self._read(partial(handing_on.unexported, limit=limit))

    def exported(self, paths: Mapping[bytes, str]) -> Deferred[None]:
        """Files are written. See `IStore.exported`."""
        paths = dict(paths)
        return self._write(lambda work: handing_on.exported(work, paths), len(paths))

    def exports(self, after: int, limit: int) -> Deferred[tuple[list[tuple[bytes, str]], int | None]]:
        """A page of files that were written. See `IStore.exports`."""
        return self._read(partial(handing_on.exports, after=after, limit=limit))

    def deliveries(self, outlet: str, limit: int) -> Deferred[list[Delivery]]:
        """What is due to an outlet. See `IStore.deliveries`."""
        now = self._wall.now()
        return self._read(partial(handing_on.due_deliveries, outlet=outlet, limit=limit, now=now))

    def delivered(self, number: int) -> Deferred[None]:
        """An outlet has taken it. See `IStore.delivered`."""
        return self._write(handing_on.delivered, 1, number)

    def undelivered(self, number: int, next_attempt: float | None) -> Deferred[None]:
        """An outlet has not taken it. See `IStore.undelivered`."""
        return self._write(lambda work: handing_on.undelivered(work, number, next_attempt))

    # -- how -----------------------------------------------------------------------------------

    def _write(
        self, function: Callable[..., Any], weight: int = 1, call: Any = None, *, brings_more: bool = False
    ) -> Deferred[Any]:
        if self._runner is None:
            return fail(StoreError("the store is not open"))
        return self._runner.write(Operation(function, self._wall.now(), call, weight, brings_more))

    def _read(self, function: Callable[..., Any]) -> Deferred[Any]:
        if self._runner is None:
            return fail(StoreError("the store is not open"))
        return self._runner.read(Operation(function, self._wall.now()))


def open_store(reactor: Any, wall: IWallClock, url: str | URL) -> Deferred[Database]:
    """A Database that is open; fails as `IStore.open` does."""
    database = Database(reactor, wall, url)
    return database.open().addCallback(lambda _: database)
