"""The trackers of a magnet in the order in which they are asked (BEP 12, for somebody in a hurry).

The BEP's client asks one tracker, and the next when it fails; one that wants peers now asks many at
once. What is left of the tiers is the order: UDP before HTTP, earlier tiers before later ones.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from functorrent.errors import TrackerUnsupported
from functorrent.interfaces import TrackerReport
from functorrent.limits import Limits
from functorrent.sources.tracker.address import Tracker, parse_tracker
from functorrent.text import redact_url

#: Distinct URLs, and distinct lists of them, that are kept parsed.
_MAX_TRACKERS = 10_000
_MAX_PLANS = 1000

Tiers = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A list of trackers, read once for all magnets that have it.

    `reports` has a place for each, in the magnet's order, None where it is to be asked; `udp` and
    `http` are those, each with its place.
    """

    reports: tuple[TrackerReport | None, ...]
    udp: tuple[tuple[int, Tracker], ...]
    http: tuple[tuple[int, Tracker], ...]


class Plans:
    """Parsed trackers and plans, bounded. `trusted`: URLs the user typed."""

    def __init__(self, limits: Limits, trusted: frozenset[str]) -> None:
        self._limits = limits
        self._trusted = trusted
        self._trackers: OrderedDict[str, Tracker | TrackerReport] = OrderedDict()
        self._plans: OrderedDict[Tiers, Plan] = OrderedDict()

    def plan(self, tiers: Tiers) -> Plan:
        """The plan for a magnet's tiers; unusable URLs are reported in it already."""
        plan = self._plans.get(tiers)
        if plan is None:
            plan = self._plans[tiers] = self._make(tiers)
            if len(self._plans) > _MAX_PLANS:
                self._plans.popitem(last=False)
        return plan

    def _make(self, tiers: Tiers) -> Plan:
        urls = list(dict.fromkeys(url for tier in tiers for url in tier))[: self._limits.max_trackers]
        found = [self._tracker(url) for url in urls]
        usable = [(place, each) for place, each in enumerate(found) if isinstance(each, Tracker)]
        return Plan(
            tuple(None if isinstance(each, Tracker) else each for each in found),
            tuple((place, each) for place, each in usable if each.scheme == "udp"),
            tuple((place, each) for place, each in usable if each.scheme != "udp"),
        )

    def _tracker(self, url: str) -> Tracker | TrackerReport:
        found = self._trackers.get(url)
        if found is None:
            try:
                found = parse_tracker(url, trusted=url in self._trusted)
            except TrackerUnsupported as error:
                found = TrackerReport(redact_url(url), error.status, error=str(error))
            self._trackers[url] = found
            if len(self._trackers) > _MAX_TRACKERS:
                self._trackers.popitem(last=False)
        return found
