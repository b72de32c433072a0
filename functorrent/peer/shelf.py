"""The shelf: info dictionaries that are in memory because somebody is being served them.

All who are served the same one share one object. How much that may be in all is bounded, for a peer
that reads slowly keeps what it is served for as long as it reads.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from functorrent.interfaces import IMetadataProvider
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.peer.protocol import PeerProtocol


class _Book:
    """One info dictionary, its readers, and since when it has any."""

    __slots__ = ("info", "readers", "since")

    def __init__(self, info: bytes, since: float) -> None:
        self.info = info
        self.since = since
        self.readers: set[PeerProtocol] = set()


@implementer(IMetadataProvider)
class Shelf:
    """What can be served at once: what `provider` has (it keeps that itself), and what is put here."""

    def __init__(
        self, clock: Any, provider: IMetadataProvider | None = None, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._clock = clock
        self._provider = provider
        self._limits = limits
        #: By infohash, the oldest first.
        self._books: dict[bytes, _Book] = {}
        self._read: dict[PeerProtocol, bytes] = {}
        #: Bytes on the shelf.
        self.size = 0

    def info_bytes(self, infohash: bytes) -> bytes | None:
        """The info dictionary of an infohash (bytes of 20), or None."""
        book = self._books.get(infohash)
        if book is not None:
            return book.info
        return self._provider.info_bytes(infohash) if self._provider is not None else None

    def take(self, peer: PeerProtocol, infohash: bytes) -> bytes | None:
        """The same, for `peer` to be served: it stays on the shelf until then."""
        book = self._books.get(infohash)
        if book is not None:
            self._reads(peer, infohash, book)
        return self.info_bytes(infohash)

    def put(self, peer: PeerProtocol, infohash: bytes, info: bytes) -> bool:
        """Keep `info` for as long as `peer` is served it; False where there is no room for it."""
        book = self._books.get(infohash)
        if book is None:
            most = self._limits.max_serving
            if self.size + len(info) > most:
                if len(info) <= most:
                    self._make_room(most - len(info))
                if self.size + len(info) > most:
                    return False
            book = self._books[infohash] = _Book(info, self._clock.seconds())
            self.size += len(info)
        self._reads(peer, infohash, book)
        return True

    def _reads(self, peer: PeerProtocol, infohash: bytes, book: _Book) -> None:
        book.readers.add(peer)
        self._read[peer] = infohash

    def leave(self, peer: PeerProtocol) -> None:
        """`peer` is served no more, if it was."""
        infohash = self._read.pop(peer, None)
        if infohash is None:
            return
        book = self._books[infohash]
        book.readers.discard(peer)
        if not book.readers:
            del self._books[infohash]
            self.size -= len(book.info)

    def _make_room(self, goal: int) -> None:
        """Hang up on those who had their turn, until no more than `goal` bytes are left."""
        late = self._clock.seconds() - self._limits.serve_turn
        for book in list(self._books.values()):
            if self.size <= goal or book.since > late:
                return
            for peer in list(book.readers):
                # Whoever owns it says `leave`.
                peer.abort(None)
