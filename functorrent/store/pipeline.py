"""Threads for the store: one that writes, committing together what waits together, and some that read.

Law 11: these pools are the store's own. A commit waits for the disk, and costs the same for one
operation as for a hundred; so while one is being written, all that comes waits for the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from functorrent.errors import StoreError
from functorrent.limits import Limits


@dataclass(slots=True, eq=False)
class Operation:
    """Something to do in a transaction, at the time `now`.

    `function` is called with the transaction; or, where there is a `call`, with that and the calls of all
    operations beside it that have the same function, and gives a list of answers. `weight`: about how
    many rows it writes. `brings_more`: what it writes is new work, so it is refused while too much
    waits. `result`: what it gave, or a Failure.
    """

    function: Callable[..., Any]
    now: float
    call: Any = None
    weight: int = 1
    brings_more: bool = False
    done: Deferred[Any] = field(default_factory=Deferred)
    result: Any = None

    def finish(self) -> None:
        """Tell whoever asked. One that was cancelled takes it in silence."""
        self.done.callback(self.result)


#: Does operations in one transaction and sets their results; returns what is to be called in the reactor
#: before these are told.
Commit = Callable[[Sequence[Operation]], Callable[[], None]]
#: Does an operation that only reads, and sets its result.
Answer = Callable[[Operation], None]


def _daemon(*args: Any, **kwargs: Any) -> Thread:
    return Thread(*args, daemon=True, **kwargs)


class _DaemonPool(ThreadPool):
    # A disk that hangs must not keep the process from ending; what was reported is committed.
    threadFactory = staticmethod(_daemon)  # type: ignore[assignment]


class Threads:
    """Runs operations in threads. Its methods are for the reactor's thread.

    `reactor`: for `callFromThread` alone. `commit` and `answer` are called in the threads.
    """

    def __init__(self, reactor: Any, limits: Limits, commit: Commit, answer: Answer, readers: int) -> None:
        self._reactor = reactor
        self._limits = limits
        self._commit = commit
        self._answer = answer
        self._lock = Lock()
        # Under the lock: what waits for the writer, how many rows that is, and whether it is at work.
        self._waiting: deque[Operation] = deque()
        self._rows = 0
        self._writing = False
        # The reactor's: what was asked for and not told yet.
        self._reads = 0
        self._writes = 0
        self._idle: list[Deferred[None]] = []
        self._writer = _DaemonPool(0, 1, "functorrent store writer")
        self._readers = _DaemonPool(0, readers, "functorrent store reader")
        self._writer.start()
        self._readers.start()

    def write(self, operation: Operation) -> Deferred[Any]:
        """Do it in the next transaction that has room; fires after the commit."""
        with self._lock:
            rows = self._rows + operation.weight
            if operation.brings_more and self._waiting and rows > self._limits.store_waiting_rows:
                return fail(StoreError("too much is waiting to be written to the store: try again later"))
            self._waiting.append(operation)
            self._rows = rows
            start, self._writing = not self._writing, True
        self._writes += 1
        if start:
            self._writer.callInThread(self._write_all)
        return operation.done

    def _write_all(self) -> None:
        """In the writer's thread, until nothing waits."""
        while batch := self._batch():
            try:
                tell = self._commit(batch)
            except BaseException:
                # Whatever it is: nobody may wait for ever.
                for operation in batch:
                    operation.result = Failure()
                tell = _nothing
            self._reactor.callFromThread(self._have_written, batch, tell)

    def _batch(self) -> list[Operation]:
        """What goes into the next transaction."""
        batch: list[Operation] = []
        rows = 0
        with self._lock:
            while self._waiting and (not batch or rows + self._waiting[0].weight <= self._limits.store_rows):
                operation = self._waiting.popleft()
                rows += operation.weight
                batch.append(operation)
            self._rows -= rows
            self._writing = bool(batch)
        return batch

    def _have_written(self, batch: Sequence[Operation], tell: Callable[[], None]) -> None:
        tell()
        for operation in batch:
            operation.finish()
        self._writes -= len(batch)
        self._if_idle()

    def read(self, operation: Operation) -> Deferred[Any]:
        """Do it in a reader thread."""
        if self._reads >= self._limits.store_waiting_reads:
            return fail(StoreError("too many questions are waiting for the store: try again later"))
        self._reads += 1
        self._readers.callInThread(self._read, operation)
        return operation.done

    def _read(self, operation: Operation) -> None:
        # Nobody may be waiting for it any more.
        if not operation.done.called:
            self._answer(operation)
        self._reactor.callFromThread(self._have_read, operation)

    def _have_read(self, operation: Operation) -> None:
        operation.finish()
        self._reads -= 1
        self._if_idle()

    def _if_idle(self) -> None:
        if not self._writes and not self._reads:
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)

    def alone(self, function: Callable[[], Any]) -> Deferred[Any]:
        """Call it in the writer's thread, after what is being written, in no transaction of ours."""
        done: Deferred[Any] = Deferred()
        self._writer.callInThreadWithCallback(
            lambda _, result: self._reactor.callFromThread(done.callback, result), function
        )
        return done

    def end(self, last: Callable[[], None]) -> Deferred[None]:
        """When all that was asked for is told, call `last` in the writer's thread, and end the threads.

        Nothing may be asked for any more.
        """
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        self._if_idle()
        return idle.addCallback(lambda _: self.alone(last)).addBoth(self._stop)

    def _stop(self, result: Any) -> Any:
        # They have nothing to do, so this joins them at once.
        self._writer.stop()
        self._readers.stop()
        return result


class AtOnce:
    """Runs operations where they are asked for: their Deferreds have fired already."""

    def __init__(self, commit: Commit, answer: Answer) -> None:
        self._commit = commit
        self._answer = answer

    def write(self, operation: Operation) -> Deferred[Any]:
        """Do it in a transaction of its own."""
        tell = self._commit([operation])
        tell()
        operation.finish()
        return operation.done

    def read(self, operation: Operation) -> Deferred[Any]:
        """Do it."""
        self._answer(operation)
        operation.finish()
        return operation.done

    def alone(self, function: Callable[[], Any]) -> Deferred[Any]:
        """Call it."""
        return maybeDeferred(function)

    def end(self, last: Callable[[], None]) -> Deferred[None]:
        """Call `last`."""
        return self.alone(last)


def _nothing() -> None:
    pass
