"""Tests of functorrent.store.jobs: the values, and a job as the HTTP API tells it."""

from __future__ import annotations

import json
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from functorrent.store.jobs import ENDED, STATES, Job, iso, key_of
from tests.store.bed import START, hash_of, hybrid_hashes, link

JOB = Job(
    key=hash_of(1),
    infohash=hash_of(1),
    infohash_v2=None,
    magnet="magnet:?xt=urn:btih:x",
    source="list.txt",
    line=3,
    status="waiting",
    priority=-1,
    attempts=2,
    added=START,
    updated=START + 0.5,
    next_attempt=START + 60,
    name="Straße",
    size=None,
    files=None,
    private=None,
    file=None,
    seconds=1.25,
    report={"trackers": [], "peers": {}, "reason": "no peer was found"},
)


class JobTests(SynchronousTestCase):
    def test_json(self) -> None:
        """The keys of ``functorrent fetch --json`` in their order, and the queue's."""
        told = json.loads(json.dumps(JOB.to_json()))
        self.assertEqual(
            told,
            {
                "magnet": "magnet:?xt=urn:btih:x",
                "source": "list.txt",
                "line": 3,
                "infohash": hash_of(1).hex(),
                "infohash_v2": None,
                "status": "waiting",
                "file": None,
                "cached": False,
                "name": "Straße",
                "size": None,
                "files": None,
                "private": None,
                "seconds": 1.25,
                "priority": -1,
                "attempts": 2,
                "added": "2027-01-15T08:00:00.000Z",
                "updated": "2027-01-15T08:00:00.500Z",
                "next_attempt": "2027-01-15T08:01:00.000Z",
                "report": {"trackers": [], "peers": {}, "reason": "no peer was found"},
            },
        )
        self.assertEqual(list(told)[:4], ["magnet", "source", "line", "infohash"])

    def test_without_report(self) -> None:
        """Left out where it is not wanted; null where there is none."""
        self.assertNotIn("report", JOB.to_json(report=False))
        self.assertIsNone(replace(JOB, report=None).to_json()["report"])

    def test_v2_alone(self) -> None:
        _, v2 = hybrid_hashes(1)
        told = replace(JOB, infohash=None, infohash_v2=v2, next_attempt=None).to_json()
        self.assertEqual(
            (told["infohash"], told["infohash_v2"], told["next_attempt"]), (None, v2.hex(), None)
        )

    def test_keys(self) -> None:
        """The v1 infohash where there is one."""
        v1, v2 = hybrid_hashes(1)
        self.assertEqual([key_of(link(v1, v2)), key_of(link(v1, None)), key_of(link(None, v2))], [v1, v1, v2])

    def test_times(self) -> None:
        self.assertEqual(iso(0), "1970-01-01T00:00:00.000Z")
        self.assertEqual(iso(1e9 + 0.0004), "2001-09-09T01:46:40.000Z")

    def test_states(self) -> None:
        self.assertEqual(len(set(STATES)), 6)
        self.assertEqual(ENDED - set(STATES), set())
