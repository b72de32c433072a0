"""`functorrent demo`: the reactor, and Ctrl-C, for `functorrent.demo`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from functorrent.cli import SOME_FAILED, internal_error
from functorrent.commands.console import Console, LogKeeper, Signals
from functorrent.commands.parser import Parser

if TYPE_CHECKING:
    from collections.abc import Callable


def demo(arguments: list[str], load_reactor: Callable[[], Any]) -> int:
    """Run the command and return its exit status."""
    Parser("demo", "Start a tracker and a seeder on loopback, and fetch one magnet from them.").parse_args(
        arguments
    )
    status = SOME_FAILED
    console = Console.standard()
    with Signals() as signals:
        reactor = load_reactor()
        LogKeeper(console.say, bool(os.environ.get("FUNCTORRENT_DEBUG"))).begin()
        from functorrent.demo import run

        def ended(number: int) -> None:
            nonlocal status
            status = number
            reactor.stop()

        def broke(failure: Any) -> None:
            if status == SOME_FAILED:
                if not failure.check(BrokenPipeError):
                    console.say(f"functorrent: {internal_error(failure.value)}")
                reactor.stop()

        def interrupt(number: int) -> None:
            reactor.callFromThread(ended, number)

        signals.interrupt = interrupt
        reactor.callWhenRunning(lambda: run(reactor, sys.stdout).addCallbacks(ended, broke))
        reactor.run(installSignalHandlers=False)
    return status
