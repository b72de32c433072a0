"""The last hour by minute."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.daemon.minutes import MINUTES, Minutes
from tests.daemon.fakes import Wall


class MinutesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        # 30 s into a minute.
        self.wall = Wall(self.clock, 1_700_000_010.0)
        self.assertEqual(self.wall.start % 60, 30)
        self.minutes = Minutes(self.wall)

    def test_an_hour_of_nothing(self) -> None:
        told = self.minutes.told()
        self.assertEqual(len(told), 60)
        self.assertEqual(
            told[-1], {"at": "2023-11-14T22:13:00.000Z", "fetched": 0, "failed": 0, "gave_up": 0}
        )
        self.assertEqual(told[0]["at"], "2023-11-14T21:14:00.000Z")
        self.assertEqual(self.minutes.since(), 1_700_000_010.0 - 30 - 59 * 60)

    def test_what_ends_counts_in_its_minute(self) -> None:
        for outcome in ("fetched", "fetched", "failed", "gave_up", "interrupted", "cancelled", "nonsense"):
            self.minutes.add(outcome)
        self.clock.advance(30)
        self.minutes.add("fetched")
        *_, before, running = self.minutes.told()
        self.assertEqual((before["fetched"], before["failed"], before["gave_up"]), (2, 1, 1))
        self.assertEqual((running["fetched"], running["failed"]), (1, 0))

    def test_earlier_runs(self) -> None:
        now = 1_700_000_010.0 - 30
        self.minutes.seed([(now - 59 * 60, 7), (now - 60, 3), (now, 2)])
        self.minutes.add("fetched")
        told = [each["fetched"] for each in self.minutes.told()]
        self.assertEqual((told[0], told[-2], told[-1], sum(told)), (7, 3, 3, 13))

    def test_old_minutes_are_forgotten(self) -> None:
        for _ in range(5 * MINUTES):
            self.minutes.add("fetched")
            self.clock.advance(60)
        self.assertLessEqual(len(self.minutes._counts), MINUTES + 1)
        self.assertEqual(sum(each["fetched"] for each in self.minutes.told()), 59)

    def test_a_clock_that_is_set_back(self) -> None:
        self.minutes.add("fetched")
        self.wall.start -= 30 * 86_400
        self.minutes.add("failed")
        self.assertEqual(self.minutes.told()[-1]["failed"], 1)
        self.assertEqual(sum(each["fetched"] for each in self.minutes.told()), 0)
        self.assertEqual(len(self.minutes._counts), 1)
