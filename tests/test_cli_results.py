"""How outcomes are told, on stdout and stderr, in JSON and in --failed."""

from __future__ import annotations

import json
import os
from typing import Any

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from functorrent.commands.console import Console, LogKeeper
from functorrent.commands.inputs import Inputs
from functorrent.commands.intake import Intake
from functorrent.commands.results import FailedFile, Results, json_line
from functorrent.errors import PEER_OUTCOMES, UsageError
from functorrent.fetch.report import FetchReport
from functorrent.interfaces import TrackerReport
from functorrent.magnet import Magnet
from tests.commands_bed import FakeFolder, FolderTestCase, Screen, infohash, magnet

KEYS = [
    "magnet", "source", "line", "infohash", "infohash_v2", "status", "file", "cached", "name", "size",
    "files", "private", "seconds", "report",
]  # fmt: skip


class FakeSummary:
    name, size, files, private = "a thing", 77, 3, True


class JsonTests(FolderTestCase):
    def test_every_key_is_always_there(self) -> None:
        parsed = Magnet.parse(magnet(1, "&dn=x"))
        lines = [
            json_line("invalid", "nonsense", ("f", 7), report=FetchReport(reason="no")),
            json_line("failed", parsed.text, (None, None), magnet=parsed, seconds=1.0, report=FetchReport()),
            json_line(
                "fetched",
                parsed.text,
                ("f", 1),
                magnet=parsed,
                file="o",
                cached=True,
                summary=FakeSummary(),  # type: ignore[arg-type]
                seconds=0.12345,
                report=FetchReport(trackers=(TrackerReport("udp://t", "ok", 3, 1, 2),)),
            ),
        ]
        for line in lines:
            self.assertNotIn("\n", line)
            self.assertEqual(list(json.loads(line)), KEYS)
            self.assertEqual(list(json.loads(line)["report"]), ["trackers", "peers", "reason", "sources"])
            self.assertEqual(list(json.loads(line)["report"]["peers"]), ["found", *PEER_OUTCOMES])
        invalid, failed, fetched = map(json.loads, lines)
        self.assertEqual(
            [invalid[key] for key in KEYS[:-1]],
            ["nonsense", "f", 7, None, None, "invalid", None, False, *[None] * 5],
        )
        self.assertEqual(
            [failed[key] for key in KEYS[:-1]],
            [parsed.text, None, None, infohash(1).hex(), None, "failed", None, False, "x", *[None] * 3, 1.0],
        )
        self.assertEqual([fetched[key] for key in KEYS[6:-1]], ["o", True, "a thing", 77, 3, True, 0.123])
        self.assertEqual(
            fetched["report"]["trackers"],
            [{"url": "udp://t", "status": "ok", "peers": 3, "seeders": 1, "leechers": 2, "error": None}],
        )

    def test_is_safe_on_a_terminal(self) -> None:
        parsed = Magnet.parse(magnet(1, "&dn=%1b%5b2J%c2%9b%e2%80%ae"))
        line = json_line("failed", "m", (None, None), magnet=parsed, file="\udcff", report=FetchReport())
        self.assertTrue(line.isascii() and line.isprintable())
        self.assertEqual(json.loads(line)["name"], "\x1b[2J\x9b\u202e")
        self.assertEqual(json.loads(line)["file"], "\ufffd")


class ResultsTests(FolderTestCase):
    def test_text(self) -> None:
        screen = Screen()
        results = Results(screen.console, as_json=False, hint=lambda text: " (hint)")
        one, two = Magnet.parse(magnet(1)), Magnet.parse(magnet(2, "&dn=evil%1b%5b2J"))
        results.was_fetched(one, ("f", 1), "out/1", FetchReport(), None)
        results.was_cached(one, ("f", 1), "out/2", None)
        results.has_failed(two, ("f", 2), FetchReport(reason="the tracker said \x1b"))
        results.is_invalid("nonsense", ("f", 3), "not a magnet")
        results.is_invalid("nonsense", ("-", 4), "not a magnet")
        results.is_invalid("nonsense", (None, None), "not a magnet")
        results.is_invalid("nonsense", (None, None), "not a magnet: nonsense")
        self.assertEqual(screen.out, ["out/1", "out/2"])
        self.assertEqual(
            screen.err,
            [
                f"{infohash(2).hex()} (evil\\x1b[2J): the tracker said \\x1b",
                "f:3: not a magnet",
                "stdin:4: not a magnet",
                "nonsense: not a magnet (hint)",
                "functorrent: not a magnet: nonsense (hint)",
            ],
        )
        self.assertEqual(
            results.summary(0.1),
            "2 fetched (1 of them there before), 1 failed, 4 not valid in 0.1 s (10 a second)",
        )

    def test_after_ctrl_c_failures_are_counted_only(self) -> None:
        screen = Screen()
        results = Results(screen.console, as_json=True)
        results.interrupted = True
        results.has_failed(Magnet.parse(magnet(1)), (None, None), FetchReport(reason="interrupted"))
        self.assertEqual((results.unfinished, screen.err, len(screen.out)), (1, [], 1))
        self.assertEqual(results.summary(0.0), "0 fetched, 0 failed, 1 not finished in 0.0 s")

    def test_the_torrent_on_stdout_has_no_path(self) -> None:
        screen = Screen()
        Results(screen.console, as_json=False).was_fetched(
            Magnet.parse(magnet(1)), (None, None), "-", FetchReport(), None
        )
        self.assertEqual(screen.out, [])


class FailedFileTests(FolderTestCase):
    def test_may_be_the_file_that_is_read(self) -> None:
        path = os.path.join(self.folder(), "magnets.txt")
        with open(path, "w") as file:
            file.write("old\n")
        failed_file = FailedFile(path)
        results = Results(Screen().console, as_json=False, failed_file=failed_file)
        results.has_failed(Magnet.parse(magnet(1)), (None, None), FetchReport(reason="x"))
        results.is_invalid("nonsense", (None, None), "x")
        with open(path) as file:
            self.assertEqual(file.read(), "old\n")
        failed_file.finish()
        with open(path) as file:
            self.assertEqual(file.read(), magnet(1) + "\n")
        self.assertEqual(os.listdir(os.path.dirname(path)), ["magnets.txt"])

    def test_discard_leaves_nothing(self) -> None:
        folder = self.folder()
        FailedFile(os.path.join(folder, "f")).discard()
        self.assertEqual(os.listdir(folder), [])

    def test_not_writable_is_said_at_once(self) -> None:
        self.assertRaises(UsageError, FailedFile, os.path.join(self.folder(), "none", "f"))
        self.assertRaises(UsageError, FailedFile, self.folder())

    def test_what_is_no_file_is_written_directly(self) -> None:
        failed_file = FailedFile("/dev/null")
        failed_file.add("x")
        failed_file.finish()
        self.assertFalse(os.path.isfile("/dev/null"))


class IntakeTests(FolderTestCase):
    def intake(self, lines: list[str], there: tuple[int, ...] = (), as_json: bool = False) -> Intake:
        self.screen = Screen()
        self.results = Results(self.screen.console, as_json=as_json)
        summary: Any = FakeSummary()
        return Intake(Inputs(lines, [], 200), self.results, FakeFolder(there), lambda path: summary, 200)

    def test_gives_out_each_infohash_once(self) -> None:
        again: list[Magnet] = []
        intake = self.intake([magnet(1), magnet(2), magnet(1, "&tr=udp://t:1"), infohash(2).hex(), magnet(3)])
        intake.again = again.append
        given = []
        while (found := intake.next()) is not None:
            given.append(found[0].infohash)
            self.assertEqual(found[1], (None, None))
        self.assertEqual(given, [infohash(1), infohash(2), infohash(3)])
        self.assertEqual([m.text for m in again], [magnet(1, "&tr=udp://t:1"), infohash(2).hex()])
        self.assertTrue(intake.ended)

    def test_bad_lines_fail_alone(self) -> None:
        intake = self.intake(["nonsense", "y" * 201, "magnet:?dn=x", magnet(1)])
        found = intake.next()
        self.assertEqual(found and found[0].infohash, infohash(1))
        self.assertEqual(self.results.invalid, 3)
        self.assertEqual(len(self.screen.err), 3)

    def test_what_is_there_is_not_fetched(self) -> None:
        intake = self.intake([magnet(1), magnet(1), magnet(2)], there=(1,), as_json=True)
        found = intake.next()
        self.assertEqual(found and found[0].infohash, infohash(2))
        self.assertEqual((self.results.fetched, self.results.cached), (1, 1))
        [line] = map(json.loads, self.screen.out)
        self.assertEqual((line["cached"], line["status"], line["size"]), (True, "fetched", 77))

    def test_a_pure_v2_magnet_is_given_out(self) -> None:
        text = "magnet:?xt=urn:btmh:1220" + "ab" * 32
        found = self.intake([text, text]).next()
        self.assertEqual(found and found[0].infohash_v2, b"\xab" * 32)

    def test_many_lines_that_need_nothing_leave_the_reactor_its_turn(self) -> None:
        intake = self.intake([magnet(1)] * 1200)
        self.assertIsNotNone(intake.next())
        self.assertIsNone(intake.next())
        self.assertTrue(intake.busy)
        self.assertFalse(intake.ended)
        intake.next()
        self.assertIsNone(intake.next())
        self.assertFalse(intake.busy)
        self.assertTrue(intake.ended)


class ConsoleTests(FolderTestCase):
    def test_results_are_held_for_a_moment(self) -> None:
        from twisted.internet.task import Clock

        written: list[bytes] = []
        console = Console(written.append, written.append)
        console.clock = clock = Clock()
        console.result("one")
        console.result("two")
        self.assertEqual(written, [])
        clock.advance(0.2)
        self.assertEqual(written, [b"one\ntwo\n"])
        console.result("x" * 40_000)
        self.assertEqual(len(written), 2)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_a_terminal_sees_them_at_once_behind_the_cleared_bar(self) -> None:
        written: list[bytes] = []
        console = Console(written.append, written.append, immediate=True)
        console.clear = lambda: written.append(b"clear")
        console.result("one")
        console.say("two")
        self.assertEqual(written, [b"clear", b"one\n", b"clear", b"two\n"])

    def test_stdout_that_is_gone_is_told_once(self) -> None:
        def broken(data: bytes) -> None:
            raise BrokenPipeError

        told: list[OSError] = []
        console = Console(broken, broken, immediate=True, failed=told.append)
        console.result("one")
        console.result("two")
        console.say("three")
        self.assertEqual(len(told), 1)


class LogKeeperTests(SynchronousTestCase):
    def test_whose_fault_it_was(self) -> None:
        keeper = LogKeeper(lambda line: None, debug=False)
        failure = Failure(ValueError("no\nway"))
        keeper({"log_format": "something broke", "log_failure": failure})
        keeper({"log_format": "the source {name!r} failed", "name": "dht", "log_failure": failure})
        keeper({"log_format": "nothing is wrong"})
        self.assertEqual(
            keeper.errors,
            [
                "internal error (ValueError: no); please report it (FUNCTORRENT_DEBUG=1 shows where)",
                "the source 'dht' failed (ValueError: no); FUNCTORRENT_DEBUG=1 shows where",
            ],
        )
