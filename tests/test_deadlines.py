"""Deadlines: kept, never early, forgotten when cleared, and no call can stop the others."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.deadlines import Deadlines


class DeadlinesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock, 0.25)
        self.called: list[tuple[str, float]] = []

    def note(self, name: str) -> Callable[[], None]:
        return lambda: self.called.append((name, self.clock.seconds()))

    def run_for(self, seconds: float) -> None:
        # In 16ths: sums of them are exact.
        self.clock.pump([0.0625] * round(seconds * 16))

    def test_within_its_grain_and_never_early(self) -> None:
        self.deadlines.set(self.note("a"), 1.0)
        self.deadlines.set(self.note("b"), 1.0625)
        self.run_for(2)
        self.assertEqual(self.called, [("a", 1.0), ("b", 1.25)])

    def test_a_deadline_in_the_past(self) -> None:
        self.deadlines.set(self.note("a"), -1.0)
        self.assertEqual(self.called, [])
        self.run_for(0.25)
        self.assertEqual(len(self.called), 1)

    def test_cleared(self) -> None:
        call = self.note("a")
        self.deadlines.set(call, 1.0)
        self.deadlines.clear(call)
        self.deadlines.clear(call)
        self.run_for(2)
        self.assertEqual(self.called, [])

    def test_set_anew(self) -> None:
        call = self.note("a")
        self.deadlines.set(call, 1.0)
        self.deadlines.set(call, 2.0)
        self.run_for(3)
        self.assertEqual(self.called, [("a", 2.0)])

    def test_a_bound_method_is_one_deadline(self) -> None:
        self.deadlines.set(self.bound, 1.0)
        self.deadlines.set(self.bound, 1.5)
        self.run_for(2)
        self.assertEqual(self.called, [("bound", 1.5)])

    def bound(self) -> None:
        self.note("bound")()

    def test_no_timer_without_deadlines(self) -> None:
        self.deadlines.set(self.note("a"), 1.0)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.run_for(1.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_timer_for_all(self) -> None:
        for number in range(100):
            self.deadlines.set(self.note(str(number)), 1.0 + number)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_a_call_that_sets_itself_again(self) -> None:
        def again() -> None:
            self.called.append(("again", self.clock.seconds()))
            if len(self.called) < 3:
                self.deadlines.set(again, self.clock.seconds() + 1.0)

        self.deadlines.set(again, 1.0)
        self.run_for(5)
        self.assertEqual([when for _, when in self.called], [1.0, 2.0, 3.0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_call_that_clears_another(self) -> None:
        second = self.note("second")
        self.deadlines.set(lambda: self.deadlines.clear(second), 1.0)
        self.deadlines.set(second, 1.0)
        self.run_for(2)
        self.assertEqual(self.called, [])

    def test_a_call_that_puts_another_off(self) -> None:
        second = self.note("second")
        self.deadlines.set(lambda: self.deadlines.set(second, 2.0), 1.0)
        self.deadlines.set(second, 1.0)
        self.run_for(3)
        self.assertEqual(self.called, [("second", 2.0)])

    def test_a_call_that_raises(self) -> None:
        def broken() -> None:
            raise ZeroDivisionError

        self.deadlines.set(broken, 1.0)
        self.deadlines.set(self.note("beside"), 1.0)
        self.deadlines.set(self.note("later"), 2.0)
        self.run_for(1.5)
        self.deadlines.set(self.note("new"), 2.0)
        self.run_for(1)
        self.assertEqual(self.called, [("beside", 1.0), ("later", 2.0), ("new", 2.0)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stop(self) -> None:
        self.deadlines.set(self.note("a"), 1.0)
        self.deadlines.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.run_for(2)
        self.assertEqual(self.called, [])
        self.deadlines.stop()

    def test_a_call_that_stops_all(self) -> None:
        self.deadlines.set(self.deadlines.stop, 1.0)
        self.deadlines.set(self.note("a"), 1.0)
        self.deadlines.set(self.note("b"), 3.0)
        self.run_for(4)
        self.assertEqual(self.called, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
