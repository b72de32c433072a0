"""Tests of functorrent.store.pipeline and functorrent.store.transactions: threads are played by the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import StoreError, StoreFull
from functorrent.limits import DEFAULT_LIMITS
from functorrent.store import pipeline
from functorrent.store.jobs import Job, NewJob
from functorrent.store.pipeline import Operation, Threads
from functorrent.store.schema import jobs
from functorrent.store.submitting import submit
from functorrent.store.transactions import Transactions
from functorrent.store.work import Work
from tests.store.bed import START, StoreCase, hash_of, magnet_of


class Pool:
    """A thread pool whose work is done when the test says so."""

    made: list[Pool] = []

    def __init__(self, least: int, most: int, name: str) -> None:
        self.most = most
        self.work: list[Callable[[], Any]] = []
        self.running = False
        self.made.append(self)

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        assert not self.work
        self.running = False

    def callInThread(self, function: Callable[..., Any], *args: Any) -> None:
        self.work.append(lambda: function(*args))

    def callInThreadWithCallback(self, done: Callable[..., None], function: Callable[[], Any]) -> None:
        def call() -> None:
            try:
                result = function()
            except Exception:
                done(False, Failure())
            else:
                done(True, result)

        self.work.append(call)

    def run(self) -> None:
        work, self.work = self.work, []
        for each in work:
            each()


class Reactor:
    """Keeps what threads ask of it."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], Any]] = []

    def callFromThread(self, function: Callable[..., Any], *args: Any) -> None:
        self.calls.append(lambda: function(*args))

    def run(self) -> None:
        calls, self.calls = self.calls, []
        for each in calls:
            each()


class ThreadsTests(SynchronousTestCase):
    def setUp(self) -> None:
        Pool.made = []
        self.patch(pipeline, "_DaemonPool", Pool)
        self.reactor = Reactor()
        self.batches: list[list[Any]] = []
        self.told: list[object] = []
        self.trouble: BaseException | None = None
        limits = replace(DEFAULT_LIMITS, store_rows=10, store_waiting_rows=25, store_waiting_reads=3)
        self.threads = Threads(self.reactor, limits, self.commit, self.answer, 2)
        self.writer, self.readers = Pool.made

    def commit(self, operations: Any) -> Callable[[], None]:
        if self.trouble is not None:
            raise self.trouble
        self.batches.append([operation.call for operation in operations])
        for operation in operations:
            operation.result = operation.call
        return lambda: self.told.append("tell")

    def answer(self, operation: Operation) -> None:
        operation.result = operation.call

    def write(self, call: object, weight: int = 1, brings_more: bool = False) -> Deferred[Any]:
        done = self.threads.write(Operation(print, START, call, weight, brings_more))
        return done.addCallback(lambda result: self.told.append(result) or result)

    def run_all(self) -> None:
        while self.writer.work or self.readers.work or self.reactor.calls:
            self.writer.run()
            self.readers.run()
            self.reactor.run()

    def test_what_waits_is_committed_together(self) -> None:
        """... in order; and nobody is told before the observers, or before the reactor's turn."""
        for number in range(3):
            self.write(number)
        self.assertEqual((len(self.writer.work), self.writer.most, self.readers.most), (1, 1, 2))
        self.writer.run()
        self.assertEqual((self.batches, self.told), ([[0, 1, 2]], []))
        self.reactor.run()
        self.assertEqual(self.told, ["tell", 0, 1, 2])
        self.write(3)
        self.run_all()
        self.assertEqual(self.batches, [[0, 1, 2], [3]])

    def test_transactions_are_bounded(self) -> None:
        """By rows; one operation may be longer by itself."""
        for number, weight in enumerate((4, 6, 1, 30, 9, 1, 1)):
            self.write(number, weight)
        self.run_all()
        self.assertEqual(self.batches, [[0, 1], [2], [3], [4, 5], [6]])

    def test_the_queue_is_bounded(self) -> None:
        """New work is refused; what workers have done is not."""
        self.write(0, 20, brings_more=True)
        refused = self.write(1, 20, brings_more=True)
        self.assertIn("try again later", str(self.failureResultOf(refused, StoreError).value))
        self.write(2, 100)
        self.run_all()
        self.assertEqual(self.batches, [[0], [2]])
        # One alone is never too much: it is bounded where it comes from.
        self.write(3, 1000, brings_more=True)
        self.run_all()
        self.assertEqual(self.batches[-1], [3])

    def test_reads_are_bounded(self) -> None:
        for number in range(3):
            self.threads.read(Operation(print, START, number))
        self.failureResultOf(self.threads.read(Operation(print, START, 4)), StoreError)
        self.run_all()
        read = self.threads.read(Operation(print, START, 5))
        self.run_all()
        self.assertEqual(self.successResultOf(read), 5)

    def test_a_cancelled_read_is_not_done(self) -> None:
        asked: list[object] = []
        self.threads._answer = lambda operation: asked.append(operation.call)
        read = self.threads.read(Operation(print, START, 1))
        read.cancel()
        self.failureResultOf(read, CancelledError)
        self.run_all()
        self.assertEqual(asked, [])

    def test_a_cancelled_write_is_done(self) -> None:
        """It may be half way; only nobody is told."""
        written = self.write(1)
        written.cancel()
        self.failureResultOf(written, CancelledError)
        self.run_all()
        self.assertEqual((self.batches, self.told), ([[1]], ["tell"]))

    def test_a_bug_leaves_nobody_waiting(self) -> None:
        self.trouble = ZeroDivisionError()
        first = self.write(1)
        self.run_all()
        self.failureResultOf(first, ZeroDivisionError)
        self.trouble = None
        second = self.write(2)
        self.run_all()
        self.assertEqual(self.successResultOf(second), 2)

    def test_the_end(self) -> None:
        """It comes when all is told, calls its function in the writer's thread, and stops the threads."""
        written, read = self.write(1), self.threads.read(Operation(print, START, 2))
        ended = self.threads.end(lambda: self.told.append("last"))
        self.writer.run()
        self.assertNoResult(ended)
        self.reactor.run()
        self.assertNoResult(ended)
        self.run_all()
        self.successResultOf(ended)
        self.assertEqual((self.successResultOf(written), self.successResultOf(read)), (1, 2))
        self.assertEqual(self.told, ["tell", 1, "last"])
        self.assertEqual((self.writer.running, self.readers.running), (False, False))

    def test_an_end_that_fails(self) -> None:
        def last() -> None:
            raise StoreError("no")

        ended = self.threads.end(last)
        self.run_all()
        self.failureResultOf(ended, StoreError)
        self.assertFalse(self.writer.running)


class TransactionTests(StoreCase):
    """Operations of one transaction on a real database."""

    def setUp(self) -> None:
        super().setUp()
        assert self.store._engine is not None
        self.observed: list[list[bytes]] = []
        self.engine = self.store._engine
        self.transactions = Transactions(self.engine, "here", [self.observe])

    def observe(self, changed: Any) -> None:
        self.observed.append([job.key for job in changed])

    def submitting(self, *numbers: int) -> Operation:
        return Operation(lambda work: submit(work, [NewJob(magnet_of(n)) for n in numbers]), START)

    def failing(self, error: Exception, *numbers: int) -> Operation:
        def function(work: Work) -> None:
            submit(work, [NewJob(magnet_of(n)) for n in numbers])
            raise error

        return Operation(function, START)

    def run_together(self, *operations: Operation) -> list[Any]:
        self.transactions.commit(operations)()
        return [each.result for each in operations]

    def test_one_that_fails_fails_alone(self) -> None:
        """What it did is undone, and neither counted nor told; the others' is all there."""
        results = self.run_together(
            self.submitting(1), self.failing(StoreError("no"), 2, 3), self.submitting(3, 1)
        )
        self.assertEqual([type(result) for result in results], [list, Failure, list])
        self.assertEqual(str(results[1].value), "no")
        self.assertEqual([answer.created for answer in results[2]], [True, False])
        self.assertEqual(self.listed(), [hash_of(3), hash_of(1)])
        self.assertEqual(self.get(self.store.counts())["queued"], 2)
        self.assertEqual(self.observed, [[hash_of(1), hash_of(3)]])

    def test_a_bug_is_logged_and_told_as_a_sentence(self) -> None:
        [result] = self.run_together(self.failing(ZeroDivisionError("x"), 1))
        self.assertEqual(result.type, StoreError)
        self.assertEqual(str(result.value), "the store (here) failed: ZeroDivisionError")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.observed, [])

    def test_wrong_sql_is_logged_and_told_as_a_sentence(self) -> None:
        [result] = self.run_together(Operation(lambda work: work.connection.execute(text("nonsense")), START))
        self.assertIn("the store (here) failed", str(result.value))
        self.assertEqual(len(self.flushLoggedErrors(OperationalError)), 1)

    def test_a_transaction_that_is_lost(self) -> None:
        """SQLite takes back everything by itself when the disk is full: nobody is told of success."""

        def lose(work: Work) -> None:
            driver: Any = work.connection.connection.dbapi_connection
            driver.execute("ROLLBACK")
            raise StoreFull("no space")

        results = self.run_together(self.submitting(1), Operation(lose, START), self.submitting(2))
        self.assertEqual([result.type for result in results], [StoreFull] * 3)
        # Each has an error of its own: Failures are changed by those who handle them.
        self.assertEqual(len({id(result.value) for result in results}), 3)
        self.assertEqual((self.listed(), self.observed), ([], []))
        self.run_together(self.submitting(1))
        self.assertEqual(self.listed(), [hash_of(1)])

    def test_calls_of_one_kind_go_together(self) -> None:
        """When one of them breaks the database's rules, each is tried by itself."""
        seen: list[list[int]] = []

        def function(work: Work, calls: list[int]) -> list[int | StoreError]:
            seen.append(calls)
            submit(work, [NewJob(magnet_of(n)) for n in calls])
            if 2 in calls:
                raise StoreError("two")
            return [n if n != 3 else StoreError("three") for n in calls]

        operations = [Operation(function, START, call=n) for n in range(1, 5)]
        single = self.submitting(9)
        results = self.run_together(*operations[:3], single, operations[3])
        self.assertEqual(seen, [[1, 2, 3], [1], [2], [3], [4]])
        self.assertEqual([results[0], results[4]], [1, 4])
        self.assertEqual([str(results[n].value) for n in (1, 2)], ["two", "three"])
        self.assertEqual(self.observed, [[hash_of(n) for n in (1, 3, 9, 4)]])
        self.assertEqual(self.get(self.store.counts())["queued"], 4)

    def test_observers(self) -> None:
        """Once for each commit: each job once, where its last change was, as it is then, without report."""
        seen: list[Job] = []
        self.store.watch(seen.extend)
        self.submit(1, 2, 3)
        seen.clear()
        self.submit(2, magnet_of(1, "&dn=New"), magnet_of(3, "&dn=x"), magnet_of(1, "&tr=udp%3A%2F%2Fa"))
        self.assertEqual([(job.key, job.name) for job in seen], [(hash_of(3), "x"), (hash_of(1), "New")])
        seen.clear()
        self.claim(1)
        self.get(self.store.renew("w", 99.0))
        self.get(self.store.undelivered(1, None))
        self.assertEqual([(job.key, job.status) for job in seen], [(hash_of(1), "fetching")])
        self.failed(hash_of(1), START)
        self.assertEqual((seen[-1].status, seen[-1].report), ("waiting", None))

    def test_an_observer_that_raises_harms_nobody(self) -> None:
        seen: list[Job] = []

        def raises(_jobs: Any) -> None:
            raise ValueError("observer")

        self.store.watch(raises)
        self.store.watch(seen.extend)
        [answer] = self.submit(1)
        self.assertTrue(answer.created)
        self.assertEqual([job.key for job in seen], [hash_of(1)])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_read_that_fails(self) -> None:
        wrong = [(lambda c: c.execute(text("no")), OperationalError), (lambda c: 1 / 0, ZeroDivisionError)]
        for function, error in wrong:
            operation = Operation(function, START)
            self.transactions.answer(operation)
            self.assertEqual(operation.result.type, StoreError)
            self.assertEqual(len(self.flushLoggedErrors(error)), 1)
        with self.engine.begin() as connection:
            self.assertEqual(connection.execute(select(func.count()).select_from(jobs)).scalar(), 0)
