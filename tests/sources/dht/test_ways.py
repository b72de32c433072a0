"""Whether a family leads anywhere."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from functorrent.sources.dht.ways import Ways


class WaysTests(SynchronousTestCase):
    def test_open_until_the_contrary_is_seen(self) -> None:
        ways = Ways()
        for v6 in (False, True):
            ways.refused(v6, 0.0)
            ways.refused(v6, 0.0)
            self.assertTrue(ways.open(v6, 0.0))

    def test_closed_when_nothing_can_be_sent(self) -> None:
        ways = Ways()
        for _ in range(3):
            ways.refused(True, 5.0)
        self.assertFalse(ways.open(True, 5.0))
        self.assertTrue(ways.open(False, 5.0))
        # Tried again in a while; once refused it is closed for as long.
        self.assertTrue(ways.open(True, 15.0))
        ways.refused(True, 15.0)
        self.assertFalse(ways.open(True, 16.0))
        ways.sent(True)
        self.assertTrue(ways.open(True, 16.0))

    def test_closed_when_only_the_other_is_answered(self) -> None:
        ways = Ways()
        for _ in range(40):
            ways.lost(True, 5.0)
        # With no answers at all, those that we know may all be dead.
        self.assertTrue(ways.open(True, 5.0))
        ways.answered(False, 6.0)
        self.assertFalse(ways.open(True, 6.0))
        self.assertTrue(ways.open(True, 66.0))
        ways.answered(True, 66.0)
        self.assertTrue(ways.open(True, 66.0))

    def test_one_answer_of_many_keeps_it_open(self) -> None:
        ways = Ways()
        ways.answered(False, 0.0)
        for number in range(200):
            ways.lost(True, 0.0)
            if number % 30 == 0:
                ways.answered(True, 0.0)
            self.assertTrue(ways.open(True, 0.0))
