"""A job's magnet: the first one as it was given, and what later ones of the same torrent add to it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from functorrent.limits import DEFAULT_LIMITS
from functorrent.magnet import Magnet

#: Beyond the tiers of trackers: the fields that are added up, and how many values each may have.
_FIELDS = {
    "peers": DEFAULT_LIMITS.max_known_peers,
    "web_seeds": DEFAULT_LIMITS.max_trackers,
    "exact_sources": DEFAULT_LIMITS.max_trackers,
    "acceptable_sources": DEFAULT_LIMITS.max_trackers,
}


def whole(text: str, more: str | None) -> Magnet:
    """The magnet of a job, with all that is known beyond it."""
    magnet = Magnet.parse(text)
    if more is None:
        return magnet
    kept: dict[str, list[Any]] = json.loads(more)
    further: dict[str, Any] = {
        "trackers": magnet.trackers + tuple(tuple(tier) for tier in kept.get("trackers", ()))
    }
    for name in _FIELDS:
        if values := kept.get(name):
            further[name] = getattr(magnet, name) + tuple(
                tuple(value) if isinstance(value, list) else value for value in values
            )
    return replace(magnet, **further)


def learn(text: str, more: str | None, magnet: Magnet) -> tuple[str | None, bool]:
    """What `more` is with `magnet`, one of the same torrent; and whether a tracker or peer is new.

    Of what goes over the limits the first is kept: what a stranger submits never drives out what a
    job began with.
    """
    if magnet.text == text:
        return more, False
    known = whole(text, more)
    kept: dict[str, list[Any]] = json.loads(more) if more else {}
    seen = set(known.all_trackers())
    room = DEFAULT_LIMITS.max_trackers - len(seen)
    news = False
    for tier in magnet.trackers:
        new = [url for url in tier if url not in seen][: max(room, 0)]
        if new:
            kept.setdefault("trackers", []).append(new)
            seen.update(new)
            room -= len(new)
            news = True
    for name, limit in _FIELDS.items():
        have = set(getattr(known, name))
        new = [value for value in getattr(magnet, name) if value not in have][: max(limit - len(have), 0)]
        if new:
            kept.setdefault(name, []).extend(new)
            news = news or name == "peers"
    return (json.dumps(kept, separators=(",", ":")) if kept else None), news
