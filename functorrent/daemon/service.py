"""The daemon's services: the fetcher with its batch, and the watch folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import Logger

from functorrent.fetch.batch import Batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

    from functorrent.daemon.feed import Feed
    from functorrent.daemon.watch import WatchFolder

#: Seconds after which a stop no longer waits; the daemon promises 10.
STOP_PATIENCE = 9.0


class FetchService(Service):
    """A fetcher and the batch that keeps it busy with what a feed has.

    `gave_up(words)` is called when the fetcher cannot start (its port is taken).
    """

    name = "fetch"
    log = Logger()

    def __init__(
        self, clock: Any, fetcher: Any, feed: Feed, jobs: int, gave_up: Callable[[str], None]
    ) -> None:
        self._clock = clock
        self._fetcher = fetcher
        self._feed = feed
        self._jobs = jobs
        self._gave_up = gave_up
        self._batch: Batch[bytes] | None = None

    def startService(self) -> None:
        Service.startService(self)
        self._fetcher.start().addCallbacks(self._started, self._not_started)

    def _started(self, _: object) -> None:
        if not self.running:
            return
        self._feed.join = self._fetcher.join
        self._batch = Batch(self._fetcher, self._feed.pull, self._feed.finished, self._jobs)
        self._feed.wake = self._batch.wake
        self._batch.run().addErrback(self._broke)

    def _not_started(self, failure: Failure) -> None:
        if self.running:
            self._gave_up(str(failure.value))

    def _broke(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("the batch broke", failure)

    def stopService(self) -> Deferred[None]:
        """Stop everything. The Deferred fires when it is done, or after STOP_PATIENCE seconds."""
        if not self.running:
            return succeed(None)
        Service.stopService(self)
        self._feed.close()
        if self._batch is not None:
            self._batch.cancel()
        done: Deferred[None] = Deferred()
        timer = self._clock.callLater(STOP_PATIENCE, done.callback, None)

        def stopped(_: object) -> None:
            if timer.active():
                timer.cancel()
                done.callback(None)

        stopping = self._fetcher.stop()
        stopping.addErrback(lambda failure: self.log.failure("the fetcher did not stop", failure))
        stopping.addCallback(stopped)
        return done


class WatchService(Service):
    """A watch folder, for as long as the daemon runs."""

    name = "watch"

    def __init__(self, folder: WatchFolder) -> None:
        self._folder = folder

    def startService(self) -> None:
        Service.startService(self)
        self._folder.start()

    def stopService(self) -> None:
        if self.running:
            Service.stopService(self)
            self._folder.stop()
