"""`Batch`: many magnets through one fetcher, a bounded number at a time.

Jobs are pulled one by one, so 10^7 magnets are never 10^7 objects. A magnet that nobody answers for
gives its slot up (`Fetcher.fetch`'s `released`), and so never blocks a live one; how many of those
may wait is bounded, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.fetch.fetcher import Fetcher
from functorrent.fetch.result import Metadata
from functorrent.magnet import Magnet

Tag = TypeVar("Tag")

#: Magnets started in one go, before the reactor gets its turn.
_AT_ONCE = 50
#: Times on end that `pull` may raise before it is taken for broken.
_MAX_BROKEN = 10


class Batch(Generic[Tag]):
    """Fetches what `pull` gives until `close` was called and all have ended.

    `pull()` returns (magnet, tag), or None where there is nothing now: call `wake` when there is.
    `finished(tag, magnet, result)` gets a Metadata or a Failure. `jobs`: slots. Where one of the two
    raises, that is logged and the other magnets go on; `run` fails with what `pull` raises on end.
    """

    log = Logger()

    def __init__(
        self,
        fetcher: Fetcher,
        pull: Callable[[], tuple[Magnet, Tag] | None],
        finished: Callable[[Tag, Magnet, Metadata | Failure], None],
        jobs: int,
    ) -> None:
        self.in_flight = 0
        self.active = 0
        self._fetcher = fetcher
        self._clock = fetcher.core.clock
        self._pull = pull
        self._finished = finished
        self._jobs = jobs
        self._max_parked = fetcher.limits.max_parked
        self._running: set[_Job[Tag]] = set()
        self._closed = False
        self._cancelled = False
        self._filling = False
        self._more: Any = None
        #: How often on end `pull` has raised, and with what in the end.
        self._raised = 0
        self._broken: Failure | None = None
        self._done: Deferred[None] | None = None

    def run(self) -> Deferred[None]:
        """Start. The Deferred fires when closed and all have ended; cancel it to cancel all."""
        done: Deferred[None] = Deferred(lambda _: self.cancel())
        self._done = done
        self._fill()
        self._look()
        return done

    def wake(self) -> None:
        """There may be something to pull again."""
        if self._done is not None:
            self._fill()
            self._look()

    def begin(self, magnet: Magnet, tag: Tag) -> None:
        """Start this one at once, whether a slot is free or not: somebody is there who has it."""
        if self._done is not None:
            self._start(magnet, tag)

    def end(self, tag: Tag) -> bool:
        """End the magnet of `tag` now; it is reported as failed. False where it is not in flight."""
        for job in self._running:
            if job.tag is tag:
                job.cancel()
                return True
        return False

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        if not self._filling:
            self._look()

    def cancel(self) -> None:
        """End every magnet in flight now; each is reported as failed."""
        self._closed = self._cancelled = True
        self._pull = lambda: None
        if self._more is not None:
            self._more.cancel()
            self._more = None
        for job in list(self._running):
            job.cancel()
        self._look()

    def _fill(self) -> None:
        """Start magnets while there are slots."""
        if self._filling:
            return
        self._filling = True
        try:
            for _ in range(_AT_ONCE):
                if self.active >= self._jobs or self.in_flight - self.active >= self._max_parked:
                    return
                try:
                    pulled = self._pull()
                except Exception:
                    self._pull_raised()
                    break
                self._raised = 0
                if pulled is None:
                    return
                self._start(*pulled)
        finally:
            self._filling = False
        if self._more is None and not self._cancelled:
            self._more = self._clock.callLater(0, self._go_on)

    def _pull_raised(self) -> None:
        self.log.failure("the next magnet could not be had")
        self._raised += 1
        if self._raised >= _MAX_BROKEN:
            self._broken = Failure()
            self._closed = True
            self._pull = lambda: None

    def _go_on(self) -> None:
        self._more = None
        self._fill()
        self._look()

    def _start(self, magnet: Magnet, tag: Tag) -> None:
        # One that `pull` gives though it has cancelled all ends at once.
        job = _Job(self, magnet, tag, self._cancelled)
        self._running.add(job)
        self.in_flight += 1
        self.active += 1
        job.start(self._fetcher)

    def _released(self) -> None:
        self.active -= 1
        self._fill()

    def _ended(self, job: _Job[Tag], result: Metadata | Failure, held_slot: bool) -> None:
        self._running.discard(job)
        self.in_flight -= 1
        if held_slot:
            self.active -= 1
        try:
            self._finished(job.tag, job.magnet, result)
        except Exception:
            self.log.failure("the end of a magnet could not be told")
        self._fill()
        self._look()

    def _look(self) -> None:
        done = self._done
        # While more is due, `pull` may have more.
        if not self._closed or self._running or self._filling or self._more is not None or done is None:
            return
        self._done = None
        if self._broken is not None:
            done.errback(self._broken)
        else:
            done.callback(None)


class _Job(Generic[Tag]):
    """One magnet of a batch."""

    __slots__ = ("_batch", "_cancelled", "_holds_slot", "_result", "magnet", "tag")

    def __init__(self, batch: Batch[Tag], magnet: Magnet, tag: Tag, cancelled: bool) -> None:
        self._batch = batch
        self._holds_slot = True
        self._cancelled = cancelled
        self._result: Deferred[Metadata] | None = None
        self.magnet = magnet
        self.tag = tag

    def start(self, fetcher: Fetcher) -> None:
        try:
            result = fetcher.fetch(self.magnet, self._release)
        except Exception:
            result = fail()
        self._result = result
        result.addBoth(self._ended)
        if self._cancelled:
            result.cancel()

    def cancel(self) -> None:
        self._cancelled = True
        if self._result is not None:
            self._result.cancel()

    def _release(self) -> None:
        if self._holds_slot:
            self._holds_slot = False
            self._batch._released()

    def _ended(self, result: Metadata | Failure) -> None:
        self._batch._ended(self, result, self._holds_slot)
