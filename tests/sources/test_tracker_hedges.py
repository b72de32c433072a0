"""Calls that wait as long as one another, on one timer."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.sources.tracker.hedges import Hedges


class Waiter:
    def __init__(self, hedges: Hedges, clock: Clock) -> None:
        self.hedges = hedges
        self.clock = clock
        self.called: list[float] = []

    def due(self) -> None:
        self.called.append(self.clock.seconds())


class HedgesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100)
        self.hedges = Hedges(self.clock, 0.5)
        self.first, self.second, self.third = (Waiter(self.hedges, self.clock) for _ in range(3))

    def pass_by(self, seconds: float) -> None:
        for _ in range(round(seconds * 16)):
            self.clock.advance(1 / 16)

    def test_each_after_its_delay(self) -> None:
        self.hedges.add(self.first.due)
        self.pass_by(0.25)
        self.hedges.add(self.second.due)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.pass_by(1)
        self.assertEqual((self.first.called, self.second.called), ([100.5], [100.75]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_dropped(self) -> None:
        for each in (self.first, self.second):
            self.hedges.add(each.due)
        self.hedges.drop(self.first.due)
        self.hedges.drop(self.first.due)
        self.pass_by(1)
        self.assertEqual((self.first.called, self.second.called), ([], [100.5]))

    def test_no_timer_for_nobody(self) -> None:
        self.hedges.add(self.first.due)
        self.hedges.drop(self.first.due)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.hedges.drop(self.first.due)
        self.hedges.add(self.second.due)
        self.pass_by(1)
        self.assertEqual(self.second.called, [100.5])

    def test_added_again_from_its_call(self) -> None:
        def again() -> None:
            self.first.due()
            if len(self.first.called) < 3:
                self.hedges.add(again)

        self.hedges.add(again)
        self.pass_by(3)
        self.assertEqual(self.first.called, [100.5, 101.0, 101.5])

    def test_one_that_drops_the_next(self) -> None:
        def first() -> None:
            self.hedges.drop(self.second.due)

        for each in (first, self.second.due, self.third.due):
            self.hedges.add(each)
        self.pass_by(1)
        self.assertEqual((self.second.called, self.third.called), ([], [100.5]))

    def test_one_that_fails_harms_no_other(self) -> None:
        def broken() -> None:
            raise ZeroDivisionError

        self.hedges.add(broken)
        self.hedges.add(self.second.due)
        self.assertRaises(ZeroDivisionError, self.pass_by, 0.5)
        self.pass_by(0.5)
        self.assertEqual(len(self.second.called), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
