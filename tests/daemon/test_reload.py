"""SIGHUP and SIGUSR1."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from functorrent.daemon.reload import Reload


class FakeReactor:
    """Keeps what threads call; `turn` calls it."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def callFromThread(self, f: Callable[..., object], *arguments: Any) -> None:
        self.waiting.append((f, arguments))

    def turn(self) -> None:
        waiting, self.waiting = self.waiting, []
        for f, arguments in waiting:
            f(*arguments)


class ReloadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.done: list[str] = []
        for number in (signal.SIGHUP, signal.SIGUSR1):
            self.addCleanup(signal.signal, number, signal.signal(number, signal.SIG_DFL))

    def kill(self, number: int) -> None:
        os.kill(os.getpid(), number)

    def start(self, *arguments: Any) -> Reload:
        service = Reload(self.reactor, *(arguments or (lambda: self.done.append("act"),)))
        self.addCleanup(service.stopService)
        service.startService()
        return service

    def test_both_signals_act_in_the_reactor(self) -> None:
        self.start()
        self.kill(signal.SIGHUP)
        self.assertEqual(self.done, [])
        self.reactor.turn()
        self.assertEqual(self.done, ["act"])
        self.kill(signal.SIGUSR1)
        self.reactor.turn()
        self.assertEqual(self.done, ["act", "act"])

    def test_the_end_of_our_terminal(self) -> None:
        self.start(lambda: self.done.append("act"), lambda: self.done.append("hang up"))
        self.kill(signal.SIGHUP)
        self.kill(signal.SIGUSR1)
        self.reactor.turn()
        self.assertEqual(self.done, ["hang up", "act"])

    def test_twistd_s_own_is_left_in_its_place(self) -> None:
        signal.signal(signal.SIGUSR1, lambda *_: self.done.append("twistd"))
        self.start()
        self.kill(signal.SIGUSR1)
        self.assertEqual(self.done, ["twistd"])

    def test_while_it_stops_a_signal_does_no_harm(self) -> None:
        service = self.start()
        self.kill(signal.SIGHUP)
        service.stopService()
        self.reactor.turn()
        self.kill(signal.SIGHUP)
        self.kill(signal.SIGUSR1)
        self.assertEqual((self.done, self.reactor.waiting), ([], []))

    def test_what_goes_wrong_is_logged(self) -> None:
        def act() -> None:
            raise error

        self.start(act)
        error: Exception = PermissionError(13, "Permission denied", "/var/log/x")
        self.kill(signal.SIGHUP)
        self.reactor.turn()
        self.assertEqual(self.flushLoggedErrors(), [])
        error = RuntimeError("a bug of ours")
        self.kill(signal.SIGHUP)
        self.reactor.turn()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
