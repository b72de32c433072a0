"""What metrics are made of: counters, gauges that are read when asked, histograms. Plain numbers.

Adding to one costs a dictionary's lookup: no lock (all of it happens in the reactor) and no child
objects. `functorrent.web.metrics` writes them as Prometheus reads them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

Labels = tuple[str, ...]
#: What a gauge or a counter that is read gives: a number, numbers by label values, or nothing now.
Reading = float | Mapping[Labels, float] | None


class Metric:
    """Its name, what it is, and the names of its labels."""

    kind = ""

    def __init__(self, name: str, help: str, labels: Labels = ()) -> None:
        self.name = name
        self.help = help
        self.labels = labels


class Counter(Metric):
    """Only ever grows; its name ends in ``_total``."""

    kind = "counter"

    def __init__(self, name: str, help: str, labels: Labels = ()) -> None:
        super().__init__(name, help, labels)
        self._values: dict[Labels, float] = {} if labels else {(): 0}

    def add(self, amount: float, *labels: str) -> None:
        """So much more, of these label values."""
        self._values[labels] = self._values.get(labels, 0) + amount

    def start(self, values: Sequence[Labels]) -> None:
        """Have these label values from the start, at 0: a rate sees the first of them, too."""
        for labels in values:
            self._values.setdefault(labels, 0)

    def read(self) -> Mapping[Labels, float]:
        """Numbers by label values."""
        return self._values


class Read(Metric):
    """A number that somebody else has: asked for when it is wanted. `source` None: nobody yet."""

    def __init__(
        self,
        name: str,
        help: str,
        labels: Labels = (),
        source: Callable[[], Reading] | None = None,
        kind: str = "gauge",
    ) -> None:
        super().__init__(name, help, labels)
        self.source = source
        self.kind = kind

    def read(self) -> Mapping[Labels, float]:
        """Numbers by label values; empty where there is none now."""
        reading = self.source() if self.source is not None else None
        if reading is None:
            return {}
        return reading if isinstance(reading, Mapping) else {(): reading}


class Spread(NamedTuple):
    """A histogram's state: (upper bound, how many up to it) with the last bound infinite; and the sum."""

    buckets: Sequence[tuple[float, int]]
    total: float


class Histogram(Metric):
    """How often values lay within bounds (upper ones, ascending)."""

    kind = "histogram"

    def __init__(self, name: str, help: str, bounds: Sequence[float], labels: Labels = ()) -> None:
        super().__init__(name, help, labels)
        self.bounds = tuple(bounds)
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        if not labels:
            self.start([()])

    def start(self, values: Sequence[Labels]) -> None:
        """Have these label values from the start."""
        for labels in values:
            self._counts.setdefault(labels, [0] * (len(self.bounds) + 1))
            self._sums.setdefault(labels, 0.0)

    def observe(self, value: float, *labels: str) -> None:
        """One more value."""
        counts = self._counts.get(labels)
        if counts is None:
            self.start([labels])
            counts = self._counts[labels]
        counts[bisect_left(self.bounds, value)] += 1
        self._sums[labels] += value

    def spreads(self) -> Iterator[tuple[Labels, Spread]]:
        """By label values."""
        for labels, counts in self._counts.items():
            reached, buckets = 0, []
            for bound, count in zip((*self.bounds, float("inf")), counts, strict=True):
                reached += count
                buckets.append((bound, reached))
            yield labels, Spread(buckets, self._sums[labels])
