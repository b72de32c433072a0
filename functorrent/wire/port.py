"""The port message: BEP 5, "BitTorrent protocol extension"; where a peer's DHT node is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from functorrent.errors import LocalProtocolError
from functorrent.wire.framing import encode_frame

PORT_ID = 9


@dataclass(frozen=True, slots=True)
class Port:
    """The UDP port of the sender's DHT node, at the address it is connected from."""

    port: int
    id: ClassVar[int] = PORT_ID

    def encode(self) -> bytes:
        """The frame. Raises LocalProtocolError."""
        return _frame(self.port)


@lru_cache(maxsize=8)
def _frame(port: int) -> bytes:
    # Ours is the same for every peer.
    try:
        return encode_frame(PORT_ID, port.to_bytes(2, "big"))
    except OverflowError:
        raise LocalProtocolError(f"{port} is no port") from None
