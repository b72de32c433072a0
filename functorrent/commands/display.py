"""What the progress line of `functorrent fetch` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functorrent.progress import Rate, Snapshot, batch_line, single_line, stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from functorrent.commands.inputs import Inputs
    from functorrent.commands.results import Results
    from functorrent.commands.run import Run


class Display:
    """Reads a run's state off its parts. `now` gives monotonic seconds."""

    def __init__(self, inputs: Inputs, results: Results, run: Run, now: Callable[[], float]) -> None:
        self._inputs = inputs
        self._results = results
        self._run = run
        self._now = now
        self._began = now()
        self._rate = Rate()
        self._total = inputs.count()

    def line(self, width: int) -> str:
        """The line to draw."""
        now, results, in_flight = self._now(), self._results, self._run.in_flight
        stats = self._run.stats
        if self._total == 1:
            at = "looking for peers"
            if stats is not None:
                at = stage(stats.peers_found, stats.peers_tried, stats.peers_connected, stats.blocks)
            return single_line(at, now - self._began, width)
        tried = stats.peers_tried if stats is not None else 0
        ended = results.fetched - results.cached + results.failed
        fraction = (self._inputs.taken - in_flight) / self._total if self._total else None
        rate = self._rate.update(now, ended)
        return batch_line(Snapshot(results.fetched, results.failed, in_flight, tried, rate, fraction), width)
