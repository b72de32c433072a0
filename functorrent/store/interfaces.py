"""`IStore`: where jobs and results live, so that nothing accepted is ever lost.

Every method gives a Deferred and never blocks the reactor. Those that change something fire when the
change is durable; they fail with StoreError, and then nothing of the call was done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from functorrent.store.jobs import Claim, Delivery, Job, JobQuery, NewJob, Page, Result, Submitted


class IStore(Interface):
    """Jobs and results. `worker` is a name for one running process, new at each start."""

    # -- life ----------------------------------------------------------------------------------

    def open() -> Deferred[None]:
        """Make or migrate what is there. Fails with StoreTooNew, StoreCorrupt, StoreLocked, StoreFull or
        StoreError, each with a sentence for whoever runs it."""

    def close() -> Deferred[None]:
        """Everything asked for so far is done; then no thread and no file is left."""

    def watch(observer: Callable[[Sequence[Job]], None]) -> None:
        """`observer` is called in the reactor, after each commit, with the jobs (without report) that it
        has changed, in order. Not for leases that are merely renewed."""

    # -- the queue -----------------------------------------------------------------------------

    def submit(jobs: Sequence[NewJob]) -> Deferred[list[Submitted]]:
        """Accept magnets, all in one transaction: an answer for each, in order.

        What is there already gets the new trackers and peers (within limits). A job that was cancelled
        or given up is queued again; one that waits is queued at once where something new was learned.
        A priority is only ever raised.
        """

    def claim(worker: str, count: int, lease: float) -> Deferred[list[Claim]]:
        """Lease up to `count` jobs for `lease` seconds: those queued, those whose time has come, and
        those whose lease has run out; by priority, then age. They are `fetching` from now on."""

    def claim_one(worker: str, key: bytes, lease: float) -> Deferred[Claim | None]:
        """Lease this job if it is queued or waiting (a peer has called for it); else None."""

    def renew(worker: str, lease: float) -> Deferred[None]:
        """All leases of this worker run for `lease` seconds from now."""

    def release(worker: str, keys: Iterable[bytes] | None = None) -> Deferred[None]:
        """Put these jobs of the worker's (None: all) back into the queue, as if never claimed."""

    def release_others(worker: str) -> Deferred[int]:
        """Put back the jobs of every other worker: only for who knows that none is alive. How many."""

    def next_due() -> Deferred[float | None]:
        """When the next waiting job is to be tried, or lease runs out (seconds since the epoch)."""

    # -- what becomes of a job -----------------------------------------------------------------

    def fetched(worker: str, result: Result, outlets: Sequence[str] = ()) -> Deferred[bool]:
        """The info dictionary is here; a `Delivery` is due to each of `outlets`.

        False, and nothing kept, where the job is not this worker's any more (cancelled, or its lease ran
        out and another has it), unless nobody has it and it was not cancelled: a result is a result.
        """

    def failed(
        worker: str,
        key: bytes,
        report: Mapping[str, Any],
        seconds: float,
        next_attempt: float | None,
        learned: Mapping[str, Any] | None = None,
    ) -> Deferred[bool]:
        """A try has failed: `waiting` until `next_attempt`, or `gave_up` where that is None. False where
        the job is not this worker's any more."""

    def cancel(key: bytes) -> Deferred[Job | None]:
        """Nobody wants it any more. What is fetched stays so. The job, or None where there is none."""

    def retry(key: bytes) -> Deferred[Job | None]:
        """Queue it now, its tries forgotten. What is fetched, or being fetched, stays so."""

    # -- reading -------------------------------------------------------------------------------

    def job(key: bytes) -> Deferred[Job | None]:
        """One job, with its report. A hybrid's is found by its v2 infohash, too."""

    def jobs(query: JobQuery) -> Deferred[Page]:
        """A page of jobs, newest first, without reports."""

    def info_bytes(key: bytes) -> Deferred[bytes | None]:
        """The info dictionary of a fetched job. Found by the 20 bytes of a handshake, too."""

    def torrent(key: bytes) -> Deferred[bytes | None]:
        """The .torrent file of a fetched job, made of its info dictionary and the trackers it knows,
        or (where it knows none) DHT nodes."""

    def counts() -> Deferred[dict[str, int]]:
        """Jobs in each of STATES (all keys there)."""

    def oldest_queued() -> Deferred[float | None]:
        """Since when the oldest queued job waits (seconds since the epoch)."""

    def minutes(since: float) -> Deferred[list[tuple[float, int]]]:
        """Results by minute: (start of the minute, how many), from `since` on, empty ones left out."""

    # -- files: an export of what is here ------------------------------------------------------

    def unexported(limit: int) -> Deferred[list[bytes]]:
        """Keys of fetched jobs whose file has not been written, oldest first."""

    def exported(paths: Mapping[bytes, str]) -> Deferred[None]:
        """The files of these jobs are written."""

    def exports(after: int, limit: int) -> Deferred[tuple[list[tuple[bytes, str]], int | None]]:
        """A page of (key, path) of files that were written, in any fixed order, and the `after` of the
        next page (begin with 0) or None."""

    # -- outlets -------------------------------------------------------------------------------

    def deliveries(outlet: str, limit: int) -> Deferred[list[Delivery]]:
        """What is due to an outlet now, oldest first."""

    def delivered(number: int) -> Deferred[None]:
        """An outlet has taken it."""

    def undelivered(number: int, next_attempt: float | None) -> Deferred[None]:
        """It has not: try again then, or (None) never."""
