"""The library: what the store has is found, asking in vain costs little, and callers start fetches."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha1
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from functorrent.daemon.library import Library
from functorrent.errors import QueueClosed, StoreError
from functorrent.interfaces import IMetadataLibrary, PeerAddress
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.store.jobs import NewJob, Result
from functorrent.testing.store import memory_store
from tests.store.bed import LEASE, REPORT, Wall, hybrid_hashes, hybrid_info, link, magnet_of, result_of

PEER, OTHER = PeerAddress("192.0.2.1", 50_000), PeerAddress("192.0.2.2", 50_000)
LIMITS = replace(
    DEFAULT_LIMITS,
    library_cache=1000,
    look_ups_at_once=2,
    look_ups_waiting=3,
    misses_burst=10,
    misses_rate=0.1,
    misses_burst_all=15,
    misses_rate_all=0.5,
)


def infohash(number: int) -> bytes:
    return number.to_bytes(20, "big")


class Slow:
    """An IStore whose answers the test gives; `asked`: infohash and the Deferred, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, Deferred[bytes | None]]] = []
        self.job_is: Any = None

    def watch(self, observer: Any) -> None:
        self.observer = observer

    def info_bytes(self, key: bytes) -> Deferred[bytes | None]:
        self.asked.append((key, Deferred()))
        return self.asked[-1][1]

    def job(self, key: bytes) -> Deferred[Any]:
        return succeed(self.job_is)


class LibraryCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = Slow()
        self.library = self.make()

    def make(self, limits: Limits = LIMITS) -> Library:
        return Library(self.clock, self.store, limits)  # type: ignore[arg-type]

    def ask(self, number: int, caller: PeerAddress = PEER) -> Deferred[bytes | None]:
        return self.library.look_up(infohash(number), caller)

    def answer(self, info: bytes | None, number: int = -1) -> None:
        self.store.asked[number][1].callback(info)

    def assert_idle(self) -> None:
        library = self.library
        self.assertEqual((library._look_ups, library._waiting, library._running), ({}, {}, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class LookUpTests(LibraryCase):
    def test_what_it_is(self) -> None:
        verifyObject(IMetadataLibrary, self.library)

    def test_found_and_kept(self) -> None:
        asked = self.ask(1)
        self.assertNoResult(asked)
        self.answer(b"one")
        self.assertEqual(self.successResultOf(asked), b"one")
        again = self.successResultOf(self.ask(1))
        self.assertIs(again, self.library._kept[infohash(1)])
        self.assertEqual((len(self.store.asked), self.library.found, self.library.hits), (1, 1, 1))
        self.assert_idle()

    def test_equal_ones_are_one(self) -> None:
        asked = [self.ask(1, PEER), self.ask(1, OTHER), self.ask(1, OTHER)]
        self.answer(b"one")
        found = [self.successResultOf(each) for each in asked]
        self.assertEqual(found, [b"one"] * 3)
        self.assertIs(found[0], found[2])
        self.assertEqual(len(self.store.asked), 1)

    def test_a_budget(self) -> None:
        """What was asked for last stays."""
        for number in range(4):
            self.ask(number)
            self.answer(bytes(300))
            self.ask(0)
        self.assertEqual((self.library.size, len(self.library._kept)), (900, 3))
        self.assertEqual(list(self.library._kept), [infohash(2), infohash(3), infohash(0)])

    def test_larger_than_the_budget(self) -> None:
        self.ask(1)
        self.answer(bytes(300))
        asked = self.ask(2)
        self.answer(bytes(1001))
        self.assertEqual(len(self.successResultOf(asked) or b""), 1001)
        self.assertEqual((self.library.size, self.library._kept), (0, {}))

    def test_a_few_at_once(self) -> None:
        asked = [self.ask(number) for number in range(5)]
        self.assertEqual([key for key, _ in self.store.asked], [infohash(0), infohash(1)])
        # No more wait than so many; the sixth is refused.
        self.assertIsNone(self.successResultOf(self.ask(5)))
        self.assertEqual(self.library.refused, 1)
        for number in range(5):
            self.answer(b"x", number)
            self.assertEqual(self.successResultOf(asked[number]), b"x")
        self.assert_idle()

    def test_one_hangs_up(self) -> None:
        stays, leaves = self.ask(1), self.ask(1)
        leaves.cancel()
        self.failureResultOf(leaves, CancelledError)
        self.answer(b"one")
        self.assertEqual(self.successResultOf(stays), b"one")

    def test_one_hangs_up_of_those_who_wait(self) -> None:
        for number in range(2):
            self.ask(number)
        stays, leaves = self.ask(2), self.ask(2)
        leaves.cancel()
        self.failureResultOf(leaves, CancelledError)
        self.answer(None, 0)
        self.answer(b"two")
        self.assertEqual(self.successResultOf(stays), b"two")

    def test_all_hang_up(self) -> None:
        """What the store is asked already comes to good; what waits is not asked."""
        asked = [self.ask(number) for number in range(4)]
        for each in asked:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.assertEqual(len(self.library._waiting), 0)
        self.answer(b"zero", 0)
        self.answer(None, 1)
        self.assertEqual(len(self.store.asked), 2)
        self.assertEqual(self.successResultOf(self.ask(0)), b"zero")
        self.assert_idle()

    def test_one_whose_end_ends_another(self) -> None:
        first, second = self.ask(1), self.ask(1)
        first.addCallback(lambda _: second.cancel())
        self.answer(b"one")
        self.failureResultOf(second, CancelledError)
        self.assert_idle()

    def test_the_store_fails(self) -> None:
        asked = [self.ask(1), self.ask(1)]
        self.store.asked[0][1].errback(StoreError("the disk is gone"))
        for each in asked:
            self.failureResultOf(each, StoreError)
        # Nothing is remembered of it.
        self.ask(1)
        self.assertEqual(len(self.store.asked), 2)

    def test_the_store_raises(self) -> None:
        self.store.info_bytes = lambda key: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        self.failureResultOf(self.ask(1), ZeroDivisionError)
        self.assert_idle()

    def test_the_store_hangs(self) -> None:
        """Its place is free again for others."""
        asked = [self.ask(number) for number in range(3)]
        self.clock.advance(LIMITS.look_up_timeout)
        self.failureResultOf(asked[0], StoreError)
        self.failureResultOf(asked[1], StoreError)
        self.assertEqual(len(self.store.asked), 3)
        self.answer(b"two")
        self.assertEqual(self.successResultOf(asked[2]), b"two")
        self.assert_idle()


class MissTests(LibraryCase):
    def miss(self, number: int, caller: PeerAddress = PEER) -> bool:
        """Ask for what is not there; whether the store was asked."""
        before = len(self.store.asked)
        asked = self.ask(number, caller)
        if len(self.store.asked) > before:
            self.answer(None)
        self.assertIsNone(self.successResultOf(asked))
        return len(self.store.asked) > before

    def test_remembered_for_a_while(self) -> None:
        self.assertTrue(self.miss(1))
        self.clock.advance(LIMITS.missing_ttl - 1)
        self.assertFalse(self.miss(1, OTHER))
        self.assertEqual(self.library.missing, 2)
        self.clock.advance(1)
        self.assertTrue(self.miss(1))

    def test_it_comes_meanwhile(self) -> None:
        """Both of a hybrid's infohashes, the longer as in a handshake."""
        jobs: list[Any] = [
            replace_job(infohash=infohash(1), infohash_v2=infohash(2) + bytes(12)),
            replace_job(infohash=infohash(3), infohash_v2=None),
        ]
        for number in (1, 2, 3, 4):
            self.miss(number)
        self.store.observer(jobs)
        self.assertEqual([self.miss(number) for number in (1, 2, 3, 4)], [True, True, True, False])

    def test_it_comes_while_it_is_looked_up(self) -> None:
        """The store's answer may be older than what it has told."""
        asked = self.ask(1)
        self.store.observer([replace_job(infohash=infohash(1), infohash_v2=None)])
        self.answer(None)
        self.assertIsNone(self.successResultOf(asked))
        self.assertTrue(self.miss(1))

    def test_one_address_asks_for_much(self) -> None:
        self.assertEqual([self.miss(number) for number in range(12)], [True] * 10 + [False] * 2)
        self.assertEqual(self.library.refused, 2)
        self.assertTrue(self.miss(100, OTHER))
        # What is in memory it gets all the same.
        self.ask(200, OTHER)
        self.answer(b"here")
        self.assertEqual(self.successResultOf(self.ask(200, PEER)), b"here")
        self.clock.advance(10)
        self.assertEqual([self.miss(number) for number in (300, 301)], [True, False])

    def test_many_addresses_ask_for_much(self) -> None:
        callers = [PeerAddress(f"198.51.100.{number}", 1) for number in range(100)]
        asked = [self.miss(number, caller) for number, caller in enumerate(callers)]
        self.assertEqual(sum(asked), LIMITS.misses_burst_all)
        self.clock.advance(4)
        self.assertEqual([self.miss(number + 1000, PEER) for number in range(3)], [True, True, False])

    def test_what_is_found_is_no_miss(self) -> None:
        for number in range(100):
            asked = self.ask(number)
            self.answer(b"x")
            self.assertEqual(self.successResultOf(asked), b"x")

    def test_many_at_once_that_are_there(self) -> None:
        """A bulk fetch: nothing of it counts as asked in vain."""
        self.library = self.make(replace(LIMITS, look_ups_waiting=200))
        asked = [self.ask(number) for number in range(200)]
        for number in range(200):
            self.answer(b"x", number)
        self.assertEqual([self.successResultOf(each) for each in asked], [b"x"] * 200)

    def test_a_crawler(self) -> None:
        """Memory stays bounded, whatever is asked for."""
        self.library = self.make(replace(LIMITS, remembered_misses=50, misses_burst_all=10**6))
        for number in range(5000):
            self.miss(number, PeerAddress(f"198.51.{number % 250}.{number // 250}", 1))
        self.assertEqual((len(self.library._not_there), len(self.library._misses._buckets)), (50, 50))
        self.assert_idle()


def replace_job(**items: Any) -> Any:
    """As much of a job as an observer looks at."""

    return SimpleNamespace(**items)


class OtherNameTests(LibraryCase):
    def test_a_job_that_goes_by_another_infohash(self) -> None:
        """Its fetch would not be found by the one that the caller has named."""
        calls: list[bytes] = []

        def called(infohash: bytes) -> Deferred[bool]:
            calls.append(infohash)
            return succeed(True)

        self.library.called = called
        for key in (infohash(1), infohash(2)):
            self.store.job_is = replace_job(key=key, status="waiting")
            asked = self.ask(1)
            self.answer(None)
            self.assertIsNone(self.successResultOf(asked))
            self.assertEqual(calls, [infohash(1)])
            self.clock.advance(LIMITS.called_again)


class CallTests(SynchronousTestCase):
    """On a real store: callers for jobs that wait, and what is served."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = memory_store(Wall())
        self.library = Library(self.clock, self.store)
        self.library.called = self.called
        self.calls: list[bytes] = []
        self.answer: Any = True

    def called(self, infohash: bytes) -> Any:
        self.calls.append(infohash)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer if isinstance(self.answer, Deferred) else succeed(self.answer)

    def submit(self, number: int) -> bytes:
        magnet = magnet_of(number)
        self.successResultOf(self.store.submit([NewJob(magnet)]))
        assert magnet.infohash is not None
        return magnet.infohash

    def waiting(self, number: int) -> bytes:
        """A job that has failed once."""
        key = self.submit(number)
        self.assertIsNotNone(self.successResultOf(self.store.claim_one("w", key, LEASE)))
        self.assertTrue(self.successResultOf(self.store.failed("w", key, REPORT, 1.0, 2e9)))
        return key

    def ask(self, infohash: bytes, caller: PeerAddress = PEER) -> Any:
        return self.successResultOf(self.library.look_up(infohash, caller))

    def test_waiting_and_queued(self) -> None:
        """Also those that are claimed: it may be us, who have no slot for it yet."""
        keys = [self.waiting(1), self.submit(2), self.submit(3)]
        self.successResultOf(self.store.claim_one("w", keys[2], LEASE))
        for key in keys:
            self.assertIsNone(self.ask(key))
        self.assertEqual((self.calls, self.library.started), (keys, 3))

    def test_once_a_minute(self) -> None:
        """A liar that calls again and again does not use the job's tries up."""
        key = self.waiting(1)
        for _ in range(10):
            self.ask(key)
            self.clock.advance(5.5)
        self.assertEqual(self.calls, [key])
        # What the failed try changes does not change that.
        self.successResultOf(self.store.claim_one("w", key, LEASE))
        self.successResultOf(self.store.failed("w", key, REPORT, 1.0, 2e9))
        self.ask(key)
        self.assertEqual(self.calls, [key])
        self.clock.advance(DEFAULT_LIMITS.called_again)
        self.ask(key)
        self.assertEqual(self.calls, [key, key])

    def test_callers_at_once_are_one(self) -> None:
        key = self.waiting(1)
        began = self.answer = Deferred()
        asked = [self.library.look_up(key, PEER) for _ in range(3)]
        self.assertNoResult(asked[0])
        asked[1].cancel()
        self.failureResultOf(asked[1], CancelledError)
        began.callback(True)
        self.assertEqual([self.successResultOf(asked[0]), self.successResultOf(asked[2])], [None, None])
        self.assertEqual((self.calls, self.library._look_ups), ([key], {}))

    def test_a_call_holds_up_no_look_up(self) -> None:
        self.answer = Deferred()
        for number in range(1, 6):
            self.library.look_up(self.waiting(number), PEER)
        self.assertEqual(len(self.calls), 5)
        self.assertIsNone(self.ask(b"n" * 20))

    def test_not_begun(self) -> None:
        """The queue has no room, say."""
        key = self.waiting(1)
        self.answer = False
        self.assertIsNone(self.ask(key))
        self.assertEqual((self.library.started, self.library.missing), (0, 1))

    def test_the_queue_fails(self) -> None:
        for number, answer in enumerate(
            (fail(QueueClosed("bye")), QueueClosed("bye"), fail(StoreError("x")))
        ):
            self.answer = answer
            self.assertIsNone(self.ask(self.waiting(number)))
        self.answer = ZeroDivisionError()
        self.assertIsNone(self.ask(self.waiting(9)))
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.assertEqual((self.library.started, self.library._look_ups), (0, {}))

    def test_not_those_that_nobody_wants(self) -> None:
        cancelled, gone = self.waiting(2), self.waiting(3)
        self.successResultOf(self.store.cancel(cancelled))
        self.successResultOf(self.store.claim_one("w", gone, LEASE))
        self.successResultOf(self.store.failed("w", gone, REPORT, 1.0, None))
        for key in (cancelled, gone, b"n" * 20):
            self.assertIsNone(self.ask(key))
        self.assertEqual(self.calls, [])

    def test_without_a_queue(self) -> None:
        self.library.called = None
        self.assertIsNone(self.ask(self.waiting(1)))

    def test_a_job_is_no_miss(self) -> None:
        """Who calls for jobs is welcome."""
        for number in range(2 * DEFAULT_LIMITS.misses_burst):
            self.ask(self.waiting(number))
        self.assertEqual(len(self.calls), 2 * DEFAULT_LIMITS.misses_burst)

    def test_so_many_calls_and_no_more(self) -> None:
        for number in range(DEFAULT_LIMITS.calls_burst + 5):
            self.ask(self.waiting(number))
        self.assertEqual(len(self.calls), DEFAULT_LIMITS.calls_burst)
        self.clock.advance(DEFAULT_LIMITS.missing_ttl)
        last = magnet_of(DEFAULT_LIMITS.calls_burst).infohash
        assert last is not None
        self.ask(last)
        self.assertEqual(self.calls[-1], last)

    def test_fetched(self) -> None:
        """As soon as it is in the store."""
        key = self.submit(1)
        self.library.called = None
        self.assertIsNone(self.ask(key))
        self.successResultOf(self.store.claim_one("w", key, LEASE))
        result = result_of(1)
        self.assertTrue(self.successResultOf(self.store.fetched("w", result)))
        self.assertEqual(self.ask(key), result.info_bytes)
        self.assertEqual(sha1(self.ask(key)).digest(), key)

    def test_a_hybrid_by_its_v2_infohash(self) -> None:
        """In a handshake it has 20 bytes of it (BEP 52). Callers of a job go by the other one."""
        v1, v2 = hybrid_hashes(1)
        self.successResultOf(self.store.submit([NewJob(link(v1, v2))]))
        self.assertIsNone(self.ask(v2[:20]))
        self.assertEqual(self.calls, [])
        self.successResultOf(self.store.claim_one("w", v1, LEASE))
        result: Result = result_of(1, hybrid_info(1))
        self.assertTrue(self.successResultOf(self.store.fetched("w", result)))
        self.assertEqual(self.ask(v2[:20]), result.info_bytes)
        self.assertEqual(self.ask(v1), result.info_bytes)
