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

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from functorrent.errors import StoreError
from functorrent.limits import Limits

_log = Logger()


@dataclass(slots=True, eq=False)
class Operation:
    """Something to do in a transaction; `weight`: about how many rows it writes. `result`: or a Failure."""

    function: Callable[..., Any]
    now: float
    weight: int = 1
    done: Deferred[Any] = field(default_factory=Deferred)
    result: Any = None

    def finish(self) -> None:
        """Tell whoever asked. One that was cancelled takes it in silence."""
        self.done.callback(self.result)


#: Does operations in one transaction, sets their results, and returns what is to be called in the reactor.
Commit = Callable[[Sequence[Operation]], Callable[[], None]]
Answer = Callable[[Operation], None]


def _daemon(*args: Any, **kwargs: Any) -> Thread:
    return Thread(*args, daemon=True, **kwargs)


class _DaemonPool(ThreadPool):
    # A disk that hangs must not keep the process from ending; what was reported is committed.
    threadFactory = staticmethod(_daemon)  # type: ignore[assignment]


class Threads:
    """Runs operations in threads. `reactor`: for `callFromThread` alone."""

    def __init__(self, reactor: Any, limits: Limits, commit: Commit, answer: Answer, readers: int) -> None:
        self._reactor = reactor
        self._limits = limits
        self._commit = commit
        self._answer = answer
        self._lock = Lock()
        self._waiting: deque[Operation] = deque()
        self._rows = 0
        self._writing = False
        self._reading = 0
        self._idle: list[Deferred[None]] = []
        self._writer = _DaemonPool(0, 1, "functorrent store writer")
        self._readers = _DaemonPool(0, readers, "functorrent store reader")
        self._writer.start()
        self._readers.start()

    def write(self, operation: Operation) -> Deferred[Any]:
        """Do it in the next transaction that has room; fires after the commit."""
        with self._lock:
            if self._rows + operation.weight > self._limits.store_waiting_rows and self._waiting:
                return fail(StoreError("too much is waiting to be written to the store: try again later"))
            self._waiting.append(operation)
            self._rows += operation.weight
            start, self._writing = not self._writing, True
        if start:
            self._writer.callInThread(self._write_all)
        return operation.done

    def read(self, operation: Operation) -> Deferred[Any]:
        """Do it in a reader thread."""
        if self._reading >= self._limits.store_waiting_reads:
            return fail(StoreError("too many questions are waiting for the store: try again later"))
        self._reading += 1
        self._readers.callInThread(self._read, operation)
        return operation.done

    def _read(self, operation: Operation) -> None:
        # Nobody may be waiting for it any more.
        if not operation.done.called:
            self._answer(operation)
        self._reactor.callFromThread(self._have_read, operation)

    def _have_read(self, operation: Operation) -> None:
        self._reading -= 1
        operation.finish()
        self._if_idle()

    def _write_all(self) -> None:
        """In the writer's thread, until nothing waits."""
        while batch := self._batch():
            tell = self._commit(batch)
            self._reactor.callFromThread(self._have_written, batch, tell)
        self._reactor.callFromThread(self._if_idle)

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

    def _if_idle(self) -> None:
        if not self._writing and not self._reading:
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)

    def idle(self) -> Deferred[None]:
        """Fires when all that was asked for is done."""
        waiting: Deferred[None] = Deferred()
        self._idle.append(waiting)
        self._if_idle()
        return waiting

    def stop(self) -> None:
        """End the threads, which have nothing to do: `idle` has fired."""
        self._writer.stop()
        self._readers.stop()


class AtOnce:
    """Runs operations where they are asked for, for tests: their Deferreds have fired already."""

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

    def idle(self) -> Deferred[None]:
        """Has fired."""
        return succeed(None)

    def stop(self) -> None:
        """Nothing to end."""


def failure_of(error: StoreError) -> Failure:
    """An error as a result; without the frames of a thread, which nobody is to see."""
    return Failure(error)
