"""What is remembered of strangers' questions lapses, and is bounded."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.daemon.strangers import Lapsing, Misses


class LapsingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.keys = Lapsing(self.clock, 30.0, 3)

    def test_for_a_while(self) -> None:
        self.keys.add(b"a")
        self.clock.advance(29.5)
        self.assertIn(b"a", self.keys)
        self.clock.advance(0.5)
        self.assertNotIn(b"a", self.keys)
        self.assertEqual(len(self.keys), 0)

    def test_added_again(self) -> None:
        self.keys.add(b"a")
        self.clock.advance(20)
        self.keys.add(b"a")
        self.clock.advance(20)
        self.assertIn(b"a", self.keys)

    def test_forgotten(self) -> None:
        self.keys.add(b"a")
        self.keys.discard(b"a")
        self.keys.discard(b"b")
        self.assertNotIn(b"a", self.keys)

    def test_the_oldest_go(self) -> None:
        for key in (b"a", b"b", b"c", b"a", b"d"):
            self.keys.add(key)
        self.assertEqual([key in self.keys for key in (b"a", b"b", b"c", b"d")], [True, False, True, True])


class MissesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def misses(self, together: float = 1000.0, most: int = 100) -> Misses:
        return Misses(self.clock, (0.5, 4), (1.0, together), most)

    def miss(self, misses: Misses, *hosts: str) -> list[bool]:
        """A question in vain from each; whether it was looked into."""
        looked: list[bool] = []
        for host in hosts:
            looked.append(misses.left(host))
            if looked[-1]:
                misses.take(host)
        return looked

    def test_of_one_address(self) -> None:
        misses = self.misses()
        self.assertEqual(self.miss(misses, *["192.0.2.1"] * 6), [True] * 4 + [False] * 2)
        self.assertTrue(misses.left("192.0.2.2"))
        self.clock.advance(2)
        self.assertEqual(self.miss(misses, *["192.0.2.1"] * 2), [True, False])

    def test_of_one_subscriber(self) -> None:
        looked = self.miss(self.misses(), *(f"2001:db8::{number}" for number in range(1, 7)))
        self.assertEqual(looked, [True] * 4 + [False] * 2)

    def test_of_all(self) -> None:
        misses = self.misses(10)
        self.assertEqual(sum(self.miss(misses, *(f"192.0.2.{number}" for number in range(100)))), 10)
        self.clock.advance(3)
        self.assertEqual(sum(self.miss(misses, *(f"192.0.2.{number}" for number in range(100, 200)))), 3)

    def test_refused_costs_nobody_anything(self) -> None:
        """One address that asks on takes nothing from the others."""
        misses = self.misses(10)
        self.miss(misses, *["192.0.2.1"] * 100)
        self.assertEqual(sum(self.miss(misses, *(f"192.0.2.{number}" for number in range(2, 100)))), 6)

    def test_many_at_once(self) -> None:
        """They are looked into before the first answer is known, and count all the same."""
        misses = self.misses()
        for _ in range(6):
            self.assertTrue(misses.left("192.0.2.1"))
        for _ in range(6):
            misses.take("192.0.2.1")
        self.clock.advance(4)
        self.assertFalse(misses.left("192.0.2.1"))
        self.clock.advance(2)
        self.assertTrue(misses.left("192.0.2.1"))

    def test_addresses_are_forgotten(self) -> None:
        misses = self.misses(10_000, 10)
        for number in range(1000):
            self.miss(misses, "192.0.2.1", f"198.51.100.{number}")
        self.assertEqual(len(misses._buckets), 10)
        # Whoever asks on is remembered.
        self.assertFalse(misses.left("192.0.2.1"))
