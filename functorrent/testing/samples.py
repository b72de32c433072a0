"""Info dictionaries and magnets to test with: small, valid, the same each time."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha1
from urllib.parse import quote

from functorrent.interfaces import PeerAddress
from functorrent.wire.bencode import encode

PIECE_LENGTH = 16_384


def sample_info(size: int = 2_000, name: str = "sample") -> bytes:
    """A valid single-file info dictionary of exactly `size` bytes (at least 150).

    Another `name` gives another infohash. The content it stands for does not exist: its piece hashes
    are made up, `size` is reached with hashes and, for the rest under 20 bytes, a longer name.
    Raises ValueError where `size` is too small for `name`.
    """
    pieces = max(1, size // 20)
    while pieces > 0:
        bare = _info(name, pieces)
        missing = size - len(bare)
        if missing >= 0:
            # Padding the name may lengthen its own length prefix.
            for padding in (missing, missing - 1, missing - 2):
                if padding >= 0:
                    info = _info(name + "x" * padding, pieces)
                    if len(info) == size:
                        return info
        pieces -= max(1, -missing // 20)
    raise ValueError(f"no info dictionary called {name!r} has {size} bytes")


def _info(name: str, pieces: int) -> bytes:
    seed = sha1(name.encode()).digest()
    return encode(
        {
            "length": pieces * PIECE_LENGTH,
            "name": name,
            "piece length": PIECE_LENGTH,
            "pieces": seed * pieces,
        }
    )


def sample_magnet(
    info: bytes | str,
    *,
    trackers: Iterable[str] = (),
    tiers: Iterable[Iterable[str]] = (),
    peers: Iterable[PeerAddress | tuple[str, int]] = (),
    name: str | None = None,
) -> str:
    """A magnet link for an info dictionary (bytes) or an infohash (str, 40 hex digits).

    `trackers` become plain ``tr``, `tiers` become ``tr.1``, ``tr.2``, ...; `peers` become ``x.pe``.
    """
    infohash = info if isinstance(info, str) else sha1(info).hexdigest()
    parts = [f"xt=urn:btih:{infohash}"]
    if name is not None:
        parts.append(f"dn={quote(name, safe='')}")
    parts.extend(f"tr={quote(url, safe='')}" for url in trackers)
    for number, tier in enumerate(tiers, 1):
        parts.extend(f"tr.{number}={quote(url, safe='')}" for url in tier)
    parts.extend(f"x.pe={quote(str(PeerAddress(*peer)), safe=':[]')}" for peer in peers)
    return "magnet:?" + "&".join(parts)
