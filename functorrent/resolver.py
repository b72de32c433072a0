"""Host names to addresses the guard allows: coalesced, cached (failures too), bounded.

`socket.getaddrinfo` runs in threads of our own, so that dead names never block anybody else's. They
are daemonic, and left behind where they are stuck: a name server that does not answer must not hold
up the process's exit.
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Callable
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from functorrent.addresses import AddressGuard, classify
from functorrent.errors import AddressNotAllowed, NameNotResolved
from functorrent.interfaces import IResolver
from functorrent.limits import Limits

#: Longest name in DNS (RFC 1035, section 2.3.4).
_MAX_NAME = 253
#: Addresses of one name that are looked at; a hostile name server can send hundreds.
_MAX_ADDRESSES = 16


def _daemon(*args: Any, **kwargs: Any) -> Thread:
    return Thread(*args, daemon=True, **kwargs)


class _DaemonPool(ThreadPool):
    threadFactory = staticmethod(_daemon)  # type: ignore[assignment]


class _Lookup:
    """One name being resolved, and everybody who waits for it."""

    __slots__ = ("deadline", "name", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting: set[Deferred[tuple[str, ...]]] = set()
        self.deadline: Any = None


class _Answer:
    __slots__ = ("addresses", "error", "expires")

    def __init__(self, addresses: tuple[str, ...], error: str | None, expires: float) -> None:
        self.addresses = addresses
        self.error = error
        self.expires = expires


@implementer(IResolver)
class GuardedResolver:
    """The process's resolver. Opens no thread before the first name that needs one.

    `reactor` is used for `callFromThread` only, `clock` (IReactorTime) for deadlines and ages.
    `getaddrinfo` and `make_pool` are there for tests.
    """

    def __init__(
        self,
        reactor: Any,
        clock: Any,
        guard: AddressGuard,
        limits: Limits,
        *,
        getaddrinfo: Callable[..., Any] = socket.getaddrinfo,
        make_pool: Callable[[int, int, str], Any] = _DaemonPool,
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._guard = guard
        self._limits = limits
        self._getaddrinfo = getaddrinfo
        self._make_pool = make_pool
        self._pool: Any = None
        self._busy = 0  # names handed to the pool and not back yet, given up or not
        self._lookups: dict[str, _Lookup] = {}
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._stopped = False

    # -- IResolver -----------------------------------------------------------------------------

    def resolve(self, host: str, *, trusted: bool = False) -> Deferred[list[str]]:
        """The IP literals of a name (or of an IP literal: itself) that may be reached, at least one.

        `trusted`: the user typed this name, so local addresses pass. Fails with NameNotResolved, or
        with AddressNotAllowed where it has addresses and none of them may be used.
        """
        name = host.lower().removesuffix(".")
        answer = self._answers.get(name)
        if answer is not None and answer.expires > self._clock.seconds():
            if answer.error is not None:
                return fail(NameNotResolved(answer.error))
            return self._allowed(answer.addresses, trusted)
        try:
            classify(host)
        except ValueError:
            pass
        else:
            return self._allowed((host,), trusted)
        try:
            waiting = self._ask(name)
        except NameNotResolved as error:
            return fail(error)
        return waiting.addCallback(self._allowed, trusted)

    def _allowed(self, addresses: tuple[str, ...], trusted: bool) -> Deferred[list[str]]:
        allowed: list[str] = []
        refused: AddressNotAllowed | None = None
        for address in addresses:
            try:
                self._guard.check_host(address, trusted=trusted)
            except AddressNotAllowed as error:
                refused = refused or error
            else:
                allowed.append(address)
        if not allowed and refused is not None:
            return fail(refused)
        return succeed(allowed)

    # -- asking --------------------------------------------------------------------------------

    def _ask(self, name: str) -> Deferred[tuple[str, ...]]:
        if self._stopped:
            raise NameNotResolved(f"{name}: shutting down")
        lookup = self._lookups.get(name)
        if lookup is None:
            lookup = self._start(name)
        waiting: Deferred[tuple[str, ...]] = Deferred(lookup.waiting.discard)
        lookup.waiting.add(waiting)
        return waiting

    def _start(self, name: str) -> _Lookup:
        if not 0 < len(name) <= _MAX_NAME or not name.isprintable() or "\0" in name:
            raise NameNotResolved("not a host name")
        if self._busy >= self._limits.resolve_threads + self._limits.resolve_queue:
            raise NameNotResolved(f"{name}: too many names are being looked up already")
        lookup = self._lookups[name] = _Lookup(name)
        lookup.deadline = self._clock.callLater(self._limits.resolve_timeout, self._too_late, lookup)
        self._busy += 1
        if self._pool is None:
            self._pool = self._make_pool(0, self._limits.resolve_threads, "functorrent names")
            self._pool.start()
        self._pool.callInThreadWithCallback(
            lambda success, result: self._reactor.callFromThread(self._done, lookup, success, result),
            self._getaddrinfo,
            name,
            None,
            type=socket.SOCK_STREAM,
        )
        return lookup

    def _done(self, lookup: _Lookup, success: bool, result: Any) -> None:
        """The thread is back; perhaps after the deadline: then its answer serves those to come."""
        self._busy -= 1
        if self._stopped:
            return
        addresses = tuple(dict.fromkeys(info[4][0] for info in result))[:_MAX_ADDRESSES] if success else ()
        if addresses:
            self._remember(lookup.name, _Answer(addresses, None, self._limits.resolve_ttl))
            self._finish(lookup, addresses)
        elif lookup.deadline is not None:
            self._fail(lookup, f"{lookup.name} has no address")
        if not success and not result.check(OSError, UnicodeError):
            result.raiseException()  # a bug: not one of the ways in which names fail

    def _too_late(self, lookup: _Lookup) -> None:
        lookup.deadline = None
        self._fail(lookup, f"{lookup.name}: the name server did not answer")

    def _fail(self, lookup: _Lookup, why: str) -> None:
        self._remember(lookup.name, _Answer((), why, self._limits.resolve_failure_ttl))
        self._finish(lookup, Failure(NameNotResolved(why)))

    def _finish(self, lookup: _Lookup, result: Any) -> None:
        if self._lookups.get(lookup.name) is lookup:
            del self._lookups[lookup.name]
        if lookup.deadline is not None:
            lookup.deadline.cancel()
            lookup.deadline = None
        waiting = tuple(lookup.waiting)
        for each in waiting:
            if not each.called:  # another one's callback may have cancelled it
                each.callback(result)

    def _remember(self, name: str, answer: _Answer) -> None:
        answer.expires += self._clock.seconds()
        self._answers[name] = answer
        self._answers.move_to_end(name)
        if len(self._answers) > self._limits.resolve_cache:
            self._answers.popitem(last=False)

    # -- the end -------------------------------------------------------------------------------

    def stop(self) -> Deferred[None]:
        """Fail everybody who waits and let the threads go: idle ones end before this returns; for
        stuck ones the Deferred waits `Limits.stop_timeout` seconds at most."""
        self._stopped = True
        for lookup in list(self._lookups.values()):
            gone = NameNotResolved(f"{lookup.name}: shutting down")
            self._finish(lookup, Failure(gone))
        pool, self._pool = self._pool, None
        if pool is None:
            return succeed(None)
        if not self._busy:
            pool.stop()
            return succeed(None)
        # ThreadPool.stop joins its threads, and one of them may be stuck: so a thread joins them.
        stopped: Deferred[None] = Deferred()
        patience = self._clock.callLater(self._limits.stop_timeout, stopped.callback, None)

        def joined() -> None:
            if patience.active():
                patience.cancel()
                stopped.callback(None)

        def join() -> None:
            pool.stop()
            self._reactor.callFromThread(joined)

        _daemon(target=join, name="functorrent names end").start()
        return stopped
