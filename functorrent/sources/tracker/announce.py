"""Announces: what a tracker is told, and what it answers over HTTP (BEP 3, 7, 23).

Nothing of an answer is believed further than it is needed: strict bencode, peers as IP literals only,
intervals within `Limits.min_interval` and `max_interval`.
"""

from __future__ import annotations

from dataclasses import dataclass
from socket import AF_INET6, inet_ntop, inet_pton
from typing import Any
from urllib.parse import quote_from_bytes

from functorrent.errors import BencodeError, LocalProtocolError, TrackerFailed
from functorrent.interfaces import PeerAddress
from functorrent.limits import Limits
from functorrent.sources.tracker.address import Tracker
from functorrent.text import printable
from functorrent.wire.bencode import decode
from functorrent.wire.compact import V4_LENGTH, V6_LENGTH, pack, parse_v4, parse_v6

#: We do not know how much is left; 0 would call us a seed, and some trackers then name no seeds.
LEFT = 16_384
#: Peers asked for.
NUM_WANT = 200
#: The port we name where we do not listen: trackers refuse 0, and nobody can be called there.
NO_PORT = 1
MAX_TRACKER_ID = 256
#: Bytes as they stand in a URL. Looked up, for quote_from_bytes reads its bytes one by one in Python.
_QUOTED = [quote_from_bytes(bytes((byte,)), safe="") for byte in range(256)].__getitem__
#: What an announce says, but for `trackerid`.
_OURS = (
    "info_hash",
    "peer_id",
    "port",
    "uploaded",
    "downloaded",
    "left",
    "compact",
    "numwant",
    "event",
    "key",
)


@dataclass(slots=True)
class Announce:
    """One torrent to one tracker: what is sent. `tracker_id` is what it gave us earlier, if it did."""

    tracker: Tracker
    infohash: bytes
    peer_id: bytes
    port: int
    key: int
    tracker_id: bytes | None = None


@dataclass(slots=True)
class Answer:
    """What a tracker answered. Peers are compact, 6 and 18 bytes each;
    `interval` in seconds is how long it wants to be left alone, None where it did not say."""

    peers4: bytes = b""
    peers6: bytes = b""
    interval: int | None = None
    seeders: int | None = None
    leechers: int | None = None
    tracker_id: bytes | None = None

    def __len__(self) -> int:
        return len(self.peers4) // V4_LENGTH + len(self.peers6) // V6_LENGTH

    def peers(self) -> list[PeerAddress]:
        """The peers as addresses."""
        found = parse_v4(self.peers4)
        return found + parse_v6(self.peers6) if self.peers6 else found


def announce_url(announce: Announce, event: str) -> str:
    """The URL of an HTTP announce; parameters that the tracker's URL has already are its own."""
    infohash = "".join(map(_QUOTED, announce.infohash))
    peer_id = "".join(map(_QUOTED, announce.peer_id))
    num_want = 0 if event == "stopped" else NUM_WANT
    given = announce.tracker.given
    if announce.tracker_id is None and given.isdisjoint(_OURS):
        return (
            f"{announce.tracker.base}info_hash={infohash}&peer_id={peer_id}&port={announce.port}"
            f"&uploaded=0&downloaded=0&left={LEFT}&compact=1&numwant={num_want}&event={event}"
            f"&key={announce.key:08x}"
        )
    fields = {
        "info_hash": infohash,
        "peer_id": peer_id,
        "port": announce.port,
        "uploaded": 0,
        "downloaded": 0,
        "left": LEFT,
        "compact": 1,
        "numwant": num_want,
        "event": event,
        "key": f"{announce.key:08x}",
    }
    if announce.tracker_id is not None:
        fields["trackerid"] = quote_from_bytes(announce.tracker_id, safe="")
    return announce.tracker.base + "&".join(f"{k}={v}" for k, v in fields.items() if k not in given)


def parse_answer(body: bytes, limits: Limits) -> Answer:
    """Read an HTTP tracker's answer.

    Raises TrackerFailed: with the tracker's own words where it gives a failure reason.
    """
    try:
        found = decode(body, depth=limits.bencode_depth, items=limits.bencode_items)
    except BencodeError as error:
        raise TrackerFailed(f"the answer is not a tracker's: {printable(str(error))}") from None
    if not isinstance(found, dict):
        raise TrackerFailed("the answer is not a tracker's: no dictionary")
    reason = found.get(b"failure reason")
    if reason is not None:
        words = printable(reason) if isinstance(reason, bytes) else ""
        raise TrackerFailed(
            f"the tracker refused: {words}" if words else "the tracker refused, without a reason"
        )
    peers4, peers6 = _peers(found.get(b"peers"), limits)
    more = found.get(b"peers6")
    if isinstance(more, bytes):
        peers6 += more[: len(more) - len(more) % V6_LENGTH]
    if b"peers" not in found and not isinstance(more, bytes):
        warning = found.get(b"warning message")
        words = f" ({printable(warning)})" if isinstance(warning, bytes) else ""
        raise TrackerFailed(f"the answer has no peers{words}")
    most = limits.max_peers_per_announce
    tracker_id = found.get(b"tracker id")
    return Answer(
        peers4[: most * V4_LENGTH],
        peers6[: most * V6_LENGTH],
        _count(found, b"min interval") or _count(found, b"interval"),
        _count(found, b"complete"),
        _count(found, b"incomplete"),
        tracker_id if isinstance(tracker_id, bytes) and len(tracker_id) <= MAX_TRACKER_ID else None,
    )


def _count(found: dict[bytes, Any], key: bytes) -> int | None:
    value = found.get(key)
    return value if isinstance(value, int) and 0 <= value < 2**32 else None


def _peers(found: Any, limits: Limits) -> tuple[bytes, bytes]:
    """Compact peers (BEP 23), or a list of dictionaries (BEP 3) whose ``ip`` is a literal."""
    if isinstance(found, bytes):
        return found[: len(found) - len(found) % V4_LENGTH], b""
    v4, v6 = bytearray(), bytearray()
    for item in found[: limits.max_peers_per_announce] if isinstance(found, list) else ():
        if not isinstance(item, dict):
            continue
        host, port = item.get(b"ip"), item.get(b"port")
        if not isinstance(host, bytes) or not isinstance(port, int):
            continue
        try:
            # Names are not looked up for strangers: a tracker could have us ask for thousands.
            text = host.decode("ascii")
            packed = pack(
                PeerAddress(inet_ntop(AF_INET6, inet_pton(AF_INET6, text)) if ":" in text else text, port)
            )
        except (LocalProtocolError, ValueError, OSError):
            continue
        (v4 if len(packed) == V4_LENGTH else v6).extend(packed)
    return bytes(v4), bytes(v6)
