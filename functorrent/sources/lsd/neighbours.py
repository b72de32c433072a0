"""What neighbours have announced lately: who looks for it a minute later need not wait five more.

Each neighbour has room of its own, so that one who announces without end forgets nobody's but its own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from functorrent.interfaces import PeerAddress
from functorrent.limits import Limits


class Neighbours:
    """Infohashes by the peer that announced them. `now`: seconds of one clock, here and there."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.lsd_neighbours
        self._most_each = limits.lsd_infohashes
        self._life = 2.0 * limits.lsd_interval
        #: The one heard last comes last, in both.
        self._heard: OrderedDict[PeerAddress, OrderedDict[bytes, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._heard)

    def add(self, peer: PeerAddress, infohashes: Iterable[bytes], now: float) -> None:
        """`peer` has announced these (bytes of 20)."""
        heard = self._heard.get(peer)
        if heard is None:
            heard = self._heard[peer] = OrderedDict()
            if len(self._heard) > self._most:
                self._heard.popitem(last=False)
        else:
            self._heard.move_to_end(peer)
        for infohash in infohashes:
            heard[infohash] = now
            heard.move_to_end(infohash)
        while len(heard) > self._most_each:
            heard.popitem(last=False)

    def peers(self, infohash: bytes, now: float) -> list[PeerAddress]:
        """Who has announced it lately, the one heard last first."""
        # Nearly always nobody: that must cost a bulk fetch next to nothing.
        heard = [(peer, each) for peer, each in self._heard.items() if infohash in each]
        if not heard:
            return []
        found = [(each[infohash], peer) for peer, each in heard]
        return [peer for when, peer in sorted(found, reverse=True) if when > now - self._life]

    def clear(self) -> None:
        """We are on another network: forget everybody."""
        self._heard.clear()
