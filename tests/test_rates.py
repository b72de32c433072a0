"""Rates: a bucket for one, and turns for many."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from functorrent.rates import Bucket, ITurn, RateOfEach, Turns


def drain(bucket: Bucket) -> int:
    taken = 0
    while bucket.ready():
        bucket.take()
        taken += 1
    return taken


class RateOfEachTests(SynchronousTestCase):
    def taken(self, rates: RateOfEach, who: str, now: float) -> int:
        taken = 0
        while not rates.pause(who, now):
            rates.take(who, now)
            taken += 1
        return taken

    def test_burst_and_rate_of_each(self) -> None:
        rates = RateOfEach(4.0, 10, 100)
        self.assertEqual(self.taken(rates, "a", 1e6), 10)
        self.assertEqual(self.taken(rates, "b", 1e6), 10)
        self.assertAlmostEqual(rates.pause("a", 1e6), 0.25)
        self.assertEqual(self.taken(rates, "a", 1e6 + 1), 4)
        self.assertEqual(self.taken(rates, "a", 1e6 + 100), 10)

    def test_a_sum_of_parts(self) -> None:
        """Ten tenths of a second are one, whatever they come to as floats."""
        rates = RateOfEach(10.0, 5, 100)
        now = 0.3
        self.assertEqual(self.taken(rates, "a", now), 5)
        for _ in range(100):
            now += 0.1
            self.assertEqual(self.taken(rates, "a", now), 1)

    def test_those_at_rest_are_forgotten_first(self) -> None:
        rates = RateOfEach(1.0, 1, 10)
        for number in range(10):
            rates.take(f"old {number}", 0.0)
        rates.take("busy", 5.0)
        self.assertEqual(len(rates), 1)
        self.assertGreater(rates.pause("busy", 5.0), 0.0)

    def test_a_flood_is_bounded(self) -> None:
        rates = RateOfEach(1.0, 1, 10)
        for number in range(1000):
            rates.take(str(number), 0.0)
            self.assertLessEqual(len(rates), 10)
        self.assertGreater(rates.pause("999", 0.0), 0.0)


class BucketTests(SynchronousTestCase):
    def test_burst_and_rate(self) -> None:
        clock = Clock()
        clock.advance(1e6)
        bucket = Bucket(clock, 4.0, 10)
        self.assertEqual(drain(bucket), 10)
        clock.advance(1)
        self.assertEqual(drain(bucket), 4)
        clock.advance(100)
        self.assertEqual(drain(bucket), 10)

    def test_a_sum_of_small_refills(self) -> None:
        clock = Clock()
        bucket = Bucket(clock, 1.0, 1)
        drain(bucket)
        for _ in range(10):
            self.assertFalse(bucket.ready())
            clock.advance(0.1)
        self.assertTrue(bucket.ready())

    def test_owed(self) -> None:
        """What is taken beyond what is there is paid first, within bounds."""
        clock = Clock()
        bucket = Bucket(clock, 1.0, 4)
        self.assertTrue(bucket.ready())
        for _ in range(6):
            bucket.take()
        clock.advance(2)
        self.assertFalse(bucket.ready())
        clock.advance(1)
        self.assertTrue(bucket.ready())
        for _ in range(100):
            bucket.take()
        clock.advance(5)
        self.assertEqual(drain(bucket), 1)


@implementer(ITurn)
class Taker:
    """Wants `wants` turns, and writes its name into `log` for each."""

    def __init__(self, turns: Turns, name: str, log: list[str], wants: int = 10**6) -> None:
        self.turns, self.name, self.log, self.wants = turns, name, log, wants

    def go(self) -> None:
        while self.wants and self.turns.take(self):
            self._one()

    def turn(self) -> None:
        self._one()
        self.go()

    def _one(self) -> None:
        self.wants -= 1
        self.log.append(self.name)


class TurnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock, 100.0, 4)
        self.log: list[str] = []

    def taker(self, name: str, wants: int = 10**6) -> Taker:
        taker = Taker(self.turns, name, self.log, wants)
        taker.go()
        return taker

    def test_what_it_is(self) -> None:
        verifyObject(ITurn, self.taker("a", 1))

    def test_in_turn(self) -> None:
        """The burst is whose it is who comes first; after that nobody waits longer than the others."""
        for name in "abc":
            self.taker(name)
        self.assertEqual(self.log, ["a"] * 4)
        self.clock.pump([0.01] * 9)
        self.assertEqual("".join(self.log[4:]), "abcabcabc")

    def test_the_rate(self) -> None:
        self.taker("a")
        self.clock.pump([0.0125] * 800)
        self.assertAlmostEqual(len(self.log), 4 + 1000, delta=2)

    def test_no_timer_without_a_queue(self) -> None:
        self.taker("a", 5)
        self.clock.advance(0.01)
        self.assertEqual((len(self.log), self.clock.getDelayedCalls()), (5, []))

    def test_one_that_leaves(self) -> None:
        a, b = self.taker("a"), self.taker("b")
        self.turns.leave(a)
        self.clock.advance(0.01)
        self.assertEqual(self.log[4:], ["b"])
        self.turns.leave(b)
        self.turns.leave(b)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody_overtakes(self) -> None:
        """Who comes when a token has come, but others wait, waits as well."""
        self.taker("a")
        self.clock.rightNow += 0.01
        self.taker("b", 1)
        self.assertEqual(self.log, ["a"] * 4)

    def test_one_that_breaks(self) -> None:
        broken = Taker(self.turns, "x", self.log)
        self.taker("a", 4)
        self.assertFalse(self.turns.take(broken))
        broken.turn = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        self.taker("b")
        self.clock.pump([0.01] * 3)
        self.assertEqual(self.log[4:], ["b", "b"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
