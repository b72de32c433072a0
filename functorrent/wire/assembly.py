"""`MetadataAssembly`: an info dictionary put together from many peers' blocks (BEP 9), without I/O.

The laws:

- blocks are kept per claimed size: who lies about the size never disturbs the others;
- each block is kept with its origin. A whole that hashes wrong and came from one origin alone brands
  that origin a liar; one of several origins is fetched again, from each origin by itself;
- only blocks that were asked of a sender, of exactly the length their place demands, are taken;
- nothing is allocated because a sender named a size: blocks are stored as they arrive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from hashlib import sha1, sha256

from functorrent.errors import (
    BadMetadataSize,
    CorruptMetadata,
    MetadataRejected,
    UnrequestedBlock,
    WrongBlockLength,
)
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.wire.metadata import BLOCK_SIZE
from functorrent.wire.window import RequestWindow

#: Senders asked for the same block at once, when there is nothing else to ask for.
REDUNDANCY = 3
#: Bytes of wholes fetched from single origins at once (at least two origins).
ALONE_BYTES = 16 * 1024 * 1024


class _Whole:
    """The blocks of one claimed size, shared by all senders or of one origin alone."""

    __slots__ = ("asked", "blocks", "count", "fresh", "held", "origins", "returned", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.count = -(-size // BLOCK_SIZE)
        self.blocks: dict[int, bytes] = {}
        self.origins: dict[int, Hashable] = {}
        #: Blocks asked for and not here yet, with who was asked.
        self.asked: dict[int, list[_Sender]] = {}
        #: The first block never asked for; below it, those given back.
        self.fresh = 0
        self.returned: deque[int] = deque()
        #: Bytes of the blocks.
        self.held = 0

    def length(self, piece: int) -> int:
        return self.size - piece * BLOCK_SIZE if piece == self.count - 1 else BLOCK_SIZE

    def pick(self, sender: _Sender) -> int | None:
        """The block to ask `sender` for next, or None."""
        returned, blocks, asked = self.returned, self.blocks, self.asked
        while returned:
            piece = returned.popleft()
            if piece not in blocks and piece not in asked:
                return piece
        while self.fresh < self.count:
            piece = self.fresh
            self.fresh += 1
            if piece not in blocks and piece not in asked:
                return piece
        best: int | None = None
        fewest = REDUNDANCY
        for piece, senders in asked.items():
            if len(senders) < fewest and piece not in sender.outstanding and piece not in blocks:
                best, fewest = piece, len(senders)
                if fewest == 1:
                    break
        return best

    def unask(self, piece: int, sender: _Sender) -> None:
        senders = self.asked.get(piece)
        if senders is None or sender not in senders:
            return
        senders.remove(sender)
        if not senders:
            del self.asked[piece]
            if piece not in self.blocks:
                self.returned.append(piece)

    def clear(self) -> int:
        """Forget every block; returns the bytes given up. What is asked for stays asked for."""
        given_up = self.held
        self.held = 0
        self.blocks.clear()
        self.origins.clear()
        self.returned.clear()
        self.fresh = 0
        return given_up


class _Sender:
    """One connection that offered metadata."""

    __slots__ = ("origin", "outstanding", "rejects", "size", "useful", "whole", "window")

    def __init__(self, origin: Hashable, size: int, window: RequestWindow) -> None:
        self.origin = origin
        self.size = size
        self.window = window
        self.whole: _Whole | None = None
        self.outstanding: dict[int, float] = {}
        self.rejects = 0
        self.useful = 0


class MetadataAssembly:
    """Puts one info dictionary together.

    `infohash`: bytes of 20 (SHA-1) or 32 (SHA-256). A sender is any hashable that stands for one
    connection. `grew(bytes)` is told of blocks kept (positive) and let go (negative).
    `verified` is the info dictionary once it is whole and hashes right.
    """

    def __init__(
        self,
        infohash: bytes,
        limits: Limits = DEFAULT_LIMITS,
        *,
        grew: Callable[[int], None] | None = None,
    ) -> None:
        self.infohash = infohash
        self.limits = limits
        self.verified: bytes | None = None
        self.liars: set[Hashable] = set()
        self.held = 0
        #: Senders were parted just now, so that all of them are to be asked anew; reset by the user.
        self.parted = False
        self._grew = grew
        self._senders: dict[Hashable, _Sender] = {}
        self._shared: dict[int, _Whole] = {}
        #: Sizes for which a whole of several origins hashed wrong: origin to its own blocks.
        self._alone: dict[int, dict[Hashable, _Whole]] = {}

    # -- senders -----------------------------------------------------------------------------

    def offer(self, sender: Hashable, size: int, reqq: int | None, origin: Hashable) -> None:
        """A sender says it has an info dictionary of `size` bytes.

        `reqq`: see `RequestWindow`. `origin`: who is to blame for its blocks (an address; for a peer
        that called us, the connection). Raises BadMetadataSize, and CorruptMetadata for known liars.
        """
        if not 0 < size <= self.limits.max_metadata:
            raise BadMetadataSize(
                f"says the metadata has {size} bytes; between 1 and {self.limits.max_metadata} are taken"
            )
        if origin in self.liars:
            raise CorruptMetadata("sent metadata with the wrong hash before")
        known = self._senders.get(sender)
        if known is not None:
            if known.size == size:
                return
            # A later handshake may name another size: what it was asked for is another's now.
            self.lost(sender)
        self._senders[sender] = _Sender(origin, size, RequestWindow(reqq, self.limits))

    def lost(self, sender: Hashable) -> None:
        """A sender is gone; what it was asked for is open again."""
        gone = self._senders.pop(sender, None)
        if gone is None:
            return
        if gone.whole is not None:
            for piece in gone.outstanding:
                gone.whole.unask(piece, gone)
        self._drop_idle_sizes()

    def outstanding(self, sender: Hashable) -> int:
        """How many requests this sender has not answered."""
        known = self._senders.get(sender)
        return len(known.outstanding) if known is not None else 0

    def useful(self, sender: Hashable) -> int:
        """How many blocks this sender gave that were wanted."""
        known = self._senders.get(sender)
        return known.useful if known is not None else 0

    # -- requests ----------------------------------------------------------------------------

    def next_requests(self, sender: Hashable, now: float) -> list[int]:
        """The pieces to ask this sender for now: what its window lets, marked as asked."""
        known = self._senders.get(sender)
        if known is None or self.verified is not None:
            return []
        room = known.window.size - len(known.outstanding)
        if room <= 0:
            return []
        whole = known.whole or self._whole_for(known)
        if whole is None:
            return []
        pieces: list[int] = []
        while room > 0:
            piece = whole.pick(known)
            if piece is None:
                break
            known.outstanding[piece] = now
            whole.asked.setdefault(piece, []).append(known)
            pieces.append(piece)
            room -= 1
        return pieces

    def _whole_for(self, sender: _Sender) -> _Whole | None:
        """Where this sender's blocks go; None while it has to wait for its turn alone."""
        size = sender.size
        alone = self._alone.get(size)
        if alone is None:
            whole = self._shared.get(size)
            if whole is None:
                whole = self._shared[size] = _Whole(size)
        else:
            busy = {s.origin for s in self._senders.values() if s.size == size and s.whole is not None}
            if sender.origin not in busy and len(busy) >= max(2, min(8, ALONE_BYTES // size)):
                return None
            whole = alone.setdefault(sender.origin, _Whole(size))
        sender.whole = whole
        return whole

    # -- answers -----------------------------------------------------------------------------

    def block(
        self, sender: Hashable, piece: int, block: bytes, now: float, total_size: int | None = None
    ) -> bool:
        """A sender's block. True when the whole is there and hashes right: see `verified`.

        Raises UnrequestedBlock, WrongBlockLength, or CorruptMetadata where the sender's origin alone
        is to blame for a whole that hashes wrong. `total_size` is not believed: some send the
        block's own length.
        """
        known = self._senders.get(sender)
        asked_at = known.outstanding.pop(piece, None) if known is not None else None
        if known is None or asked_at is None:
            raise UnrequestedBlock(f"block {piece} of {len(block)} bytes was not asked for")
        whole = known.whole
        if whole is None or self.verified is not None:
            # Asked before the senders were parted, and its turn alone has not come.
            return False
        whole.unask(piece, known)
        if len(block) != whole.length(piece):
            # Some send the whole in one message (XD#132): good if it hashes right.
            if piece == 0 and len(block) == whole.size and self._hashes(block):
                return self._finish(block)
            raise WrongBlockLength(f"block {piece} has {len(block)} bytes, not {whole.length(piece)}")
        known.window.answered(now - asked_at)
        known.rejects = 0
        if piece in whole.blocks:
            # Asked of several; another was quicker.
            return False
        known.useful += 1
        if whole.count == 1 and self._hashes(block):
            # The common case keeps nothing.
            return self._finish(block)
        whole.blocks[piece] = block
        whole.origins[piece] = known.origin
        whole.held += len(block)
        self._account(len(block))
        return len(whole.blocks) == whole.count and self._complete(whole)

    def reject(self, sender: Hashable, piece: int) -> None:
        """A sender will not give a piece. Raises MetadataRejected when it did so too often."""
        known = self._senders.get(sender)
        if known is None or known.outstanding.pop(piece, None) is None:
            return
        if known.whole is not None:
            known.whole.unask(piece, known)
        known.rejects += 1
        if known.rejects >= self.limits.max_rejects:
            raise MetadataRejected(f"rejected {known.rejects} requests in a row")

    def _complete(self, whole: _Whole) -> bool:
        """All blocks are here: done, or somebody lied."""
        blocks = whole.blocks
        data = blocks[0] if whole.count == 1 else b"".join([blocks[i] for i in range(whole.count)])
        if self._hashes(data):
            return self._finish(data)
        origins = set(whole.origins.values())
        self._account(-whole.clear())
        if len(origins) == 1:
            self.liars |= origins
            self._alone.get(whole.size, {}).pop(next(iter(origins)), None)
            raise CorruptMetadata(f"sent {whole.size} bytes with the wrong hash")
        self._part(whole.size)
        return False

    def _part(self, size: int) -> None:
        """Several origins made a wrong whole: from now on each fetches alone, so blame is clear."""
        self.parted = True
        self._alone.setdefault(size, {})
        self._shared.pop(size, None)
        senders = [sender for sender in self._senders.values() if sender.size == size]
        for sender in senders:
            sender.whole = None
        for sender in senders:
            # What it was asked for before is still to come, and counts for its own whole.
            whole = self._whole_for(sender)
            if whole is not None:
                for piece in sender.outstanding:
                    whole.asked.setdefault(piece, []).append(sender)

    # -- the end, and memory -----------------------------------------------------------------

    def give_way(self) -> int:
        """Forget every block, because memory is short; returns the bytes let go."""
        let_go = self.held
        for whole in self._wholes():
            whole.clear()
        self._account(-let_go)
        return let_go

    @property
    def completeness(self) -> float:
        """How much of the likeliest whole is here, 0 to 1."""
        return max((len(whole.blocks) / whole.count for whole in self._wholes()), default=0.0)

    def close(self) -> None:
        """Let go of everything but `verified`."""
        self._account(-self.held)
        self._senders.clear()
        self._shared.clear()
        self._alone.clear()

    def _wholes(self) -> list[_Whole]:
        return [*self._shared.values(), *(w for each in self._alone.values() for w in each.values())]

    def _hashes(self, data: bytes) -> bool:
        hasher = sha1 if len(self.infohash) == 20 else sha256
        return hasher(data).digest() == self.infohash

    def _finish(self, data: bytes) -> bool:
        self.verified = data
        self.close()
        return True

    def _drop_idle_sizes(self) -> None:
        """Keep what was fetched of a size while its senders may come back, but not of many sizes."""
        used = {sender.size for sender in self._senders.values()}
        for sizes in (self._shared, self._alone):
            idle = [size for size in sizes if size not in used]
            for size in idle[:-1]:
                gone = sizes.pop(size)
                wholes = [gone] if isinstance(gone, _Whole) else list(gone.values())
                self._account(-sum(whole.clear() for whole in wholes))

    def _account(self, change: int) -> None:
        self.held += change
        if self._grew is not None and change:
            self._grew(change)
