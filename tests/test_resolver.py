"""The resolver: coalescing, both caches, bounds, deadlines, the guard, and threads that are stuck."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from functorrent.addresses import AddressGuard
from functorrent.errors import AddressNotAllowed, NameNotResolved
from functorrent.limits import Limits
from functorrent.resolver import GuardedResolver


class FakeReactor:
    def callFromThread(self, f: Any, *args: Any) -> None:
        f(*args)


class FakePool:
    """Holds the calls back until `run`."""

    def __init__(self, minimum: int, maximum: int, name: str) -> None:
        self.calls: list[tuple[Any, Any, tuple[Any, ...], dict[str, Any]]] = []
        self.maximum = maximum
        self.started = self.stopped = False

    def start(self) -> None:
        self.started = True

    def stop(self) -> None:
        self.stopped = True

    def callInThreadWithCallback(self, done: Any, f: Any, *args: Any, **kwargs: Any) -> None:
        self.calls.append((done, f, args, kwargs))

    def run(self) -> None:
        done, f, args, kwargs = self.calls.pop(0)
        try:
            result = f(*args, **kwargs)
        except BaseException:
            done(False, Failure())
        else:
            done(True, result)


class _Resolver(SynchronousTestCase):
    def setUp(self) -> None:
        self.names: dict[str, list[str]] = {"a.example": ["1.1.1.1", "2606:4700::1111", "1.1.1.1"]}
        self.asked: list[str] = []
        self.pools: list[FakePool] = []
        self.clock = Clock()
        self.limits = Limits(resolve_threads=2, resolve_queue=1, resolve_cache=3)
        self.resolver = self.make(AddressGuard())

    def make(self, guard: AddressGuard) -> GuardedResolver:
        def getaddrinfo(name: str, port: None, **hints: Any) -> list[Any]:
            self.asked.append(name)
            if name not in self.names:
                raise socket.gaierror("no such name")
            return [(0, 0, 0, "", (address, 0)) for address in self.names[name]]

        def pool(minimum: int, maximum: int, name: str) -> FakePool:
            self.pools.append(FakePool(minimum, maximum, name))
            return self.pools[-1]

        return GuardedResolver(
            FakeReactor(), self.clock, guard, self.limits, getaddrinfo=getaddrinfo, make_pool=pool
        )

    def now(self, host: str, **kwargs: Any) -> Deferred[list[str]]:
        d = self.resolver.resolve(host, **kwargs)
        while self.pools and self.pools[0].calls:
            self.pools[0].run()
        return d


class Resolving(_Resolver):
    def test_a_name(self) -> None:
        self.assertEqual(self.successResultOf(self.now("A.example.")), ["1.1.1.1", "2606:4700::1111"])
        self.assertEqual(self.asked, ["a.example"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_literals_need_no_thread(self) -> None:
        self.assertEqual(self.successResultOf(self.resolver.resolve("8.8.8.8")), ["8.8.8.8"])
        self.failureResultOf(self.resolver.resolve("127.0.0.1"), AddressNotAllowed)
        self.assertEqual(self.successResultOf(self.resolver.resolve("::1", trusted=True)), ["::1"])
        self.assertEqual(self.pools, [])

    def test_asked_once_for_all_who_wait(self) -> None:
        waiting = [self.resolver.resolve("a.example") for _ in range(3)]
        self.pools[0].run()
        self.assertEqual([len(self.successResultOf(d)) for d in waiting], [2, 2, 2])
        self.assertEqual(self.asked, ["a.example"])

    def test_one_who_leaves_does_not_disturb_the_others(self) -> None:
        first, second = self.resolver.resolve("a.example"), self.resolver.resolve("a.example")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.pools[0].run()
        self.successResultOf(second)

    def test_one_who_makes_another_leave(self) -> None:
        def leave(_: object, other: Deferred[Any]) -> None:
            other.cancel()

        both: list[Deferred[Any]] = [self.resolver.resolve("a.example") for _ in range(2)]
        for mine, other in (both, both[::-1]):
            mine.addCallback(leave, other)
        self.pools[0].run()
        failed = [d for d in both if isinstance(d.result, Failure)]
        self.assertEqual(len(failed), 1)
        self.failureResultOf(failed[0], CancelledError)

    def test_answers_are_kept_for_a_while(self) -> None:
        self.now("a.example")
        self.clock.advance(self.limits.resolve_ttl - 1)
        self.successResultOf(self.resolver.resolve("a.example"))
        self.assertEqual(len(self.asked), 1)
        self.clock.advance(1)
        self.now("a.example")
        self.assertEqual(len(self.asked), 2)

    def test_failures_are_kept_for_a_while(self) -> None:
        self.failureResultOf(self.now("b.example"), NameNotResolved)
        self.failureResultOf(self.resolver.resolve("b.example"), NameNotResolved)
        self.assertEqual(len(self.asked), 1)
        self.clock.advance(self.limits.resolve_failure_ttl)
        self.names["b.example"] = ["8.8.8.8"]
        self.assertEqual(self.successResultOf(self.now("b.example")), ["8.8.8.8"])

    def test_the_cache_is_bounded(self) -> None:
        for name in ("a", "b", "c", "d"):
            self.names[name] = ["8.8.8.8"]
            self.now(name)
        self.now("d")
        self.assertEqual(len(self.asked), 4)
        self.now("a")
        self.assertEqual(len(self.asked), 5)

    def test_local_addresses_are_refused_unless_the_user_typed_the_name(self) -> None:
        self.names["lan"] = ["192.168.1.1", "127.0.0.1"]
        error = self.failureResultOf(self.now("lan"), AddressNotAllowed).value
        self.assertIn("192.168.1.1", str(error))
        self.assertEqual(self.successResultOf(self.resolver.resolve("lan", trusted=True)), self.names["lan"])
        self.assertEqual(len(self.asked), 1)

    def test_of_mixed_addresses_the_allowed_ones(self) -> None:
        self.names["mixed"] = ["127.0.0.1", "8.8.8.8", "::1"]
        self.assertEqual(self.successResultOf(self.now("mixed")), ["8.8.8.8"])

    def test_a_name_that_turns_local_meets_the_guard_again(self) -> None:
        self.now("a.example")
        self.names["a.example"] = ["127.0.0.1"]
        self.clock.advance(self.limits.resolve_ttl)
        self.failureResultOf(self.now("a.example"), AddressNotAllowed)

    def test_numbers_that_getaddrinfo_takes_for_loopback(self) -> None:
        self.names["2130706433"] = self.names["127.1"] = ["127.0.0.1"]
        for host in ("2130706433", "127.1"):
            self.failureResultOf(self.now(host), AddressNotAllowed)

    def test_deadline(self) -> None:
        d = self.resolver.resolve("a.example")
        self.clock.advance(self.limits.resolve_timeout)
        error = self.failureResultOf(d, NameNotResolved).value
        self.assertIn("did not answer", str(error))

    def test_an_answer_after_the_deadline_serves_those_to_come(self) -> None:
        d = self.resolver.resolve("a.example")
        self.clock.advance(self.limits.resolve_timeout)
        self.failureResultOf(d, NameNotResolved)
        self.pools[0].run()
        self.successResultOf(self.resolver.resolve("a.example"))

    def test_stuck_names_are_bounded(self) -> None:
        for number in range(3):
            self.resolver.resolve(f"{number}.example").addErrback(lambda _: None)
        self.clock.advance(self.limits.resolve_timeout)
        error = self.failureResultOf(self.resolver.resolve("a.example"), NameNotResolved).value
        self.assertIn("too many", str(error))
        self.pools[0].run()
        self.assertNoResult(self.resolver.resolve("a.example"))

    def test_nonsense(self) -> None:
        for name in ("", "a" * 254, "a\0b", "a\nb"):
            self.failureResultOf(self.resolver.resolve(name), NameNotResolved)
        self.assertEqual(self.pools, [])

    def test_a_name_that_cannot_be_encoded(self) -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise UnicodeError("label empty or too long")

        self.resolver._getaddrinfo = refuse
        self.failureResultOf(self.now("a..b"), NameNotResolved)

    def test_no_addresses_at_all(self) -> None:
        self.names["empty"] = []
        self.failureResultOf(self.now("empty"), NameNotResolved)


class Stopping(_Resolver):
    def test_idle(self) -> None:
        self.successResultOf(self.resolver.stop())
        self.failureResultOf(self.resolver.resolve("b.example"), NameNotResolved)
        self.assertEqual(self.pools, [])

    def test_pool_is_stopped(self) -> None:
        self.now("a.example")
        self.successResultOf(self.resolver.stop())
        self.assertTrue(self.pools[0].stopped)
        self.failureResultOf(self.resolver.resolve("b.example"), NameNotResolved)

    def test_those_who_wait_fail(self) -> None:
        d = self.resolver.resolve("a.example")
        self.resolver.stop()
        self.failureResultOf(d, NameNotResolved)

    def test_stuck_threads_are_left_behind(self) -> None:
        self.resolver.resolve("a.example").addErrback(lambda _: None)
        pool = self.pools[0]
        pool.stop = lambda: None  # type: ignore[method-assign]
        self.resolver._reactor = Silent()
        stopped = self.resolver.stop()
        self.assertNoResult(stopped)
        self.clock.advance(self.limits.stop_timeout)
        self.successResultOf(stopped)
        pool.run()  # the thread comes back after all: nobody cares

    def test_real_threads(self) -> None:
        resolver = GuardedResolver(
            FakeReactor(), self.clock, AddressGuard(True), self.limits, getaddrinfo=lambda *a, **k: []
        )
        d = resolver.resolve("a.example")
        pool = resolver._pool
        resolver.stop()
        self.failureResultOf(d, NameNotResolved)
        for thread in pool.threads:
            self.assertTrue(thread.daemon)
            thread.join(5)
            self.assertFalse(thread.is_alive())


class Silent:
    def callFromThread(self, f: Any, *args: Any) -> None:
        pass
