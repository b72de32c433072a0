"""The rate at which we announce: BEP 14's, however many magnets there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.limits import Limits
from functorrent.sources.lsd.announcer import Announcer
from functorrent.wire.lsd import MAX_INFOHASHES
from tests.sources.lsd_bed import infohash

LIMITS = Limits()


class Bed:
    """An announcer on a clock; `sent` is when, and what."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sent: list[tuple[float, list[bytes]]] = []
        self.announcer = Announcer(self.clock, LIMITS, self._send)

    def _send(self, infohashes: Sequence[bytes]) -> None:
        self.sent.append((self.clock.seconds(), list(infohashes)))

    def want(self, *numbers: int) -> list[bool]:
        return [self.announcer.want(infohash(number)) for number in numbers]

    def pass_time(self, seconds: float) -> None:
        steps = max(1, round(seconds / 0.1))
        self.clock.pump([seconds / steps] * steps)

    def sizes(self) -> list[int]:
        return [len(infohashes) for _, infohashes in self.sent]


class Rate(SynchronousTestCase):
    def test_one(self) -> None:
        """A lone magnet waits for nothing but a moment."""
        bed = Bed()
        self.assertEqual(bed.want(1), [True])
        bed.pass_time(0.1)
        self.assertEqual(bed.sent, [(0.1, [infohash(1)])])

    def test_up_to_five_in_a_datagram_each(self) -> None:
        """aria2 and older Transmissions read one infohash of a datagram, and none of a long one."""
        bed = Bed()
        bed.want(*range(5))
        bed.pass_time(0.2)
        self.assertEqual(bed.sizes(), [1] * 5)

    def test_more_go_together(self) -> None:
        bed = Bed()
        self.assertEqual(bed.want(*range(200)).count(True), MAX_INFOHASHES)
        bed.pass_time(0.2)
        self.assertEqual(bed.sizes(), [25])
        bed.pass_time(10)
        self.assertEqual(bed.sizes(), [25] * 5)
        # Those that wait the longest come first.
        self.assertEqual(bed.sent[0][1], [infohash(number) for number in range(25)])

    def test_then_one_a_minute(self) -> None:
        bed = Bed()
        bed.want(*range(1000))
        bed.pass_time(600.0)
        # Five at first, and one for each minute; those announced are due again after five.
        self.assertEqual(bed.sizes(), [25] * 14)
        times = [when for when, _ in bed.sent]
        self.assertTrue(all(later - sooner > 55 for sooner, later in pairwise(times[4:])))

    def test_the_burst_comes_back(self) -> None:
        bed = Bed()
        bed.want(*range(200))
        bed.pass_time(10)
        for number in range(200):
            bed.announcer.unwant(infohash(number))
        self.assertEqual(bed.want(300), [False])
        bed.pass_time(40)
        self.assertEqual(len(bed.sent), 5)
        bed.pass_time(20)
        self.assertEqual(bed.sent[5][1], [infohash(300)])
        bed.announcer.unwant(infohash(300))
        bed.pass_time(400)
        bed.want(*range(400, 405))
        bed.pass_time(0.2)
        self.assertEqual(len(bed.sent), 11)

    def test_once_in_five_minutes(self) -> None:
        """Also when a fetch ends and begins anew: the daemon tries again and again."""
        bed = Bed()
        for _ in range(60):
            bed.want(1)
            bed.pass_time(5)
            bed.announcer.unwant(infohash(1))
            bed.pass_time(5)
        bed.want(1)
        bed.pass_time(1)
        self.assertEqual([round(when) for when, _ in bed.sent], [0, 300, 600])

    def test_again_while_somebody_looks_for_it(self) -> None:
        bed = Bed()
        bed.want(1)
        bed.pass_time(301)
        self.assertEqual(len(bed.sent), 2)
        bed.announcer.unwant(infohash(1))
        bed.pass_time(2000)
        self.assertEqual(len(bed.sent), 2)
        self.assertEqual(bed.clock.getDelayedCalls(), [])

    def test_what_was_announced_is_due_again_for_who_comes_back(self) -> None:
        bed = Bed()
        bed.want(1)
        bed.pass_time(100)
        bed.announcer.unwant(infohash(1))
        bed.pass_time(100)
        self.assertEqual(bed.want(1), [False])
        bed.pass_time(101)
        self.assertEqual([round(when) for when, _ in bed.sent], [0, 300])

    def test_a_late_one_is_not_kept_by_one_that_is_due_in_minutes(self) -> None:
        bed = Bed()
        bed.want(1)
        bed.pass_time(50)
        self.assertEqual(bed.want(2), [True])
        bed.pass_time(0.2)
        self.assertEqual(len(bed.sent), 2)

    def test_gone_before_its_turn(self) -> None:
        bed = Bed()
        bed.want(*range(100))
        for number in range(100):
            bed.announcer.unwant(infohash(number))
        bed.pass_time(1000)
        self.assertEqual(bed.sent, [])
        self.assertEqual(bed.clock.getDelayedCalls(), [])

    def test_an_answer_is_next(self) -> None:
        """A neighbour has announced it: it should hear of us soon, but within the rate."""
        bed = Bed()
        bed.want(*range(100))
        bed.announcer.answer(infohash(99))
        bed.announcer.answer(infohash(1234))
        bed.pass_time(0.2)
        self.assertEqual(bed.sent[0][1][0], infohash(99))
        bed.announcer.answer(infohash(99))
        bed.pass_time(5)
        self.assertEqual([said for _, each in bed.sent for said in each].count(infohash(99)), 1)
        self.assertNotIn(infohash(1234), [said for _, each in bed.sent for said in each])

    def test_a_bulk_fetch_sets_no_timers(self) -> None:
        """Thousands of magnets a second come and go: one timer in all, set a few times."""
        bed = Bed()
        calls: list[float] = []
        usual = bed.clock.callLater

        def call_later(seconds: float, call: Any) -> Any:
            calls.append(seconds)
            return usual(seconds, call)

        self.patch(bed.clock, "callLater", call_later)
        for number in range(10_000):
            bed.want(number)
            if number >= 100:
                bed.announcer.unwant(infohash(number - 100))
            bed.clock.advance(0.0004)
            self.assertLessEqual(len(bed.clock.getDelayedCalls()), 1)
        self.assertLess(len(calls), 20)
        self.assertEqual(len(bed.sent), 4)

    def test_stopped(self) -> None:
        bed = Bed()
        bed.want(*range(100))
        bed.pass_time(0.2)
        bed.announcer.stop()
        self.assertEqual(bed.want(500), [False])
        self.assertEqual(bed.clock.getDelayedCalls(), [])
        bed.pass_time(1000)
        self.assertEqual(len(bed.sent), 1)

    @settings(deadline=None, derandomize=True, max_examples=100)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["want", "want", "unwant", "answer", "wait"]),
                st.integers(0, 60),
                st.floats(0.01, 200),
            ),
            max_size=120,
        )
    )
    def test_whatever_happens(self, steps: list[tuple[str, int, float]]) -> None:
        """The rate, the interval and the timer hold; what nobody looks for is never announced."""
        bed = Bed()
        wanted: set[bytes] = set()

        def send(infohashes: Sequence[bytes]) -> None:
            self.assertTrue(set(infohashes) <= wanted)
            self.assertTrue(0 < len(infohashes) <= MAX_INFOHASHES)
            bed.sent.append((bed.clock.seconds(), list(infohashes)))

        bed.announcer._send = send
        for what, number, seconds in steps:
            one = infohash(number)
            if what == "want":
                bed.announcer.want(one)
                wanted.add(one)
            elif what == "unwant":
                bed.announcer.unwant(one)
                wanted.discard(one)
            elif what == "answer":
                bed.announcer.answer(one)
            else:
                bed.clock.advance(seconds)
            self.assertLessEqual(len(bed.clock.getDelayedCalls()), 1)
        bed.pass_time(1000)
        # Everybody who still looks for something was announced in the end.
        self.assertLessEqual(wanted, {one for _, each in bed.sent for one in each})
        said: dict[bytes, float] = {}
        for when, infohashes in bed.sent:
            self.assertEqual(max(Counter(infohashes).values()), 1)
            for one in infohashes:
                self.assertGreaterEqual(when - said.get(one, -1e9), LIMITS.lsd_interval - 1e-6)
                said[one] = when
        times = [when for when, _ in bed.sent]
        for first, start in enumerate(times):
            for count, end in enumerate(times[first:], 1):
                allowed = LIMITS.lsd_burst + (end - start) / LIMITS.lsd_minute
                self.assertLessEqual(count, allowed + 1e-6)
