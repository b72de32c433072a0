"""One run of the command, with a fetcher whose fetches end when the test says so."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from functorrent.commands.inputs import Inputs
from functorrent.commands.intake import Intake
from functorrent.commands.results import Results
from functorrent.commands.run import PATIENCE, Run
from functorrent.errors import UnsupportedMagnet, UsageError
from tests.commands_bed import (
    FakeFetcher,
    FakeFolder,
    FolderTestCase,
    Screen,
    failed,
    infohash,
    magnet,
)


def fail_with(error: Exception) -> Any:
    raise error


class RunTests(FolderTestCase):
    def begin(self, *lines: str, jobs: int = 2, as_json: bool = False, **kept: Any) -> None:
        self.clock = Clock()
        self.screen = Screen()
        self.results = Results(self.screen.console, as_json=as_json)
        self.folder_ = FakeFolder(**kept)
        self.inputs = Inputs(list(lines), [], 200)
        self.intake = Intake(self.inputs, self.results, self.folder_, lambda path: None, 200)
        self.made = 0
        self.fetcher = FakeFetcher(self.clock)
        self.run_ = Run(self.clock, self.intake, self.folder_, self.results, self.make, jobs)
        self.done = self.run_.start()

    def make(self) -> FakeFetcher:
        self.made += 1
        return self.fetcher

    def start(self) -> None:
        self.fetcher.starting.callback(None)

    def test_to_the_end(self) -> None:
        self.begin(magnet(1), magnet(2), magnet(3))
        self.assertEqual(self.fetcher.order, [])
        self.start()
        self.assertEqual(self.fetcher.order, [infohash(1), infohash(2)])
        self.assertEqual(self.run_.in_flight, 2)
        self.fetcher.succeed(2)
        self.assertEqual(self.fetcher.order, [infohash(n) for n in (1, 2, 3)])
        self.fetcher.fail(1, failed("nobody has it"))
        self.assertNoResult(self.done)
        self.fetcher.succeed(3)
        self.successResultOf(self.done)
        self.assertEqual(self.screen.out, [f"out/{infohash(n).hex()}.torrent" for n in (2, 3)])
        self.assertEqual(self.screen.err, [f"{infohash(1).hex()}: nobody has it"])
        self.assertEqual((self.results.fetched, self.results.failed), (2, 1))
        self.assertEqual((self.made, self.fetcher.stopped), (1, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_fetcher_where_everything_is_there(self) -> None:
        self.begin(magnet(1), magnet(2), "nonsense", there=(1, 2))
        self.successResultOf(self.done)
        self.assertEqual((self.made, self.results.cached, self.results.invalid), (0, 2, 1))

    def test_a_fetcher_that_cannot_be_made(self) -> None:
        """A file that an option names is not there: it is said, and nothing waits for ever."""
        self.patch(RunTests, "make", lambda _: fail_with(UsageError("--extra-trackers x: no such file")))
        self.begin(magnet(1))
        self.successResultOf(self.done)
        self.assertEqual(self.run_.fatal, "--extra-trackers x: no such file")

    def test_json_has_the_summary(self) -> None:
        self.begin(magnet(1), as_json=True)
        self.start()
        self.fetcher.succeed(1, name="a b")
        [line] = map(json.loads, self.screen.out)
        self.assertEqual((line["name"], line["size"], line["seconds"]), ("a b", 5, 1.5))

    def test_a_duplicate_joins(self) -> None:
        self.begin(magnet(1), magnet(1, "&tr=udp://t:1"), magnet(2))
        self.start()
        self.assertEqual([m.trackers for m in self.fetcher.joined], [(("udp://t:1",),)])
        self.assertEqual(self.fetcher.order, [infohash(1), infohash(2)])

    def test_each_kind_of_failure_has_words(self) -> None:
        self.begin(magnet(1), magnet(2), magnet(3))
        self.start()
        self.fetcher.fail(1, UnsupportedMagnet("v2 only: not yet"))
        self.fetcher.fail(2, ZeroDivisionError("oops"))
        self.fetcher.fail(3, CancelledError())
        self.successResultOf(self.done)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(
            [line.partition(": ")[2] for line in self.screen.err],
            ["v2 only: not yet", "internal error (ZeroDivisionError: oops)", "interrupted"],
        )

    def test_a_full_disk_fails_that_magnet(self) -> None:
        self.begin(magnet(1), full=True, as_json=True)
        self.start()
        self.fetcher.succeed(1)
        self.successResultOf(self.done)
        [line] = map(json.loads, self.screen.out)
        self.assertEqual((line["status"], line["file"]), ("failed", None))
        self.assertEqual(line["report"]["reason"], "out: no space left on device")

    def test_a_fetcher_that_cannot_start(self) -> None:
        self.begin(magnet(1))
        self.fetcher.starting.errback(UsageError("--listen tcp:1: permission denied"))
        self.successResultOf(self.done)
        self.assertEqual(self.run_.fatal, "--listen tcp:1: permission denied")
        self.assertEqual(self.fetcher.stopped, 1)

    def test_an_interrupt_ends_what_is_in_flight(self) -> None:
        self.begin(magnet(1), magnet(2), magnet(3))
        self.start()
        self.run_.interrupt()
        self.successResultOf(self.done)
        self.assertEqual((self.results.unfinished, self.screen.err), (2, []))
        self.assertEqual(self.fetcher.order, [infohash(1), infohash(2)])
        self.clock.advance(PATIENCE)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_interrupt_before_the_fetcher_runs(self) -> None:
        self.begin(magnet(1))
        self.run_.interrupt()
        self.successResultOf(self.done)
        self.start()
        self.assertEqual(self.fetcher.order, [])

    def test_an_interrupt_does_not_wait_for_what_does_not_end(self) -> None:
        self.begin(magnet(1))
        self.start()
        self.fetcher.fetches[infohash(1)]._canceller = lambda deferred: None
        self.fetcher.fetches[infohash(1)].pause()
        self.fetcher.stopping = Deferred()
        self.run_.interrupt()
        self.clock.advance(PATIENCE)
        self.assertNoResult(self.done)
        self.clock.advance(PATIENCE)
        self.successResultOf(self.done)

    def test_lines_that_need_no_fetch_at_the_end(self) -> None:
        """More of them than are read in one turn of the reactor, and then the end."""
        self.begin(magnet(1), *[magnet(1)] * 1200)
        self.start()
        self.fetcher.succeed(1)
        self.assertNoResult(self.done)
        self.clock.pump([0.001] * 10)
        self.successResultOf(self.done)

    def test_a_stream_that_ends_without_a_further_magnet(self) -> None:
        self.begin(magnet(1))
        self.inputs._sources.append(stream := FakeStream())  # type: ignore[arg-type]
        self.start()
        self.fetcher.succeed(1)
        self.assertNoResult(self.done)
        stream.waiting = False
        self.run_.wake()
        self.successResultOf(self.done)


class FakeStream:
    name = "-"
    waiting = True

    def next(self) -> None:
        return None

    def close(self) -> None:
        self.waiting = False
