"""What is kept of neighbours' announces, and how many are looked into."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.interfaces import PeerAddress
from functorrent.limits import Limits
from functorrent.sources.lsd.neighbours import Neighbours
from functorrent.sources.lsd.rates import Rates
from tests.sources.lsd_bed import infohash

A, B, C = (PeerAddress(f"192.168.1.{last}", 6881) for last in (1, 2, 3))


class NeighboursTests(SynchronousTestCase):
    def test_the_one_heard_last_comes_first(self) -> None:
        kept = Neighbours(Limits())
        for now, peer in enumerate((A, B, C)):
            kept.add(peer, [infohash(1)], now)
        self.assertEqual(kept.peers(infohash(1), 3), [C, B, A])
        kept.add(A, [infohash(2), infohash(1)], 4)
        self.assertEqual(kept.peers(infohash(1), 5), [A, C, B])
        self.assertEqual(kept.peers(infohash(2), 5), [A])
        self.assertEqual(kept.peers(infohash(3), 5), [])

    def test_for_two_intervals(self) -> None:
        """One announce may get lost; two do not."""
        kept = Neighbours(Limits(lsd_interval=300))
        kept.add(A, [infohash(1)], 100)
        self.assertEqual(kept.peers(infohash(1), 699), [A])
        self.assertEqual(kept.peers(infohash(1), 701), [])
        kept.add(A, [infohash(1)], 702)
        self.assertEqual(kept.peers(infohash(1), 703), [A])

    def test_each_has_room_of_its_own(self) -> None:
        """Who announces without end forgets nobody's but its own oldest."""
        kept = Neighbours(Limits(lsd_infohashes=10))
        kept.add(A, [infohash(1)], 0)
        for number in range(1, 1000):
            kept.add(B, [infohash(number)], number)
        self.assertEqual(kept.peers(infohash(1), 500), [A])
        self.assertEqual(kept.peers(infohash(989), 1000), [])
        self.assertEqual(kept.peers(infohash(990), 1000), [B])

    def test_the_one_silent_longest_gives_way(self) -> None:
        kept = Neighbours(Limits(lsd_neighbours=2))
        kept.add(A, [infohash(1)], 0)
        kept.add(B, [infohash(1)], 1)
        kept.add(A, [infohash(2)], 2)
        kept.add(C, [infohash(1)], 3)
        self.assertEqual(len(kept), 2)
        self.assertEqual(kept.peers(infohash(1), 4), [C, A])
        kept.clear()
        self.assertEqual(kept.peers(infohash(1), 4), [])


class RatesTests(SynchronousTestCase):
    def take(self, rates: Rates, host: str, times: int) -> int:
        return sum(rates.take(host) for _ in range(times))

    def test_of_one(self) -> None:
        clock = Clock()
        rates = Rates(clock, Limits(lsd_rate_each=5, lsd_burst_each=10))
        self.assertEqual(self.take(rates, "a", 100), 10)
        self.assertEqual(self.take(rates, "b", 100), 10)
        clock.advance(1)
        self.assertEqual(self.take(rates, "a", 100), 5)

    def test_in_all(self) -> None:
        clock = Clock()
        rates = Rates(clock, Limits(lsd_rate=20, lsd_burst_in=30))
        self.assertEqual(sum(self.take(rates, str(n), 2) for n in range(100)), 30)
        clock.advance(1)
        self.assertEqual(sum(self.take(rates, str(n), 2) for n in range(100)), 20)

    def test_one_that_is_over_its_rate_uses_nothing_of_the_others(self) -> None:
        rates = Rates(Clock(), Limits(lsd_burst_each=10, lsd_burst_in=20))
        self.take(rates, "a", 1000)
        self.assertEqual(self.take(rates, "b", 100), 10)

    def test_addresses_are_bounded(self) -> None:
        rates = Rates(Clock(), Limits())
        for number in range(5000):
            rates.take(str(number))
        self.assertLessEqual(len(rates._each), 1000)
