"""One run of `functorrent fetch`: from magnets to files, through one Batch.

Laws: a line is taken only when a slot is free for it. No fetcher is made before there is a magnet that
needs it. What goes wrong with one magnet ends that magnet only. A magnet that is fetched costs a
parse, a look into a set, a stat, a file and a line, and no more: this is the hot path.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.errors import FetchFailed, FunctorrentError, OutputError
from functorrent.fetch.batch import Batch
from functorrent.fetch.report import FetchReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from functorrent.commands.intake import Intake
    from functorrent.commands.results import Place, Results
    from functorrent.fetch.result import Metadata
    from functorrent.magnet import Magnet

#: Seconds after which, at the end, what will not end is left behind.
PATIENCE = 3.0


class Run:
    """Drives an intake's magnets through a fetcher until all have ended.

    `make_fetcher` is called when a magnet needs one; `folder` has a TorrentFolder's `write`.
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        intake: Intake,
        folder: Any,
        results: Results,
        make_fetcher: Callable[[], Any],
        jobs: int,
    ) -> None:
        self._clock = clock
        self._intake = intake
        self._write: Callable[[bytes, str, bytes], str] = folder.write
        self._results = results
        self._make_fetcher = make_fetcher
        self._jobs = jobs
        self._fetcher: Any = None
        self._batch: Batch[Place] | None = None
        self._held: tuple[Magnet, Place] | None = None
        self._pause: Any = None
        self._ending = False
        self._done: Deferred[None] = Deferred()
        #: Why nothing could be begun, in words for the user; None where all is well.
        self.fatal: str | None = None

    @property
    def in_flight(self) -> int:
        """Magnets begun and not ended."""
        return int(self._batch.in_flight) if self._batch is not None else 0

    @property
    def stats(self) -> Any:
        """The fetcher's counts, or None while there is none."""
        return self._fetcher.stats if self._fetcher is not None else None

    # -- life ------------------------------------------------------------------------------

    def start(self, held: tuple[Magnet, Place] | None = None) -> Deferred[None]:
        """Begin, with a magnet that the intake gave out already, where there is one.

        The Deferred fires when every magnet has ended and nothing is left running.
        """
        for stream in self._intake.streams:
            stream.attach(self._clock, self.wake)
        self._held = held
        self._look()
        return self._done

    def wake(self) -> None:
        """The intake has more, or has ended."""
        if self._batch is not None:
            self._batch.wake()
            # Its last line may have been one that needs no fetch.
            if self._intake.ended and self._held is None:
                self._batch.close()
        else:
            self._look()

    def interrupt(self) -> None:
        """End everything now; what is in flight counts as failed."""
        self._results.interrupted = True
        self._intake.close()
        if self._batch is not None and not self._ending:
            # Those that will not be cancelled must not hold the user's terminal.
            self._clock.callLater(PATIENCE, self._end)
            self._batch.cancel()
        else:
            self._end()

    def _look(self) -> None:
        """Look for the first magnet that needs a fetcher."""
        if self._ending or self._fetcher is not None:
            return
        if self._held is None:
            self._held = self._next()
        if self._held is not None:
            try:
                self._fetcher = self._make_fetcher()
            except FunctorrentError as error:
                # A file that an option names cannot be read.
                self.fatal = str(error)
                self._end()
                return
            self._fetcher.start().addCallbacks(self._started, self._not_started)
        elif self._intake.ended:
            self._end()

    def _started(self, _: object) -> None:
        if self._ending:
            return
        self._intake.again = self._fetcher.join
        self._batch = Batch(self._fetcher, self._pull, self._finished, self._jobs)
        self._batch.run().addErrback(self._broke).addCallback(lambda _: self._end())

    def _not_started(self, failure: Failure) -> None:
        if not self._ending:
            self.fatal = str(failure.value)
            self._end()

    def _broke(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("the batch broke", failure)

    def _end(self) -> None:
        if self._ending:
            return
        self._ending = True
        if self._pause is not None:
            self._pause.cancel()
        if self._fetcher is None:
            self._leave()
            return
        timer = self._clock.callLater(PATIENCE, self._leave)
        stopping = self._fetcher.stop()
        stopping.addErrback(lambda failure: self.log.failure("the fetcher did not stop", failure))
        stopping.addCallback(lambda _: self._leave(timer))

    def _leave(self, timer: Any = None) -> None:
        if timer is not None and timer.active():
            timer.cancel()
        if not self._done.called:
            self._done.callback(None)

    # -- what the batch calls --------------------------------------------------------------

    def _pull(self) -> tuple[Magnet, Place] | None:
        held, self._held = self._held, None
        if held is None:
            held = self._next()
            if held is None and self._intake.ended and self._batch is not None:
                self._batch.close()
        return held

    def _next(self) -> tuple[Magnet, Place] | None:
        found = self._intake.next()
        if found is None and self._intake.busy and self._pause is None:
            self._pause = self._clock.callLater(0, self._go_on)
        return found

    def _go_on(self) -> None:
        self._pause = None
        self.wake()

    def _finished(self, place: Place, magnet: Magnet, result: Metadata | Failure) -> None:
        if isinstance(result, Failure):
            self._results.has_failed(magnet, place, self._report(result))
            return
        try:
            path = self._write(result.infohash, result.name, result.torrent_bytes)
        except OutputError as error:
            self._results.has_failed(magnet, place, replace(result.report, reason=str(error)))
            return
        self._results.was_fetched(magnet, place, path, result.report, result.summary)

    def _report(self, failure: Failure) -> FetchReport:
        error = failure.value
        if isinstance(error, FetchFailed):
            return error.report
        if isinstance(error, CancelledError):
            return FetchReport(reason="interrupted")
        if not isinstance(error, FunctorrentError):
            self.log.failure("a fetch broke", failure)
            return FetchReport(reason=f"internal error ({type(error).__name__}: {error})")
        return FetchReport(reason=str(error))
