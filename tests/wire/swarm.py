"""A swarm in memory for tests of `MetadataAssembly`: peers of every kind, time simulated, no sockets.

`Swarm` asks and tells the assembly as `functorrent.fetch.race` does, and after each step looks at what
must always be true.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha1
from random import Random

from functorrent.errors import MetadataRejected, PeerClosed, PeerError, PeerStalled
from functorrent.limits import Limits
from functorrent.wire.assembly import MetadataAssembly

#: Seconds without a block after which a peer that was asked is hung up on.
DEADLINE = 5.0

HONEST = ("honest", "slow", "flaky", "late")
LIARS = (
    "corrupts one",
    "corrupts all",
    "corrupts and leaves",
    "short",
    "long",
    "unrequested",
    "rejects",
    "rejects some",
    "mute",
    "trickles",
    "trickles corrupt",
    "other size",
    "changes size",
)


@dataclass(eq=False)
class Peer:
    """One address of the swarm, through all its connections."""

    kind: str
    number: int
    #: The connection now, None between two.
    sender: str | None = None
    connections: int = 0
    sent: int = 0
    due: float = 0.0
    asked: list[int] = field(default_factory=list)

    @property
    def honest(self) -> bool:
        return self.kind in HONEST

    @property
    def origin(self) -> tuple[str, int]:
        return ("10.0.0.1", self.number)


class Swarm:
    """Peers of these kinds around one assembly; `run` until it is verified.

    `block_size`: what `functorrent.wire.whole` was patched to have.
    """

    def __init__(
        self, info: bytes, kinds: Iterable[str], random: Random, limits: Limits, block_size: int
    ) -> None:
        self.info = info
        self.block_size = block_size
        self.random = random
        self.now = 0.0
        self.steps = 0
        self.grown = 0
        self.errors: list[PeerError] = []
        self.limits = limits
        self.assembly = MetadataAssembly(sha1(info).digest(), limits, grew=self._grew)
        self.peers = [Peer(kind, number) for number, kind in enumerate(kinds, 1)]
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        for peer in self.peers:
            self._later(5.0 if peer.kind == "late" else random.random(), partial(self._connect, peer))

    # -- time ----------------------------------------------------------------------------------

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.now + seconds, self._count, action))

    def run(self, seconds: float = 600.0, steps: int = 20_000) -> None:
        """Until verified. Fails where that takes too long, or where nothing is left to happen."""
        while self.assembly.verified is None:
            assert self._queue, "nothing is left to happen"
            self.now, _, action = heapq.heappop(self._queue)
            self.steps += 1
            assert self.now < seconds and self.steps < steps, f"{self.now:.0f} s, {self.steps} steps"
            action()
            self.check()

    # -- what must always be true --------------------------------------------------------------

    def _grew(self, change: int) -> None:
        self.grown += change

    def check(self) -> None:
        """The invariants."""
        assembly = self.assembly
        wholes = assembly._wholes()
        kept = sum(len(block) for whole in wholes for block in whole.blocks.values())
        assert assembly.held == self.grown == kept == sum(whole.held for whole in wholes)
        assert kept <= 4 * self.limits.max_metadata + self.block_size
        assert not [peer for peer in self.peers if peer.honest and peer.origin in assembly.liars]
        for whole in wholes:
            for piece, block in whole.blocks.items():
                assert len(block) == whole.length(piece)
            assert whole.blocks.keys() == whole.origins.keys()
        asked = 0
        for known in assembly._senders.values():
            assert len(known.outstanding) <= known.window.most
            asked += len(known.outstanding)
            for piece in known.outstanding:
                assert known.whole is not None and known in known.whole.asked[piece]
        assert asked == sum(len(senders) for whole in wholes for senders in whole.asked.values())

    # -- what a race does ----------------------------------------------------------------------

    def _connect(self, peer: Peer) -> None:
        if peer.sender is not None:
            return
        peer.connections += 1
        peer.sender = f"{peer.kind} {peer.number}.{peer.connections}"
        peer.sent = 0
        peer.asked = []
        self._progress(peer)
        self._watch(peer, peer.sender)
        size = len(self.info)
        if peer.kind == "other size":
            size = self.random.choice([size - 1, size + 1, 1, 2 * size, self.limits.max_metadata])
        self._offer(peer, max(1, min(size, self.limits.max_metadata)))
        if peer.sender is not None:
            self._answer_later(peer)

    def _offer(self, peer: Peer, size: int) -> None:
        try:
            self.assembly.offer(peer.sender, size, self.random.choice([None, 1, 3, 250]), peer.origin)
        except PeerError as error:
            self._hang_up(peer, error)
        else:
            self._ask(peer)

    def _ask(self, peer: Peer) -> None:
        if peer.sender is None:
            return
        if not self.assembly.outstanding(peer.sender):
            self._progress(peer)
        pieces = self.assembly.next_requests(peer.sender, self.now)
        assert len(pieces) == len(set(pieces))
        peer.asked += pieces

    def _ask_all(self) -> None:
        for peer in self.peers:
            self._ask(peer)

    def _progress(self, peer: Peer) -> None:
        peer.due = self.now + DEADLINE

    def _watch(self, peer: Peer, sender: str) -> None:
        def look() -> None:
            if peer.sender != sender or self.assembly.verified is not None:
                return
            if not self.assembly.outstanding(sender):
                self._progress(peer)  # keep_open
            if peer.due <= self.now:
                self._hang_up(peer, PeerStalled("silent"))
            else:
                self._later(max(0.1, peer.due - self.now), look)

        self._later(DEADLINE, look)

    def _hang_up(self, peer: Peer, error: PeerError) -> None:
        assert not peer.honest or isinstance(error, (PeerClosed, PeerStalled)), error
        self.errors.append(error)
        useful = self.assembly.useful(peer.sender)
        self.assembly.lost(peer.sender)
        assert self.assembly.outstanding(peer.sender) == 0
        peer.sender = None
        if useful and isinstance(error, (PeerClosed, PeerStalled, MetadataRejected)):
            self._later(0.2, lambda: self._connect(peer))
        self._ask_all()

    # -- what peers do -------------------------------------------------------------------------

    def _pause(self, kind: str) -> float:
        if kind == "slow":
            return 1.0 + self.random.random()
        if kind.startswith("trickles"):
            return DEADLINE * 0.9
        return self.random.uniform(0.01, 0.3)

    def _answer_later(self, peer: Peer) -> None:
        sender = peer.sender

        def answer() -> None:
            if peer.sender == sender and self.assembly.verified is None:
                self._answer(peer)
                if peer.sender == sender and self.assembly.verified is None:
                    self._answer_later(peer)

        self._later(self._pause(peer.kind), answer)

    def _answer(self, peer: Peer) -> None:
        kind, random = peer.kind, self.random
        if kind == "mute":
            return
        if kind == "unrequested":
            self._block(peer, random.randrange(-1, 5), b"x" * self.block_size)
            return
        if kind == "changes size":
            self._offer(peer, random.randrange(1, 2 * len(self.info)))
            return
        if not peer.asked:
            return
        piece = peer.asked.pop(0 if random.random() < 0.8 else -1)
        if kind == "rejects" or (kind == "rejects some" and random.random() < 0.5):
            try:
                self.assembly.reject(peer.sender, piece)
            except PeerError as error:
                self._hang_up(peer, error)
            self._ask_all()
            return
        size = self.block_size
        block = self.info[piece * size : piece * size + size]
        if kind == "other size":
            known = self.assembly._senders[peer.sender]
            assert known.whole is not None
            block = b"?" * known.whole.length(piece)
        elif kind in ("corrupts all", "corrupts and leaves", "trickles corrupt") or (
            kind == "corrupts one" and piece == peer.number % 3
        ):
            block = bytes(len(block))
        elif kind == "short":
            block = block[:-1]
        elif kind == "long":
            block += b"!"
        self._block(peer, piece, block)
        if peer.sender is None:
            return
        if (kind == "flaky" and peer.sent >= 2) or kind == "corrupts and leaves":
            self._hang_up(peer, PeerClosed("left"))

    def _block(self, peer: Peer, piece: int, block: bytes) -> None:
        try:
            whole = self.assembly.block(peer.sender, piece, block, self.now)
        except PeerError as error:
            self._hang_up(peer, error)
            return
        assert whole == (self.assembly.verified is not None)
        peer.sent += 1
        self._progress(peer)
        if self.assembly.parted:
            self.assembly.parted = False
            self._ask_all()
        else:
            self._ask(peer)
