"""The daemon's feed: submissions in, magnets out, outcomes back."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from functorrent.daemon.feed import Feed, GivenMagnets
from functorrent.lines import Line
from functorrent.magnet import Magnet
from tests.commands_bed import FakeFolder, failed, infohash, magnet, metadata


class FakeSubmission:
    """A submission of lines in memory; OSError where a line is None."""

    def __init__(self, *texts: str | None, name: str = "file") -> None:
        self.name = name
        self.lines = [None if text is None else Line(n, text) for n, text in enumerate(texts, 1)]
        self.told: list[tuple[object, ...]] = []

    def next(self) -> Line | None:
        if not self.lines:
            return None
        line = self.lines.pop(0)
        if line is None:
            self.lines.clear()
            raise OSError(5, "Input/output error")
        return line

    def failed(self, line: Line, reason: str) -> None:
        self.told.append((line.number, reason))

    def unreadable(self, reason: str) -> None:
        self.told.append(("unreadable", reason))

    def ended(self) -> None:
        self.told.append(("ended",))

    def close(self) -> None:
        self.told.append(("closed",))


class FeedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.folder = FakeFolder(there=(9,))
        self.feed = Feed(self.clock, self.folder, 1000)
        self.woken = 0
        self.joined: list[Magnet] = []
        self.feed.join = self.joined.append
        self.feed.wake = self.wake

    def wake(self) -> None:
        self.woken += 1

    def pull(self) -> list[bytes]:
        keys = []
        while (found := self.feed.pull()) is not None:
            keys.append(found[1])
        return keys

    def end(self, number: int, reason: str | None = None) -> None:
        result = Failure(failed(reason)) if reason is not None else metadata(number)
        self.feed.finished(infohash(number), Magnet.parse(magnet(number)), result)

    def test_a_submission_ends_when_its_last_line_has(self) -> None:
        submission = FakeSubmission(magnet(1), magnet(2), magnet(9))
        self.feed.submit(submission)
        self.assertEqual(self.woken, 1)
        self.assertEqual(self.pull(), [infohash(1), infohash(2)])
        self.end(2)
        self.assertEqual(submission.told, [])
        self.end(1, "nobody has it")
        self.assertEqual(submission.told, [(1, "nobody has it"), ("ended",)])
        self.assertEqual([written[0] for written in self.folder.written], [infohash(2)])

    def test_lines_that_end_before_the_rest_is_read(self) -> None:
        submission = FakeSubmission(magnet(1), magnet(2))
        self.feed.submit(submission)
        self.feed.pull()
        self.end(1)
        self.assertEqual(submission.told, [])
        self.pull()
        self.end(2)
        self.assertEqual(submission.told, [("ended",)])

    def test_an_empty_one_ends_at_once(self) -> None:
        submission = FakeSubmission()
        self.feed.submit(submission)
        self.pull()
        self.assertEqual(submission.told, [("ended",)])

    def test_bad_lines_fail_alone(self) -> None:
        submission = FakeSubmission("nonsense", magnet(1))
        submission.lines.append(Line(3, "x" * 80, True))
        self.feed.submit(submission)
        self.assertEqual(self.pull(), [infohash(1)])
        self.assertEqual([told[0] for told in submission.told], [1, 3])

    def test_equal_magnets_wait_for_one_fetch(self) -> None:
        first = FakeSubmission(magnet(1), magnet(1, "&tr=udp://t:1"), name="first")
        second = FakeSubmission(infohash(1).hex(), name="second")
        self.feed.submit(first)
        self.feed.submit(second)
        self.assertEqual(self.pull(), [infohash(1)])
        self.assertEqual(len(self.joined), 2)
        self.end(1, "no")
        self.assertEqual(first.told, [(1, "no"), ("ended",)])
        self.assertEqual(second.told, [(1, "no"), ("ended",)])
        # A failed one is fetched anew when it is given again.
        self.feed.submit(FakeSubmission(magnet(1)))
        self.assertEqual(self.pull(), [infohash(1)])

    def test_a_file_that_cannot_be_read_on(self) -> None:
        submission = FakeSubmission(magnet(1), None)
        self.feed.submit(submission)
        self.pull()
        self.assertEqual(submission.told, [("unreadable", "Input/output error")])
        self.end(1)
        self.assertEqual(submission.told[1:], [("ended",)])

    def test_what_cannot_be_written_has_failed(self) -> None:
        self.folder.full = True
        submission = FakeSubmission(magnet(1))
        self.feed.submit(submission)
        self.pull()
        self.end(1)
        self.assertEqual(submission.told, [(1, "out: no space left on device"), ("ended",)])

    def test_a_bug_in_a_fetch_is_logged_and_ends_that_magnet_only(self) -> None:
        submission = FakeSubmission(magnet(1))
        self.feed.submit(submission)
        self.pull()
        self.feed.finished(infohash(1), Magnet.parse(magnet(1)), Failure(ZeroDivisionError("x")))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn("ZeroDivisionError", str(submission.told[0][1]))
        self.assertEqual(submission.told[1:], [("ended",)])

    def test_a_stop_reports_nothing(self) -> None:
        submission = FakeSubmission(magnet(1), magnet(2))
        self.feed.submit(submission)
        self.feed.pull()
        self.feed.close()
        self.feed.finished(infohash(1), Magnet.parse(magnet(1)), Failure(CancelledError()))
        self.assertEqual(submission.told, [("closed",)])
        self.assertIsNone(self.feed.pull())

    def test_many_lines_that_need_nothing_leave_the_reactor_its_turn(self) -> None:
        self.feed.submit(FakeSubmission(*[magnet(9)] * 1200))
        for _ in range(2):
            self.assertIsNone(self.feed.pull())
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
            self.woken = 0
            self.clock.advance(0)
            self.assertEqual(self.woken, 1)
        self.assertIsNone(self.feed.pull())
        self.assertEqual((self.clock.getDelayedCalls(), self.feed._open), ([], {}))

    def test_a_stop_in_the_middle_of_them(self) -> None:
        self.feed.submit(FakeSubmission(*[magnet(9)] * 1200))
        self.feed.pull()
        self.feed.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_given_magnets(self) -> None:
        self.feed.submit(GivenMagnets([magnet(1), magnet(2)]))
        self.assertEqual(self.pull(), [infohash(1), infohash(2)])
        self.end(1)
        self.end(2, "no")
        self.assertEqual(self.feed._open, {})
