"""/metrics as Prometheus reads it."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.daemon.telemetry import Telemetry
from functorrent.web.metrics import METRICS_TYPE, render
from tests.daemon.fakes import Wall
from tests.daemon.test_telemetry import CLAIM, Store


class RenderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store: Any = Store()
        self.telemetry = Telemetry(self.clock, Wall(self.clock), self.store, "1.2.3")

    def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        body, kind = render(self.telemetry)
        self.assertEqual(kind, METRICS_TYPE)
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }

    def test_what_is_there(self) -> None:
        self.telemetry.startService()
        self.telemetry.ended(CLAIM, "fetched", 0.3, None, None)
        samples = self.samples()
        self.assertEqual(samples["metafetch_build_info", (("version", "1.2.3"),)], 1)
        self.assertEqual(samples["metafetch_magnets", (("state", "queued"),)], 3)
        self.assertEqual(samples["metafetch_tries_total", (("outcome", "fetched"),)], 1)
        bucket = "metafetch_fetch_seconds_bucket"
        self.assertEqual(samples[bucket, (("le", "0.25"), ("outcome", "fetched"))], 0)
        self.assertEqual(samples[bucket, (("le", "0.5"), ("outcome", "fetched"))], 1)
        self.assertEqual(samples[bucket, (("le", "+Inf"), ("outcome", "fetched"))], 1)
        self.assertEqual(samples["metafetch_fetch_seconds_count", (("outcome", "fetched"),)], 1)
        self.assertEqual(samples["metafetch_fetch_seconds_sum", (("outcome", "fetched"),)], 0.3)
        self.assertGreater(samples["process_resident_memory_bytes", ()], 1 << 20)
        self.assertNotIn("metafetch_sockets", {name for name, _ in samples}, "nothing is known of them yet")
        self.assertFalse([name for name, _ in samples if name.endswith("_created")])

    def test_a_label_cannot_break_a_line(self) -> None:
        self.telemetry.delivery('a"\n\\', "taken")
        self.assertEqual(
            self.samples()["metafetch_deliveries_total", (("outcome", "taken"), ("outlet", 'a"\n\\'))], 1
        )

    def test_one_that_cannot_be_read_hides_no_other(self) -> None:
        def broken() -> float:
            raise RuntimeError("a bug of ours")

        self.telemetry.watch_serving(broken, lambda: 5)
        samples = self.samples()
        self.assertEqual(samples["metafetch_served_bytes_total", ()], 5)
        self.assertNotIn(("metafetch_served_blocks_total", ()), samples)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
