"""What is told of the daemon's DHT node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from functorrent.daemon.dht import DhtWatch
from functorrent.daemon.telemetry import Telemetry
from tests.daemon.fakes import Wall
from tests.daemon.test_telemetry import Bag, Store


def node(v4: int = 0, v6: int = 0, **counts: int) -> Any:
    """A node with so many others in its tables."""
    names = (
        "queries_sent", "answers", "errors", "timeouts", "queries_received", "answered", "dropped", "lookups",
        "peers_found",
    )  # fmt: skip
    ready: Deferred[None] = Deferred()
    return Bag(tables=(range(v4), range(v6)), stats=Bag(**{**dict.fromkeys(names, 0), **counts}), ready=ready)


class DhtWatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.node: Any = None
        self.watch = DhtWatch(lambda: self.node)
        self.said: list[tuple[str, str]] = []

        def observe(event: LogEvent) -> None:
            if event.get("log_namespace", "").startswith("functorrent.daemon.dht"):
                self.said.append((event["log_level"].name, event["log_format"].format(**event)))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def read(self) -> dict[str, Mapping[tuple[str, ...], float]]:
        return {
            metric.name.removeprefix("metafetch_dht_"): metric.read()  # type: ignore[attr-defined]
            for metric in self.watch.metrics
        }

    def test_without_a_dht(self) -> None:
        """... there are no numbers, rather than zeros."""
        self.assertEqual(set(map(len, self.read().values())), {0})
        self.assertIsNone(self.watch.told())
        self.watch.start()
        self.watch.stop()
        self.assertEqual(self.said, [])

    def test_numbers(self) -> None:
        self.node = node(
            150, 2, queries_sent=9, answers=5, errors=1, timeouts=3, queries_received=7, answered=6,
            dropped=4, lookups=2, peers_found=8,
        )  # fmt: skip
        self.assertEqual(
            self.read(),
            {
                "nodes": {("ipv4",): 150, ("ipv6",): 2},
                "queries_sent_total": {(): 9},
                "answers_total": {("answered",): 5, ("error",): 1, ("timed_out",): 3},
                "queries_received_total": {(): 7},
                "queries_answered_total": {(): 6},
                "dropped_total": {(): 4},
                "lookups_total": {(): 2},
                "peers_found_total": {(): 8},
            },
        )
        self.assertEqual(self.watch.told(), {"nodes": 152})

    def test_a_machine_of_one_family(self) -> None:
        self.node = node(5)
        self.node.tables = (self.node.tables[0], None)
        self.assertEqual(self.read()["nodes"], {("ipv4",): 5, ("ipv6",): 0})
        self.assertEqual(self.watch.nodes, 5)

    def test_warm(self) -> None:
        self.node = node(150, 2)
        self.watch.start()
        self.assertEqual(self.said, [])
        self.node.ready.callback(None)
        self.assertEqual(self.said, [("info", "DHT: 152 nodes")])

    def test_cut_off(self) -> None:
        self.node = node()
        self.watch.start()
        self.node.ready.callback(None)
        [(level, words)] = self.said
        self.assertEqual(level, "warn")
        self.assertIn("no node could be reached", words)

    def test_stopped_before_it_was_warm(self) -> None:
        self.node = node(1)
        self.watch.start()
        self.watch.stop()
        self.node.ready.callback(None)
        self.assertEqual(self.said, [])

    def test_given_up(self) -> None:
        self.node = node(1)
        self.watch.start()
        self.node.ready.errback(Failure(RuntimeError("stopped")))
        self.assertEqual((self.said, self.flushLoggedErrors()), ([], []))


class TelemetryTests(SynchronousTestCase):
    def test_the_node_is_that_of_the_fetcher(self) -> None:
        """Once it has a source of that name, and that has begun."""
        clock = Clock()
        store: Any = Store()
        telemetry = Telemetry(clock, Wall(clock), store, "0")
        self.assertIsNone(telemetry.dht.nodes)
        sources: list[Any] = [Bag(name="trackers")]
        telemetry.watch_fetcher(Bag(core=Bag(sources=sources)))
        self.assertIsNone(telemetry.dht.nodes)
        sources.append(Bag(name="dht", node=None))
        self.assertIsNone(telemetry.dht.nodes)
        sources[1].node = node(3)
        self.assertEqual(telemetry.dht.nodes, 3)
        for metric in telemetry.dht.metrics:
            self.assertIn(metric, list(telemetry.metrics()))
