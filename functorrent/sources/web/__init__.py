"""Web sources: .torrent files that a magnet names by URL (``xs``, ``as``, ``ws``; BEP 9 and the field)."""

from __future__ import annotations

from functorrent.sources.web.source import WebSource, WebSourceMaker

__all__ = ["WebSource", "WebSourceMaker"]
