"""What `functorrent peers` and `functorrent dht` have in common: a coroutine, the reactor, and Ctrl-C."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from functorrent.cli import SOME_FAILED
from functorrent.commands.console import Console, Interrupted, LogKeeper, Signals, raise_file_limit
from functorrent.commands.startup import no_collector
from functorrent.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def options_of_command(arguments: Any) -> dict[str, Any]:
    """A parser's Namespace as options by name; those of `functorrent fetch` that it has not, as they are
    by default."""
    from functorrent.options import COMMAND, defaults

    given = {name.replace("_", "-"): value for name, value in vars(arguments).items()}
    return {**defaults(COMMAND), **given}


async def stop(fetcher: Any) -> None:
    """Stop a Fetcher. Ctrl-C ends the waiting for it, but not what it does."""
    from twisted.internet.defer import Deferred

    stopped: Deferred[None] = Deferred()
    fetcher.stop().addBoth(stopped.callback)
    await stopped


def live(console: Console, load_reactor: Callable[[], Any], work: Callable[[Any], Awaitable[int]]) -> int:
    """Run `work(reactor)`, which gives the exit status, while the reactor runs.

    Ctrl-C and SIGTERM cancel it, and give 130 and 143; what it does then is waited for. Raises what it
    raised, BrokenPipeError and OutputError where its results cannot be written.
    """
    status = SOME_FAILED
    failure: Any = None
    running: Any = None
    lost: OSError | None = None
    cancelled = False

    def cancel() -> None:
        # Once: what it does when it was cancelled is not to be cancelled in its turn.
        nonlocal cancelled
        if running is not None and not cancelled:
            cancelled = True
            running.cancel()

    def results_lost(error: OSError) -> None:
        nonlocal lost
        lost = error
        cancel()

    console.failed = results_lost
    with Signals() as signals:
        try:
            with no_collector():
                reactor = load_reactor()
                from twisted.internet.defer import CancelledError, Deferred
        except Interrupted as interrupted:
            return interrupted.status
        log = LogKeeper(console.say, bool(os.environ.get("FUNCTORRENT_DEBUG")))
        log.begin()
        raise_file_limit()
        interrupted_with: int | None = None

        def interrupt(number: int) -> None:
            nonlocal interrupted_with
            interrupted_with = number
            reactor.callFromThread(cancel)

        def ended(result: Any) -> None:
            nonlocal status, failure
            if isinstance(result, int):
                status = result
            elif not (result.check(CancelledError) and (lost is not None or interrupted_with is not None)):
                failure = result
            reactor.stop()

        def start() -> None:
            nonlocal running

            async def begin() -> int:
                return await work(reactor)

            running = Deferred.fromCoroutine(begin())
            running.addBoth(ended)
            if interrupted_with is not None:
                cancel()

        signals.interrupt = interrupt
        console.clock = reactor
        reactor.callWhenRunning(start)
        reactor.run(installSignalHandlers=False)
        console.clock = None
        console.flush()
    if failure is not None:
        failure.raiseException()
    if isinstance(lost, BrokenPipeError):
        raise lost
    if lost is not None:
        raise OutputError(f"cannot write to stdout: {lost.strerror}")
    if log.errors:
        console.say(f"functorrent: {log.errors[0]}")
    return status if interrupted_with is None else interrupted_with
