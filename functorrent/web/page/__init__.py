"""The page at `/`: a shell and its fixed assets, read once, served from memory."""

from __future__ import annotations

from functorrent.web.page.routes import page_routes

__all__ = ["page_routes"]
