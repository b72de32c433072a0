"""/metrics: the daemon's numbers, and the process's own, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from twisted.logger import Logger

from functorrent.daemon.counters import Counter, Histogram, Read

if TYPE_CHECKING:
    from prometheus_client import Metric as Family

    from functorrent.daemon.counters import Metric
    from functorrent.daemon.telemetry import Telemetry

#: The content type of what `render` gives: the text format that every Prometheus reads.
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_log = Logger()


def render(telemetry: Telemetry) -> tuple[bytes, str]:
    """The body of /metrics and its content type. Takes a few milliseconds, and waits for nothing."""
    # A registry of our own: other libraries in this process put what they like into the global one.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(telemetry))
    # CPU seconds, resident memory, open files; of Linux's /proc, absent elsewhere.
    ProcessCollector(registry=registry)
    return generate_latest(registry), METRICS_TYPE


class _Collector(Collector):
    """Our metrics as prometheus-client's."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def collect(self) -> Iterator[Family]:
        for metric in self._telemetry.metrics():
            try:
                family = _family(metric)
            except Exception:
                # One number that cannot be had must not hide the others.
                _log.failure("{name} could not be read", name=metric.name)
                continue
            if family.samples:
                yield family


def _family(metric: Metric) -> Family:
    if isinstance(metric, Histogram):
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, spread in metric.spreads():
            buckets = [(_bound(bound), float(count)) for bound, count in spread.buckets]
            histogram.add_metric(labels, buckets, spread.total)
        return histogram
    assert isinstance(metric, Counter | Read)
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in metric.read().items():
        family.add_metric(labels, value)
    return family


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(bound)
