"""Transaction ids that nobody can guess, from the system's randomness, drawn in bulk."""

from __future__ import annotations

import os
from struct import Struct

_POOL = Struct("!512I")


class TransactionIds:
    """Random 32-bit numbers; an id is all that keeps forged answers out (FIELD.md 3.17)."""

    __slots__ = ("_pool",)

    def __init__(self) -> None:
        self._pool: list[int] = []

    def take(self) -> int:
        if not self._pool:
            self._pool = list(_POOL.unpack(os.urandom(_POOL.size)))
        return self._pool.pop()
