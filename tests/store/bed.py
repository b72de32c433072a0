"""What the tests of the store share: a clock of the day, magnets, results, a store in memory."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1, sha256
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from functorrent.magnet import Magnet
from functorrent.store.jobs import Claim, Job, JobQuery, NewJob, Result, Submitted
from functorrent.testing.store import memory_store

START = 1_800_000_000.0
LEASE = 60.0


class Wall:
    """A time of day that tests move."""

    def __init__(self, now: float = START) -> None:
        self.time = now

    def now(self) -> float:
        return self.time


def info_of(number: int, more: bytes = b"") -> bytes:
    """The info dictionary of sample torrent `number`; `more`: further keys behind ``name``."""
    name = b"sample %d" % number
    return b"d6:lengthi%de4:name%d:%b%be" % (number + 1, len(name), name, more)


def hash_of(number: int) -> bytes:
    return sha1(info_of(number)).digest()


def magnet_of(number: int, more: str = "") -> Magnet:
    """A magnet of sample torrent `number`; `more`: further parameters, beginning with ``&``."""
    return Magnet.parse(f"magnet:?xt=urn:btih:{hash_of(number).hex()}{more}")


def hybrid_info(number: int) -> bytes:
    """An info dictionary that says it is v1 and v2."""
    return info_of(number, b"12:meta versioni2e6:pieces0:")


def hybrid_hashes(number: int) -> tuple[bytes, bytes]:
    info = hybrid_info(number)
    return sha1(info).digest(), sha256(info).digest()


def link(v1: bytes | None, v2: bytes | None, more: str = "") -> Magnet:
    """A magnet of these infohashes."""
    topics = [f"xt=urn:btih:{v1.hex()}"] if v1 else []
    topics += [f"xt=urn:btmh:1220{v2.hex()}"] if v2 else []
    return Magnet.parse("magnet:?" + "&".join(topics) + more)


def result_of(number: int, info: bytes | None = None, key: bytes | None = None) -> Result:
    info = info_of(number) if info is None else info
    return Result(
        key or sha1(info).digest(),
        info,
        f"sample {number}",
        number + 1,
        1,
        False,
        0.5,
        {"trackers": [], "peers": {"fetched": 1}, "reason": None},
    )


REPORT: dict[str, Any] = {"trackers": [], "peers": {"found": 0}, "reason": "no peer was found"}


class StoreCase(SynchronousTestCase):
    """A test with a store in memory, whose answers are there at once."""

    def setUp(self) -> None:
        self.wall = Wall()
        self.store = memory_store(self.wall)
        self.addCleanup(lambda: self.get(self.store.close()))

    def get(self, answer: Deferred[Any]) -> Any:
        return self.successResultOf(answer)

    def submit(self, *magnets: Magnet | int, priority: int = 0) -> list[Submitted]:
        """Submit magnets, or sample torrents by number, in one call."""
        new = [magnet_of(each) if isinstance(each, int) else each for each in magnets]
        answers: list[Submitted] = self.get(self.store.submit([NewJob(magnet, priority) for magnet in new]))
        return answers

    def claim(self, count: int = 1, worker: str = "w") -> list[Claim]:
        claims: list[Claim] = self.get(self.store.claim(worker, count, LEASE))
        return claims

    def claimed(self, count: int = 100, worker: str = "w") -> list[bytes]:
        return [claim.key for claim in self.claim(count, worker)]

    def failed(self, key: bytes, next_attempt: float | None = None, worker: str = "w", **more: Any) -> bool:
        done: bool = self.get(self.store.failed(worker, key, REPORT, 1.5, next_attempt, **more))
        return done

    def fetch(self, number: int, worker: str = "w", outlets: Sequence[str] = ()) -> bool:
        done: bool = self.get(self.store.fetched(worker, result_of(number), outlets))
        return done

    def job(self, key: bytes | int) -> Job:
        job = self.get(self.store.job(hash_of(key) if isinstance(key, int) else key))
        assert isinstance(job, Job)
        return job

    def state(self, key: bytes | int) -> str:
        return self.job(key).status

    def listed(self, **query: Any) -> list[bytes]:
        """The keys of the first page."""
        return [job.key for job in self.get(self.store.jobs(JobQuery(**query))).jobs]

    def in_state(self, number: int, state: str) -> bytes:
        """A sample torrent's job, brought into a state."""
        self.submit(number)
        key = hash_of(number)
        if state in ("fetching", "waiting", "fetched", "gave_up"):
            self.assertIsNotNone(self.get(self.store.claim_one("w", key, LEASE)))
        if state == "waiting":
            self.assertTrue(self.failed(key, self.wall.time + 300))
        elif state == "gave_up":
            self.assertTrue(self.failed(key))
        elif state == "fetched":
            self.assertTrue(self.fetch(number))
        elif state == "cancelled":
            self.get(self.store.cancel(key))
        self.assertEqual(self.state(key), state)
        return key
