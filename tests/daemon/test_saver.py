"""Saver, Health and Backoff: outcomes into a store that fails now and then."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from functorrent.daemon.health import Backoff, Health
from functorrent.daemon.saver import Saver, Unsaved
from functorrent.errors import StoreError, StoreFull


class Outcome:
    """One outcome, and a store for it alone."""

    def __init__(self, *answers: Any, size: int = 0) -> None:
        self.answers = list(answers)
        self.told: list[Any] = []
        self.tries = 0
        self.unsaved = Unsaved(self.save, self.told.append, self.told.append, size)

    def save(self) -> Deferred[bool]:
        self.tries += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            return fail(answer)
        return answer if isinstance(answer, Deferred) else succeed(answer)


FULL = StoreFull("no space is left")


class SaverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.health = Health()
        self.roomy = 0
        self.saver = Saver(self.clock, self.health, 4, 100, self.room)

    def room(self) -> None:
        self.roomy += 1

    def add(self, *answers: Any, size: int = 0) -> Outcome:
        outcome = Outcome(*answers, size=size)
        self.saver.add(outcome.unsaved)
        return outcome

    def test_saved(self) -> None:
        self.assertEqual([self.add(kept).told for kept in (True, False)], [[True], [False]])
        self.assertEqual((self.saver.unsaved, self.saver.full, self.roomy), (0, False, 0))
        self.successResultOf(self.saver.flush())

    def test_one_then_two_then_four_until_it_is_well(self) -> None:
        first = self.add(FULL, FULL, True)
        gates: list[Deferred[bool]] = [Deferred() for _ in range(9)]
        later = [self.add(gate) for gate in gates]
        self.assertEqual((first.tries, [each.tries for each in later], self.saver.full), (1, [0] * 9, True))
        self.assertEqual(
            self.health.sentences(), ["results cannot be saved, and wait in memory: no space is left"]
        )
        self.clock.advance(1)
        self.assertEqual((first.tries, sum(each.tries for each in later)), (2, 0))
        self.clock.advance(2)
        # Another one is asked: what the first has may be what is wrong.
        for asked in (1, 3, 7, 9):
            self.assertEqual(sum(each.tries for each in later), asked)
            self.assertEqual(len(self.health.sentences()), 1)
            for gate in gates[:asked]:
                if not gate.called:
                    gate.callback(True)
        self.assertEqual((first.told, [each.told for each in later]), ([True], [[True]] * 9))
        self.assertEqual((self.health.sentences(), self.roomy, self.saver.unsaved), ([], 1, 0))

    def test_a_disk_that_is_nearly_full(self) -> None:
        """It takes small results and refuses large ones: nothing is let go, however long."""
        room = [False]

        class Large(Outcome):
            def save(self) -> Deferred[bool]:
                self.tries += 1
                return succeed(True) if room[0] else fail(FULL)

        large = [Large() for _ in range(3)]
        for each in large:
            self.saver.add(each.unsaved)
        small = []
        for _ in range(600):
            small.append(self.add(True))
            self.clock.advance(1)
        self.assertEqual([each.told for each in large], [[]] * 3)
        self.assertGreater(min(each.unsaved.passed_by for each in large), 20)
        self.assertEqual(len(self.health.sentences()), 1)
        self.assertLess(sum(each.tries for each in large), 60)
        room[0] = True
        self.clock.pump([1.0] * 70)
        self.assertEqual([each.told for each in (*large, *small)], [[True]] * 603)

    def test_pauses_grow(self) -> None:
        outcome = self.add(FULL)
        times = []
        for second in range(400):
            before = outcome.tries
            self.clock.advance(1)
            if outcome.tries > before:
                times.append(second + 1)
        self.assertEqual(times, [1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363])

    def test_and_begin_anew_after_it_was_well(self) -> None:
        self.add(FULL, FULL, FULL, True)
        self.clock.pump([1.0] * 10)
        again = self.add(FULL, True)
        self.clock.advance(1)
        self.assertEqual(again.told, [True])

    def test_bytes(self) -> None:
        waiting: Deferred[bool] = Deferred()
        self.add(waiting, size=100)
        self.assertEqual((self.saver.full, self.saver.overfull), (True, False))
        self.add(Deferred(), size=300)
        self.assertTrue(self.saver.overfull)
        waiting.callback(True)
        self.assertEqual((self.saver.held, self.saver.full, self.roomy), (300, True, 0))

    def test_flush_tries_at_once(self) -> None:
        outcomes = [self.add(FULL, FULL, True), self.add(True)]
        flushed = self.saver.flush()
        self.assertEqual([each.told for each in outcomes], [[], []])
        self.clock.pump([1.0] * 5)
        self.successResultOf(flushed)
        self.assertEqual([each.told for each in outcomes], [[True], [True]])

    def test_stop(self) -> None:
        outcome = self.add(FULL)
        self.saver.stop()
        self.assertEqual((self.clock.getDelayedCalls(), outcome.tries), ([], 1))

    def test_a_bug_lets_go_at_once(self) -> None:
        outcome = self.add(ValueError("ours"))
        self.assertIsInstance(outcome.told[0], Failure)
        self.assertEqual((self.saver.unsaved, self.health.sentences()), (0, []))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_one_that_is_refused_while_others_are_saved_is_let_go(self) -> None:
        bad = self.add(StoreError("the store failed: it cannot keep this one"))
        others = []
        for _ in range(100):
            others.append(self.add(True))
            self.clock.advance(1)
        self.assertIsInstance(bad.told[0], Failure)
        self.assertLess(bad.tries, 8)
        self.assertEqual([each.told for each in others], [[True]] * 100)
        self.assertEqual((self.saver.unsaved, self.health.sentences()), (0, []))
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)

    def test_a_listener_that_raises_costs_only_itself(self) -> None:
        def broken(_: Any) -> None:
            raise ZeroDivisionError

        self.saver.add(Unsaved(lambda: succeed(True), broken, broken))
        self.assertEqual((self.saver.unsaved, self.add(True).told), (0, [True]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class HealthTests(SynchronousTestCase):
    def test_sentences(self) -> None:
        health = Health()
        logged: list[str] = []
        self.patch(health, "log", self)
        self.warn = lambda _, words: logged.append(words)
        self.info = lambda _, part: logged.append(f"{part} is well")
        health.well("store")
        health.ill("store", "full")
        health.ill("store", "fuller")
        health.ill("output", "gone")
        self.assertEqual(health.sentences(), ["fuller", "gone"])
        health.well("store")
        health.well("store")
        self.assertEqual((health.sentences(), logged), (["gone"], ["full", "gone", "store is well"]))

    def test_backoff(self) -> None:
        backoff = Backoff(5)
        self.assertEqual([backoff.next() for _ in range(5)], [1, 2, 4, 5, 5])
        backoff.reset()
        self.assertEqual(backoff.next(), 1)
