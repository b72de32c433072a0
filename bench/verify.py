"""Checks what clients wrote: the raw info dictionary in each file must hash to its infohash.

A reader of its own, so that functorrent's bencode does not vouch for itself.
"""

from __future__ import annotations

from hashlib import sha1
from pathlib import Path


class BrokenTorrent(Exception):
    """A file is not a bencoded dictionary with an `info` in it."""


def _end(data: bytes, at: int) -> int:
    """Where the value that starts at `at` ends."""
    depth = 0
    while True:
        kind = data[at : at + 1]
        if kind in (b"d", b"l"):
            depth += 1
            at += 1
        elif kind == b"e":
            depth -= 1
            at += 1
        elif kind == b"i":
            at = data.index(b"e", at) + 1
        else:
            colon = data.index(b":", at, at + 12)
            at = colon + 1 + int(data[at:colon])
        if depth == 0:
            return at


def info_hash(torrent: bytes) -> bytes:
    """SHA-1 of the bytes under the top-level key `info`. Raises BrokenTorrent."""
    try:
        at = 1
        while torrent[at : at + 1] != b"e":
            key_end = _end(torrent, at)
            value_end = _end(torrent, key_end)
            if torrent[at:key_end] == b"4:info":
                return sha1(torrent[key_end:value_end]).digest()
            at = value_end
    except (ValueError, IndexError) as error:
        raise BrokenTorrent(str(error)) from error
    raise BrokenTorrent("no info")


def verified(folder: Path) -> dict[bytes, float]:
    """Infohash of each whole .torrent in `folder`, and when it was written (epoch seconds)."""
    found = {}
    for path in folder.glob("*.torrent"):
        try:
            found[info_hash(path.read_bytes())] = path.stat().st_mtime
        except BrokenTorrent:
            continue
    return found
