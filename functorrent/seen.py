"""`Seen`: a compact set of infohashes, to fetch each once in a run of millions.

A Python set of bytes takes over 100 bytes an entry; this takes about 16: the 64-bit keyed hash of each
infohash in open-addressed arrays. The key is secret and of this process (SipHash with a secret
prefix), so nobody can prepare infohashes that collide. Two infohashes that share all 64 bits would
count as one: with ten million entries the chance that this ever happens is about 3 in a million.
"""

from __future__ import annotations

import secrets
from array import array

_MASK64 = (1 << 64) - 1
#: Tables, chosen by the hash's top bits: growing one moves 1/256 of the entries, so that no
#: single `add` of a million-line run holds the reactor up.
_SHARDS = 256
_FIRST_SLOTS = 8


class Seen:
    """A set that can only grow. Members are bytes."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)
        self._tables = [array("Q", bytes(8 * _FIRST_SLOTS)) for _ in range(_SHARDS)]
        self._used = [0] * _SHARDS
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, member: bytes) -> bool:
        """Put `member` in. Returns whether it is new."""
        # 0 marks a free slot.
        hashed = hash(self._key + member) & _MASK64 or 1
        shard = hashed >> 56
        table = self._tables[shard]
        mask = len(table) - 1
        slot = hashed & mask
        while held := table[slot]:
            if held == hashed:
                return False
            slot = (slot + 1) & mask
        table[slot] = hashed
        self._length += 1
        self._used[shard] = used = self._used[shard] + 1
        # At three quarters full a search still takes a few steps.
        if used * 4 > len(table) * 3:
            self._tables[shard] = _grown(table)
        return True

    def __contains__(self, member: bytes) -> bool:
        hashed = hash(self._key + member) & _MASK64 or 1
        table = self._tables[hashed >> 56]
        mask = len(table) - 1
        slot = hashed & mask
        while held := table[slot]:
            if held == hashed:
                return True
            slot = (slot + 1) & mask
        return False

    @property
    def size(self) -> int:
        """Bytes of its tables."""
        return sum(len(table) for table in self._tables) * 8


def _grown(table: array[int]) -> array[int]:
    bigger = array("Q", bytes(16 * len(table)))
    mask = len(bigger) - 1
    for hashed in table:
        if hashed:
            slot = hashed & mask
            while bigger[slot]:
                slot = (slot + 1) & mask
            bigger[slot] = hashed
    return bigger
