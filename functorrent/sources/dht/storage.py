"""The peers that others announced to our node (BEP 5, announce_peer): bounded every way, and forgotten.

Who announces has shown that it is at its address (see `functorrent.sources.dht.tokens`), so what one
place may store is counted: one /24 or /64 can crowd out neither the other peers of an infohash nor the
other infohashes. What is full gives up what was announced longest ago.
"""

from __future__ import annotations

import secrets
from itertools import islice

from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.sources.dht.places import place
from functorrent.wire.compact import V4_LENGTH, pack

#: Of each peer: when it was announced last, and the place it is counted with.
_Peers = dict[bytes, tuple[float, str]]


class _Torrent:
    """The peers of one infohash by family, as compact addresses, the latest announced last."""

    __slots__ = ("announced", "v4", "v6")

    def __init__(self) -> None:
        self.v4: _Peers = {}
        self.v6: _Peers = {}
        #: When one was announced last.
        self.announced = 0.0


class PeerStorage:
    """Peers by infohash. Times are seconds of one clock."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        #: The latest announced last.
        self._torrents: dict[bytes, _Torrent] = {}
        self._places: dict[str, int] = {}
        self._length = 0

    def __len__(self) -> int:
        """Peers of all infohashes."""
        return self._length

    @property
    def infohashes(self) -> int:
        """How many there are peers of."""
        return len(self._torrents)

    def announce(self, infohash: bytes, peer: PeerAddress, now: float) -> bool:
        """There is a peer of `infohash` at `peer`. Returns whether it is stored."""
        limits = self._limits
        group = place(peer)[1]
        packed = pack(peer)
        torrent = self._torrents.get(infohash)
        if torrent is None:
            torrent = _Torrent()
        peers = torrent.v4 if len(packed) == V4_LENGTH else torrent.v6
        self._expire(peers, now)
        if packed in peers:
            self._drop(peers, packed)
        else:
            near = [other for other, (_, place) in peers.items() if place == group]
            if len(near) >= limits.dht_stored_neighbours:
                # Clients come back with another port; whoever has so many gets no more.
                self._drop(peers, near[0])
        if self._places.get(group, 0) >= limits.dht_stored_per_place:
            return False
        if len(peers) >= limits.dht_stored_peers:
            self._drop(peers, next(iter(peers)))
        peers[packed] = (now, group)
        self._length += 1
        self._places[group] = self._places.get(group, 0) + 1
        self._torrents.pop(infohash, None)
        self._torrents[infohash] = torrent
        torrent.announced = now
        while self._length > limits.dht_stored or len(self._torrents) > limits.dht_stored_infohashes:
            self._forget(next(iter(self._torrents)))
        return True

    def sample(self, infohash: bytes, family: int, count: int, now: float) -> list[bytes]:
        """At most `count` compact addresses of peers of `infohash`; `family`: 4 or 6.

        Another part of them each time, where there are more.
        """
        torrent = self._torrents.get(infohash)
        if torrent is None:
            return []
        peers = torrent.v4 if family == 4 else torrent.v6
        self._expire(peers, now)
        many = len(peers)
        if many <= count:
            return list(peers)
        start = secrets.randbelow(many)
        found = list(islice(peers, start, start + count))
        return found + list(islice(peers, count - len(found)))

    def expire(self, now: float) -> None:
        """Forget what nobody has announced for too long. Call it every few minutes."""
        until = now - self._limits.dht_stored_life
        while self._torrents:
            oldest = next(iter(self._torrents))
            if self._torrents[oldest].announced > until:
                return
            self._forget(oldest)

    def _expire(self, peers: _Peers, now: float) -> None:
        until = now - self._limits.dht_stored_life
        while peers:
            oldest = next(iter(peers))
            if peers[oldest][0] > until:
                return
            self._drop(peers, oldest)

    def _forget(self, infohash: bytes) -> None:
        torrent = self._torrents.pop(infohash)
        for peers in (torrent.v4, torrent.v6):
            for packed in list(peers):
                self._drop(peers, packed)

    def _drop(self, peers: _Peers, packed: bytes) -> None:
        _, group = peers.pop(packed)
        self._length -= 1
        left = self._places[group] - 1
        if left:
            self._places[group] = left
        else:
            del self._places[group]
