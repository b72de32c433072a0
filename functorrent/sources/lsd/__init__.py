"""Local service discovery as a peer source (BEP 14): who shares it on our own network."""

from __future__ import annotations

from functorrent.sources.lsd.source import LsdSource, LsdSourceMaker

__all__ = ["LsdSource", "LsdSourceMaker"]
