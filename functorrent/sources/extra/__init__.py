"""Extra trackers: a list of the operator's, asked for magnets that are not private (``--extra-trackers``)."""

from __future__ import annotations

from functorrent.sources.extra.source import ExtraTrackers, ExtraTrackersMaker

__all__ = ["ExtraTrackers", "ExtraTrackersMaker"]
