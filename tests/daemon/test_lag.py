"""The reactor's lag, on a clock whose reactor can be late."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.daemon.lag import TICK, WINDOW, ReactorLag


class LateClock(Clock):
    """`stall` passes time in which no timer is run, as a reactor that is busy."""

    def stall(self, seconds: float) -> None:
        self.rightNow += seconds


class ReactorLagTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = LateClock()
        self.seen: list[float] = []
        self.lag = ReactorLag(self.clock, self.seen.append)

    def test_no_samples(self) -> None:
        self.assertIsNone(self.lag.percentile(0.99))

    def test_in_time(self) -> None:
        self.lag.start()
        self.clock.pump([TICK] * 50)
        self.assertEqual(len(self.seen), 50)
        self.assertLess(max(self.seen), 1e-9)
        self.assertAlmostEqual(self.lag.percentile(1) or 0, 0)

    def test_a_stall_counts_for_all_that_it_swallowed(self) -> None:
        self.lag.start()
        self.clock.stall(TICK + 0.35)
        self.clock.advance(0)
        self.assertEqual([round(late, 6) for late in self.seen], [0.35, 0.25, 0.15, 0.05])
        self.clock.advance(TICK)
        self.assertEqual(len(self.seen), 5, "and the next is in time")
        self.assertAlmostEqual(self.seen[-1], 0)

    def test_percentiles(self) -> None:
        self.lag.start()
        self.clock.pump([TICK] * 98)
        self.clock.stall(TICK + 0.05)
        self.clock.advance(0)
        self.clock.stall(TICK + 0.09)
        self.clock.advance(0)
        self.assertEqual(len(self.seen), 100)
        self.assertAlmostEqual(self.lag.percentile(0.5) or 0, 0)
        self.assertAlmostEqual(self.lag.percentile(0.99) or 0, 0.05)
        self.assertAlmostEqual(self.lag.percentile(1) or 0, 0.09)

    def test_of_few_samples_it_is_the_worst(self) -> None:
        self.lag.start()
        self.clock.pump([TICK] * 9)
        self.clock.stall(TICK + 0.05)
        self.clock.advance(0)
        self.assertAlmostEqual(self.lag.percentile(0.99) or 0, 0.05)

    def test_the_last_minute_alone(self) -> None:
        self.lag.start()
        self.clock.stall(TICK + 0.09)
        self.clock.advance(0)
        self.clock.pump([TICK] * int(WINDOW / TICK + 2))
        self.assertAlmostEqual(self.lag.percentile(1) or 0, 0)

    def test_a_long_stall_is_bounded(self) -> None:
        self.lag.start()
        self.clock.stall(100_000)
        self.clock.advance(0)
        self.assertEqual(len(self.seen), WINDOW / TICK)

    def test_stops(self) -> None:
        self.lag.start()
        self.lag.stop()
        self.lag.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
