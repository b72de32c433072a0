"""`MetadataAssembly`: an info dictionary put together from many peers' blocks (BEP 9), without I/O.

The laws:

- blocks are kept per claimed size: who lies about the size never disturbs the others;
- each block is kept with its origin. A whole that hashes wrong and came from one origin alone brands
  that origin a liar; one of several origins is parted, and each goes on with what it sent itself;
- only blocks that were asked of a sender, of exactly the length their place demands, are taken;
- nothing is allocated because a sender named a size: blocks are stored as they arrive, and no more of
  them than four of the largest wholes have.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from hashlib import sha1, sha256
from typing import NoReturn

from functorrent.errors import (
    BadMetadataSize,
    CorruptMetadata,
    MetadataRejected,
    UnrequestedBlock,
    WrongBlockLength,
)
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.wire.whole import Sender, Turns, Whole
from functorrent.wire.window import RequestWindow

#: Sizes kept that no sender offers any more: those of whom most is here. They may come back.
IDLE_SIZES = 4
#: How often one connection may name another size.
MAX_CHANGES = 4


class MetadataAssembly:
    """Puts one info dictionary together.

    `infohash`: bytes of 20 (SHA-1) or 32 (SHA-256). A sender is any hashable that stands for one
    connection. `grew(bytes)` is told of blocks kept (positive) and let go (negative).
    `verified` is the info dictionary once it is whole and hashes right. `held`: bytes of blocks kept.
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
        #: What may be asked of whom has changed, so that all are to be asked anew; reset by the user.
        self.parted = False
        self._grew = grew
        self._senders: dict[Hashable, Sender] = {}
        self._shared: dict[int, Whole] = {}
        #: Sizes for which a whole of several origins hashed wrong, and those of them that are in use.
        self._parted: set[int] = set()
        self._turns: dict[int, Turns] = {}

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
        changes = 0
        if known is not None:
            if known.size == size:
                return
            # A later handshake may name another size: what it was asked for is another's now.
            changes = known.changes + 1
            if changes > MAX_CHANGES:
                raise BadMetadataSize(f"named {changes} sizes before it said {size}")
            self.lost(sender)
        self._senders[sender] = known = Sender(origin, size, RequestWindow(reqq, self.limits))
        known.changes = changes

    def lost(self, sender: Hashable) -> None:
        """A sender is gone; what it was asked for is open again."""
        gone = self._senders.pop(sender, None)
        if gone is None:
            return
        whole = gone.whole
        if whole is not None:
            for piece in gone.outstanding:
                whole.give_back(piece, gone)
        self._tidy(gone)

    def outstanding(self, sender: Hashable) -> int:
        """How many requests this sender has not answered."""
        known = self._senders.get(sender)
        return len(known.outstanding) if known is not None else 0

    def useful(self, sender: Hashable) -> int:
        """How many of the blocks it was asked for this sender gave."""
        known = self._senders.get(sender)
        return known.useful if known is not None else 0

    # -- requests ----------------------------------------------------------------------------

    def next_requests(self, sender: Hashable, now: float) -> list[int]:
        """The pieces to ask this sender for now: what its window lets, marked as asked."""
        known = self._senders.get(sender)
        if known is None or self.verified is not None:
            return []
        outstanding = known.outstanding
        if len(outstanding) >= known.window.size:
            return []
        whole = known.whole or self._whole_for(known)
        if self._turns and not self._has_turn(known, now):
            return []
        pieces: list[int] = []
        room = known.window.size - len(outstanding)
        # Who is asked for all there is can be asked for no more.
        while room > 0 and len(outstanding) < whole.count:
            piece = whole.pick(known, now)
            if piece is None:
                break
            outstanding[piece] = now
            whole.ask(piece, known)
            pieces.append(piece)
            room -= 1
        return pieces

    def _whole_for(self, sender: Sender) -> Whole:
        """Where this sender's blocks go."""
        size = sender.size
        if size in self._parted:
            turns = self._turns.get(size)
            if turns is None:
                turns = self._turns[size] = Turns(size, self.limits)
            whole = turns.whole(sender.origin)
        else:
            shared = self._shared.get(size)
            whole = shared if shared is not None else Whole(size)
            self._shared[size] = whole
        sender.whole = whole
        return whole

    def _has_turn(self, sender: Sender, now: float) -> bool:
        """Whether this sender may be asked now, should its size be one that was parted."""
        origin = sender.origin
        turns = self._turns.get(sender.size)
        # A liar's further connection takes no turn: its first block ends it.
        if turns is None or origin in turns.since or origin in self.liars:
            return True
        waiting = [
            other.origin
            for other in self._senders.values()
            if other.size == sender.size
            and other.origin not in turns.since
            and other.origin not in self.liars
            and len(other.outstanding) < other.window.size
        ]
        if not turns.begin(origin, now, waiting):
            return False
        self._account(-turns.trim(self._present(sender.size)))
        return True

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
            if self.verified is not None:
                return False
            raise UnrequestedBlock(f"block {piece} of {len(block)} bytes was not asked for")
        whole = known.whole
        assert whole is not None
        if self.liars and known.origin in self.liars:
            whole.give_back(piece, known)
            raise CorruptMetadata("sent metadata with the wrong hash before")
        if len(block) != whole.length(piece):
            whole.give_back(piece, known)
            # Some send the whole in one message (XD#132): good if it hashes right.
            if piece == 0 and len(block) == whole.size and self._hashes(block):
                return self._finish(block)
            self._account(-whole.forget(known.origin))
            raise WrongBlockLength(f"block {piece} has {len(block)} bytes, not {whole.length(piece)}")
        if whole.count == 1 and self._hashes(block):
            # The common case: nothing to keep.
            return self._finish(block)
        whole.unask(piece, known)
        # Also one that another was quicker with: both were asked, and the other may have lied.
        known.useful += 1
        if whole.count == 1:
            # Nobody else to blame.
            self._brand(known.origin, whole.size)
        known.window.answered(now - asked_at)
        known.rejects = 0
        if piece in whole.blocks:
            return False
        whole.keep(piece, block, known.origin)
        self._account(len(block))
        if len(whole.blocks) == whole.count:
            return self._complete(whole)
        if self.held > 4 * self.limits.max_metadata:
            self._shed()
        if self._turns:
            turns = self._turns.get(whole.size)
            if turns is not None and turns.over(known.origin, now):
                self.parted = True
        return False

    def reject(self, sender: Hashable, piece: int) -> None:
        """A sender will not give a piece. Raises MetadataRejected when it did so too often."""
        known = self._senders.get(sender)
        if known is None or known.outstanding.pop(piece, None) is None:
            return
        assert known.whole is not None
        known.whole.give_back(piece, known)
        known.rejects += 1
        if known.rejects >= self.limits.max_rejects:
            raise MetadataRejected(f"rejected {known.rejects} requests in a row")

    def _complete(self, whole: Whole) -> bool:
        """All blocks are here: done, or somebody lied."""
        data = whole.join()
        if self._hashes(data):
            return self._finish(data)
        origins = set(whole.origins.values())
        if len(origins) == 1:
            self._brand(origins.pop(), whole.size)
        self._part(whole)
        return False

    def _brand(self, origin: Hashable, size: int) -> NoReturn:
        """This origin alone sent a wrong whole: nothing it sent counts. Raises CorruptMetadata."""
        self.liars.add(origin)
        freed = 0
        for shared in self._shared.values():
            freed += shared.forget(origin)
        for turns in self._turns.values():
            own = turns.wholes.get(origin)
            if own is not None:
                freed += own.clear()
            turns.end(origin)
        self._account(-freed)
        raise CorruptMetadata(f"sent {size} bytes with the wrong hash")

    def _part(self, whole: Whole) -> None:
        """Several origins made a wrong whole: each goes on alone with its own blocks, so blame is clear."""
        size = whole.size
        self.parted = True
        self._parted.add(size)
        del self._shared[size]
        turns = self._turns[size] = Turns(size, self.limits)
        for piece, origin in whole.origins.items():
            turns.whole(origin).keep(piece, whole.blocks[piece], origin)
        for sender in self._senders.values():
            if sender.size == size and sender.whole is not None:
                own = self._whole_for(sender)
                for piece in sender.outstanding:
                    own.ask(piece, sender)

    # -- the end, and memory -----------------------------------------------------------------

    def give_way(self) -> int:
        """Forget every block, because memory is short; returns the bytes let go."""
        let_go = sum([whole.clear() for whole in self._wholes()])
        self._account(-let_go)
        return let_go

    @property
    def completeness(self) -> float:
        """How much of the likeliest whole is here, 0 to 1."""
        return max((len(whole.blocks) / whole.count for whole in self._wholes()), default=0.0)

    def close(self) -> None:
        """Let go of everything but `verified`."""
        self._senders.clear()
        self._shared.clear()
        self._turns.clear()
        self._account(-self.held)
        # Nothing is kept any more; who was told may refer to us.
        self._grew = None

    def _wholes(self) -> list[Whole]:
        return [
            *self._shared.values(),
            *(whole for turns in self._turns.values() for whole in turns.wholes.values()),
        ]

    def _present(self, size: int) -> set[Hashable]:
        """The origins that offer a size now."""
        return {sender.origin for sender in self._senders.values() if sender.size == size}

    def _hashes(self, data: bytes) -> bool:
        hasher = sha1 if len(self.infohash) == 20 else sha256
        return hasher(data).digest() == self.infohash

    def _finish(self, data: bytes) -> bool:
        self.verified = data
        self.close()
        return True

    def _shed(self) -> None:
        """Too much is held: a whole of the size that fewest origins offer gives way, the largest."""
        offered = {size: len(self._present(size)) for size in {whole.size for whole in self._wholes()}}
        victim = min(self._wholes(), key=lambda whole: (not whole.held, offered[whole.size], -whole.held))
        self.parted = True
        self._account(-victim.clear())

    def _tidy(self, gone: Sender) -> None:
        """After a sender is gone: its turn is over, and what nobody offers any more is let go.

        Some of it is kept, for senders come back, but not of many sizes.
        """
        freed = 0
        turns = self._turns.get(gone.size)
        if turns is not None:
            present = self._present(gone.size)
            if gone.origin not in present:
                turns.end(gone.origin)
            freed += turns.trim(present)
        used = {sender.size for sender in self._senders.values()}
        tables: tuple[dict[int, Whole] | dict[int, Turns], ...] = (self._shared, self._turns)
        for table in tables:
            idle = sorted(
                [(kept.held, size) for size, kept in table.items() if size not in used], reverse=True
            )
            for place, (held, size) in enumerate(idle):
                if place >= IDLE_SIZES or not held:
                    freed += held
                    del table[size]
        self._account(-freed)

    def _account(self, change: int) -> None:
        if change:
            self.held += change
            if self._grew is not None:
                self._grew(change)
