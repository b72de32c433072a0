"""The daemon's log."""

from __future__ import annotations

import io
import json
import os
import stat
from pathlib import Path
from typing import Any

from twisted.application.service import Application, IService
from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure

from functorrent.daemon import logs
from functorrent.daemon.logs import LogFile, LoggedService, LogPlan, event_as_json, log_ended, observer, plan
from functorrent.errors import UsageError
from functorrent.fetch.report import FetchReport
from functorrent.magnet import Magnet
from functorrent.store.jobs import Claim
from tests.commands_bed import FolderTestCase

CLAIM = Claim(b"k" * 20, Magnet.parse("6b" * 20), 0, 2, 0.0)


class LogFileTests(FolderTestCase):
    def setUp(self) -> None:
        self.path = os.path.join(self.folder(), "x.log")

    def mode(self) -> int:
        return stat.S_IMODE(os.stat(self.path).st_mode)

    def test_it_is_appended_to(self) -> None:
        Path(self.path).write_text("before\n")
        log = LogFile(self.path)
        self.addCleanup(log.close)
        log.write("now \ud800\n")
        log.flush()
        self.assertEqual(Path(self.path).read_text(), "before\nnow \\ud800\n")

    def test_it_is_opened_again_after_a_rename(self) -> None:
        log = LogFile(self.path)
        self.addCleanup(log.close)
        os.chmod(self.path, 0o644)
        log.write("one\n")
        os.rename(self.path, self.path + ".1")
        log.write("two\n")
        before = os.umask(0o077)
        try:
            log.reopen()
        finally:
            os.umask(before)
        log.write("three\n")
        self.assertEqual(Path(self.path + ".1").read_text(), "one\ntwo\n")
        self.assertEqual(Path(self.path).read_text(), "three\n")
        self.assertEqual(self.mode(), 0o644, "who could read the old one can read the new one")

    def test_the_mode_that_logrotate_gave_stays(self) -> None:
        log = LogFile(self.path)
        self.addCleanup(log.close)
        os.rename(self.path, self.path + ".1")
        os.close(os.open(self.path, os.O_CREAT, 0o600))
        log.reopen()
        self.assertEqual(self.mode(), 0o600)

    def test_one_that_cannot_be_opened_again_goes_on(self) -> None:
        log = LogFile(self.path)
        self.addCleanup(log.close)
        os.rename(self.path, self.path + ".1")
        os.mkdir(self.path)
        self.assertRaises(OSError, log.reopen)
        log.write("still here\n")
        self.assertEqual(Path(self.path + ".1").read_text(), "still here\n")

    def test_a_relative_path_outlives_a_change_of_folder(self) -> None:
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir(os.path.dirname(self.path))
        log = LogFile("x.log")
        self.addCleanup(log.close)
        os.chdir("/")
        os.unlink(self.path)
        log.reopen()
        log.write("x")
        self.assertEqual(Path(self.path).read_text(), "x")

    def test_a_full_disk_ends_nothing(self) -> None:
        if not os.path.exists("/dev/full"):
            return
        log = LogFile("/dev/full")
        self.addCleanup(log.close)
        log.write("x" * 100_000)


class FormatTests(FolderTestCase):
    def logged(self, format: str = "json", **how: Any) -> tuple[Logger, io.StringIO]:
        out = io.StringIO()
        return Logger("some.where", observer=LogPublisher(observer(format, out))), out

    def test_json(self) -> None:
        log, out = self.logged()
        fields = {"number": 3, "ratio": float("nan"), "none": None, "thing": object(), "flag": True}
        log.warn("{name} was\n{what}", name="\u202egro\x1b", what="bad", **fields)
        text = out.getvalue()
        self.assertTrue(text.endswith("}\n"))
        self.assertEqual(text.count("\n"), 1)
        self.assertTrue(text[:-1].isascii() and text[:-1].isprintable())
        line = json.loads(text)
        self.assertEqual(list(line)[:4], ["time", "level", "namespace", "message"])
        self.assertRegex(line.pop("time"), r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(
            line,
            {
                "level": "warn",
                "namespace": "some.where",
                "message": "\u202egro\x1b was\nbad",
                "name": "\u202egro\x1b",
                "what": "bad",
                "number": 3,
                "ratio": None,
                "none": None,
                "flag": True,
            },
        )

    def test_json_of_a_failure(self) -> None:
        log, out = self.logged()
        try:
            raise ValueError("what")
        except ValueError:
            log.failure("it broke", Failure())
        line = json.loads(out.getvalue())
        self.assertEqual((line["level"], line["message"]), ("critical", "it broke"))
        self.assertIn("ValueError: what", line["traceback"])
        self.assertNotIn("failure", line)

    def test_fields_are_bounded_and_cannot_stand_for_ours(self) -> None:
        event = {f"field{number}": number for number in range(1000)}
        line = json.loads(event_as_json({"level": "x", "log_time": 0.0, "log_level": LogLevel.info, **event}))
        self.assertEqual(line["level"], "info")
        self.assertLess(len(line), 50)

    def test_text_is_twistd_s(self) -> None:
        log, out = self.logged("text")
        log.info("{a}\n{b}", a=1, b=2)
        self.assertRegex(out.getvalue(), r"^20\S+ \[some\.where#info\] 1\n\t2\n$")

    def test_a_magnet_s_end(self) -> None:
        events: list[Any] = []
        self.patch(logs, "_ended", Logger("metafetch.magnet", observer=LogPublisher(events.append)))
        reason = "the tracker failed: no such key\x1b at http://t.example/announce?passkey=0123456789abcdef."
        log_ended(CLAIM, "failed", 1.23456, FetchReport(reason=reason), "\u202ename" + "x" * 1000)
        log_ended(CLAIM, "fetched", 2, FetchReport(), "good")
        log_ended(CLAIM, "interrupted", 0.5, None, None)
        failed, fetched, interrupted = (json.loads(event_as_json(event)) for event in events)
        self.assertNotIn("0123456789abcdef", json.dumps(failed))
        self.assertIn("http://t.example/announce?passkey=***", failed["reason"])
        self.assertIn("key\\x1b at", failed["reason"])
        self.assertTrue(failed["name"].startswith("\\u202ename"))
        self.assertLess(len(failed["name"]), 250)
        self.assertEqual(
            (failed["infohash"], failed["outcome"], failed["seconds"], failed["attempts"]),
            ("6b" * 20, "failed", 1.235, 3),
        )
        self.assertEqual(fetched["message"], f"{'6b' * 20} fetched after 2 s (good)")
        self.assertEqual(interrupted["message"], f"{'6b' * 20} put back after 0.5 s")
        self.assertIn(" failed after 1.235 s (", failed["message"])
        self.assertIn("), and is tried again later: the tracker failed: ", failed["message"])
        self.assertEqual((interrupted["name"], interrupted["reason"]), (None, None))
        named = Claim(b"k" * 20, Magnet.parse(f"magnet:?xt=urn:btih:{'6b' * 20}&dn=what+it+says"), 0, 0, 0.0)
        log_ended(named, "gave_up", 1, FetchReport(reason="no peers"), None)
        self.assertEqual(
            json.loads(event_as_json(events[-1]))["message"],
            f"{'6b' * 20} given up after 1 s (what it says): no peers",
        )
        self.assertEqual(list(fetched)[4:], ["infohash", "outcome", "seconds", "name", "reason", "attempts"])


class PlanTests(FolderTestCase):
    def server(self, **options: Any) -> dict[str, Any]:
        return {"nodaemon": True, "logfile": None, "syslog": False, "logger": None, **options}

    def test_standard_output(self) -> None:
        self.assertEqual(plan("text", self.server(), io.StringIO()), LogPlan())
        self.assertEqual(plan("text", self.server(logfile="-"), io.StringIO()), LogPlan())
        out = io.StringIO()
        made = plan("json", self.server(), out)
        self.assertIsNone(made.file)
        Logger("a", observer=LogPublisher(made.observer)).info("hello")
        self.assertEqual(json.loads(out.getvalue())["message"], "hello")

    def test_a_terminal(self) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        self.assertTrue(plan("text", self.server(), Terminal()).terminal)
        path = os.path.join(self.folder(), "x.log")
        self.assertFalse(self.closed(plan("text", self.server(logfile=path), Terminal())).terminal)

    def closed(self, made: LogPlan) -> LogPlan:
        if made.file is not None:
            self.addCleanup(made.file.close)
        return made

    def test_a_file(self) -> None:
        for format in ("text", "json"):
            path = os.path.join(self.folder(), "x.log")
            made = self.closed(plan(format, self.server(logfile=path), io.StringIO()))
            Logger("a", observer=LogPublisher(made.observer)).info("hello")
            self.assertEqual(Path(path).read_text().startswith("{"), format == "json")
            self.assertIn("hello", Path(path).read_text())

    def test_a_daemon_logs_to_a_file(self) -> None:
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.folder())
        made = self.closed(plan("text", self.server(nodaemon=False), io.StringIO()))
        assert made.file is not None
        self.assertEqual(os.path.basename(made.file.path), "twistd.log")
        # twistd has the words for this one.
        self.assertEqual(plan("json", self.server(nodaemon=False, logfile="-"), io.StringIO()), LogPlan())

    def test_what_does_not_fit_together(self) -> None:
        self.assertEqual(plan("text", self.server(syslog=True, logfile="x"), io.StringIO()), LogPlan())
        self.assertEqual(plan("text", None, io.StringIO()), LogPlan())
        self.assertEqual(plan("text", {"reactor": "epoll"}, io.StringIO()), LogPlan())
        for format, server in (
            ("json", self.server(syslog=True)),
            ("json", self.server(logger=object())),
            ("json", None),
            ("text", self.server(logfile=os.path.join(self.folder(), "none", "x.log"))),
        ):
            error = self.assertRaises(UsageError, plan, format, server, io.StringIO())
            self.assertTrue(str(error).startswith("--log"), str(error))

    def test_the_application_takes_it(self) -> None:
        application: Any = Application("x")
        made = LogPlan(observer("json", io.StringIO()))
        service = LoggedService(made)
        service.setServiceParent(application)
        self.assertIs(application.getComponent(ILogObserver), made.observer)
        self.assertEqual(list(IService(application)), [service])
        # One that is there already is somebody's wish; and a parent may be any service.
        other: Any = Application("y")
        other.setComponent(ILogObserver, self)
        LoggedService(made).setServiceParent(other)
        self.assertIs(other.getComponent(ILogObserver), self)
        plain: Any = Application("z")
        LoggedService(LogPlan()).setServiceParent(plain)
        self.assertIsNone(plain.getComponent(ILogObserver, None))
