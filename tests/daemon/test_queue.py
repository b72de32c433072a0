"""JobQueue, on the real store in memory, with a fetcher that does what a test says."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from functorrent.daemon import retry
from functorrent.daemon.health import Health
from functorrent.daemon.interfaces import IQueue
from functorrent.daemon.queue import JobQueue
from functorrent.errors import NotAnInfoDictionary, QueueClosed, StoreFull, UsageError
from functorrent.fetch.report import FetchReport
from functorrent.limits import Limits
from functorrent.magnet import Magnet
from functorrent.store.jobs import Job, NewJob
from functorrent.testing.store import memory_store
from tests.daemon.bed import Flaky, ScriptedFetcher, Wall, info, job, key, magnet, text

DAY = 86_400.0
TRACKER = "udp://tracker.example:6969"


class QueueCase(SynchronousTestCase):
    """`jobs` slots; a stock of 16 claims."""

    jobs = 2
    limits = Limits()
    settings: dict[str, Any] = {}

    def setUp(self) -> None:
        # No jitter: times are exact.
        self.patch(retry, "JITTER", 0.0)
        self.clock = Clock()
        self.wall = Wall(self.clock)
        self.memory = memory_store(self.wall)
        self.store = Flaky(self.memory)
        self.begin()

    def begin(self, worker: str = "first") -> None:
        """A process begins."""
        self.fetcher = ScriptedFetcher(self.clock, self.limits, jobs=self.jobs, **self.settings)
        self.health = Health()
        self.ends: list[tuple[bytes, str, str | None]] = []
        self.saves = 0
        self.queue = JobQueue(
            self.clock,
            self.wall,
            self.store,
            self.fetcher,
            self.health,
            worker,
            outlets=("webhook",),
            saved=self.saved,
            ended=lambda claim, outcome, seconds, report, name: self.ends.append((claim.key, outcome, name)),
        )
        self.successResultOf(self.queue.startService())

    def saved(self) -> None:
        self.saves += 1

    def submit(self, *jobs: NewJob) -> Any:
        return self.successResultOf(self.queue.submit(jobs))

    def state(self, number: int) -> str:
        return self.job(number).status

    def job(self, number: int) -> Job:
        found: Job | None = self.successResultOf(self.memory.job(key(number)))
        assert found is not None
        return found

    def flying(self) -> set[bytes]:
        return set(self.fetcher.fetches)

    def stop(self) -> None:
        stopped = self.queue.stopService()
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class FetchingTests(QueueCase):
    def test_interface(self) -> None:
        verifyObject(IQueue, self.queue)

    def test_fetched(self) -> None:
        self.submit(job(1))
        self.assertEqual((self.flying(), self.state(1)), ({key(1)}, "fetching"))
        self.clock.advance(3)
        self.fetcher.succeed(1)
        found = self.job(1)
        self.assertEqual((found.status, found.seconds, found.files), ("fetched", 3.0, 1))
        self.assertEqual(self.successResultOf(self.memory.info_bytes(key(1))), info(1))
        self.assertEqual(self.ends, [(key(1), "fetched", found.name)])
        self.assertEqual((self.saves, self.queue.in_flight), (1, 0))
        [due] = self.successResultOf(self.memory.deliveries("webhook", 10))
        self.assertEqual(due.key, key(1))
        self.stop()

    def test_nobody_is_told_before_it_is_saved(self) -> None:
        self.submit(job(1))
        self.store.held["fetched"] = []
        self.fetcher.succeed(1)
        self.assertEqual((self.ends, self.saves), ([], 0))
        self.store.release_held("fetched")
        self.assertEqual((len(self.ends), self.saves), (1, 1))

    def test_slots(self) -> None:
        self.submit(*(job(n) for n in range(5)))
        self.assertEqual(self.fetcher.order, [key(0), key(1)])
        self.fetcher.succeed(0)
        self.assertEqual(self.fetcher.order, [key(0), key(1), key(2)])
        # One that nobody answers for gives its slot up.
        self.fetcher.releases[key(1)]()
        self.assertEqual(len(self.fetcher.order), 4)

    def test_one_that_is_there_is_not_fetched_again(self) -> None:
        self.submit(job(1))
        self.fetcher.succeed(1)
        [answer] = self.submit(job(1))
        self.assertEqual((answer.status, answer.queued, self.fetcher.order), ("fetched", False, [key(1)]))

    def test_what_is_in_flight_gets_new_trackers_at_once(self) -> None:
        self.submit(job(1))
        self.submit(job(1, trackers=[TRACKER]))
        [joined] = self.fetcher.joined
        self.assertEqual(joined.all_trackers(), [TRACKER])

    def test_what_is_claimed_gets_them_too(self) -> None:
        self.submit(job(1), job(2), job(3))
        self.submit(job(3, trackers=[TRACKER]))
        self.fetcher.succeed(1)
        self.assertEqual(self.fetcher.magnets[key(3)].all_trackers(), [TRACKER])

    def test_a_listener_that_raises_harms_nobody(self) -> None:
        def broken(*_: Any) -> None:
            raise ValueError("mine")

        self.queue._tell_ended = broken
        self.submit(job(1))
        self.fetcher.succeed(1)
        self.assertEqual(self.state(1), "fetched")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_fetcher_that_cannot_listen(self) -> None:
        queue = JobQueue(self.clock, self.wall, self.store, self.fetcher, self.health, "w")
        self.fetcher.starting = fail(UsageError("--listen tcp:1: in use"))
        self.failureResultOf(queue.startService(), UsageError)


class OrderTests(QueueCase):
    jobs = 1

    def test_priority_then_age(self) -> None:
        self.submit(job(0))
        self.submit(job(1, -5), job(2), job(3, 5), job(4, 5))
        self.fetcher.succeed(0)
        for number in (3, 4, 2, 1):
            self.assertEqual(self.flying(), {key(number)})
            self.fetcher.succeed(number)

    def test_one_of_higher_priority_overtakes_those_claimed(self) -> None:
        # More than are claimed at once.
        self.submit(*(job(n) for n in range(40)))
        self.submit(job(50, 7), job(51, 3))
        self.fetcher.succeed(0)
        self.assertEqual(self.flying(), {key(50)})
        self.fetcher.succeed(50)
        self.assertEqual(self.flying(), {key(51)})
        self.fetcher.succeed(51)
        self.assertEqual(self.flying(), {key(1)})

    def test_also_while_the_store_is_being_asked(self) -> None:
        self.store.held["claim"] = []
        self.submit(*(job(n) for n in range(40)))
        claims = self.store.held["claim"]
        # What the first answer brings is older, and fills the stock.
        self.store.held["claim"] = [claims.pop]
        claims.pop()()
        self.assertEqual(self.flying(), {key(0)})
        self.fetcher.succeed(0)
        for number in range(1, 8):
            self.fetcher.succeed(number)
        self.submit(job(50, 7))
        self.submit(job(51, 3))
        for waiting in self.store.held.pop("claim")[1:]:
            waiting()
        self.fetcher.succeed(8)
        self.assertEqual(self.flying(), {key(50)})
        self.fetcher.succeed(50)
        self.assertEqual(self.flying(), {key(51)})

    def test_one_whose_time_has_come_goes_by_its_priority(self) -> None:
        self.submit(job(50, 7))
        self.fetcher.fail(50)
        self.submit(job(0), job(1), job(2))
        self.clock.pump([1.0] * 62)
        self.fetcher.succeed(0)
        self.assertEqual(self.flying(), {key(50)})

    def test_few_are_claimed(self) -> None:
        self.submit(*(job(n) for n in range(100)))
        counts = self.successResultOf(self.memory.counts())
        self.assertLessEqual(counts["fetching"], 17)

    def test_all_of_many(self) -> None:
        self.submit(*(job(n) for n in range(100)))
        for number in range(100):
            self.assertEqual(self.flying(), {key(number)})
            self.fetcher.succeed(number)
        self.assertEqual(self.successResultOf(self.memory.counts())["fetched"], 100)

    def test_what_was_raised_is_not_lost_where_it_cannot_be_sent_back(self) -> None:
        self.submit(job(0), job(1), job(2))
        self.store.broken.add("release")
        self.submit(job(9, 5))
        self.store.broken.clear()
        self.clock.advance(1)
        seen = []
        while self.flying():
            (flying,) = self.flying()
            number = next(n for n in (0, 1, 2, 9) if key(n) == flying)
            seen.append(number)
            self.fetcher.succeed(number)
        self.assertEqual(sorted(seen), [0, 1, 2, 9])


class RetryTests(QueueCase):
    def fail_until_it_ends(self) -> list[float]:
        """Let every try of job 1 fail; seconds between them."""
        waited: list[float] = []
        self.submit(job(1))
        while self.state(1) != "gave_up":
            self.fetcher.fail(1)
            began = self.clock.seconds()
            due = self.job(1).next_attempt
            if due is not None:
                self.clock.advance(due - self.wall.now() - 10)
                self.assertEqual(self.flying(), set())
                self.clock.pump([1.0] * 11)
            waited.append(self.clock.seconds() - began)
        return waited

    def test_until_it_is_given_up(self) -> None:
        waited = self.fail_until_it_ends()
        expected = [60, 300, 1800, 7200, 21_600, *[DAY] * 6, 0]
        self.assertEqual(len(waited), len(expected))
        for seconds, wanted in zip(waited, expected, strict=True):
            self.assertLess(abs(seconds - wanted), 2)
        found = self.job(1)
        self.assertEqual((found.attempts, found.next_attempt), (12, None))
        assert found.report is not None
        self.assertEqual(found.report["reason"], "nobody has it")
        self.assertEqual([outcome for _, outcome, _ in self.ends], ["failed"] * 11 + ["gave_up"])

    def test_on_time(self) -> None:
        self.submit(job(1))
        self.fetcher.fail(1)
        self.assertEqual(self.job(1).next_attempt, self.wall.now() + 60)
        self.clock.pump([1.0] * 59)
        self.assertEqual(self.flying(), set())
        self.clock.pump([0.5] * 4)
        self.assertEqual(self.flying(), {key(1)})

    def test_what_no_try_can_help_is_given_up_at_once(self) -> None:
        v2 = Magnet.parse("magnet:?xt=urn:btmh:1220" + "cd" * 32)
        self.submit(job(1), NewJob(v2))
        self.fetcher.fail(1, NotAnInfoDictionary(FetchReport(reason="the hash matches, but no")))
        self.assertEqual(self.state(1), "gave_up")
        found = self.successResultOf(self.memory.job(b"\xcd" * 32))
        assert found is not None
        assert found.report is not None
        self.assertEqual((found.status, found.report["reason"]), ("gave_up", "v2 alone"))

    def test_a_v2_job_takes_no_other_torrent(self) -> None:
        """A later magnet may add a v1 infohash to it, and any to any."""
        honest, other = sha256(info(1)).digest(), b"\xcd" * 32
        for number, v2 in ((1, honest), (2, other)):
            v2_text = f"xt=urn:btmh:1220{v2.hex()}"
            self.submit(NewJob(Magnet.parse(f"magnet:?{v2_text}")))
            self.submit(NewJob(Magnet.parse(f"{text(number)}&{v2_text}")))
            self.fetcher.succeed(number)
        found = [self.successResultOf(self.memory.job(v2)) for v2 in (honest, other)]
        self.assertEqual([each.status for each in found], ["fetched", "gave_up"])
        self.assertIn("another torrent", found[1].report["reason"])
        self.assertIsNone(self.successResultOf(self.memory.info_bytes(other)))
        self.assertEqual(self.ends[-1], (other, "gave_up", None))

    def test_a_bug_is_logged_and_tried_again(self) -> None:
        self.submit(job(1))
        self.fetcher.fail(1, ZeroDivisionError("ours"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        found = self.job(1)
        assert found.report is not None
        self.assertEqual(found.status, "waiting")
        self.assertEqual(found.report["reason"], "internal error (ZeroDivisionError); the log has more")

    def test_what_was_learned_helps_the_next_try_of_another_process(self) -> None:
        self.submit(job(1), job(2))
        self.fetcher.lessons[key(1)] = {"trackers": {"failed": ["x"]}}
        self.fetcher.fail(1)
        self.stop()
        self.begin("second")
        self.clock.pump([1.0] * 62)
        self.assertEqual(self.fetcher.recalled, [(key(1), {"trackers": {"failed": ["x"]}})])
        self.assertEqual(self.flying(), {key(1), key(2)})

    def test_a_person_wants_it_now(self) -> None:
        self.submit(job(1))
        self.fetcher.fail(1)
        found = self.successResultOf(self.queue.retry(key(1)))
        assert found is not None
        self.assertEqual((found.key, self.flying()), (key(1), {key(1)}))
        self.assertIsNone(self.successResultOf(self.queue.retry(b"?" * 20)))

    def test_a_new_tracker_is_a_reason_to_try_now(self) -> None:
        self.submit(job(1))
        self.fetcher.fail(1)
        self.submit(job(1))
        self.assertEqual(self.flying(), set())
        self.submit(job(1, trackers=[TRACKER]))
        self.assertEqual(self.flying(), {key(1)})

    def test_a_clock_that_is_set_forward(self) -> None:
        self.submit(job(1))
        self.fetcher.fail(1)
        self.wall.added = 7 * DAY
        self.clock.advance(31)
        self.assertEqual(self.flying(), {key(1)})


class CancelTests(QueueCase):
    jobs = 1

    def cancel(self, number: int) -> None:
        found = self.successResultOf(self.queue.cancel(key(number)))
        assert found is not None
        self.assertEqual((found.key, found.status), (key(number), "cancelled"))

    def test_in_flight(self) -> None:
        self.submit(job(1), job(2))
        self.cancel(1)
        self.assertEqual(self.flying(), {key(2)})
        self.assertEqual(self.ends, [(key(1), "cancelled", None)])
        self.assertEqual((self.state(1), self.queue.in_flight), ("cancelled", 1))

    def test_claimed(self) -> None:
        self.submit(job(1), job(2), job(3))
        self.cancel(2)
        self.fetcher.succeed(1)
        self.assertEqual(self.flying(), {key(3)})

    def test_and_wanted_again(self) -> None:
        self.submit(job(1))
        self.cancel(1)
        self.submit(job(1))
        self.assertEqual((self.flying(), self.state(1)), ({key(1)}, "fetching"))
        self.fetcher.succeed(1)
        self.assertEqual(self.state(1), "fetched")

    def test_while_the_result_is_being_saved(self) -> None:
        self.submit(job(1))
        self.store.held["fetched"] = []
        self.fetcher.succeed(1)
        self.cancel(1)
        self.store.release_held("fetched")
        self.assertEqual(
            (self.state(1), self.ends, self.saves), ("cancelled", [(key(1), "cancelled", None)], 0)
        )

    def test_nothing_there(self) -> None:
        self.assertIsNone(self.successResultOf(self.queue.cancel(b"?" * 20)))

    def test_a_fetched_one_stays(self) -> None:
        self.submit(job(1))
        self.fetcher.succeed(1)
        found = self.successResultOf(self.queue.cancel(key(1)))
        assert found is not None
        self.assertEqual(found.status, "fetched")


class StopTests(QueueCase):
    def test_what_is_in_flight_or_claimed_is_put_back(self) -> None:
        self.submit(*(job(n) for n in range(30)))
        self.stop()
        self.assertEqual(self.successResultOf(self.memory.counts())["queued"], 30)
        self.assertEqual(self.job(0).attempts, 0)
        self.assertEqual([outcome for _, outcome, _ in self.ends], ["interrupted"] * 2)
        self.assertEqual((self.fetcher.stopped, self.flying()), (1, set()))
        self.successResultOf(self.queue.stopService())
        self.assertEqual(self.fetcher.stopped, 1)

    def test_results_are_saved_first(self) -> None:
        self.submit(job(1), job(2))
        self.store.held["fetched"] = []
        self.fetcher.succeed(1)
        stopped = self.queue.stopService()
        self.assertNoResult(stopped)
        self.store.release_held("fetched")
        self.successResultOf(stopped)
        self.assertEqual((self.state(1), self.state(2)), ("fetched", "queued"))

    def test_a_store_that_failed_is_tried_once_more(self) -> None:
        self.submit(job(1))
        self.store.broken.add("fetched")
        self.fetcher.succeed(1)
        self.store.broken.clear()
        self.stop()
        self.assertEqual(self.state(1), "fetched")

    def test_it_does_not_wait_for_ever(self) -> None:
        self.submit(job(1))
        self.store.broken.update(("fetched", "release"))
        self.fetcher.succeed(1)
        self.fetcher.stopping = Deferred()
        stopped = self.queue.stopService()
        self.clock.pump([0.5] * 15)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        # It is still leased: the next process finds it and puts it back.
        self.assertEqual(self.successResultOf(self.memory.release_others("second")), 1)

    def test_a_claim_that_comes_late_is_put_back(self) -> None:
        self.store.held["claim"] = []
        self.submit(job(1))
        self.store.release_held("claim")
        self.stop()
        self.assertEqual(self.state(1), "queued")

    def test_nothing_is_taken_any_more(self) -> None:
        self.stop()
        for asked in (self.queue.submit([job(1)]), self.queue.cancel(key(1)), self.queue.retry(key(1))):
            self.failureResultOf(asked, QueueClosed)
        self.assertFalse(self.successResultOf(self.queue.called(key(1))))

    def test_before_it_has_started(self) -> None:
        self.stop()
        fetcher = ScriptedFetcher(self.clock)
        fetcher.starting = Deferred()
        queue = JobQueue(self.clock, self.wall, self.store, fetcher, self.health, "w")
        self.assertNoResult(queue.startService())
        self.successResultOf(queue.stopService())
        fetcher.starting.callback(None)
        self.assertEqual((fetcher.order, self.clock.getDelayedCalls()), ([], []))


class KilledTests(QueueCase):
    def test_the_next_process_goes_on(self) -> None:
        self.submit(*(job(n) for n in range(30)))
        self.fetcher.succeed(0)
        # No stop: the process is gone.
        self.queue._stock.stop()
        leased = self.successResultOf(self.memory.counts())["fetching"]
        self.assertGreater(leased, 2)
        self.assertEqual(self.successResultOf(self.memory.release_others("second")), leased)
        self.begin("second")
        self.assertEqual(self.flying(), {key(1), key(2)})
        for number in range(1, 30):
            self.fetcher.succeed(number)
        self.assertEqual(self.successResultOf(self.memory.counts())["fetched"], 30)

    def test_where_nobody_puts_them_back_the_lease_runs_out(self) -> None:
        self.submit(job(1))
        self.queue._stock.stop()
        self.begin("second")
        self.clock.pump([10.0] * 29)
        self.assertEqual(self.flying(), set())
        self.clock.pump([1.0] * 12)
        self.assertEqual(self.flying(), {key(1)})

    def test_while_we_live_it_does_not(self) -> None:
        self.submit(job(1))
        self.clock.pump([10.0] * 100)
        self.assertEqual(self.successResultOf(self.memory.claim("other", 10, 60.0)), [])
        self.assertEqual(self.store.calls.count("renew"), 10)

    def test_a_machine_that_slept(self) -> None:
        """Our leases have run out, so our own jobs are claimed once more: they are not fetched twice."""
        self.submit(job(1), job(2), job(3))
        self.store.held["fetched"] = []
        self.fetcher.succeed(1)
        self.wall.added = DAY
        self.clock.pump([10.0] * 4)
        self.assertEqual(self.fetcher.order, [key(1), key(2), key(3)])
        self.store.release_held("fetched")
        self.fetcher.succeed(2, 3)
        self.assertEqual([self.state(n) for n in (1, 2, 3)], ["fetched"] * 3)
        self.assertEqual((self.flying(), len(self.fetcher.order)), (set(), 3))


class FullDiskTests(QueueCase):
    """The store cannot write: nothing is lost, memory is bounded, and it goes on when there is room."""

    limits = Limits(max_unsaved=3)

    def test_results_wait_and_nothing_more_is_begun(self) -> None:
        self.submit(*(job(n) for n in range(10)))
        self.store.broken.add("fetched")
        for number in range(3):
            self.fetcher.succeed(number)
        self.fetcher.succeed(3)
        self.assertEqual(self.flying(), set())
        self.assertEqual(self.queue.health(), self.health.sentences())
        [words] = self.queue.health()
        self.assertIn("no space is left for the store", words)
        self.clock.pump([1.0] * 100)
        tries = self.store.calls.count("fetched")
        self.assertLess(tries, 20)
        self.assertEqual((self.flying(), self.ends), (set(), []))
        self.store.broken.clear()
        self.clock.pump([1.0] * 61)
        self.assertEqual([self.state(n) for n in range(4)], ["fetched"] * 4)
        self.assertEqual((self.flying(), self.queue.health()), ({key(4), key(5)}, []))

    def test_bytes_count_too(self) -> None:
        self.stop()
        self.limits = Limits(max_unsaved_bytes=100)
        self.begin("second")
        self.submit(*(job(n) for n in range(10)))
        self.store.broken.add("fetched")
        self.fetcher.succeed(0)
        self.assertEqual(self.flying(), {key(1)})
        # Far over the limit what comes is not kept, but fetched again later.
        self.fetcher.succeed(1)
        self.assertEqual((self.flying(), self.ends), (set(), [(key(1), "interrupted", None)]))
        self.store.broken.clear()
        self.clock.pump([1.0] * 5)
        self.assertEqual(self.state(0), "fetched")
        while self.state(1) != "fetched":
            flying = self.flying()
            self.fetcher.succeed(*(n for n in range(10) if key(n) in flying))

    def test_failures_are_kept_too(self) -> None:
        self.submit(job(1))
        self.store.broken.add("failed")
        self.fetcher.fail(1)
        self.assertEqual(self.state(1), "fetching")
        self.store.broken.clear()
        self.clock.advance(1)
        self.assertEqual(self.state(1), "waiting")

    def test_magnets_that_are_refused(self) -> None:
        self.store.broken.add("submit")
        self.failureResultOf(self.queue.submit([job(1)]), StoreFull)
        [words] = self.queue.health()
        self.assertIn("magnets are not taken: no space is left for the store", words)
        self.store.broken.clear()
        self.submit(job(1))
        self.assertEqual((self.flying(), self.queue.health()), ({key(1)}, []))

    def test_magnets_that_were_refused_and_are_not_submitted_again(self) -> None:
        self.store.broken.add("submit")
        self.failureResultOf(self.queue.submit([job(1)]), StoreFull)
        self.clock.advance(30)
        self.failureResultOf(self.queue.submit([job(1)]), StoreFull)
        self.clock.advance(59)
        self.assertEqual(len(self.queue.health()), 1)
        self.clock.advance(1)
        self.assertEqual(self.queue.health(), [])
        self.failureResultOf(self.queue.submit([job(1)]), StoreFull)
        self.stop()

    def test_nothing_can_be_claimed(self) -> None:
        self.store.broken.add("claim")
        self.submit(job(1))
        self.assertEqual(self.flying(), set())
        self.assertEqual(len(self.queue.health()), 1)
        self.store.broken.clear()
        self.clock.pump([1.0] * 3)
        self.assertEqual((self.flying(), self.queue.health()), ({key(1)}, []))

    def test_leases_cannot_be_renewed(self) -> None:
        self.submit(job(1))
        self.store.broken.add("renew")
        self.clock.advance(100)
        self.assertIn("leases", self.queue.health()[0])
        self.store.broken.clear()
        self.clock.advance(10)
        self.assertEqual(self.queue.health(), [])

    def test_a_due_time_that_cannot_be_asked(self) -> None:
        self.store.broken.add("next_due")
        self.submit(job(1))
        self.fetcher.fail(1)
        self.store.broken.clear()
        self.clock.pump([1.0] * 62)
        self.assertEqual(self.flying(), {key(1)})

    def test_one_that_the_store_refuses_does_not_hold_up_others(self) -> None:
        """As of a bug: others are saved, it never is."""
        fetched = self.memory.fetched

        def refuse(worker: str, result: Any, outlets: Any = ()) -> Any:
            return fail(ValueError("a bug")) if result.key == key(0) else fetched(worker, result, outlets)

        self.patch(self.memory, "fetched", refuse)
        self.submit(*(job(n) for n in range(6)))
        for number in range(6):
            self.fetcher.succeed(number)
        self.assertEqual([self.state(n) for n in range(6)], ["waiting"] + ["fetched"] * 5)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class CalledTests(QueueCase):
    """A peer has called for a job."""

    jobs = 1
    limits = Limits(max_called=2)

    def call(self, number: int) -> bool:
        began: bool = self.successResultOf(self.queue.called(key(number)))
        return began

    def test_one_that_waits_is_begun_whether_a_slot_is_free_or_not(self) -> None:
        self.submit(job(1))
        self.fetcher.fail(1)
        self.submit(job(2))
        self.assertTrue(self.call(1))
        self.assertEqual(self.flying(), {key(1), key(2)})
        self.fetcher.succeed(1, 2)
        self.assertEqual((self.state(1), self.state(2)), ("fetched", "fetched"))

    def test_one_that_is_queued_or_claimed(self) -> None:
        self.submit(*(job(n) for n in range(30)))
        self.assertTrue(self.call(29))
        self.assertTrue(self.call(5))
        self.assertEqual(self.flying(), {key(0), key(29), key(5)})
        self.assertTrue(self.call(5), "it is in flight")
        self.assertFalse(self.call(7), "two at once")
        self.fetcher.succeed(29)
        self.assertTrue(self.call(7))

    def test_what_is_not_wanted(self) -> None:
        self.submit(job(1))
        self.fetcher.succeed(1)
        self.assertFalse(self.call(1))
        self.assertFalse(self.call(2))
        self.assertEqual(self.flying(), set())

    def test_callers_cannot_put_a_job_off(self) -> None:
        self.submit(job(1))
        self.fetcher.fail(1)
        for _ in range(9):
            self.assertTrue(self.call(1))
            self.fetcher.fail(1)
        due = self.job(1).next_attempt
        assert due is not None
        self.assertLessEqual(due, self.wall.now() + 1800)

    def test_while_the_store_fails(self) -> None:
        self.submit(job(1))
        self.fetcher.fail(1)
        self.store.broken.add("claim_one")
        self.assertFalse(self.call(1))
        self.store.broken.clear()
        self.assertTrue(self.call(1))

    def test_that_stops_meanwhile(self) -> None:
        self.submit(job(1))
        self.fetcher.fail(1)
        self.store.held["claim_one"] = []
        called = self.queue.called(key(1))
        stopped = self.queue.stopService()
        self.store.release_held("claim_one")
        self.assertFalse(self.successResultOf(called))
        self.successResultOf(stopped)
        self.assertEqual(self.flying(), set())


class SaveTrackersTests(QueueCase):
    settings = {"trackers": (TRACKER,), "save_trackers": True}

    def test_they_are_in_the_torrent_that_the_store_makes(self) -> None:
        self.submit(job(1), job(2, trackers=[TRACKER]))
        self.fetcher.succeed(1, 2)
        for number in (1, 2):
            torrent = self.successResultOf(self.memory.torrent(key(number)))
            assert torrent is not None
            self.assertEqual(torrent.count(TRACKER.encode()), 1)
        self.assertEqual(self.job(1).magnet, magnet(1).text)
        # Once more is no news.
        self.submit(job(3))
        self.fetcher.fail(3)
        self.submit(job(3))
        self.assertEqual((self.state(3), self.fetcher.joined), ("waiting", []))
