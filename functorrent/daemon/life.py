"""`Daemon`: its parts, started one after the other and stopped the other way round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.errors import FunctorrentError

#: Seconds within which everything has stopped, or is no longer waited for; people are promised 10.
STOP_WITHIN = 9.0


@dataclass(frozen=True)
class Part:
    """Something that runs as long as the daemon. `start` and `stop` may give a Deferred.

    A `start` that fails with a FunctorrentError fails the daemon, with its words. `stop` is called once,
    also where `start` has failed or was cancelled, and gets `patience` seconds.
    """

    name: str
    start: Callable[[], Any]
    stop: Callable[[], Any]
    patience: float = 1.0


class Daemon(Service):
    """The whole daemon.

    `ready()` is called when every part runs; `gave_up(words)` once, where one could not be started, and
    then the process is expected to be ended, which stops the parts that were.
    """

    name = "metafetch"
    log = Logger()

    def __init__(
        self,
        clock: Any,
        parts: Sequence[Part],
        gave_up: Callable[[str], None],
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._parts = tuple(parts)
        self._gave_up = gave_up
        self._ready = ready
        self._begun: list[Part] = []
        self._starting: Deferred[None] | None = None
        self._stopping: Deferred[None] | None = None

    def startService(self) -> None:
        Service.startService(self)
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._not_started)

    async def _start(self) -> None:
        for part in self._parts:
            self._begun.append(part)
            await maybeDeferred(part.start)
        self._ready()

    def _not_started(self, failure: Failure) -> None:
        if not self.running:
            return
        if failure.check(FunctorrentError):
            self._gave_up(str(failure.value))
        else:
            self.log.failure("the daemon could not be started", failure)
            self._gave_up(f"internal error ({type(failure.value).__name__}); the log has more")

    def stopService(self) -> Deferred[None]:
        """Stop everything. Fires when it is done, or STOP_WITHIN seconds later."""
        if not self.running:
            return self._stopping or succeed(None)
        Service.stopService(self)
        if self._starting is not None:
            self._starting.cancel()
        self._stopping = Deferred.fromCoroutine(self._stop())
        return self._stopping

    async def _stop(self) -> None:
        end = self._clock.seconds() + STOP_WITHIN
        while self._begun:
            part = self._begun.pop()
            # Each is told, however late it is: the store still closes what it can.
            stopping = maybeDeferred(part.stop)
            stopping.addTimeout(max(0.1, min(part.patience, end - self._clock.seconds())), self._clock)
            try:
                await stopping
            except CancelledError:
                raise
            except Exception as error:
                self.log.warn("{name} did not stop as it should: {error!r}", name=part.name, error=error)
