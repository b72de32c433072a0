"""Ctrl-C at the moments of `functorrent peers` and `functorrent dht` that no program can be made to meet."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from functorrent.cli import OK
from functorrent.commands.live import live, stop
from tests.commands_bed import Screen


class Reactor:
    """Runs what it was told to run; `meanwhile` is called before that."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.calls: deque[Callable[[], None]] = deque()
        self.meanwhile = meanwhile
        self.running = True

    def callWhenRunning(self, call: Callable[[], None]) -> None:
        self.calls.append(call)
        self.meanwhile()

    def callFromThread(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def run(self, installSignalHandlers: bool = True) -> None:
        while self.running:
            assert self.calls, "nothing stops it"
            self.calls.popleft()()

    def stop(self) -> None:
        self.running = False


class Fetcher:
    """Stops in its own time."""

    def __init__(self, reactor: Reactor, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.reactor = reactor
        self.meanwhile = meanwhile
        self.cancelled = False
        self.stopping: Deferred[None] = Deferred(self._cancel)

    def _cancel(self, _: object) -> None:
        self.cancelled = True

    def stop(self) -> Deferred[None]:
        self.meanwhile()
        self.reactor.calls.append(lambda: self.stopping.callback(None))
        return self.stopping


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class InterruptTests(SynchronousTestCase):
    def setUp(self) -> None:
        # As a shell gives it to a command.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, before)
        self.screen = Screen()

    def go(self, reactor: Reactor, fetcher: Fetcher, work: Callable[[], Any]) -> int:
        async def run(_: Any) -> int:
            try:
                await work()
                return OK
            finally:
                await stop(fetcher)

        status = live(self.screen.console, lambda: reactor, run)
        self.assertFalse(fetcher.cancelled)
        return status

    def test_before_the_reactor_runs(self) -> None:
        reactor = Reactor(press)
        fetcher = Fetcher(reactor)
        self.assertEqual(self.go(reactor, fetcher, Deferred[None]), 130)
        self.assertTrue(fetcher.stopping.called, "it was not waited for")

    def test_while_all_is_being_stopped(self) -> None:
        reactor = Reactor()

        async def nothing() -> None:
            """All is found."""

        self.assertEqual(self.go(reactor, Fetcher(reactor, press), nothing), 130)
