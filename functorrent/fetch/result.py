"""`Metadata`: what a fetch that went well gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from functorrent.fetch.report import FetchReport
from functorrent.interfaces import PeerAddress
from functorrent.metainfo import InfoSummary


@dataclass(frozen=True, slots=True)
class Metadata:
    """A verified info dictionary.

    `infohash`: bytes of 20. `info_bytes`: the info dictionary exactly as it hashed right.
    `torrent_bytes`: a whole .torrent file around it. `name`: its ``name`` as text (bad bytes
    replaced), "" where it has none. `report`: what was tried. `summary`: what it says of its content.
    `nodes`: the DHT nodes that the .torrent names.
    """

    infohash: bytes
    info_bytes: bytes = field(repr=False)
    torrent_bytes: bytes = field(repr=False)
    name: str
    report: FetchReport
    summary: InfoSummary
    nodes: tuple[PeerAddress, ...] = ()
