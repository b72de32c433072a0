"""Tables and ratios of measured runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median

from bench.measure import Result
from bench.scenarios import Scenario


def by_client(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Runs grouped by client, in the order they first appear."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.client, []).append(result)
    return groups


def mid(results: list[Result], figure: Callable[[Result], float]) -> float:
    """The median of a figure over complete runs (over all, where none is complete)."""
    return median(figure(result) for result in [r for r in results if r.complete] or results)


def table(title: str, results: list[Result]) -> str:
    """A Markdown table of medians (lowest to highest in brackets), and what stands against what."""
    lines = [
        f"### {title}",
        "",
        "| client | magnets/s | seconds | CPU ms each | peak MiB | seeder + tracker CPU s | right |",
        "|---|---|---|---|---|---|---|",
    ]
    groups = by_client(results)
    for client, runs in groups.items():
        whole = sum(run.complete for run in runs)
        right = f"{whole} of {len(runs)}"
        if whole < len(runs):
            right += " (" + ", ".join(f"{run.fetched}/{run.wanted}" for run in runs) + ")"
        cells = [
            client,
            f"{mid(runs, lambda r: r.rate):,.0f} ({_spread(runs, lambda r: r.rate)})",
            f"{mid(runs, lambda r: r.wall):.2f} ({_spread(runs, lambda r: r.wall, 2)})",
            f"{mid(runs, lambda r: r.cpu_ms):.2f}",
            f"{mid(runs, lambda r: r.peak):.0f}",
            f"{mid(runs, lambda r: r.seeder_cpu):.2f} + {mid(runs, lambda r: r.tracker_cpu):.2f}",
            right,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *ratios(groups)])


def _spread(runs: list[Result], figure: Callable[[Result], float], digits: int = 0) -> str:
    figures = [figure(run) for run in runs]
    return f"{min(figures):,.{digits}f}-{max(figures):,.{digits}f}"


def ratios(groups: dict[str, list[Result]]) -> list[str]:
    """functorrent against each of the others; empty when it did not run."""
    ours = groups.get("functorrent")
    if not ours or not any(run.complete for run in ours):
        return []
    lines = []
    for client, theirs in groups.items():
        if client != "functorrent" and any(run.complete for run in theirs):
            speed = mid(ours, lambda r: r.rate) / mid(theirs, lambda r: r.rate)
            cpu = mid(ours, lambda r: r.cpu_ms) / max(0.001, mid(theirs, lambda r: r.cpu_ms))
            lines.append(f"functorrent / {client}: {speed:.2f} x the speed, {cpu:.2f} x the CPU")
    return lines


def beside_dead(measured: list[tuple[Scenario, list[Result]]]) -> list[str]:
    """How much longer live magnets take among dead ones than alone, for each client that did both."""
    alone = {
        (row.count, client): mid(runs, lambda r: r.last_file)
        for row, results in measured
        if not row.dead_magnets and not row.dead_beside and row.trackers == ("udp", "http")
        for client, runs in by_client(results).items()
    }
    lines = []
    for row, results in measured:
        for client, runs in by_client(results).items():
            before = alone.get((row.count, client))
            if row.dead_magnets and before and any(run.complete for run in runs):
                after = mid(runs, lambda r: r.last_file)
                lines.append(
                    f"{client}: {row.count} live magnets take {before:.2f} s alone, {after:.2f} s among"
                    f" {row.dead_magnets} dead ones: {after / before:.2f} x"
                )
    return lines
