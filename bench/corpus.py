"""The torrents of the bed: info dictionaries of a given size, the same ones in every process.

They are made from a fixed seed, so seeder and bench agree on them without a file between them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha1

#: Bytes of `pieces` for each size: the dictionary's other keys add about 80 bytes.
SIZES = {"2k": 95 * 20, "2m": 2 * 1024 * 1024 // 20 * 20, "20m": 20 * 1024 * 1024 // 20 * 20}
PIECE_LENGTH = 16 * 1024


@dataclass(frozen=True, slots=True)
class Torrent:
    """One torrent: its infohash (20 bytes), its name, its info dictionary as bytes."""

    infohash: bytes
    name: str
    info: bytes


def torrents(size: str, count: int) -> Iterator[Torrent]:
    """The first `count` torrents of `size` (a key of SIZES)."""
    pieces_length = SIZES[size]
    content_length = pieces_length // 20 * PIECE_LENGTH
    for index in range(count):
        name = f"bench-{size}-{index:06d}"
        pieces = random.Random(name).randbytes(pieces_length)
        info = b"d6:lengthi%de4:name%d:%s12:piece lengthi%de6:pieces%d:%se" % (
            content_length, len(name), name.encode(), PIECE_LENGTH, len(pieces), pieces,
        )  # fmt: skip
        yield Torrent(sha1(info).digest(), name, info)


def dead_torrents(count: int) -> Iterator[tuple[bytes, str]]:
    """Infohashes and names of torrents that nobody seeds."""
    for index in range(count):
        name = f"bench-dead-{index:06d}"
        yield sha1(name.encode()).digest(), name
