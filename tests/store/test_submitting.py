"""Tests of functorrent.store.submitting: what a magnet does to the queue."""

from __future__ import annotations

from typing import Any

from functorrent.magnet import Magnet
from functorrent.store import submitting
from functorrent.store.jobs import ENDED, STATES, NewJob, Submitted
from tests.store.bed import START, StoreCase, hash_of, hybrid_hashes, link, magnet_of

TRACKER = "&tr=udp%3A%2F%2Fa.example%3A1"
OTHER = "&tr=udp%3A%2F%2Fb.example%3A2"


class NewTests(StoreCase):
    def test_new(self) -> None:
        """A new job is queued, and told as such."""
        magnet = magnet_of(1, "&dn=A+b" + TRACKER)
        [answer] = self.get(self.store.submit([NewJob(magnet, 7, "list.txt", 3)]))
        self.assertEqual(answer, Submitted(hash_of(1), "queued", created=True, queued=True))
        job = self.job(1)
        self.assertEqual(
            (job.key, job.infohash, job.infohash_v2, job.magnet, job.source, job.line),
            (hash_of(1), hash_of(1), None, magnet.text, "list.txt", 3),
        )
        self.assertEqual((job.status, job.priority, job.attempts, job.name), ("queued", 7, 0, "A b"))
        self.assertEqual((job.added, job.updated, job.next_attempt), (START, START, None))
        self.assertEqual((job.size, job.files, job.private, job.file, job.seconds, job.report), (None,) * 6)
        [claim] = self.claim()
        self.assertEqual(claim.magnet, magnet)
        self.assertEqual((claim.priority, claim.attempts, claim.since, claim.learned), (7, 0, START, None))

    def test_answers_are_in_order(self) -> None:
        """More than a chunk of the look-up, some there before, some twice."""
        self.submit(*range(0, 1500, 3))
        numbers = [*range(1400), 5, 1399]
        answers = self.submit(*numbers)
        self.assertEqual([answer.key for answer in answers], [hash_of(number) for number in numbers])
        created = [number % 3 != 0 for number in range(1400)] + [False, False]
        self.assertEqual([answer.created for answer in answers], created)
        self.assertEqual(self.get(self.store.counts())["queued"], 1400 + 33)

    def test_none(self) -> None:
        self.assertEqual(self.submit(), [])

    def test_twice_in_one_call(self) -> None:
        """The second of a torrent joins the first, and its trackers count."""
        first, second = self.submit(magnet_of(1, TRACKER), magnet_of(1, OTHER))
        self.assertEqual((first.created, first.queued), (True, True))
        self.assertEqual((second.created, second.queued, second.key), (False, False, first.key))
        [claim] = self.claim(10)
        self.assertEqual(claim.magnet.all_trackers(), ["udp://a.example:1", "udp://b.example:2"])

    def test_priorities_have_bounds(self) -> None:
        self.submit(1, priority=1000)
        self.submit(2, priority=-1000)
        self.assertEqual((self.job(1).priority, self.job(2).priority), (100, -100))

    def test_words_that_databases_refuse(self) -> None:
        """Lone surrogates and NUL, from an argument or a file's name, cost a character and no more."""
        text = f"magnet:?xt=urn:btih:{hash_of(1).hex()}&dn=a\ud800%00b&x=\0\udcff"
        self.get(self.store.submit([NewJob(Magnet.parse(text), 0, "na\udcffme\0")]))
        job = self.job(1)
        self.assertEqual((job.name, job.source), ("a?\ufffdb", "na?me\ufffd"))
        self.assertEqual([claim.key for claim in self.claim()], [hash_of(1)])


class AgainTests(StoreCase):
    """A further magnet of a torrent, in each state of its job."""

    def test_nothing_new(self) -> None:
        """Only what was cancelled or given up is queued by a magnet that knows nothing new."""
        for number, state in enumerate(STATES):
            key = self.in_state(number, state)
            before = self.job(key)
            self.wall.time += 10
            [answer] = self.submit(number)
            again = state in ("cancelled", "gave_up")
            self.assertEqual(
                answer, Submitted(key, "queued" if again else state, created=False, queued=again), state
            )
            if not again:
                self.assertEqual(self.job(key), before)

    def test_something_new(self) -> None:
        """New trackers and peers are kept in every state; a job that waits is queued by them."""
        for number, state in enumerate(STATES):
            key = self.in_state(number, state)
            [answer] = self.submit(magnet_of(number, TRACKER + "&x.pe=192.0.2.1:9"))
            queued = state in ("cancelled", "gave_up", "waiting")
            self.assertEqual(
                answer, Submitted(key, "queued" if queued else state, created=False, queued=queued), state
            )
            self.get(self.store.retry(key))
            if state == "fetched":
                self.assertIn(b"udp://a.example:1", self.get(self.store.torrent(key)))
                continue
            self.get(self.store.release("w"))
            claim = self.get(self.store.claim_one("w", key, 1.0))
            self.assertEqual(claim.magnet.all_trackers(), ["udp://a.example:1"], state)
            self.assertEqual(claim.magnet.peers, (("192.0.2.1", 9),), state)

    def test_queued_again_is_a_new_start(self) -> None:
        """... for what had ended. One that waits keeps its tries: only its time has come."""
        for number, state in enumerate(("gave_up", "waiting")):
            self.in_state(number, state)
        self.in_state(2, "cancelled")
        self.wall.time += 100
        self.submit(*(magnet_of(number, TRACKER) for number in range(3)))
        claims = {claim.key: claim for claim in self.claim(10)}
        self.assertEqual([claims[hash_of(number)].attempts for number in range(3)], [0, 1, 0])
        self.assertEqual({claim.since for claim in claims.values()}, {START + 100})

    def test_priority_is_only_raised(self) -> None:
        for number, state in enumerate(STATES):
            key = self.in_state(number, state)
            self.submit(number, priority=5)
            self.submit(number, priority=3)
            self.assertEqual(self.job(key).priority, 5)
            if state not in (*ENDED, "fetching"):
                self.assertEqual(self.state(key), state)

    def test_limits(self) -> None:
        """Trackers and peers beyond the limits are not kept, and queue nothing."""
        limits_trackers = "".join(f"&tr=udp%3A%2F%2Ft{n}.example%3A1" for n in range(150))
        limits_peers = "".join(f"&x.pe=192.0.2.1:{n + 1}" for n in range(450))
        self.submit(1)
        for turn in range(3):
            self.submit(
                magnet_of(
                    1, limits_trackers.replace("//t", f"//{turn}") + limits_peers.replace(".1:", f".{turn}:")
                )
            )
        [claim] = self.claim()
        self.assertEqual(len(claim.magnet.all_trackers()), 100)
        self.assertEqual(len(claim.magnet.peers), 500)
        self.failed(claim.key, START + 1000)
        [answer] = self.submit(magnet_of(1, OTHER + "&x.pe=198.51.100.1:1"))
        self.assertEqual((answer.status, answer.queued), ("waiting", False))

    def test_a_name_is_learned(self) -> None:
        self.submit(1)
        self.submit(magnet_of(1, "&dn=Later"))
        self.submit(magnet_of(1, "&dn=Latest"))
        self.assertEqual(self.job(1).name, "Later")
        self.assertEqual(self.listed(text="later"), [hash_of(1)])


class RaceTests(StoreCase):
    """Another process makes a job between the look and the insertion (SQLite lets none; PostgreSQL does)."""

    def test_it_is_joined(self) -> None:
        self.submit(1, 2)
        look_up = submitting._look_up
        looks: list[set[bytes]] = []

        def blind(work: Any, wanted: Any) -> Any:
            looks.append({magnet.infohash for magnet in wanted})
            return {} if len(looks) == 1 else look_up(work, [magnet_of(1), magnet_of(2)])

        self.patch(submitting, "_look_up", blind)
        for numbers in ((1, 3, 2, 1), (1, 2)):
            looks.clear()
            answers = self.submit(*(magnet_of(number, TRACKER) for number in numbers))
            self.assertEqual([answer.key for answer in answers], [hash_of(number) for number in numbers])
            self.assertEqual([answer.created for answer in answers], [number == 3 for number in numbers])
            # Only what was lost is looked up again.
            self.assertEqual(looks[1:], [{hash_of(1), hash_of(2)}])
        self.assertEqual(self.get(self.store.counts())["queued"], 3)
        for claim in self.claim(9):
            self.assertEqual(claim.magnet.all_trackers(), ["udp://a.example:1"])


class HybridTests(StoreCase):
    """One torrent, two infohashes, one job."""

    def setUp(self) -> None:
        super().setUp()
        self.v1, self.v2 = hybrid_hashes(1)

    def test_found_by_either(self) -> None:
        self.submit(link(self.v1, self.v2))
        for magnet in (link(self.v1, None), link(None, self.v2), link(self.v1, self.v2)):
            [answer] = self.submit(magnet)
            self.assertEqual((answer.key, answer.created), (self.v1, False))
        self.assertEqual(self.job(self.v2).key, self.v1)

    def test_v2_alone_and_then_both(self) -> None:
        """The job that is there learns its other infohash, and is found by it from then on."""
        self.submit(link(None, self.v2))
        self.assertEqual((self.job(self.v2).key, self.job(self.v2).infohash), (self.v2, None))
        for magnet in (link(self.v1, self.v2, TRACKER), link(self.v1, None)):
            [answer] = self.submit(magnet)
            self.assertEqual((answer.key, answer.created), (self.v2, False))
        [claim] = self.claim(10)
        self.assertEqual(
            (claim.key, claim.magnet.infohash, claim.magnet.infohash_v2), (self.v2, self.v1, self.v2)
        )
        self.assertEqual(self.job(self.v1).infohash, self.v1)

    def test_all_in_one_call(self) -> None:
        answers = self.submit(link(None, self.v2), link(self.v1, self.v2), link(self.v1, None))
        self.assertEqual([answer.created for answer in answers], [True, False, False])
        self.assertEqual({answer.key for answer in answers}, {self.v2})

    def test_two_jobs_that_turn_out_as_one(self) -> None:
        """They stay two: a magnet with both joins the v1 job, and each is found by its key."""
        self.submit(link(None, self.v2), link(self.v1, None))
        [answer] = self.submit(link(self.v1, self.v2))
        self.assertEqual((answer.key, answer.created), (self.v1, False))
        self.assertEqual((self.job(self.v1).key, self.job(self.v2).key), (self.v1, self.v2))

    def test_another_v1_is_another_torrent(self) -> None:
        """Else a magnet with somebody's v2 infohash would be told that it is fetched, and never be."""
        self.submit(link(self.v1, self.v2))
        answers = self.submit(link(hash_of(5), self.v2), link(hash_of(6), self.v2))
        self.assertEqual(
            [(answer.key, answer.created) for answer in answers], [(hash_of(5), True), (hash_of(6), True)]
        )
        self.assertEqual(self.job(self.v2).key, self.v1)
        [answer] = self.submit(link(None, self.v2))
        self.assertEqual((answer.key, answer.created), (self.v1, False))
