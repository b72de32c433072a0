"""Daemon: parts started in order and stopped the other way round, whatever they do."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.daemon.life import STOP_WITHIN, Daemon, Part
from functorrent.errors import StoreLocked


class DaemonTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[str] = []
        self.words: list[str] = []

    def part(self, name: str, start: Any = None, stop: Any = None, patience: float = 1.0) -> Part:
        def began() -> Any:
            self.told.append(f"+{name}")
            if isinstance(start, Exception):
                raise start
            return start

        def ended() -> Any:
            self.told.append(f"-{name}")
            if isinstance(stop, Exception):
                raise stop
            return stop

        return Part(name, began, ended, patience)

    def daemon(self, *parts: Part) -> Daemon:
        daemon = Daemon(self.clock, parts, self.words.append, lambda: self.told.append("ready"))
        daemon.startService()
        return daemon

    def test_in_order(self) -> None:
        opened: Deferred[None] = Deferred()
        closed: Deferred[None] = Deferred()
        daemon = self.daemon(self.part("store", opened), self.part("queue", stop=closed), self.part("http"))
        self.assertEqual(self.told, ["+store"])
        opened.callback(None)
        self.assertEqual(self.told, ["+store", "+queue", "+http", "ready"])
        self.told.clear()
        stopped = daemon.stopService()
        self.assertEqual(self.told, ["-http", "-queue"])
        self.assertIs(daemon.stopService(), stopped)
        closed.callback(None)
        self.successResultOf(stopped)
        self.assertEqual((self.told[2:], self.words), (["-store"], []))

    def test_one_that_cannot_start(self) -> None:
        for error, words in (
            (StoreLocked("another process has it"), "another process has it"),
            (ZeroDivisionError(), "internal error (ZeroDivisionError); the log has more"),
        ):
            self.setUp()
            daemon = self.daemon(self.part("a"), self.part("b", fail(error)), self.part("c"))
            self.assertEqual(self.words, [words])
            self.successResultOf(daemon.stopService())
            self.assertEqual(self.told, ["+a", "+b", "-b", "-a"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_stopped_while_it_starts(self) -> None:
        opening: Deferred[None] = Deferred(lambda _: self.told.append("cancelled"))
        daemon = self.daemon(self.part("a", opening), self.part("b"))
        self.successResultOf(daemon.stopService())
        self.assertEqual((self.told, self.words), (["+a", "cancelled", "-a"], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_never_stops_or_breaks_keeps_nobody(self) -> None:
        daemon = self.daemon(
            self.part("store"),
            self.part("hangs", stop=Deferred(), patience=100),
            self.part("raises", stop=ValueError("mine")),
            self.part("fails", stop=fail(ValueError("mine"))),
        )
        self.told.clear()
        stopped = daemon.stopService()
        self.assertEqual(self.told, ["-fails", "-raises", "-hangs"])
        self.clock.advance(STOP_WITHIN)
        self.assertEqual(self.told[3:], ["-store"])
        self.successResultOf(stopped)
        self.assertLess(STOP_WITHIN, 10)

    def test_late_as_it_is_the_store_is_closed(self) -> None:
        closing: Deferred[None] = Deferred()
        daemon = self.daemon(
            self.part("store", stop=closing), self.part("hangs", stop=Deferred(), patience=9)
        )
        stopped = daemon.stopService()
        self.clock.advance(9)
        self.assertIn("-store", self.told)
        self.assertNoResult(stopped)
        closing.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_before_it_has_begun(self) -> None:
        daemon = Daemon(self.clock, [self.part("a")], self.words.append)
        self.successResultOf(daemon.stopService())
        self.assertEqual(self.told, [])
