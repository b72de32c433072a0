"""When a failed magnet is tried again."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from functorrent.daemon import retry
from functorrent.daemon.retry import delay_after, next_attempt

WEEK = 7 * 86_400.0


class RetryTests(SynchronousTestCase):
    def chance(self, share: float) -> None:
        """Chance says this share of its range from now on."""
        self.patch(retry, "randbelow", lambda steps: int(share * (steps - 1)))

    def test_the_steps(self) -> None:
        self.chance(0.5)
        waited = [round(delay_after(tries)) for tries in range(1, 9)]
        self.assertEqual(waited, [60, 300, 1800, 7200, 21_600, 86_400, 86_400, 86_400])

    def test_a_tenth_more_or_less(self) -> None:
        for share, seconds in ((0.0, 54), (1.0, 66)):
            self.chance(share)
            self.assertEqual(round(delay_after(1), 6), seconds)

    def test_chance_is_used(self) -> None:
        found = {delay_after(1) for _ in range(50)}
        self.assertGreater(len(found), 40)
        self.assertTrue(all(54 <= seconds <= 66 for seconds in found))

    def test_until_it_is_given_up(self) -> None:
        self.chance(0.5)
        self.assertEqual(next_attempt(1, 1000.0, 1000.0, WEEK), 1060.0)
        self.assertEqual(next_attempt(9, 1000.0, 1000.0 + WEEK - 86_400, WEEK), 1000.0 + WEEK)
        self.assertIsNone(next_attempt(9, 1000.0, 1001.0 + WEEK - 86_400, WEEK))

    def test_a_job_lives_a_week_and_some_eleven_tries(self) -> None:
        self.chance(0.5)
        now: float | None = 0.0
        tries = 0
        while now is not None:
            tries += 1
            now = next_attempt(tries, 0.0, now, WEEK)
        self.assertEqual(tries, 12)
