"""`JobQueue`: the jobs of the store, fetched one after the other; what comes of each goes back into it.

Laws. A job is begun only under a lease. What was fetched is saved before anybody is told, and before its
file is written. A stop puts back what is in flight, as if it had never been claimed. What the store
cannot take now waits in memory, within bounds: while too much waits, nothing more is begun.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from functorrent.daemon import outcomes
from functorrent.daemon.health import Health, Passing
from functorrent.daemon.interfaces import IQueue
from functorrent.daemon.retry import next_attempt
from functorrent.daemon.saver import Saver, Unsaved
from functorrent.daemon.stock import Stock
from functorrent.errors import QueueClosed, StoreError
from functorrent.fetch.batch import Batch
from functorrent.fetch.report import FetchReport
from functorrent.fetch.result import Metadata
from functorrent.magnet import Magnet
from functorrent.store.jobs import Claim, Job, NewJob, Submitted
from functorrent.text import printable

if TYPE_CHECKING:
    from functorrent.interfaces import IWallClock
    from functorrent.store.interfaces import IStore

#: A week.
GIVE_UP_AFTER = 7 * 86_400.0
#: Seconds of a stop that unsaved results are waited for, and that everything else is.
_FLUSH_PATIENCE = 4.0
_STOP_PATIENCE = 3.0
#: Jobs claimed ahead: half of those in flight, so that a slow commit (a hundred thousand magnets come in)
#: does not leave slots empty; but never fewer than so many.
_LEAST_STOCK = 16
#: A lease outlasts every pause of the process that is not a crash.
_LEAST_LEASE = 300.0
#: A try that a caller has brought about puts the next one off by no more: strangers could otherwise put
#: a job off, from day to day, by calling.
_CALLED_DELAY = 1800.0

Ended = Callable[[Claim, str, float, "FetchReport | None", "str | None"], None]


@dataclass(slots=True, eq=False)
class Flight:
    """A job that is being fetched. `called`: out of turn, for a caller; `cancelled`: nobody wants it now."""

    claim: Claim
    began: float
    called: bool = False
    cancelled: bool = False


@implementer(IQueue)
class JobQueue(Service):
    """Claims jobs, fetches them, saves what came of it.

    `fetcher`: a Fetcher, started and stopped with this. `worker`: a name of this process, new at each
    start. `give_up_after`: seconds for which a job is tried. `outlets`: names of those to which results
    are due. `saved()` is called when a result was saved, so that its file can be written. `ended(claim,
    outcome, seconds, report, name)` hears of every try that has ended: an outcome of
    `functorrent.daemon.outcomes`, how long it took, the report where there is one, and the torrent's
    name where it was fetched.
    """

    name = "queue"
    log = Logger()

    def __init__(
        self,
        clock: Any,
        wall: IWallClock,
        store: IStore,
        fetcher: Any,
        health: Health,
        worker: str,
        *,
        give_up_after: float = GIVE_UP_AFTER,
        outlets: Sequence[str] = (),
        saved: Callable[[], None] = lambda: None,
        ended: Ended = lambda *_: None,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._store = store
        self._fetcher = fetcher
        self._health = health
        self._worker = worker
        self._give_up_after = give_up_after
        self._outlets = tuple(outlets)
        self._tell_saved = saved
        self._tell_ended = ended
        limits, settings = fetcher.limits, fetcher.settings
        self._limits = limits
        self._lease = max(_LEAST_LEASE, 2 * settings.timeout)
        size = max(_LEAST_STOCK, settings.jobs // 2)
        self._refusing = Passing(clock, health, "taking magnets")
        self._saver = Saver(clock, health, limits.max_unsaved, limits.max_unsaved_bytes, self._wake)
        self._stock = Stock(
            clock, wall, store, health, worker, size, self._lease, self._wake, self._is_known
        )  # fmt: skip
        self._batch: Batch[Flight] = Batch(fetcher, self._pull, self._finished, settings.jobs)
        #: What the user adds to every magnet and wants in the .torrent, too.
        self._further = settings.trackers if settings.save_trackers else ()
        self._flights: dict[bytes, Flight] = {}
        #: Jobs whose outcome is not saved yet.
        self._unsaved: set[bytes] = set()
        #: How many callers' jobs the store is being asked for.
        self._asking = 0
        self._open = False
        self._stopped: Deferred[None] | None = None

    # -- life ----------------------------------------------------------------------------------

    def startService(self) -> Deferred[None]:
        """Listen and begin. Fails with UsageError where the fetcher cannot listen."""
        Service.startService(self)
        started: Deferred[None] = self._fetcher.start()
        return started.addCallback(self._started)

    def _started(self, _: object) -> None:
        if not self.running:
            return
        self._open = True
        self._batch.run().addErrback(self._broke)
        self._stock.start()

    def _broke(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._health.ill("batch", "the queue has broken down: restart the daemon; the log has more")
            self.log.failure("the batch broke", failure)
            self._open = False
            self._stock.stop()

    def stopService(self) -> Deferred[None]:
        """Take nothing more, end what is in flight, save what was fetched, put the rest back."""
        if not self.running:
            return self._stopped or succeed(None)
        Service.stopService(self)
        self._open = False
        self._refusing.well()
        self._stock.stop()
        self._batch.cancel()
        self._stopped = Deferred.fromCoroutine(self._stop())
        return self._stopped

    async def _stop(self) -> None:
        stopping = self._fetcher.stop()
        await self._within(_FLUSH_PATIENCE, self._saver.flush(), "not every result could be saved")
        self._saver.stop()
        # Where this fails, or never comes to it, the leases run out by themselves.
        await self._within(_STOP_PATIENCE, self._store.release(self._worker), "jobs were not put back")
        await self._within(_STOP_PATIENCE, stopping, "the fetcher did not stop")

    async def _within(self, seconds: float, waiting: Deferred[Any], words: str) -> None:
        waiting.addTimeout(seconds, self._clock)
        try:
            await waiting
        except Exception as error:
            self.log.warn("{words}: {error}", words=words, error=printable(str(error) or repr(error), 300))

    # -- IQueue --------------------------------------------------------------------------------

    def submit(self, jobs: Sequence[NewJob]) -> Deferred[list[Submitted]]:
        """Accept magnets. See `IQueue.submit`."""
        if not self._open:
            return fail(_closed())
        jobs = list(jobs)
        if not self._further:
            submitted = self._store.submit(jobs)
        else:
            # A second magnet of each torrent, for the store keeps the first one as it was given.
            pairs = [each for job in jobs for each in (job, self._further_of(job))]
            submitted = self._store.submit(pairs).addCallback(lambda answers: answers[::2])
        return submitted.addCallbacks(self._submitted, self._refused, callbackArgs=(jobs,))

    def _refused(self, failure: Failure) -> Failure:
        if failure.check(StoreError) and self._open:
            self._refusing.ill(f"magnets are not taken: {failure.value}")
        return failure

    def _further_of(self, job: NewJob) -> NewJob:
        magnet = job.magnet
        tiers = tuple((url,) for url in self._further)
        further = Magnet(
            magnet.infohash, magnet.infohash_v2, None, tiers, (), (), (), (), None, (), magnet.text + "&"
        )
        return NewJob(further, job.priority)

    def _submitted(self, answers: list[Submitted], jobs: Sequence[NewJob]) -> list[Submitted]:
        self._refusing.well()
        highest: int | None = None
        for answer, job in zip(answers, jobs, strict=True):
            if answer.queued:
                highest = job.priority if highest is None else max(highest, job.priority)
            elif answer.key in self._flights:
                self._fetcher.join(job.magnet)
            else:
                self._stock.join(answer.key, job.magnet)
        if highest is not None and self._open:
            self._stock.look(highest)
        return answers

    def cancel(self, key: bytes) -> Deferred[Job | None]:
        """Stop wanting it. See `IQueue.cancel`."""
        return self._store.cancel(key).addCallback(self._cancelled) if self._open else fail(_closed())

    def _cancelled(self, job: Job | None) -> Job | None:
        if job is not None and job.status == "cancelled":
            self._stock.take(job.key)
            flight = self._flights.get(job.key)
            if flight is not None:
                flight.cancelled = True
                self._batch.end(flight)
        return job

    def retry(self, key: bytes) -> Deferred[Job | None]:
        """Try it now. See `IQueue.retry`."""
        return self._store.retry(key).addCallback(self._retried) if self._open else fail(_closed())

    def _retried(self, job: Job | None) -> Job | None:
        if job is not None and job.status == "queued" and self._open:
            self._stock.look(job.priority)
        return job

    # -- what others ask -----------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Jobs that are being fetched now."""
        return len(self._flights)

    def health(self) -> list[str]:
        """What is wrong with the daemon, in sentences."""
        return self._health.sentences()

    def called(self, infohash: bytes) -> Deferred[bool]:
        """A peer has called for this torrent (bytes of 20): begin now if its job waits.

        True where a fetch is on, which the caller may join. No more than `Limits.max_called` are begun
        so at once; who calls how often is not looked at here.
        """
        if infohash in self._flights:
            return succeed(True)
        called = self._asking + sum(flight.called for flight in self._flights.values())
        if not self._open or self._saver.full or called >= self._limits.max_called:
            return succeed(False)
        at_hand = self._stock.take(infohash)
        if at_hand is not None:
            return succeed(self._begin_called(at_hand))
        self._asking += 1
        asked = self._store.claim_one(self._worker, infohash, self._lease)
        return asked.addBoth(self._answered_call)

    def _answered_call(self, found: Claim | Failure | None) -> bool:
        self._asking -= 1
        if isinstance(found, Failure):
            found.trap(StoreError)
            return False
        # Where we stop meanwhile, the stop puts it back with all others.
        return found is not None and self._open and self._begin_called(found)

    def _begin_called(self, claim: Claim) -> bool:
        if not self._is_known(claim):
            self._batch.begin(claim.magnet, self._take_off(claim, called=True))
        return claim.key in self._flights

    # -- flights -------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._batch.wake()

    def _is_known(self, claim: Claim) -> bool:
        """Whether a job that was claimed is in our hands already; see `Stock`."""
        flight = self._flights.get(claim.key)
        if flight is not None:
            flight.claim = claim
            return True
        return claim.key in self._unsaved

    def _pull(self) -> tuple[Magnet, Flight] | None:
        """The next magnet for the batch."""
        if self._saver.full:
            return None
        claim = self._stock.pull()
        return None if claim is None else (claim.magnet, self._take_off(claim))

    def _take_off(self, claim: Claim, *, called: bool = False) -> Flight:
        flight = Flight(claim, self._clock.seconds(), called)
        self._flights[claim.key] = flight
        if claim.learned is not None and claim.magnet.infohash is not None:
            self._fetcher.recall(claim.magnet.infohash, claim.learned, self._wall.now())
        return flight

    def _finished(self, flight: Flight, magnet: Magnet, result: Metadata | Failure) -> None:
        """The batch has ended one."""
        claim = flight.claim
        self._flights.pop(claim.key, None)
        seconds = round(self._clock.seconds() - flight.began, 3)
        if flight.cancelled:
            self._told(claim, outcomes.CANCELLED, seconds)
        elif not self.running and isinstance(result, Failure):
            self._told(claim, outcomes.INTERRUPTED, seconds)
        elif isinstance(result, Failure):
            self._failed(flight, seconds, result)
        elif self._saver.overfull:
            # It is fetched once more when the store can take it.
            self._put_back(claim, seconds)
        elif not outcomes.is_of(claim, result):
            self._note(claim, seconds, outcomes.other_torrent(result), True, None, False)
        else:
            self._fetched(claim, seconds, result)

    # -- outcomes ------------------------------------------------------------------------------

    def _fetched(self, claim: Claim, seconds: float, metadata: Metadata) -> None:
        result = outcomes.result_of(claim, metadata, seconds)

        def saved(kept: bool) -> None:
            if not kept:
                self._told(claim, outcomes.CANCELLED, seconds, metadata.report)
                return
            self._told(claim, outcomes.FETCHED, seconds, metadata.report, metadata.name)
            self._tell_saved()

        self._save(
            claim,
            lambda: self._store.fetched(self._worker, result, self._outlets),
            saved,
            lambda failure: self._note(claim, seconds, outcomes.report_of(failure), False, None, False),
            len(result.info_bytes),
        )

    def _failed(self, flight: Flight, seconds: float, failure: Failure) -> None:
        claim = flight.claim
        if outcomes.is_bug(failure):
            self.log.failure("a fetch broke", failure)
        learned = None
        if claim.magnet.infohash is not None:
            learned = self._fetcher.learned(claim.magnet.infohash, self._wall.now())
        final = outcomes.is_final(failure)
        self._note(claim, seconds, outcomes.report_of(failure), final, learned, flight.called)

    def _note(
        self, claim: Claim, seconds: float, report: FetchReport, final: bool, learned: Any, called: bool
    ) -> None:
        """Save that a try has failed."""
        now = self._wall.now()
        due = None
        if not final:
            due = next_attempt(claim.attempts + 1, claim.since, now, self._give_up_after)
            if called and due is not None:
                due = min(due, now + _CALLED_DELAY)
        outcome = outcomes.GAVE_UP if due is None else outcomes.FAILED

        def saved(kept: bool) -> None:
            if not kept:
                self._told(claim, outcomes.CANCELLED, seconds, report)
                return
            self._told(claim, outcome, seconds, report)

        def broke(_: Failure) -> None:
            self._put_back(claim, seconds)

        told = report.to_json()
        self._save(
            claim,
            lambda: self._store.failed(self._worker, claim.key, told, seconds, due, learned),
            saved,
            broke,
        )

    def _put_back(self, claim: Claim, seconds: float) -> None:
        self._told(claim, outcomes.INTERRUPTED, seconds)

        def save() -> Deferred[bool]:
            return self._store.release(self._worker, [claim.key]).addCallback(lambda _: True)

        def saved(_: bool) -> None:
            self._stock.look(claim.priority)

        self._save(claim, save, saved, lambda _: None)

    def _save(
        self,
        claim: Claim,
        save: Callable[[], Deferred[bool]],
        saved: Callable[[bool], None],
        broke: Callable[[Failure], None],
        size: int = 0,
    ) -> None:
        key = claim.key
        self._unsaved.add(key)

        def settled(kept: bool) -> None:
            self._unsaved.discard(key)
            saved(kept)

        def unsettled(failure: Failure) -> None:
            self._unsaved.discard(key)
            broke(failure)

        self._saver.add(Unsaved(save, settled, unsettled, size))

    def _told(
        self,
        claim: Claim,
        outcome: str,
        seconds: float,
        report: FetchReport | None = None,
        name: str | None = None,
    ) -> None:
        try:
            self._tell_ended(claim, outcome, seconds, report, name)
        except Exception:
            self.log.failure("the end of a try could not be told")


def _closed() -> QueueClosed:
    return QueueClosed("the daemon is not taking anything: it is starting or stopping")
