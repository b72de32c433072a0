"""Threads for files alone: a disk that hangs holds up neither the reactor nor the store (law 11)."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

_T = TypeVar("_T")


def _thread(*args: Any, **kwargs: Any) -> Thread:
    # The process may end while a disk still hangs.
    return Thread(*args, daemon=True, **kwargs)


class _Pool(ThreadPool):
    threadFactory = staticmethod(_thread)  # type: ignore[assignment]


class FileThreads:
    """A few threads, begun when they are first needed. `reactor`: IReactorFromThreads."""

    def __init__(self, reactor: Any, name: str, threads: int = 2) -> None:
        self._reactor = reactor
        self._pool = _Pool(0, threads, name)
        self._running = 0
        self._idle: list[Deferred[None]] = []

    def run(self, function: Callable[..., _T], *arguments: Any) -> Deferred[_T]:
        """Call it in a thread; the Deferred has what it returns or raises."""
        if not self._pool.started:
            self._pool.start()
        self._running += 1
        done: Deferred[_T] = deferToThreadPool(self._reactor, self._pool, function, *arguments)
        return done.addBoth(self._ended)

    def _ended(self, result: _T) -> _T:
        self._running -= 1
        if not self._running:
            idle, self._idle = self._idle, []
            for each in idle:
                each.callback(None)
        return result

    def stop(self) -> Deferred[None]:
        """Fires when nothing runs any more; then no thread is left."""
        idle: Deferred[None] = Deferred()
        if self._running:
            self._idle.append(idle)
        else:
            idle = succeed(None)
        return idle.addCallback(self._end)

    def _end(self, _: object) -> None:
        if self._pool.started:
            self._pool.stop()
