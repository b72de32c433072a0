"""What the daemon counts and reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.daemon.counters import Histogram
from functorrent.daemon.telemetry import LOOK, OUTCOMES, SCHEMES, Telemetry
from functorrent.errors import PEER_OUTCOMES, TRACKER_STATUSES, StoreError
from functorrent.fetch.core import Stats
from functorrent.fetch.report import FetchReport, empty_counts
from functorrent.interfaces import TrackerReport
from functorrent.magnet import Magnet
from functorrent.store.jobs import STATES, Claim
from tests.daemon.fakes import Wall

CLAIM = Claim(b"k" * 20, Magnet.parse("6b" * 20), 0, 0, 0.0)


class Store:
    """Says counts; `hold` makes it keep everybody waiting."""

    def __init__(self) -> None:
        self.asked = 0
        self.oldest: float | None = None
        self.answer: Deferred[dict[str, int]] | None = None
        self.error: Exception | None = None

    def counts(self) -> Deferred[dict[str, int]]:
        self.asked += 1
        if self.error is not None:
            return fail(self.error)
        return succeed({"queued": 3, "fetched": 5}) if self.answer is None else self.answer

    def oldest_queued(self) -> Deferred[float | None]:
        return succeed(self.oldest)

    def minutes(self, since: float) -> Deferred[list[tuple[float, int]]]:
        self.since = since
        return succeed([(since, 4)])


class Bag:
    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class TelemetryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(50)
        self.wall = Wall(self.clock)
        self.store: Any = Store()
        self.telemetry = Telemetry(self.clock, self.wall, self.store, "1.2.3")

    def read(self, name: str) -> Mapping[tuple[str, ...], float]:
        (metric,) = [metric for metric in self.telemetry.metrics() if metric.name == name]
        reading: Mapping[tuple[str, ...], float] = metric.read()  # type: ignore[attr-defined]
        return reading

    def value(self, name: str, *labels: str) -> float | None:
        return self.read(name).get(labels)

    def ended(self, outcome: str, seconds: float = 1.0, **peers: int) -> None:
        trackers = (
            TrackerReport("udp://t.example:1/***", "ok", 3),
            TrackerReport("HTTPS://t.example/a", "timed_out"),
            TrackerReport("wss://t.example/a", "unsupported"),
            TrackerReport("http://t.example/a", "a word of tomorrow"),
        )
        report = FetchReport(trackers, {**empty_counts(), **peers}, seconds=seconds)
        self.telemetry.ended(CLAIM, outcome, seconds, report, "a name")

    def test_names_follow_the_convention(self) -> None:
        names = [metric.name for metric in self.telemetry.metrics()]
        self.assertEqual(len(names), len(set(names)))
        for metric in self.telemetry.metrics():
            self.assertTrue(metric.name.startswith("metafetch_"), metric.name)
            self.assertEqual(metric.name.endswith("_total"), metric.kind == "counter", metric.name)
            self.assertTrue(metric.help.endswith("."), metric.help)
            if metric.kind == "histogram":
                self.assertTrue(metric.name.endswith("_seconds"), metric.name)

    def test_tries(self) -> None:
        self.assertEqual(self.read("metafetch_tries_total"), {(word,): 0 for word in OUTCOMES})
        self.ended("fetched", 0.2, found=9, refused=2, fetched=1)
        self.ended("fetched", 400)
        self.telemetry.ended(CLAIM, "interrupted", 3, None, None)
        self.assertEqual(self.value("metafetch_tries_total", "fetched"), 2)
        self.assertEqual(self.value("metafetch_tries_total", "interrupted"), 1)
        self.assertEqual(self.value("metafetch_peers_found_total"), 9)
        self.assertEqual(self.value("metafetch_dials_total", "refused"), 2)
        self.assertEqual(self.value("metafetch_dials_total", "timed_out"), 0)
        self.assertEqual({word for (word,) in self.read("metafetch_dials_total")}, set(PEER_OUTCOMES))
        spreads = dict(self.telemetry.fetch_seconds.spreads())
        self.assertEqual(spreads[("fetched",)].total, 400.2)
        self.assertEqual(spreads[("fetched",)].buckets[2:4], [(0.25, 1), (0.5, 1)])
        self.assertEqual(spreads[("fetched",)].buckets[-1], (float("inf"), 2))
        self.assertEqual(self.telemetry.minutes()[-1]["fetched"], 2)

    def test_announces_have_words_of_ours_alone(self) -> None:
        self.ended("failed")
        read = self.read("metafetch_tracker_announces_total")
        self.assertEqual(
            {labels for labels, value in read.items() if value},
            {("udp", "ok"), ("https", "timed_out"), ("other", "unsupported"), ("http", "failed")},
        )
        self.assertEqual(set(read), {(scheme, status) for scheme in SCHEMES for status in TRACKER_STATUSES})

    def test_requests_are_bounded(self) -> None:
        self.telemetry.answered("GET", "/api/v1/magnets/{infohash}", 200)
        self.telemetry.answered("BREW", "/api/v1/magnets/{infohash}", 404)
        for number in range(1000):
            self.telemetry.answered("GET", f"/{number}", 404)
        read = self.read("metafetch_http_requests_total")
        self.assertEqual(read["GET", "/api/v1/magnets/{infohash}", "200"], 1)
        self.assertEqual(read["other", "/api/v1/magnets/{infohash}", "404"], 1)
        self.assertEqual(len(read), 102)
        self.assertEqual(read["GET", "other", "404"], 901)

    def test_the_fetcher(self) -> None:
        self.assertEqual(self.read("metafetch_sockets"), {})
        core = Bag(
            dialer=Bag(sockets=7, most_sockets=2000),
            budget=Bag(held=123, limit=456),
            stats=Stats(block_bytes=99),
            fetches={1: 2},
        )
        self.telemetry.watch_fetcher(Bag(core=core))
        self.assertEqual(self.value("metafetch_sockets"), 7)
        self.assertEqual(self.value("metafetch_sockets_limit"), 2000)
        self.assertEqual(self.value("metafetch_assembling_bytes"), 123)
        self.assertEqual(self.value("metafetch_assembling_limit_bytes"), 456)
        self.assertEqual(self.value("metafetch_metadata_bytes_total"), 99)
        self.assertEqual(self.value("metafetch_in_flight"), 1)

    def test_serving(self) -> None:
        self.assertEqual(self.read("metafetch_served_blocks_total"), {})
        self.telemetry.watch_serving(lambda: 3, lambda: 40_000, lambda: 2)
        self.assertEqual(self.value("metafetch_served_blocks_total"), 3)
        self.assertEqual(self.value("metafetch_served_bytes_total"), 40_000)
        self.assertEqual(self.value("metafetch_inbound_peers"), 2)

    def test_the_store_is_asked_now_and_then(self) -> None:
        self.assertEqual(self.read("metafetch_magnets"), {})
        self.telemetry.startService()
        self.assertEqual(
            self.read("metafetch_magnets"),
            {(state,): {"queued": 3, "fetched": 5}.get(state, 0) for state in STATES},
        )
        self.assertEqual(self.value("metafetch_queue_age_seconds"), 0)
        self.store.oldest = self.wall.now() - 30
        self.clock.advance(LOOK)
        self.assertEqual(self.store.asked, 2)
        self.assertEqual(self.value("metafetch_queue_age_seconds"), 30 + LOOK)
        self.assertEqual(self.value("metafetch_store_age_seconds"), 0)
        for _ in range(5):
            self.telemetry.minutes()
            self.read("metafetch_magnets")
        self.assertEqual(self.store.asked, 2, "a scrape asks nothing")

    def test_the_status_line(self) -> None:
        self.assertEqual(self.telemetry.status(), "waiting for the store")
        self.telemetry.startService()
        self.telemetry.watch_fetcher(Bag(core=Bag(fetches=dict.fromkeys(range(1200)))))
        self.assertEqual(
            self.telemetry.status(), "1,200 in flight; 3 queued, 0 waiting, 5 fetched, 0 gave up"
        )

    def test_a_store_that_hangs(self) -> None:
        self.telemetry.startService()
        self.store.answer = Deferred()
        self.clock.pump([LOOK] * 10)
        self.assertEqual(self.store.asked, 2, "one question at a time")
        self.assertEqual(self.value("metafetch_magnets", "queued"), 3)
        self.assertEqual(self.value("metafetch_store_age_seconds"), 10 * LOOK)
        answer, self.store.answer = self.store.answer, None
        answer.callback({"queued": 4})
        self.assertEqual(self.value("metafetch_magnets", "queued"), 4)
        self.clock.advance(LOOK)
        self.assertEqual(self.store.asked, 3)
        ((_, spread),) = self.telemetry.store_seconds.spreads()
        self.assertEqual((spread.buckets[-1][1], spread.total), (3, 9 * LOOK))

    def test_a_store_that_fails(self) -> None:
        self.store.error = StoreError("the disk is on fire")
        self.telemetry.startService()
        self.clock.advance(LOOK)
        self.assertEqual(self.store.asked, 2)
        self.assertEqual(self.read("metafetch_magnets"), {})
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_stops(self) -> None:
        self.telemetry.startService()
        cancelled: list[object] = []
        self.store.answer = Deferred(cancelled.append)
        self.clock.advance(LOOK)
        self.telemetry.stopService()
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.telemetry.stopService()

    def test_the_lag(self) -> None:
        self.assertEqual(self.read("metafetch_reactor_lag_p99_seconds"), {})
        self.telemetry.startService()
        self.clock.advance(0.35)
        self.assertAlmostEqual(self.value("metafetch_reactor_lag_max_seconds") or 0, 0.25)
        ((_, spread),) = self.telemetry.lag_seconds.spreads()
        self.assertEqual(spread.buckets[-1][1], 3)

    def test_seeded_from_the_store(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.telemetry.seed()))
        self.assertEqual(self.store.since % 60, 0)
        self.assertEqual(self.telemetry.minutes()[0]["fetched"], 4)


class HistogramTests(SynchronousTestCase):
    def test_a_bound_belongs_to_its_bucket(self) -> None:
        histogram = Histogram("x_seconds", "X.", (1, 2))
        for value in (0, 1, 1.5, 2, 3):
            histogram.observe(value)
        ((labels, spread),) = histogram.spreads()
        self.assertEqual(labels, ())
        self.assertEqual(spread.buckets, [(1, 2), (2, 4), (float("inf"), 5)])
        self.assertEqual(spread.total, 7.5)
