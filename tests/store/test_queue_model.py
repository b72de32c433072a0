"""The queue against a plain model of it: whatever is done in whatever order, both say the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from functorrent.store.jobs import STATES, JobQuery, NewJob, Submitted
from functorrent.testing.store import memory_store
from tests.store.bed import REPORT, Wall, hash_of, magnet_of, result_of

NUMBERS = st.integers(0, 7)
WORKERS = st.sampled_from(["a", "b"])


@dataclass
class ModelJob:
    """What the model knows of a job; `order`: of its submission."""

    order: int
    priority: int
    since: float
    state: str = "queued"
    attempts: int = 0
    due: float | None = None
    worker: str | None = None
    trackers: frozenset[str] = frozenset()

    def set(self, state: str, due: float | None = None, worker: str | None = None) -> None:
        self.state, self.due, self.worker = state, due, worker


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.wall = Wall()
        self.store = memory_store(self.wall)
        self.model: dict[int, ModelJob] = {}
        self.told: dict[bytes, str] = {}
        self.store.watch(lambda jobs: self.told.update({job.key: job.status for job in jobs}))

    def get(self, answer: Deferred[Any]) -> Any:
        found: list[Any] = []
        answer.addBoth(found.append)
        return found[0]

    def teardown(self) -> None:
        self.get(self.store.close())

    # -- what is done --------------------------------------------------------------------------

    @rule(seconds=st.integers(0, 40))
    def wait(self, seconds: int) -> None:
        self.wall.time += seconds

    @rule(
        new=st.lists(
            st.tuples(NUMBERS, st.integers(-2, 2), st.sampled_from(["", "udp://x:1", "udp://y:2"])),
            max_size=5,
        )
    )
    def submit(self, new: list[tuple[int, int, str]]) -> None:
        expected = []
        for number, priority, tracker in new:
            job = self.model.get(number)
            if created := job is None:
                job = self.model[number] = ModelJob(len(self.model), priority, self.wall.time)
            news = {tracker} - job.trackers - {""}
            job.trackers |= news
            job.priority = max(job.priority, priority)
            queued = created
            if job.state in ("cancelled", "gave_up") or (job.state == "waiting" and news):
                job.attempts = job.attempts if job.state == "waiting" else 0
                job.since = self.wall.time
                job.set("queued")
                queued = True
            expected.append(Submitted(hash_of(number), job.state, created, queued))
        jobs = [
            NewJob(magnet_of(n, f"&tr={tracker}" if tracker else ""), priority)
            for n, priority, tracker in new
        ]
        assert self.get(self.store.submit(jobs)) == expected

    def free(self) -> list[int]:
        """What may be claimed, in order."""
        now = self.wall.time
        free = [
            (-job.priority, job.since, job.order, number)
            for number, job in self.model.items()
            if job.state == "queued" or (job.due is not None and job.due <= now)
        ]
        return [number for *_, number in sorted(free)]

    @rule(worker=WORKERS, count=st.integers(0, 4), lease=st.integers(1, 60))
    def claim(self, worker: str, count: int, lease: int) -> None:
        expected = self.free()[:count]
        claims = self.get(self.store.claim(worker, count, float(lease)))
        assert [claim.key for claim in claims] == [hash_of(number) for number in expected]
        for number, claim in zip(expected, claims, strict=True):
            job = self.model[number]
            assert (claim.priority, claim.attempts, claim.since) == (job.priority, job.attempts, job.since)
            assert set(claim.magnet.all_trackers()) == job.trackers
            job.set("fetching", self.wall.time + lease, worker)

    @rule(worker=WORKERS, number=NUMBERS)
    def claim_one(self, worker: str, number: int) -> None:
        job = self.model.get(number)
        claim = self.get(self.store.claim_one(worker, hash_of(number), 30.0))
        if job is not None and job.state in ("queued", "waiting"):
            assert claim.key == hash_of(number)
            job.set("fetching", self.wall.time + 30, worker)
        else:
            assert claim is None

    @rule(worker=WORKERS)
    def renew(self, worker: str) -> None:
        self.get(self.store.renew(worker, 20.0))
        for job in self.model.values():
            if job.worker == worker:
                job.due = self.wall.time + 20

    @rule(worker=WORKERS, numbers=st.none() | st.lists(NUMBERS, max_size=3))
    def release(self, worker: str, numbers: list[int] | None) -> None:
        self.get(self.store.release(worker, None if numbers is None else map(hash_of, numbers)))
        for number, job in self.model.items():
            if job.worker == worker and (numbers is None or number in numbers):
                job.set("queued")

    @rule(worker=WORKERS)
    def release_others(self, worker: str) -> None:
        others = [job for job in self.model.values() if job.worker not in (None, worker)]
        assert self.get(self.store.release_others(worker)) == len(others)
        for job in others:
            job.set("queued")

    @rule(worker=WORKERS, number=NUMBERS)
    def fetched(self, worker: str, number: int) -> None:
        job = self.model.get(number)
        taken = job is not None and (
            job.state in ("queued", "waiting", "gave_up")
            or (job.state == "fetching" and job.worker == worker)
        )
        assert self.get(self.store.fetched(worker, result_of(number))) is taken
        if job is not None and taken:
            job.set("fetched")
            job.attempts += 1

    @rule(worker=WORKERS, number=NUMBERS, later=st.none() | st.integers(0, 60))
    def failed(self, worker: str, number: int, later: int | None) -> None:
        job = self.model.get(number)
        taken = job is not None and job.worker == worker
        due = None if later is None else self.wall.time + later
        assert self.get(self.store.failed(worker, hash_of(number), REPORT, 1.0, due)) is taken
        if job is not None and taken:
            job.set("gave_up" if due is None else "waiting", due)
            job.attempts += 1

    @precondition(lambda self: self.model)
    @rule(number=NUMBERS)
    def cancel(self, number: int) -> None:
        job = self.model.get(number)
        answer = self.get(self.store.cancel(hash_of(number)))
        assert (answer is None) is (job is None)
        if job is not None and job.state != "fetched":
            job.set("cancelled")

    @precondition(lambda self: self.model)
    @rule(number=NUMBERS)
    def retry(self, number: int) -> None:
        job = self.model.get(number)
        self.get(self.store.retry(hash_of(number)))
        if job is not None and job.state not in ("fetched", "fetching"):
            job.attempts = 0
            if job.state != "queued":
                job.since = self.wall.time
                job.set("queued")

    # -- what is the same at any time ------------------------------------------------------------

    @invariant()
    def jobs_are_the_same(self) -> None:
        listed = self.get(self.store.jobs(JobQuery())).jobs
        told = [
            (job.key, job.status, job.priority, job.attempts, job.next_attempt) for job in reversed(listed)
        ]
        ordered = sorted(self.model.items(), key=lambda item: item[1].order)
        assert told == [
            (
                hash_of(number),
                job.state,
                job.priority,
                job.attempts,
                job.due if job.state == "waiting" else None,
            )
            for number, job in ordered
        ]
        # Observers have heard of every state that is.
        assert self.told == {hash_of(number): job.state for number, job in ordered}

    @invariant()
    def totals_are_the_same(self) -> None:
        states = [job.state for job in self.model.values()]
        assert self.get(self.store.counts()) == {state: states.count(state) for state in STATES}
        dues = [job.due for job in self.model.values() if job.due is not None]
        assert self.get(self.store.next_due()) == min(dues, default=None)
        since = [job.since for job in self.model.values() if job.state == "queued"]
        assert self.get(self.store.oldest_queued()) == min(since, default=None)


class ModelTests(SynchronousTestCase):
    def test_the_queue_does_as_the_model(self) -> None:
        run_state_machine_as_test(
            QueueMachine,
            settings=settings(
                deadline=None, derandomize=True, max_examples=20, stateful_step_count=40, database=None
            ),
        )
