"""The progress line of a terminal."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.progress import Progress, Rate, Snapshot, batch_line, is_wanted, single_line, stage


class LineTests(SynchronousTestCase):
    def test_many(self) -> None:
        now = Snapshot(1200, 3, 40, 5000, 123.4, 0.5)
        self.assertEqual(
            batch_line(now, 120),
            "[##########..........]  50 %  1,200 fetched  3 failed  40 in flight  123/s  5,000 peers tried",
        )
        self.assertEqual(
            batch_line(now._replace(fraction=None, rate=0.25), 120),
            "1,200 fetched  3 failed  40 in flight  0.2/s  5,000 peers tried",
        )

    def test_never_wider_than_the_terminal(self) -> None:
        for width in range(120):
            self.assertLessEqual(len(batch_line(Snapshot(10**9, 10**9, 200, 10**9, 1e9, 2.0), width)), width)
            self.assertLessEqual(len(single_line(stage(3, 1, 0, 0), 1.0, width)), width)

    def test_what_fits_not_is_left_out(self) -> None:
        self.assertEqual(batch_line(Snapshot(1, 2, 3, 4, 5.0, 0.07), 30), "  7 %  1 fetched  2 failed")

    def test_a_fraction_beyond_its_bounds(self) -> None:
        self.assertIn("] 100 %", batch_line(Snapshot(0, 0, 0, 0, 0.0, 1.5), 100))
        self.assertIn("]   0 %", batch_line(Snapshot(0, 0, 0, 0, 0.0, -0.5), 100))

    def test_one_magnet_in_words(self) -> None:
        self.assertEqual(stage(0, 0, 0, 0), "looking for peers")
        self.assertEqual(stage(1, 0, 0, 0), "1 peer found, 0 tried")
        self.assertEqual(stage(12, 5, 2, 0), "12 peers found, 5 tried, 2 connected")
        self.assertEqual(stage(1, 2, 2, 0), "1 peer found, 1 tried, 1 connected")
        self.assertEqual(stage(12, 5, 2, 7), "receiving from 2 peers")
        self.assertEqual(single_line("looking for peers", 3.2, 80), "looking for peers  3 s")


class RateTests(SynchronousTestCase):
    def test_is_of_the_last_seconds(self) -> None:
        rate = Rate()
        self.assertEqual(rate.update(0.0, 0), 0.0)
        self.assertEqual(rate.update(1.0, 10), 10.0)
        for second in range(2, 20):
            last = rate.update(second, 10)
        self.assertEqual(last, 0.0)
        self.assertLess(len(rate._points), 10)


class ProgressTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.written: list[bytes] = []
        self.line = "one"
        self.progress = Progress(self.clock, self.written.append, lambda width: self.line[:width], lambda: 80)

    def test_draws_at_most_ten_times_a_second_and_only_changes(self) -> None:
        self.progress.start()
        self.clock.pump([0.01] * 100)
        self.assertEqual(self.written, [b"\rone\x1b[K"])
        for number in range(100):
            self.line = str(number)
            self.clock.advance(0.01)
        self.assertLessEqual(len(self.written), 12)

    def test_clears_itself(self) -> None:
        self.progress.start()
        self.clock.advance(0.1)
        self.progress.clear()
        self.progress.clear()
        self.assertEqual(self.written[1:], [b"\r\x1b[K"])
        self.clock.advance(0.1)
        self.assertEqual(self.written[2:], [b"\rone\x1b[K"])
        self.progress.stop()
        self.assertEqual(self.written[3:], [b"\r\x1b[K"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_leaves_the_last_column_free(self) -> None:
        self.line = "x" * 200
        self.progress.start()
        self.clock.advance(0.1)
        self.assertEqual(len(self.written[0]), 1 + 79 + 3)

    def test_a_terminal_that_is_gone(self) -> None:
        def gone(data: bytes) -> None:
            raise OSError

        progress = Progress(self.clock, gone, lambda width: "x", lambda: 80)
        progress.start()
        self.clock.advance(0.1)
        progress.stop()

    def test_is_for_terminals_only(self) -> None:
        with open("/dev/null") as null:
            self.assertFalse(is_wanted(null.fileno(), {"TERM": "xterm"}))
