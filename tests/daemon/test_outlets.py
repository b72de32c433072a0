"""Results handed to outlets: a real store in memory, outlets that do as they are told."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from itertools import pairwise
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from functorrent.daemon.interfaces import IOutlet
from functorrent.daemon.outlets import DAILY, DELAYS, LOOK, RESTS, STOP_PATIENCE, Outlets, next_delay, usable
from functorrent.errors import DeliveryFailed, DeliveryRefused, StoreError
from functorrent.limits import DEFAULT_LIMITS
from functorrent.magnet import Magnet
from functorrent.store.jobs import Job, NewJob, Result
from functorrent.testing import sample_info
from functorrent.testing.store import memory_store
from tests.daemon.fakes import Wall

AT_ONCE = DEFAULT_LIMITS.outlet_at_once
WEEK = 7 * 86_400.0


@implementer(IOutlet, IPlugin)
class Outlet:
    """Keeps what it is given; `answer` makes the Deferred of each."""

    def __init__(self, name: Any = "box") -> None:
        self.name = name
        self.given: list[bytes] = []
        self.torrents: list[bytes] = []
        self.waiting: list[Deferred[None]] = []
        self.cancelled = 0
        self.answer: Callable[[Job], Any] = lambda job: succeed(None)

    def deliver(self, job: Job, torrent: bytes) -> Deferred[None]:
        self.given.append(job.key)
        self.torrents.append(torrent)
        result: Deferred[None] = self.answer(job)
        return result

    def wait(self, job: Job) -> Deferred[None]:
        """An answer that comes when the test says so."""

        def cancel(_: object) -> None:
            self.cancelled += 1

        self.waiting.append(Deferred(cancel))
        return self.waiting[-1]


def refuse(job: Job) -> Deferred[None]:
    return fail(DeliveryRefused("it answered 410"))


def not_now(job: Job) -> Deferred[None]:
    return fail(DeliveryFailed("it answered 500: \x1b"))


class OutletsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.wall = Wall(self.clock)
        self.store = memory_store(self.wall)
        self.outlet = Outlet()
        self.told: list[tuple[str, str]] = []
        self.outlets = self.make(self.outlet)

    def make(self, *outlets: Outlet, give_up_after: float = WEEK) -> Outlets:
        made = Outlets(
            self.clock, self.wall, self.store, outlets, give_up_after, lambda *told: self.told.append(told)
        )
        self.addCleanup(made.stopService)
        return made

    def fetched(self, *numbers: int, outlets: tuple[str, ...] = ("box",)) -> list[bytes]:
        """Results that the queue has just had."""
        keys = []
        for number in numbers:
            info = sample_info(100, f"result {number}")
            key = sha1(info).digest()
            self.successResultOf(self.store.submit([NewJob(Magnet.parse(key.hex()))]))
            self.successResultOf(self.store.claim("w", 1, 60))
            result = Result(key, info, f"result {number}", 1, 1, False, 0.1, {})
            self.assertTrue(self.successResultOf(self.store.fetched("w", result, outlets)))
            keys.append(key)
        return keys

    def due(self, outlet: str = "box") -> list[int]:
        """Attempts of what is due to it at any time."""
        start, self.wall.start = self.wall.start, self.wall.start + 1e9
        found = self.successResultOf(self.store.deliveries(outlet, 1000))
        self.wall.start = start
        return [delivery.attempts for delivery in found]

    def outcomes(self) -> list[str]:
        return [outcome for _, outcome in self.told]

    # -- the usual way -------------------------------------------------------------------------

    def test_what_was_due_before_and_what_comes(self) -> None:
        before = self.fetched(1, 2)
        self.outlets.startService()
        self.assertEqual(self.outlet.given, before)
        after = self.fetched(3)
        self.assertEqual(self.outlet.given, before + after)
        self.assertIn(b":result 1x", self.outlet.torrents[0])
        self.assertEqual(self.told, [("box", "taken")] * 3)
        self.assertEqual(self.due(), [])
        self.clock.pump([LOOK] * 5)
        self.assertEqual(len(self.outlet.given), 3)

    def test_each_outlet_gets_each(self) -> None:
        other = Outlet("other")
        other.answer = not_now
        outlets = self.make(self.outlet, other)
        self.assertEqual(outlets.names, ("box", "other"))
        outlets.startService()
        (key,) = self.fetched(1, outlets=outlets.names)
        self.assertEqual((self.outlet.given, other.given), ([key], [key]))
        self.assertEqual((self.due("box"), self.due("other")), ([], [1]))

    def test_a_bounded_number_at_once(self) -> None:
        self.outlet.answer = self.outlet.wait
        self.outlets.startService()
        self.fetched(*range(AT_ONCE + 3))
        self.clock.pump([LOOK] * 3)
        self.assertEqual(len(self.outlet.given), AT_ONCE)
        self.outlet.waiting[1].callback(None)
        self.assertEqual(len(self.outlet.given), AT_ONCE + 1)
        for number in (0, 2, 3, 4, 5, 6):
            self.outlet.waiting[number].callback(None)
        self.assertEqual(len(set(self.outlet.given)), AT_ONCE + 3)
        self.assertEqual(len(self.outlet.given), AT_ONCE + 3, "each once")
        self.assertEqual(self.due(), [])

    def test_an_answer_of_the_store_that_is_out_of_date(self) -> None:
        """The store was asked while a result was on its way, and answers when it has been taken."""
        self.outlet.answer = self.outlet.wait
        self.outlets.startService()
        self.fetched(1)
        deliveries = self.successResultOf(self.store.deliveries("box", 4))
        answer: Deferred[Any] = Deferred()
        self.patch(self.store, "deliveries", lambda outlet, limit: answer)
        self.clock.advance(LOOK)
        self.outlet.waiting[0].callback(None)
        answer.callback(deliveries)
        self.assertEqual(len(self.outlet.given), 1)

    # -- failures ------------------------------------------------------------------------------

    def test_later_and_later(self) -> None:
        self.outlet.answer = not_now
        self.outlets.startService()
        self.fetched(1)
        tried = [0.0]
        for _ in range(int(DELAYS[0] + DELAYS[1] + DELAYS[2] + 3 * LOOK)):
            self.clock.advance(1)
            if len(self.outlet.given) > len(tried):
                tried.append(self.clock.seconds())
        gaps = [after - before for before, after in pairwise(tried)]
        self.assertEqual(len(gaps), 3)
        for gap, delay in zip(gaps, DELAYS, strict=False):
            self.assertTrue(delay <= gap <= delay + LOOK, gaps)
        self.assertEqual(self.due(), [4])
        self.outlet.answer = lambda job: succeed(None)
        self.clock.pump([60] * 60)
        self.assertEqual((self.due(), self.outcomes()), ([], ["failed"] * 4 + ["taken"]))

    def test_delays(self) -> None:
        self.assertEqual([next_delay(n, WEEK) for n in range(1, 8)], [*DELAYS, DAILY])
        # 8.6 h of delays, then daily: the week ends before the seventh day of those.
        self.assertEqual(next_delay(12, WEEK), DAILY)
        self.assertIsNone(next_delay(13, WEEK))
        self.assertIsNone(next_delay(1, 5))

    def test_given_up(self) -> None:
        self.outlet.answer = not_now
        outlets = self.make(self.outlet, give_up_after=30)
        outlets.startService()
        self.fetched(1)
        self.clock.pump([5] * 30)
        self.assertEqual((self.outcomes(), self.due()), (["failed", "gave_up"], []))

    def test_never_again(self) -> None:
        self.outlet.answer = refuse
        self.outlets.startService()
        self.fetched(*range(20))
        self.assertEqual((self.outcomes(), self.due()), (["refused"] * 20, []))

    def test_one_that_raises_or_gives_nonsense(self) -> None:
        def answer(job: Job) -> Any:
            raise RuntimeError("a bug of its author")

        self.outlet.answer = answer
        self.outlets.startService()
        self.fetched(1)
        self.assertEqual(self.outcomes(), ["failed"])
        self.outlet.answer = lambda job: None
        self.clock.pump([LOOK] * 2)
        self.assertEqual(self.outcomes(), ["failed", "taken"])

    def test_one_that_never_ends(self) -> None:
        self.outlet.answer = self.outlet.wait
        self.outlets.startService()
        self.fetched(1)
        self.clock.advance(DEFAULT_LIMITS.outlet_timeout)
        self.assertEqual((self.outcomes(), self.outlet.cancelled), (["failed"], 1))

    def test_one_that_cancels_itself(self) -> None:
        self.outlet.answer = lambda job: fail(CancelledError())
        self.outlets.startService()
        self.fetched(1)
        self.assertEqual((self.outcomes(), self.due()), (["failed"], [1]))

    def test_one_that_fails_on_end_is_left_in_peace(self) -> None:
        self.outlet.answer = not_now
        self.fetched(*range(100))
        self.outlets.startService()
        self.clock.pump([0] * 100)
        tries = DEFAULT_LIMITS.outlet_failures
        self.assertEqual(len(self.outlet.given), tries)
        self.clock.pump([1] * int(RESTS[0] - 1))
        self.fetched(100)
        self.assertEqual(len(self.outlet.given), tries, "not even for a new one")
        self.clock.advance(1)
        self.assertEqual(len(self.outlet.given), tries + 1, "one, to see")
        self.clock.pump([1] * int(RESTS[1] - 1))
        self.assertEqual(len(self.outlet.given), tries + 1)
        self.clock.pump([1] * int(1 + 10 * RESTS[2]))
        self.assertLessEqual(len(self.outlet.given), tries + 1 + 11)
        self.outlet.answer = lambda job: succeed(None)
        self.clock.pump([60] * 60 * 24)
        self.assertEqual(self.due(), [])
        self.assertEqual(self.outcomes().count("taken"), 101)

    def test_after_a_rest_one_is_tried_until_it_goes_well(self) -> None:
        self.outlet.answer = not_now
        self.fetched(*range(20))
        self.outlets.startService()
        self.clock.pump([0] * 10)
        self.outlet.answer = self.outlet.wait
        self.clock.pump([RESTS[0], LOOK, LOOK])
        self.assertEqual(len(self.outlet.waiting), 1)
        self.outlet.waiting[0].callback(None)
        self.clock.pump([0, LOOK])
        self.assertEqual(len(self.outlet.waiting), 1 + AT_ONCE)

    def test_failures_now_and_then_do_not_stop_the_rest(self) -> None:
        self.outlet.answer = lambda job: not_now(job) if len(self.outlet.given) % 4 else succeed(None)
        self.outlets.startService()
        self.fetched(*range(40))
        self.clock.pump([0] * 40)
        self.assertEqual(len(self.outlet.given), 40)

    # -- the store -----------------------------------------------------------------------------

    def test_a_store_that_does_not_say_what_is_due(self) -> None:
        with self.subTest("it fails"):
            patched = self.patch(self.store, "deliveries", lambda outlet, limit: fail(StoreError("locked")))
            self.outlets.startService()
            self.fetched(1)
            self.clock.advance(LOOK)
            self.assertEqual(self.outlet.given, [])
            patched.restore()
            self.clock.advance(LOOK)
            self.assertEqual(len(self.outlet.given), 1)

    def test_what_cannot_be_crossed_off_comes_again_but_not_at_once(self) -> None:
        for name in ("delivered", "undelivered"):
            patched = self.patch(self.store, name, lambda *_: fail(StoreError("the disk is full")))
            self.outlet.answer = not_now if name == "undelivered" else lambda job: succeed(None)
            self.outlets.startService()
            self.fetched(1 if name == "delivered" else 2)
            given = len(self.outlet.given)
            self.clock.pump([1] * 9)
            self.assertEqual(len(self.outlet.given), given, name)
            patched.restore()
            self.clock.pump([1] * 2)
            self.assertEqual(len(self.outlet.given), given + 1, name)
            self.outlets.stopService()

    def test_a_result_that_is_gone(self) -> None:
        self.patch(self.store, "torrent", lambda key: succeed(None))
        self.outlets.startService()
        self.fetched(1)
        self.assertEqual((self.outlet.given, self.due()), ([], []))

    # -- life ----------------------------------------------------------------------------------

    def test_a_stop_leaves_due_what_was_not_taken(self) -> None:
        self.outlet.answer = self.outlet.wait
        self.outlets.startService()
        self.fetched(1, 2)
        self.successResultOf(self.outlets.stopService())
        self.assertEqual((self.outlet.cancelled, self.told), (2, []))
        self.assertEqual(self.due(), [0, 0])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.fetched(3)
        self.assertEqual(len(self.outlet.given), 2)
        again = self.make(self.outlet)
        self.outlet.answer = lambda job: succeed(None)
        again.startService()
        self.assertEqual((len(self.outlet.given), self.due()), (5, []))

    def test_a_stop_waits_for_what_is_being_crossed_off(self) -> None:
        crossing: Deferred[None] = Deferred()
        self.patch(self.store, "delivered", lambda number: crossing)
        self.outlets.startService()
        self.fetched(1)
        stopping = self.outlets.stopService()
        self.assertNoResult(stopping)
        crossing.callback(None)
        self.successResultOf(stopping)

    def test_a_stop_does_not_wait_for_ever(self) -> None:
        self.patch(self.store, "delivered", lambda number: Deferred())
        self.outlets.startService()
        self.fetched(1)
        stopping = self.outlets.stopService()
        self.clock.advance(STOP_PATIENCE)
        self.successResultOf(stopping)

    def test_without_outlets(self) -> None:
        outlets = self.make()
        outlets.startService()
        self.fetched(1)
        self.assertEqual((outlets.names, self.clock.getDelayedCalls()), ((), []))


class UsableTests(SynchronousTestCase):
    def test_names(self) -> None:
        class Broken(Outlet):
            @property
            def name(self) -> str:
                raise RuntimeError("a bug of its author")

            @name.setter
            def name(self, name: str) -> None:
                pass

        good = Outlet("good")
        given: list[Any] = [
            Outlet(None),
            Outlet(""),
            Outlet("a\nb"),
            Outlet("x" * 41),
            good,
            Outlet("good"),
            Broken(),
        ]
        self.assertEqual(usable(given), [good])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
