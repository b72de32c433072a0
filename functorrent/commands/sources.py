"""The peer sources beside trackers that parsed options ask for, and the folder for what they remember.

A source that is off is not imported: a command that fetches one magnet has no time for it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functorrent.interfaces import IPeerSourceMaker
    from functorrent.sources.dht.settings import DhtSettings

#: The DHT's routing table, and the list of --extra-trackers as it was last read.
DHT_TABLE = "dht.table"
EXTRA_TRACKERS = "extra-trackers"


def source_makers(
    values: Mapping[str, Any], folder: str | None, wall: Any, *, lsd: bool
) -> list[IPeerSourceMaker]:
    """The makers of the sources, for a Fetcher.

    `values`: options by name. `folder`: where the DHT's routing table and lists of trackers are kept
    between runs, None for nowhere. `wall`: has `now`, as an IWallClock. `lsd`: whether the local network
    is asked. Raises UsageError where a list of trackers cannot be read.
    """
    makers: list[IPeerSourceMaker] = []
    if not values["no-dht"]:
        from functorrent.sources.dht.source import DhtSourceMaker

        makers.append(DhtSourceMaker(dht_settings(values, folder)))
    if lsd:
        from functorrent.sources.lsd import LsdSourceMaker

        makers.append(LsdSourceMaker())
    if values["web-sources"]:
        from functorrent.sources.web import WebSourceMaker

        makers.append(WebSourceMaker())
    if values["extra-trackers"] is not None:
        from functorrent.sources.extra import ExtraTrackersMaker

        makers.append(ExtraTrackersMaker(values["extra-trackers"], _in(folder, EXTRA_TRACKERS), wall))
    return makers


def dht_settings(values: Mapping[str, Any], folder: str | None, **more: Any) -> DhtSettings:
    """How our DHT node is run. `more`: what else to set."""
    from functorrent.sources.dht.settings import DhtSettings

    if values["dht-bootstrap"]:
        more = {"bootstrap": tuple(values["dht-bootstrap"]), "trusted": True, **more}
    return DhtSettings(
        table_file=_in(folder, DHT_TABLE),
        read_only=bool(values["dht-read-only"]),
        rate=values["dht-rate"],
        **more,
    )


def from_anywhere(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options, for a process that leaves the folder where it was started: with whole paths."""
    extra = values["extra-trackers"]
    if extra is not None and "://" not in extra:
        extra = os.path.abspath(extra)
    return {**values, "extra-trackers": extra}


def _in(folder: str | None, name: str) -> str | None:
    return None if folder is None else os.path.join(folder, name)


def cache_folder(environ: Mapping[str, str], platform: str = sys.platform) -> str | None:
    """The user's folder for what we remember between runs, made where it is missing.

    None where there is none, or it cannot be written: then nothing is remembered. By hand, as the
    package platformdirs takes 25 ms to import.
    """
    if platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = environ.get("XDG_CACHE_HOME", "")
        # A relative one is to be ignored (XDG Base Directory Specification).
        base = base if os.path.isabs(base) else "~/.cache"
    home = environ.get("HOME", "")
    if base.startswith("~/"):
        base = os.path.join(home, base[2:]) if os.path.isabs(home) else os.path.expanduser(base)
    folder = os.path.join(base, "functorrent")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError:
        return None
    return folder if os.path.isabs(folder) and os.access(folder, os.W_OK | os.X_OK) else None
