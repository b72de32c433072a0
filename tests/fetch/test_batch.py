"""Batch: slots, parked magnets, waking, closing, cancelling, and callers that raise or come back in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.fetch.batch import Batch
from functorrent.fetch.factory import MetadataClientFactory
from functorrent.limits import Limits
from functorrent.magnet import Magnet
from functorrent.testing import sample_info, sample_magnet
from tests.fetch.bed import FetchCase, peer, tracker_report

MAGNET = Magnet.parse("ab" * 20)


class Gone(Exception):
    """Why a fetch failed."""


class FakeFetcher:
    """Fetches end when a test says so; or at once, as `at_once` gives it."""

    def __init__(self, clock: Clock, max_parked: int = 1000) -> None:
        self.core = self
        self.clock = clock
        self.limits = Limits(max_parked=max_parked)
        self.running: list[tuple[Deferred[Any], Callable[[], None]]] = []
        self.at_once: Callable[[], Any] | None = None
        self.most = 0
        self.begun = 0

    def fetch(self, magnet: Magnet, released: Callable[[], None]) -> Deferred[Any]:
        self.begun += 1
        if self.at_once is not None:
            return self.at_once()  # type: ignore[no-any-return]

        def cancel(deferred: Deferred[Any]) -> None:
            self.drop(deferred)
            deferred.errback(Gone("cancelled"))

        result: Deferred[Any] = Deferred(cancel)
        self.running.append((result, released))
        self.most = max(self.most, len(self.running))
        return result

    def drop(self, result: Deferred[Any]) -> None:
        self.running = [each for each in self.running if each[0] is not result]

    def end(self, place: int = 0, result: Any = "metadata") -> None:
        deferred, _ = self.running.pop(place)
        deferred.callback(result)

    def fail(self, place: int = 0) -> None:
        deferred, _ = self.running.pop(place)
        deferred.errback(Gone())

    def release(self, place: int = 0) -> None:
        self.running[place][1]()


class Case(SynchronousTestCase):
    jobs = 3
    max_parked = 1000

    def setUp(self) -> None:
        self.clock = Clock()
        self.fetcher = FakeFetcher(self.clock, self.max_parked)
        self.queue: list[int] = []
        self.results: dict[int, Any] = {}
        self.on_pull: Callable[[], None] = lambda: None
        self.on_finished: Callable[[int], None] = lambda tag: None
        self.batch: Batch[int] = Batch(self.fetcher, self.pull, self.finished, self.jobs)  # type: ignore[arg-type]

    def pull(self) -> tuple[Magnet, int] | None:
        self.on_pull()
        return (MAGNET, self.queue.pop(0)) if self.queue else None

    def finished(self, tag: int, magnet: Magnet, result: Any) -> None:
        self.assertIs(magnet, MAGNET)
        self.assertNotIn(tag, self.results)
        self.results[tag] = result
        self.on_finished(tag)

    def run_with(self, count: int) -> Deferred[None]:
        self.queue = list(range(count))
        return self.batch.run()

    def assert_over(self, done: Deferred[None], count: int) -> None:
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(sorted(self.results), list(range(count)))
        self.assertEqual((self.batch.in_flight, self.batch.active), (0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SlotTests(Case):
    def test_so_many_at_once(self) -> None:
        done = self.run_with(10)
        self.assertEqual((self.batch.in_flight, self.batch.active), (3, 3))
        self.batch.close()
        while self.fetcher.running:
            self.fetcher.end()
        self.assertEqual(self.fetcher.most, 3)
        self.assert_over(done, 10)

    def test_results(self) -> None:
        self.run_with(2)
        self.fetcher.fail(1)
        self.fetcher.end()
        self.assertEqual(self.results[0], "metadata")
        self.assertIsInstance(self.results[1].value, Gone)

    def test_a_slot_given_up_goes_to_another(self) -> None:
        done = self.run_with(4)
        self.fetcher.release(1)
        self.assertEqual((self.batch.in_flight, self.batch.active), (4, 3))
        self.batch.close()
        for _ in range(4):
            self.fetcher.end()
        self.assert_over(done, 4)

    def test_given_up_twice_it_is_one(self) -> None:
        self.run_with(6)
        self.fetcher.release(0)
        self.fetcher.release(0)
        self.assertEqual((self.batch.in_flight, self.batch.active), (4, 3))

    def test_given_up_at_once(self) -> None:
        def release_first(tag: Any = None) -> None:
            pass

        original = self.fetcher.fetch

        def fetch(magnet: Magnet, released: Callable[[], None]) -> Deferred[Any]:
            released()
            return original(magnet, release_first)

        self.fetcher.fetch = fetch  # type: ignore[method-assign]
        done = self.run_with(20)
        self.assertEqual((self.batch.in_flight, self.batch.active), (20, 0))
        self.batch.close()
        while self.fetcher.running:
            self.fetcher.end()
        self.assert_over(done, 20)


class ParkedTests(Case):
    max_parked = 5

    def test_no_more_than_so_many_wait(self) -> None:
        done = self.run_with(30)
        for _ in range(20):
            for place in range(len(self.fetcher.running)):
                self.fetcher.release(place)
        self.assertEqual(self.batch.in_flight - self.batch.active, self.batch.in_flight)
        self.assertLessEqual(self.batch.in_flight, 5 + 3)
        self.batch.close()
        while self.fetcher.running:
            self.fetcher.end()
        self.assert_over(done, 30)


class SingleTests(Case):
    """One begun, or ended, apart from the others."""

    def test_begun_beyond_the_slots(self) -> None:
        done = self.run_with(5)
        self.batch.begin(MAGNET, 5)
        self.assertEqual((self.batch.in_flight, self.batch.active), (4, 4))
        self.fetcher.end(0)
        self.assertEqual((self.batch.in_flight, self.queue), (3, [3, 4]))
        self.fetcher.end(0)
        self.assertEqual((self.batch.in_flight, self.queue), (3, [4]))
        self.batch.close()
        while self.fetcher.running:
            self.fetcher.end()
        self.assert_over(done, 6)

    def test_ended(self) -> None:
        done = self.run_with(5)
        self.assertTrue(self.batch.end(1))
        self.assertEqual((list(self.results), self.batch.in_flight, self.queue), ([1], 3, [4]))
        self.assertFalse(self.batch.end(1))
        self.assertFalse(self.batch.end(4))
        self.batch.cancel()
        self.assertIsNone(self.successResultOf(done))

    def test_before_it_runs_and_afterwards(self) -> None:
        self.batch.begin(MAGNET, 0)
        done = self.run_with(0)
        self.batch.close()
        self.batch.begin(MAGNET, 0)
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual((self.fetcher.begun, self.results), (0, {}))


class TurnTests(Case):
    jobs = 1000

    def test_so_many_in_one_go(self) -> None:
        self.run_with(120)
        self.assertEqual(self.batch.in_flight, 50)
        self.clock.advance(0)
        self.assertEqual(self.batch.in_flight, 120)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_those_that_fail_at_once(self) -> None:
        """A hundred thousand of them are no deeper a recursion than one, and no longer a turn."""
        self.fetcher.at_once = lambda: fail(Gone())
        done = self.run_with(5000)
        self.batch.close()
        self.assertEqual(len(self.results), 50)
        self.clock.advance(0)
        self.assert_over(done, 5000)

    def test_those_that_fail_at_once_behind_one_that_does_not(self) -> None:
        done = self.run_with(1)
        self.queue = list(range(1, 2000))
        self.fetcher.at_once = lambda: fail(Gone())
        self.on_finished = lambda tag: self.batch.wake()
        self.batch.close()
        self.fetcher.end()
        self.clock.advance(0)
        self.assert_over(done, 2000)

    def test_a_fetcher_that_raises(self) -> None:
        def broken() -> Any:
            raise ZeroDivisionError

        self.fetcher.at_once = broken
        done = self.run_with(3)
        self.batch.close()
        self.assert_over(done, 3)
        self.assertIsInstance(self.results[0].value, ZeroDivisionError)

    def test_succeeding_at_once(self) -> None:
        self.fetcher.at_once = lambda: succeed("metadata")
        done = self.run_with(3)
        self.batch.close()
        self.assert_over(done, 3)


class EndTests(Case):
    def test_nothing_to_do(self) -> None:
        done = self.run_with(0)
        self.assertNoResult(done)
        self.batch.close()
        self.assert_over(done, 0)

    def test_closed_before_it_runs(self) -> None:
        self.batch.close()
        self.assert_over(self.run_with(0), 0)

    def test_woken(self) -> None:
        done = self.run_with(0)
        self.queue = [0, 1]
        self.assertEqual(self.batch.in_flight, 0)
        self.batch.wake()
        self.assertEqual(self.batch.in_flight, 2)
        self.batch.close()
        self.fetcher.end()
        self.fetcher.end()
        self.assert_over(done, 2)
        self.batch.wake()

    def test_woken_before_it_runs(self) -> None:
        self.queue = [0]
        self.batch.wake()
        self.assertEqual(self.batch.in_flight, 0)

    def test_closed_by_pull(self) -> None:
        """As a command does that finds its input at an end."""

        def pull() -> None:
            if not self.queue:
                self.batch.close()

        self.on_pull = pull
        done = self.run_with(2)
        self.fetcher.end()
        self.assertNoResult(done)
        self.fetcher.end()
        self.assert_over(done, 2)

    def test_closed_by_pull_when_woken(self) -> None:
        done = self.run_with(0)
        self.on_pull = self.batch.close
        self.batch.wake()
        self.assert_over(done, 0)

    def test_closed_by_finished(self) -> None:
        self.on_finished = lambda tag: self.batch.close()
        done = self.run_with(1)
        self.fetcher.end()
        self.assert_over(done, 1)

    def test_closed_while_more_is_due(self) -> None:
        self.batch._jobs = 1000
        done = self.run_with(50)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        while self.fetcher.running:
            self.fetcher.end()
        self.batch.close()
        self.clock.advance(0)
        self.assert_over(done, 50)


class CancelTests(Case):
    def test_each_is_told(self) -> None:
        done = self.run_with(10)
        self.batch.cancel()
        self.assert_over(done, 3)
        self.assertEqual([str(each.value) for each in self.results.values()], ["cancelled"] * 3)
        self.assertEqual(self.fetcher.begun, 3)

    def test_through_its_deferred(self) -> None:
        done = self.run_with(10)
        done.cancel()
        self.assert_over(done, 3)

    def test_before_it_runs(self) -> None:
        self.batch.cancel()
        self.assert_over(self.run_with(5), 0)

    def test_by_finished(self) -> None:
        self.on_finished = lambda tag: self.batch.cancel()
        done = self.run_with(10)
        self.fetcher.end()
        self.assert_over(done, 3)

    def test_by_finished_of_one_that_failed_at_once(self) -> None:
        self.fetcher.at_once = lambda: fail(Gone())
        self.on_finished = lambda tag: self.batch.cancel()
        self.assert_over(self.run_with(10), 1)

    def test_by_pull(self) -> None:
        def pull() -> None:
            if len(self.queue) == 8:
                self.batch.cancel()

        self.on_pull = pull
        done = self.run_with(10)
        # The one that it gives all the same is told, too.
        self.assert_over(done, 3)
        self.assertEqual(len(self.queue), 7)

    def test_while_one_begins(self) -> None:
        """It is not forgotten."""
        original = self.fetcher.fetch

        def fetch(magnet: Magnet, released: Callable[[], None]) -> Deferred[Any]:
            self.batch.cancel()
            return original(magnet, released)

        self.fetcher.fetch = fetch  # type: ignore[method-assign]
        self.assert_over(self.run_with(10), 1)

    def test_while_more_is_due(self) -> None:
        self.batch._jobs = 1000
        done = self.run_with(200)
        self.batch.cancel()
        self.assert_over(done, 50)


class BrokenCallerTests(Case):
    """What pull or finished raises loses no other magnet."""

    def test_finished_raises(self) -> None:
        def broken(tag: int) -> None:
            raise ZeroDivisionError

        self.on_finished = broken
        done = self.run_with(10)
        self.batch.close()
        while self.fetcher.running:
            self.fetcher.end()
        self.assert_over(done, 10)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 10)

    def test_pull_raises_now_and_then(self) -> None:
        calls = 0

        def broken() -> None:
            nonlocal calls
            calls += 1
            if calls % 2:
                raise ZeroDivisionError

        self.on_pull = broken
        done = self.run_with(10)
        self.batch.close()
        for _ in range(20):
            self.clock.advance(0)
            if self.fetcher.running:
                self.fetcher.end()
        self.assert_over(done, 10)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_pull_raises_on_end(self) -> None:
        """What is in flight goes on; then the batch fails, for it cannot have the rest."""
        done = self.run_with(2)

        def broken() -> None:
            raise ZeroDivisionError

        self.on_pull = broken
        self.fetcher.end()
        for _ in range(50):
            self.clock.advance(0)
        self.assertLessEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 10)
        self.assertNoResult(done)
        self.fetcher.end()
        self.failureResultOf(done, ZeroDivisionError)
        self.assertEqual(sorted(self.results), [0, 1])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WholeTests(FetchCase):
    """Over real fetches."""

    def test_a_dead_magnet_does_not_hold_up_a_live_one(self) -> None:
        infos = [sample_info(2000, f"n{number}") for number in range(30)]
        self.network.seeder(peer(29), infos[29])
        queue = list(infos)
        results: dict[int, Any] = {}
        core = self.core

        class Fetching:
            limits = core.limits

            def __init__(self) -> None:
                self.core = core

            def fetch(inner, magnet: Magnet, released: Callable[[], None]) -> Any:
                number = hashes.index(magnet.infohash)
                result = MetadataClientFactory(magnet, core, released).fetch()
                self.source.say(peer(number))
                self.source.finish(tracker_report(1))
                return result

        hashes = [Magnet.parse(sample_magnet(info)).infohash for info in infos]
        fetching: Any = Fetching()

        def pull() -> tuple[Magnet, int] | None:
            if not queue:
                return None
            return Magnet.parse(sample_magnet(queue.pop(0))), 30 - len(queue) - 1

        batch: Batch[int] = Batch(
            fetching, pull, lambda tag, magnet, result: results.update({tag: result}), 3
        )
        done = batch.run()
        self.network.run(8, lambda: 29 in results)
        # Ten turns of dead ones, each of which keeps its slot for a moment only.
        self.assertIn(29, results)
        self.assertLess(self.clock.seconds(), 10 * core.limits.slot_patience + 1)
        batch.close()
        self.network.run(30, lambda: bool(done.called))
        self.successResultOf(done)
        self.assertEqual(len(results), 30)
        self.assert_nothing_left()


steps = st.lists(
    st.tuples(st.sampled_from(("end", "fail", "release", "wake", "add", "tick")), st.integers(0, 20)),
    max_size=80,
)


class InvariantTests(SynchronousTestCase):
    @settings(deadline=None, derandomize=True, max_examples=100)
    @given(st.integers(1, 4), st.integers(1, 6), steps)
    def test_every_magnet_ends_once(self, jobs: int, max_parked: int, script: list[tuple[str, int]]) -> None:
        clock = Clock()
        fetcher = FakeFetcher(clock, max_parked)
        queue = list(range(10))
        given_out = 10
        results: list[int] = []

        def pull() -> tuple[Magnet, int] | None:
            return (MAGNET, queue.pop(0)) if queue else None

        batch: Batch[int] = Batch(
            fetcher,  # type: ignore[arg-type]
            pull,
            lambda tag, magnet, result: results.append(tag),
            jobs,
        )
        done = batch.run()
        for what, place in script:
            running = len(fetcher.running)
            if what == "add":
                queue.append(given_out)
                given_out += 1
            elif what == "wake":
                batch.wake()
            elif what == "tick":
                clock.advance(0)
            elif running:
                getattr(fetcher, what)(place % running)
            self.assertLessEqual(batch.active, jobs)
            self.assertLessEqual(batch.in_flight - batch.active, max_parked + jobs)
            self.assertEqual(batch.in_flight, len(fetcher.running))
        batch.wake()
        batch.close()
        while fetcher.running:
            fetcher.end()
        clock.advance(0)
        self.successResultOf(done)
        self.assertEqual(sorted(results), list(range(given_out)))
        self.assertEqual((batch.active, batch.in_flight), (0, 0))
