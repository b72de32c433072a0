"""Tests of functorrent.store.claiming: leases, and how jobs come back from them."""

from __future__ import annotations

from functorrent.store import claiming
from functorrent.store.jobs import STATES
from tests.store.bed import LEASE, START, StoreCase, hash_of, hybrid_hashes, link


class ClaimTests(StoreCase):
    def test_order(self) -> None:
        """Priority, then age, then the order of submission."""
        self.submit(1, 2)
        self.submit(3, priority=5)
        self.wall.time += 1
        self.submit(4, priority=5)
        self.submit(5, priority=-5)
        self.assertEqual(self.claimed(), [hash_of(number) for number in (3, 4, 1, 2, 5)])

    def test_count(self) -> None:
        self.submit(*range(1200))
        self.assertEqual(self.claimed(0), [])
        self.assertEqual(self.claimed(-1), [])
        first = self.claimed(700)
        self.assertEqual(first, [hash_of(number) for number in range(700)])
        self.assertEqual(self.claimed(700), [hash_of(number) for number in range(700, 1200)])
        self.assertEqual(self.claimed(700), [])

    def test_claimed_jobs_are_fetching(self) -> None:
        self.submit(1)
        self.wall.time += 5
        self.claim()
        self.assertEqual(
            (self.state(1), self.job(1).updated, self.job(1).next_attempt), ("fetching", START + 5, None)
        )

    def test_a_waiting_job_comes_when_it_is_due(self) -> None:
        """... in its place by priority and age, with what its last try learned."""
        self.submit(1)
        [key] = self.claimed()
        self.failed(key, START + 300, learned={"peers": [["192.0.2.1", 9]]})
        self.wall.time += 10
        self.submit(2)
        self.assertEqual(self.job(1).next_attempt, START + 300)
        self.wall.time = START + 299
        self.assertEqual(self.claimed(), [hash_of(2)])
        self.get(self.store.release("w"))
        self.wall.time = START + 300
        one, two = self.claim(10)
        self.assertEqual((one.key, two.key), (hash_of(1), hash_of(2)))
        self.assertEqual((one.attempts, one.since), (1, START))
        self.assertEqual(one.learned, {"peers": [["192.0.2.1", 9]]})

    def test_a_lease_runs_out(self) -> None:
        """Another worker gets the job; until then it is the first one's, which may still renew."""
        self.submit(1)
        self.claim(worker="first")
        self.wall.time = START + LEASE - 1
        self.assertEqual(self.claimed(worker="second"), [])
        self.get(self.store.renew("first", LEASE))
        self.wall.time = START + LEASE + 10
        self.assertEqual(self.claimed(worker="second"), [])
        self.wall.time = START + 2 * LEASE - 1
        self.assertEqual(self.claimed(worker="second"), [hash_of(1)])
        self.assertFalse(self.failed(hash_of(1), worker="first"))
        self.assertFalse(self.fetch(1, worker="first"))
        self.get(self.store.renew("first", 1e6))
        self.assertEqual(self.get(self.store.next_due()), START + 3 * LEASE - 1)

    def test_a_late_renewal(self) -> None:
        """A lease that ran out, and that nobody has taken since, is good again."""
        self.submit(1, 2)
        self.claim(2, worker="first")
        self.wall.time += LEASE + 1
        # The second is noticed as due, and left.
        self.assertEqual(self.claimed(1, worker="second"), [hash_of(1)])
        self.get(self.store.renew("first", LEASE))
        self.assertEqual(self.claimed(worker="second"), [])

    def test_very_many_due(self) -> None:
        """Those noticed at one claim are bounded; the rest come with the next."""
        self.patch(claiming, "_NOTICED", 3)
        self.submit(*range(8))
        self.claim(8)
        self.wall.time += LEASE
        self.assertEqual([len(self.claimed(10)) for _ in range(4)], [3, 3, 2, 0])


class ClaimOneTests(StoreCase):
    def test_each_state(self) -> None:
        for number, state in enumerate(STATES):
            key = self.in_state(number, state)
            claim = self.get(self.store.claim_one("caller", key, LEASE))
            if state in ("queued", "waiting"):
                self.assertEqual((claim.key, self.state(key)), (key, "fetching"))
                self.assertTrue(self.fetch(number, worker="caller"))
            else:
                self.assertIsNone(claim, state)
                self.assertEqual(self.state(key), state)
        self.assertIsNone(self.get(self.store.claim_one("caller", hash_of(99), LEASE)))

    def test_a_hybrid_by_its_other_infohash(self) -> None:
        v1, v2 = hybrid_hashes(1)
        self.submit(link(v1, v2))
        self.assertEqual(self.get(self.store.claim_one("w", v2, LEASE)).key, v1)


class BackTests(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.submit(1, 2, 3, 4)
        self.claim(2, worker="a")
        self.claim(2, worker="b")

    def test_release_some(self) -> None:
        """Only the worker's own; and as if never claimed."""
        self.wall.time += 10
        self.get(self.store.release("a", iter([hash_of(2), hash_of(3), hash_of(9)])))
        self.assertEqual(
            [self.state(number) for number in (1, 2, 3, 4)], ["fetching", "queued", "fetching", "fetching"]
        )
        [claim] = self.claim(10)
        self.assertEqual((claim.key, claim.attempts, claim.since), (hash_of(2), 0, START))

    def test_release_none_and_all(self) -> None:
        self.get(self.store.release("a", []))
        self.assertEqual(self.get(self.store.counts())["fetching"], 4)
        self.get(self.store.release("a"))
        self.assertEqual(
            [self.state(number) for number in (1, 2, 3, 4)], ["queued", "queued", "fetching", "fetching"]
        )

    def test_release_others(self) -> None:
        self.assertEqual(self.get(self.store.release_others("b")), 2)
        self.assertEqual(self.get(self.store.release_others("b")), 0)
        self.assertEqual(self.claimed(worker="b"), [hash_of(1), hash_of(2)])
        self.assertEqual(self.get(self.store.release_others("new")), 4)
        self.assertEqual(self.get(self.store.counts())["queued"], 4)


class DueTests(StoreCase):
    def test_next_due(self) -> None:
        """The earliest of leases and waiting jobs; queued ones have no time."""
        self.assertIsNone(self.get(self.store.next_due()))
        self.submit(1, 2)
        self.assertIsNone(self.get(self.store.next_due()))
        self.claim(1)
        self.assertEqual(self.get(self.store.next_due()), START + LEASE)
        self.failed(hash_of(1), START + 10)
        self.assertEqual(self.get(self.store.next_due()), START + 10)
        self.wall.time += 11
        self.submit(3, priority=9)
        self.assertEqual(self.claimed(1), [hash_of(3)])
        # Noticed as due, and not claimed: it still is.
        self.assertEqual(self.get(self.store.next_due()), START + 10)
        self.assertEqual(self.state(1), "waiting")

    def test_oldest_queued(self) -> None:
        self.assertIsNone(self.get(self.store.oldest_queued()))
        self.submit(1)
        self.wall.time += 5
        self.submit(2, priority=9)
        self.assertEqual(self.get(self.store.oldest_queued()), START)
        self.get(self.store.cancel(hash_of(1)))
        self.assertEqual(self.get(self.store.oldest_queued()), START + 5)
