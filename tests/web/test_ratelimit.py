"""Token buckets: refilled, and few enough."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.web.ratelimit import TokenBuckets


class TokenBucketTests(SynchronousTestCase):
    def test_a_burst_and_then_the_rate(self) -> None:
        clock = Clock()
        buckets = TokenBuckets(clock, 0.5, 3, 10)
        self.assertEqual([buckets.take("a") for _ in range(4)], [0.0, 0.0, 0.0, 2.0])
        self.assertEqual(buckets.wait("b"), 0.0)
        clock.advance(1.0)
        self.assertEqual(buckets.take("a"), 1.0, "what is refused costs nothing")
        clock.advance(1.0)
        self.assertEqual((buckets.take("a"), buckets.take("a")), (0.0, 2.0))
        clock.advance(1000.0)
        self.assertEqual([buckets.take("a") for _ in range(4)], [0.0, 0.0, 0.0, 2.0], "no more than a burst")

    def test_the_one_not_seen_for_longest_is_forgotten(self) -> None:
        buckets = TokenBuckets(Clock(), 1.0, 2, 3)
        for key in ("a", "b", "a", "c"):
            buckets.take(key)
        self.assertGreater(buckets.wait("a"), 0)
        buckets.take("d")
        self.assertEqual(len(buckets), 3)
        self.assertGreater(buckets.wait("a"), 0, "a was seen after b")
        buckets.take("b")
        self.assertEqual(buckets.take("b"), 0.0, "b begins with a full bucket")
        for number in range(1000):
            buckets.take(str(number))
            self.assertLessEqual(len(buckets), 3)
