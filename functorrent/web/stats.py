"""The totals that `/api/v1/stats` and the `stats` events tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from functorrent.store.jobs import FETCHING, STATES, iso
from functorrent.web.cooperate import shielded

if TYPE_CHECKING:
    from functorrent.web.context import WebContext


async def stats_of(context: WebContext, *, minutes: bool) -> dict[str, Any]:
    """The totals now, as a JSON object; with the last hour by minute if `minutes`. Raises StoreError."""
    counts = await shielded(context.store.counts())
    told = {
        "version": context.version,
        "started": iso(context.started),
        "now": iso(context.wall.now()),
        "jobs": {state: counts.get(state, 0) for state in STATES},
        "in_flight": counts.get(FETCHING, 0) if context.in_flight is None else context.in_flight(),
        "dht": None if context.dht is None else context.dht(),
    }
    if minutes:
        told["minutes"] = [dict(minute) for minute in context.minutes()]
    return told
