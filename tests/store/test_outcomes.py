"""Tests of functorrent.store.outcomes and functorrent.store.wishes: how jobs end, and begin again."""

from __future__ import annotations

from dataclasses import replace

from functorrent.errors import StoreError
from functorrent.metainfo.torrent import Metainfo
from functorrent.store import outcomes
from functorrent.store.jobs import STATES, Delivery
from functorrent.store.outcomes import NoSuccess, Success
from functorrent.store.work import Work
from tests.store.bed import (
    LEASE,
    REPORT,
    START,
    StoreCase,
    hash_of,
    hybrid_hashes,
    hybrid_info,
    info_of,
    link,
    magnet_of,
    result_of,
)


class FetchedTests(StoreCase):
    def test_what_is_kept(self) -> None:
        self.submit(magnet_of(1, "&dn=Other&tr=http%3A%2F%2Fa%2F&ws=http%3A%2F%2Fb%2F"))
        self.claim()
        self.wall.time += 7
        result = replace(result_of(1), name="Straße", private=True, size=2**63 - 1, files=3)
        self.assertIs(self.get(self.store.fetched("w", result)), True)
        job = self.job(1)
        self.assertEqual(
            (job.status, job.name, job.size, job.files, job.private),
            ("fetched", "Straße", 2**63 - 1, 3, True),
        )
        self.assertEqual((job.attempts, job.seconds, job.updated, job.added), (1, 0.5, START + 7, START))
        self.assertEqual((job.report, job.file, job.next_attempt), (result.report, None, None))
        self.assertEqual(self.get(self.store.info_bytes(hash_of(1))), info_of(1))
        self.assertEqual(self.listed(text="STRASSE"), [hash_of(1)])
        torrent = Metainfo.parse(self.get(self.store.torrent(hash_of(1))))
        self.assertEqual((torrent.infohash, torrent.info_bytes), (hash_of(1), info_of(1)))
        self.assertEqual((torrent.trackers, torrent.web_seeds), ((("http://a/",),), ("http://b/",)))

    def test_nodes_for_the_torrent(self) -> None:
        """Those of a magnet without trackers; none where it is private, or a tracker is known by now."""
        nodes = (("192.0.2.1", 6881), ("2001:db8::1", 1))
        self.submit(1, 2, magnet_of(3, "&tr=http%3A%2F%2Fa%2F"))
        self.claim(3)
        for number in (1, 2, 3):
            result = replace(result_of(number), nodes=nodes, private=number == 2)
            self.assertIs(self.get(self.store.fetched("w", result)), True)
        named = [Metainfo.parse(self.get(self.store.torrent(hash_of(number)))).nodes for number in (1, 2, 3)]
        self.assertEqual(named, [nodes, (), ()])
        self.submit(magnet_of(1, "&tr=http%3A%2F%2Flate%2F"))
        torrent = Metainfo.parse(self.get(self.store.torrent(hash_of(1))))
        self.assertEqual((torrent.nodes, torrent.trackers), ((), (("http://late/",),)))

    def test_wrong_bytes_are_refused(self) -> None:
        """Whatever a caller says of them; and only they suffer."""
        self.submit(1)
        self.claim()
        wrong = replace(result_of(1), info_bytes=info_of(2))
        failure = self.failureResultOf(self.store.fetched("w", wrong), StoreError)
        self.assertIn(hash_of(1).hex(), str(failure.value))
        self.assertEqual(self.state(1), "fetching")
        self.assertIsNone(self.get(self.store.info_bytes(hash_of(1))))

    def test_whose_it_is(self) -> None:
        """A result is taken from the job's worker, or where nobody has the job and it is wanted."""
        for number, state in enumerate(STATES):
            key = self.in_state(number, state)
            taken = state in ("queued", "waiting", "gave_up")
            self.assertIs(self.fetch(number, worker="other"), taken, state)
            self.assertEqual(self.state(key), "fetched" if taken else state)
        self.assertFalse(self.fetch(99))

    def test_after_the_lease(self) -> None:
        """It is still this worker's, while no other has it."""
        self.submit(1)
        self.claim()
        self.wall.time += LEASE + 1
        self.assertTrue(self.fetch(1))

    def test_twice_is_harmless(self) -> None:
        self.in_state(1, "fetched")
        before = self.job(1)
        self.wall.time += 60
        self.assertFalse(self.fetch(1, outlets=["hook"]))
        self.assertEqual(self.job(1), before)
        self.assertEqual(self.get(self.store.deliveries("hook", 9)), [])
        self.assertEqual(self.get(self.store.minutes(0)), [(START, 1)])

    def test_minutes(self) -> None:
        """By the minute; empty ones are left out, and a month ago is forgotten."""
        self.submit(*range(5))
        self.claim(5)
        for number, second in enumerate((0, 59, 60, 240)):
            self.wall.time = START + second
            self.fetch(number)
        self.assertEqual(self.get(self.store.minutes(START)), [(START, 2), (START + 60, 1), (START + 240, 1)])
        self.assertEqual(self.get(self.store.minutes(START + 61)), [(START + 60, 1), (START + 240, 1)])
        self.wall.time = START + 33 * 86_400
        self.fetch(4)
        self.assertEqual(self.get(self.store.minutes(0)), [(self.wall.time, 1)])

    def test_deliveries(self) -> None:
        """One to each outlet, even one that is named twice."""
        self.submit(1)
        self.claim()
        self.fetch(1, outlets=["hook", "mail", "hook"])
        [one] = self.get(self.store.deliveries("hook", 9))
        self.assertEqual(one, Delivery(one.number, "hook", hash_of(1), 0))
        self.assertEqual(len(self.get(self.store.deliveries("mail", 9))), 1)

    def test_a_false_v2_infohash_is_dropped(self) -> None:
        """A magnet may say anything; whose infohash that is must not be told that it is fetched."""
        v1, v2 = hybrid_hashes(1)
        _, w2 = hybrid_hashes(2)
        self.submit(link(hash_of(3), v2), link(v1, w2))
        self.claim()
        self.assertTrue(self.get(self.store.fetched("w", result_of(3))))
        self.assertTrue(self.get(self.store.fetched("w", result_of(1, hybrid_info(1), key=v1))))
        self.assertEqual(
            (self.job(3).infohash_v2, self.job(v2).key, self.job(v2).infohash_v2), (None, v1, v2)
        )
        [answer] = self.submit(link(None, w2))
        self.assertEqual((answer.key, answer.created), (w2, True))

    def test_a_hybrid_is_found_by_its_other_infohash(self) -> None:
        """Only the info dictionary says that it is one; then a magnet with the other fetches nothing."""
        v1, v2 = hybrid_hashes(1)
        self.submit(link(v1, None))
        self.claim()
        self.assertTrue(self.get(self.store.fetched("w", result_of(1, hybrid_info(1)))))
        [answer] = self.submit(link(None, v2))
        self.assertEqual((answer.key, answer.status, answer.created), (v1, "fetched", False))
        self.assertEqual(self.job(v2).infohash_v2, v2)

        w1, w2 = hybrid_hashes(2)
        self.submit(link(None, w2))
        self.claim()
        self.assertTrue(self.get(self.store.fetched("w", result_of(2, hybrid_info(2), key=w2))))
        [answer] = self.submit(link(w1, None))
        self.assertEqual((answer.key, answer.status), (w2, "fetched"))
        self.assertEqual(self.get(self.store.info_bytes(w1)), hybrid_info(2))

    def test_told_by_the_other_infohash(self) -> None:
        v1, v2 = hybrid_hashes(1)
        self.submit(link(v1, v2))
        self.claim()
        self.assertTrue(self.failed(v2, START))
        self.assertTrue(self.get(self.store.fetched("w", result_of(1, hybrid_info(1), key=v2))))
        self.assertEqual((self.job(v1).status, self.job(v1).attempts), ("fetched", 2))


class FailedTests(StoreCase):
    def test_waiting(self) -> None:
        self.submit(1)
        self.claim()
        self.wall.time += 3
        self.assertIs(self.failed(hash_of(1), START + 300), True)
        job = self.job(1)
        self.assertEqual((job.status, job.next_attempt, job.attempts), ("waiting", START + 300, 1))
        self.assertEqual((job.report, job.seconds, job.updated), (REPORT, 1.5, START + 3))

    def test_gave_up(self) -> None:
        self.submit(1)
        self.claim()
        self.assertTrue(self.failed(hash_of(1)))
        self.assertEqual((self.state(1), self.job(1).next_attempt), ("gave_up", None))
        self.wall.time += 1e9
        self.assertEqual(self.claimed(), [])

    def test_whose_it_is(self) -> None:
        for number, state in enumerate(STATES):
            key = self.in_state(number, state)
            self.assertFalse(self.failed(key, worker="other"), state)
            self.assertEqual(self.state(key), state)
        self.assertFalse(self.failed(hash_of(99)))

    def test_learned_is_the_last_try_s(self) -> None:
        self.submit(1)
        for learned in ({"a": 1}, None, {"b": "é" * 1000}, {"b": [f"{n}" for n in range(200_000)]}):
            self.get(self.store.retry(hash_of(1)))
            self.claim()
            self.failed(hash_of(1), START, learned=learned)
            claim = self.get(self.store.claim_one("x", hash_of(1), LEASE))
            # What is longer than its limit is not kept; nor does it fail the call.
            self.assertEqual(claim.learned, None if learned and len(learned.get("b", "")) > 9999 else learned)
            self.get(self.store.release("x"))

    def test_a_report_over_the_limit(self) -> None:
        """... keeps what people read first."""
        self.submit(1)
        self.claim()
        trackers = [{"url": f"{hash_of(n).hex()}{hash_of(-n).hex()}"} for n in range(8000)]
        self.get(self.store.failed("w", hash_of(1), {**REPORT, "trackers": trackers}, 1.0, None))
        self.assertEqual(self.job(1).report, REPORT)


class TogetherTests(StoreCase):
    """`end` with many calls, as the writer's thread makes them."""

    def test_in_order(self) -> None:
        """Each sees what those before it did; a wrong one fails alone."""
        self.submit(1, 2, 3)
        self.claim(3)
        calls = [
            NoSuccess("w", hash_of(1), REPORT, 1.0, START + 9, None),
            Success("w", result_of(1), ()),
            Success("w", result_of(1), ()),
            Success("w", replace(result_of(2), info_bytes=b"de"), ()),
            Success("other", result_of(3), ()),
            NoSuccess("w", hash_of(3), REPORT, 1.0, None, None),
            NoSuccess("w", hash_of(4), REPORT, 1.0, None, None),
        ]
        engine = self.store._engine
        assert engine is not None
        with engine.begin() as connection:
            work = Work(connection, START + 1)
            answers = outcomes.end(work, calls)
        self.assertEqual(answers[:3] + answers[4:], [True, True, False, False, True, False])
        self.assertIsInstance(answers[3], StoreError)
        self.assertEqual([self.state(number) for number in (1, 2, 3)], ["fetched", "fetching", "gave_up"])
        self.assertEqual((self.job(1).attempts, self.job(1).report), (2, result_of(1).report))
        self.assertEqual(+work.moved, {"fetched": 1, "gave_up": 1})


class WishTests(StoreCase):
    def test_cancel(self) -> None:
        """In every state; what is fetched stays, and so does what a worker gives later: it is not taken."""
        for number, state in enumerate(STATES):
            key = self.in_state(number, state)
            self.wall.time += 1
            job = self.get(self.store.cancel(key))
            self.assertEqual(job, self.job(key))
            self.assertEqual(job.status, "fetched" if state == "fetched" else "cancelled")
            self.assertEqual(job.next_attempt, None)
            if state != "fetched":
                self.assertFalse(self.fetch(number))
                self.assertFalse(self.failed(key, START))
        self.assertIsNone(self.get(self.store.next_due()))
        self.assertEqual(self.claimed(), [])
        self.assertIsNone(self.get(self.store.cancel(hash_of(99))))

    def test_retry(self) -> None:
        """In every state: queued now with its tries forgotten, but for what is fetched or being so."""
        for number, state in enumerate(STATES):
            key = self.in_state(number, state)
            self.wall.time += 1
            job = self.get(self.store.retry(key))
            self.assertEqual(job, self.job(key))
            self.assertEqual(job.status, state if state in ("fetched", "fetching") else "queued")
            if job.status == "queued":
                self.assertEqual((job.attempts, job.next_attempt), (0, None))
                claim = self.get(self.store.claim_one("w", key, LEASE))
                self.assertEqual(claim.since, self.wall.time - 1 if state == "queued" else self.wall.time)
        self.assertIsNone(self.get(self.store.retry(hash_of(99))))

    def test_retry_of_a_queued_one(self) -> None:
        """Its tries are forgotten, its age is not."""
        self.in_state(1, "waiting")
        self.wall.time += 1000
        self.claim()
        self.get(self.store.release("w"))
        self.get(self.store.retry(hash_of(1)))
        [claim] = self.claim()
        self.assertEqual((claim.attempts, claim.since), (0, START))

    def test_by_the_other_infohash(self) -> None:
        v1, v2 = hybrid_hashes(1)
        self.submit(link(v1, v2))
        self.assertEqual(self.get(self.store.cancel(v2)).status, "cancelled")
        self.assertEqual(self.get(self.store.retry(v2)).key, v1)
