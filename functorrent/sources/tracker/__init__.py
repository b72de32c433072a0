"""Trackers, HTTP(S) and UDP, as a peer source (BEP 3, 7, 12, 15, 23, 41)."""

from __future__ import annotations

from functorrent.sources.tracker.source import TrackerSource, TrackerSourceMaker

__all__ = ["TrackerSource", "TrackerSourceMaker"]
