"""A scripted peer that names others (BEP 11), as the tests of peer exchange want it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from functorrent.interfaces import PeerAddress
from functorrent.testing import Behaviour
from functorrent.testing.behaviours import _Flood
from functorrent.testing.seeder import SeederProtocol
from functorrent.wire.extended import ExtendedHandshake
from functorrent.wire.framing import encode_frame
from functorrent.wire.pex import NAME, PexMessage, PexPeer


def message(*addresses: PeerAddress, flags: int = 0) -> bytes:
    """A message that names these."""
    return PexMessage(tuple(PexPeer(each, flags) for each in addresses)).encode()


class Names(Behaviour):
    """Lacks the metadata, and names peers after so many seconds, in messages one right after the other."""

    def __init__(self, *messages: Iterable[PeerAddress], after: float = 1.0, metadata: bool = False) -> None:
        self.messages = [message(*addresses) for addresses in messages]
        self.after = after
        self.metadata = metadata

    def extended_items(self, peer: SeederProtocol, items: dict[str, Any]) -> dict[str, Any]:
        if not self.metadata:
            del items["metadata_size"]
        return items

    def extended_handshake(self, peer: SeederProtocol, handshake: ExtendedHandshake) -> None:
        peer.seeder.clock.callLater(self.after, self.tell, peer)

    def tell(self, peer: SeederProtocol) -> None:
        """Name them."""
        their_id = peer.session.extensions.id(NAME)
        for payload in self.messages:
            if their_id is not None:
                peer.send_extended(their_id, payload)


class Says(Names):
    """Says these payloads instead."""

    def __init__(self, *payloads: bytes, after: float = 0.0, metadata: bool = False) -> None:
        super().__init__(after=after, metadata=metadata)
        self.messages = list(payloads)


class Floods(Names):
    """Says one payload on and on, as fast as it is taken."""

    def __init__(self, payload: bytes, *, metadata: bool = False) -> None:
        super().__init__(after=0.0, metadata=metadata)
        self.payload = payload

    def tell(self, peer: SeederProtocol) -> None:
        their_id = peer.session.extensions.id(NAME)
        frame = encode_frame(20, bytes((their_id or 0,)) + self.payload)
        _Flood.start(peer, frame * (1 + 30_000 // len(frame)))
