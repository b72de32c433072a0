"""`fetch_metadata`: one magnet, from Python (DESIGN section 5, Library)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from functorrent.fetch.fetcher import Fetcher
from functorrent.fetch.result import Metadata
from functorrent.fetch.settings import FetchSettings
from functorrent.magnet import Magnet


def fetch_metadata(
    reactor: Any,
    magnet: Magnet | str,
    *,
    peers: Sequence[tuple[str, int]] = (),
    trackers: Sequence[str] = (),
    timeout: float = 60.0,
    allow_local: bool = False,
    listen: bool = False,
) -> Deferred[Metadata]:
    """Fetch and verify the info dictionary of one magnet (BEP 9).

    `magnet`: a Magnet, a magnet link, or an infohash. `peers`: further (host, port); `trackers`:
    further URLs; both count as typed by the user. `timeout`: seconds. `allow_local`: whether
    loopback, private and link-local addresses may be reached. `listen`: whether peers may call us.

    Fails with FetchFailed, which carries the report; with InvalidMagnet or UnsupportedMagnet; with
    UsageError where a peer's name cannot be resolved. Cancelling it leaves no socket, timer or thread.
    """
    settings = FetchSettings(
        timeout=timeout,
        allow_local=allow_local,
        listen=() if listen else ("off",),
        trackers=tuple(trackers),
        peers=tuple(peers),
    )
    return Deferred.fromCoroutine(_fetch(reactor, magnet, settings))


async def _fetch(reactor: Any, magnet: Magnet | str, settings: FetchSettings) -> Metadata:
    parsed = Magnet.parse(magnet) if isinstance(magnet, str) else magnet
    fetcher = Fetcher(reactor, settings)
    try:
        await fetcher.start()
        return await fetcher.fetch(parsed)
    finally:
        await fetcher.stop()
