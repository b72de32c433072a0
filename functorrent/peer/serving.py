"""Serving metadata to one peer (BEP 9): its requests answered at a bounded rate, in bounded memory."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from zope.interface import implementer

from functorrent.errors import MalformedMessage
from functorrent.interfaces import IPeerHandle
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.rates import Bucket, ITurn, Turns
from functorrent.wire.metadata import BLOCK_SIZE, MetadataData, MetadataReject

#: Answers to one peer in one turn of the reactor.
_ROUND = 16


@dataclass(slots=True)
class ServingStats:
    """What became of those who called us, and what they were given; counted since the start.

    `callers` were taken in; `turned_away` found no place (or no memory was left to serve them). Of
    those taken in: `not_bittorrent` began with something else (encrypted handshakes look like that);
    `unknown` asked for what we neither fetch nor have; `failed` asked for what could not be looked up
    in time; `joined` were handed to a fetch; `served` were given a block at least. `blocks` and
    `bytes` (of info dictionaries) were sent, `rejects` too. Now: `pending` have not been answered yet,
    `serving` are being served, `connections` are there in all.
    """

    callers: int = 0
    turned_away: int = 0
    not_bittorrent: int = 0
    unknown: int = 0
    failed: int = 0
    joined: int = 0
    served: int = 0
    blocks: int = 0
    bytes: int = 0
    rejects: int = 0
    pending: int = 0
    serving: int = 0
    connections: int = 0


class ServingDesk:
    """What all served peers share: the clock (IReactorTime), the limits, one rate for all, the counters."""

    def __init__(
        self, clock: Any, limits: Limits = DEFAULT_LIMITS, stats: ServingStats | None = None
    ) -> None:
        self.clock = clock
        self.limits = limits
        self.stats = stats or ServingStats()
        self.turns = Turns(clock, limits.serve_rate_all, limits.serve_burst_all)


@implementer(ITurn)
class BlockServer:
    """Answers one peer's requests for blocks of `info` with data, or reject where there is none."""

    __slots__ = (
        "_bucket",
        "_desk",
        "_info",
        "_left",
        "_most",
        "_peer",
        "_served",
        "_timer",
        "_waiting",
    )

    def __init__(self, peer: IPeerHandle, info: bytes | None, desk: ServingDesk) -> None:
        limits = desk.limits
        self._peer = peer
        self._info = info
        self._desk = desk
        self._bucket = Bucket(desk.clock, limits.serve_rate, limits.serve_burst)
        # As many as an honest peer could have outstanding, every block once and once more.
        blocks = (limits.max_metadata if info is None else 2 * len(info)) // BLOCK_SIZE
        self._most = max(limits.serve_burst, blocks)
        self._waiting: deque[int] = deque()
        self._timer: Any = None
        #: Answers left in this turn of the reactor, and blocks given so far.
        self._left = _ROUND
        self._served = 0

    def asked(self, piece: int) -> None:
        """A request. Raises MalformedMessage for a flood of them."""
        if len(self._waiting) >= self._most:
            raise MalformedMessage("asks for more metadata blocks than there can be")
        self._waiting.append(piece)
        self.go_on()

    def go_on(self) -> None:
        """Answer what waits, as far as rate and transport let."""
        waiting = self._waiting
        if self._timer is not None:
            return
        while waiting and not self._peer.congested:
            if not self._left:
                # One packet may hold a thousand requests: what answers them is not all made at once.
                self._timer = self._desk.clock.callLater(0, self._tick)
                return
            if not self._bucket.ready():
                self._timer = self._desk.clock.callLater(1.0 / self._desk.limits.serve_rate, self._tick)
                return
            if not self._desk.turns.take(self):
                return
            self._answer()

    def turn(self) -> None:
        """Its turn among all has come."""
        if self._waiting and not self._peer.congested:
            self._answer()
        self.go_on()

    def close(self) -> None:
        """Nothing more is answered."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._desk.turns.leave(self)

    def _tick(self) -> None:
        self._timer = None
        self._left = _ROUND
        self.go_on()

    def _answer(self) -> None:
        piece = self._waiting.popleft()
        self._left -= 1
        self._bucket.take()
        info, stats = self._info, self._desk.stats
        start = piece * BLOCK_SIZE
        if info is None or start >= len(info):
            stats.rejects += 1
            self._peer.send(MetadataReject(piece).encode())
            return
        block = info[start : start + BLOCK_SIZE]
        if not self._served:
            stats.served += 1
        self._served += 1
        stats.blocks += 1
        stats.bytes += len(block)
        if self._served * BLOCK_SIZE <= 2 * len(info) + BLOCK_SIZE:
            # It fetches; one that asks for the same for ever need not be kept for it.
            self._peer.progress()
        self._peer.send(MetadataData(piece, len(info), block).encode())
