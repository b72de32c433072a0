"""The report: sentences that a layman understands, and the keys of the --json contract."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import PEER_OUTCOMES, TRACKER_STATUSES
from functorrent.fetch.report import FetchReport, empty_counts, explain
from functorrent.interfaces import SourceReport, TrackerReport


def tracker(status: str = "ok", peers: int = 0, error: str | None = None) -> TrackerReport:
    return TrackerReport("http://tracker.example/announce", status, peers, error=error)


def counts(**outcomes: int) -> dict[str, int]:
    """Counts whose `found` is their sum."""
    return {**empty_counts(), "found": sum(outcomes.values()), **outcomes}


class SentenceTests(SynchronousTestCase):
    def check(self, expected: str, *trackers: TrackerReport, told: Any = None, **more: Any) -> None:
        self.assertEqual(explain(list(trackers), told or counts(), **more), expected)

    def test_the_issues_own(self) -> None:
        self.check(
            "3 trackers answered with 14 peers: 9 refused the connection, 4 did not answer, "
            "1 does not share metadata",
            *[tracker(peers=10)] * 3,
            told=counts(refused=9, timed_out=4, no_metadata=1),
        )

    def test_a_single_peer(self) -> None:
        for outcome, words in (
            ("refused", "it refused the connection"),
            ("timed_out", "it did not answer"),
            ("unreachable", "it could not be reached"),
            ("not_allowed", "it is at an address that is not allowed"),
            ("closed", "it hung up"),
            ("not_bittorrent", "it does not speak BitTorrent"),
            ("wrong_infohash", "it shares another torrent"),
            ("self", "it was this program itself"),
            ("no_extensions", "it cannot exchange metadata"),
            ("no_metadata", "it does not share metadata"),
            ("rejected", "it refused to send metadata"),
            ("bad_data", "it sent wrong data"),
            ("stalled", "it stopped sending"),
            ("cancelled", "it was not waited for"),
        ):
            self.check(
                f"1 tracker answered with 1 peer: {words}", tracker(peers=1), told=counts(**{outcome: 1})
            )

    def test_every_outcome_but_the_good_one_is_told(self) -> None:
        sentence = explain([tracker(peers=20)], counts(**dict.fromkeys(PEER_OUTCOMES, 2)))
        told = sentence.partition(": ")[2].split(", ")
        self.assertEqual(len(told), len(PEER_OUTCOMES) - 1)
        self.assertTrue(all(each.startswith("2 ") for each in told))
        self.assertIn("2 are at addresses that are not allowed", told)
        self.assertIn("2 do not share metadata", told)
        self.assertIn("2 were not waited for", told)

    def test_many(self) -> None:
        self.check(
            "1 tracker answered with 12,000 peers: 12,000 did not answer",
            tracker(peers=12_000),
            told=counts(timed_out=12_000),
        )

    def test_local_addresses(self) -> None:
        self.check(
            "1 tracker answered with 1 peer: it is at a local address (refused without --allow-local)",
            tracker(peers=1),
            told=counts(not_allowed=1),
            local=1,
        )
        self.check(
            "1 tracker answered with 5 peers: 2 are at local addresses (refused without --allow-local), "
            "1 is at an address that is not allowed, 2 hung up",
            tracker(peers=5),
            told=counts(not_allowed=3, closed=2),
            local=2,
        )

    def test_nothing_to_go_by(self) -> None:
        self.check("the magnet names no trackers and no peers")

    def test_trackers_that_know_nobody(self) -> None:
        self.check("1 tracker answered but knows no peers", tracker())
        self.check("2 trackers answered but know no peers", tracker(), tracker())
        self.check(
            "1 of 3 trackers answered but knows no peers (1 did not answer, 1 failed (not registered))",
            tracker("timed_out", error="it did not answer"),
            tracker(),
            tracker("failed", error="not registered"),
        )

    def test_trackers_that_know_only_what_was_given(self) -> None:
        self.check(
            "1 tracker answered but knows no further peers; 1 peer was given: it hung up",
            tracker(peers=1),
            told=counts(closed=1),
            given=1,
        )

    def test_some_trackers_answered(self) -> None:
        self.check(
            "2 of 3 trackers answered with 2 peers: 2 hung up",
            tracker(peers=1),
            tracker(peers=1),
            tracker("failed", error="x"),
            told=counts(closed=2),
        )

    def test_the_one_tracker(self) -> None:
        for status, error, words in (
            ("timed_out", "it did not answer", "the tracker did not answer"),
            ("failed", "unregistered torrent", "the tracker failed: unregistered torrent"),
            ("failed", None, "the tracker failed: it did not say why"),
            ("failed", "the tracker refused: go away", "the tracker refused: go away"),
            ("unsupported", "a WebTorrent tracker", "the tracker cannot be used (a WebTorrent tracker)"),
            ("unsupported", None, "the tracker cannot be used"),
            (
                "not_allowed",
                "t is a local address, refused",
                "the tracker is at an address that is not allowed (t is a local address, refused)",
            ),
            ("cancelled", None, "the tracker was not waited for"),
            ("a plugin's own", "odd", "the tracker failed: odd"),
        ):
            self.check(words, tracker(status, error=error))

    def test_peers_that_dead_trackers_had_named_earlier(self) -> None:
        counts = {**empty_counts(), "found": 2, "refused": 2}
        self.assertEqual(
            explain([tracker("timed_out", error="it did not answer")], counts),
            "the tracker did not answer; 2 peers had been named earlier: 2 refused the connection",
        )

    def test_no_tracker_was_of_use(self) -> None:
        self.check(
            "none of 2 trackers was of use: 2 did not answer",
            tracker("timed_out", error="it did not answer"),
            tracker("timed_out", error="it did not answer: x"),
        )
        self.check(
            "none of 7 trackers was of use: 1 did not answer, 2 failed (for example: one), "
            "1 cannot be used (nonsense), 1 is at an address that is not allowed, 2 were not waited for",
            tracker("failed", error="one"),
            tracker("not_allowed"),
            tracker("unsupported", error="nonsense"),
            tracker("cancelled"),
            tracker("timed_out"),
            tracker("failed", error="two"),
            tracker("cancelled"),
        )
        self.check(
            "none of 2 trackers was of use: 2 failed (the same)",
            tracker("failed", error="the same"),
            tracker("failed", error="the same"),
        )
        self.check(
            "none of 2 trackers was of use: 2 failed (odd)",
            tracker("a plugin's own", error="odd"),
            tracker("failed"),
        )

    def test_every_status_has_words(self) -> None:
        for status in TRACKER_STATUSES:
            for number in (1, 2, 3):
                self.assertNotIn(status, explain([tracker(status)] * number, counts()).replace("failed", ""))

    def test_peers_that_were_given(self) -> None:
        self.check(
            "2 peers were given: 1 refused the connection, 1 hung up",
            told=counts(refused=1, closed=1),
            given=2,
        )
        self.check("1 peer was given: it refused the connection", told=counts(refused=1), given=1)
        self.check(
            "the tracker did not answer; 2 peers were given: 2 hung up",
            tracker("timed_out"),
            told=counts(closed=2),
            given=2,
        )
        self.check(
            "1 tracker answered with 3 peers; 2 peers were given: 5 hung up",
            tracker(peers=3),
            told=counts(closed=5),
            given=2,
        )

    def test_peers_that_called(self) -> None:
        self.check("1 peer called us: it hung up", told=counts(closed=1), called=1)
        self.check(
            "1 tracker answered but knows no peers; 2 peers called us: 2 hung up",
            tracker(),
            told=counts(closed=2),
            called=2,
        )

    def test_nobody_called(self) -> None:
        self.check(
            "1 tracker answered but knows no peers; nobody connected to us within 10 s",
            tracker(),
            waited_for_callers=10.0,
        )
        self.check(
            "1 tracker answered with 1 peer: it hung up; nobody connected to us within 2.5 s",
            tracker(peers=1),
            told=counts(closed=1),
            waited_for_callers=2.5,
        )
        self.check(
            "1 tracker answered but knows no peers; 1 peer called us: it hung up",
            tracker(),
            told=counts(closed=1),
            called=1,
            waited_for_callers=10.0,
        )

    def test_callers_not_waited_for(self) -> None:
        self.check("1 tracker answered but knows no peers", tracker(), waited_for_callers=0.0)

    def test_the_time_limit(self) -> None:
        self.check(
            "1 tracker answered with 2 peers: 2 stopped sending; gave up after 60 s",
            tracker(peers=2),
            told=counts(stalled=2),
            timed_out_after=60.0,
        )

    def test_peers_that_peers_named(self) -> None:
        """They are not the trackers'."""
        self.check(
            "1 tracker answered with 2 peers; 9 peers were named by other peers: "
            "8 refused the connection, 3 hung up",
            tracker("ok", 2),
            told=counts(refused=8, closed=3),
            heard=9,
        )

    def test_without_trackers(self) -> None:
        """In the words that the issue asks for."""
        for detail in ("31 DHT nodes asked, none knew a peer", "no DHT node could be reached"):
            self.check(f"no trackers; {detail}", sources=[SourceReport("dht", detail=detail)])

    def test_other_sources(self) -> None:
        self.check(
            "no trackers; 31 DHT nodes asked: 2 hung up",
            told=counts(closed=2),
            sources=[SourceReport("dht", 2, detail="31 DHT nodes asked")],
        )
        self.check(
            "1 tracker answered with 1 peer; directory found 2 peers: 3 hung up",
            tracker(peers=1),
            told=counts(closed=3),
            sources=[SourceReport("directory", 2)],
        )
        self.check(
            "the magnet names no trackers and no peers",
            sources=[SourceReport("trackers"), SourceReport("directory")],
        )


class ReportTests(SynchronousTestCase):
    def test_contract(self) -> None:
        report = FetchReport(
            (TrackerReport("udp://t", "ok", 3, 1, 2), tracker("failed", error="why")),
            counts(fetched=1, closed=2),
            (SourceReport("dht", 2, detail="31 DHT nodes asked"), SourceReport("trackers")),
            "a sentence",
            1.5,
        )
        value = json.loads(json.dumps(report.to_json()))
        self.assertEqual(
            value["trackers"],
            [
                {"url": "udp://t", "status": "ok", "peers": 3, "seeders": 1, "leechers": 2, "error": None},
                {
                    "url": "http://tracker.example/announce",
                    "status": "failed",
                    "peers": 0,
                    "seeders": None,
                    "leechers": None,
                    "error": "why",
                },
            ],
        )
        self.assertEqual(list(value), ["trackers", "peers", "reason", "sources"])
        self.assertEqual(value["sources"], [{"source": "dht", "peers": 2, "detail": "31 DHT nodes asked"}])
        self.assertEqual(value["reason"], "a sentence")
        self.assertEqual(
            list(value["peers"]),
            [
                "found",
                "refused",
                "timed_out",
                "unreachable",
                "not_allowed",
                "closed",
                "not_bittorrent",
                "wrong_infohash",
                "self",
                "no_extensions",
                "no_metadata",
                "rejected",
                "bad_data",
                "stalled",
                "cancelled",
                "fetched",
            ],
        )

    def test_an_empty_one(self) -> None:
        value = FetchReport().to_json()
        self.assertEqual((value["trackers"], value["reason"]), ([], None))
        self.assertEqual(set(value["peers"].values()), {0})
