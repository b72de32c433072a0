"""`Whole`: the blocks of one claimed metadata size, and who is asked for what is missing (BEP 9)."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from itertools import islice

from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.wire.metadata import BLOCK_SIZE
from functorrent.wire.window import RequestWindow

#: Senders asked for the same block at once, when there is nothing else to ask for.
REDUNDANCY = 3
#: A whole of few blocks is asked of more senders, so that some who never answer hold nobody up: so
#: many blocks are asked for in all.
SPREAD = 16
#: Seconds after which one asked in vain no longer counts among those `REDUNDANCY` allows.
PATIENCE = 1.0
#: Blocks looked at for one that few were asked for, those asked longest ago first; a large whole has
#: thousands under way, and this is done for each answer.
LOOKED_AT = 256
#: Bytes of wholes fetched from single origins at once, and of those that wait; at least two of each.
ALONE_BYTES = 16 * 1024 * 1024
#: Seconds of an origin's first turn; each further one lasts as long as all before.
TURN = 4.0


class Sender:
    """One connection that offered metadata.

    `outstanding`: the blocks asked of it, and when. `changes`: how often it has named another size.
    """

    __slots__ = ("changes", "origin", "outstanding", "rejects", "size", "useful", "whole", "window")

    def __init__(self, origin: Hashable, size: int, window: RequestWindow) -> None:
        self.origin = origin
        self.size = size
        self.window = window
        self.whole: Whole | None = None
        self.outstanding: dict[int, float] = {}
        self.rejects = 0
        self.useful = 0
        self.changes = 0


class Whole:
    """The blocks of one claimed size, shared by all senders or of one origin alone.

    A sender that has a block outstanding stands in `asked` for that block, and nobody else does.
    """

    __slots__ = ("asked", "blocks", "count", "fresh", "held", "origins", "returned", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.count = -(-size // BLOCK_SIZE)
        self.blocks: dict[int, bytes] = {}
        self.origins: dict[int, Hashable] = {}
        #: Blocks asked for and not answered yet, with who was asked.
        self.asked: dict[int, list[Sender]] = {}
        #: The first block never asked for; below it, those given back.
        self.fresh = 0
        self.returned: deque[int] = deque()
        #: Bytes of the blocks.
        self.held = 0

    def length(self, piece: int) -> int:
        """How long a block has to be."""
        return self.size - piece * BLOCK_SIZE if piece == self.count - 1 else BLOCK_SIZE

    def keep(self, piece: int, block: bytes, origin: Hashable) -> None:
        """Take a block in."""
        self.blocks[piece] = block
        self.origins[piece] = origin
        self.held += len(block)

    def join(self) -> bytes:
        """The whole, where every block is here."""
        blocks = self.blocks
        return b"".join([blocks[piece] for piece in range(self.count)])

    # -- who is asked for what ---------------------------------------------------------------

    def pick(self, sender: Sender, now: float) -> int | None:
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
        return self._pick_again(sender, now)

    def _pick_again(self, sender: Sender, now: float) -> int | None:
        """The block to ask `sender` for though others were asked, or None."""
        best: int | None = None
        fewest = max(REDUNDANCY, SPREAD // self.count)
        for piece, senders in islice(self.asked.items(), LOOKED_AT):
            if piece in sender.outstanding or piece in self.blocks:
                continue
            waiting = len(senders)
            if waiting >= fewest:
                waiting = sum([now - other.outstanding[piece] < PATIENCE for other in senders])
                if waiting >= fewest:
                    continue
            best, fewest = piece, waiting
            if fewest <= 1:
                break
        return best

    def ask(self, piece: int, sender: Sender) -> None:
        """Note that `sender` has this block outstanding."""
        self.asked.setdefault(piece, []).append(sender)

    def unask(self, piece: int, sender: Sender) -> None:
        """`sender` has answered."""
        senders = self.asked[piece]
        senders.remove(sender)
        if not senders:
            del self.asked[piece]

    def give_back(self, piece: int, sender: Sender) -> None:
        """`sender` will not answer, or not well: the block is open to others first."""
        self.unask(piece, sender)
        if piece not in self.asked and piece not in self.blocks:
            self.returned.append(piece)

    # -- letting go --------------------------------------------------------------------------

    def forget(self, origin: Hashable) -> int:
        """Let go of an origin's blocks; returns their bytes."""
        before = self.held
        for piece in [piece for piece, other in self.origins.items() if other == origin]:
            del self.origins[piece]
            self.held -= len(self.blocks.pop(piece))
            self.returned.append(piece)
        return before - self.held

    def clear(self) -> int:
        """Let go of every block; returns their bytes. What is asked for stays asked for."""
        given_up = self.held
        self.held = 0
        self.blocks.clear()
        self.origins.clear()
        self.returned.clear()
        self.fresh = 0
        return given_up


class Turns:
    """A size of which a whole hashed wrong: its origins, each fetching by itself, so many at once.

    Memory bounds how many. Each has its turn, so that origins which send a little now and then keep
    nobody waiting for ever; what it has fetched is there when its next one comes. Times are seconds
    of one monotonic clock.
    """

    __slots__ = ("_now", "_room", "since", "size", "used", "wholes")

    def __init__(self, size: int, limits: Limits = DEFAULT_LIMITS) -> None:
        self.size = size
        self._room = max(2 * size, min(ALONE_BYTES, limits.max_metadata))
        self._now = 0.0
        #: Those whose turn was over first stand first.
        self.wholes: dict[Hashable, Whole] = {}
        #: Whose turn it is, and since when; the longest first.
        self.since: dict[Hashable, float] = {}
        #: The seconds of each origin's earlier turns.
        self.used: dict[Hashable, float] = {}

    @property
    def held(self) -> int:
        """Bytes of the blocks."""
        return sum([whole.held for whole in self.wholes.values()])

    def whole(self, origin: Hashable) -> Whole:
        """Where this origin's blocks go."""
        whole = self.wholes.get(origin)
        if whole is None:
            whole = self.wholes[origin] = Whole(self.size)
        return whole

    def over(self, origin: Hashable, now: float) -> bool:
        """Whether this origin has had its turn, should another want one: each is longer than the last."""
        self._now = now
        since = self.since.get(origin)
        return since is not None and now - since >= max(TURN, self.used.get(origin, 0.0))

    def begin(self, origin: Hashable, now: float, waiting: Iterable[Hashable]) -> bool:
        """Whether it is this origin's turn now; those of `waiting` that had less time come first."""
        self._now = now
        if (len(self.since) + 1) * self.size > self._room:
            ended = [other for other in self.since if self.over(other, now)][:1]
            if not ended:
                return False
        else:
            ended = []
        used = self.used.get(origin, 0.0)
        if any(self.used.get(other, 0.0) < used for other in waiting):
            return False
        for other in ended:
            self.end(other)
        self.since[origin] = now
        return True

    def end(self, origin: Hashable) -> None:
        """This origin's turn is over."""
        since = self.since.pop(origin, None)
        if since is not None:
            self.used[origin] = self.used.get(origin, 0.0) + self._now - since
            self.wholes[origin] = self.wholes.pop(origin)

    def trim(self, present: set[Hashable]) -> int:
        """Bound what is held for origins whose turn it is not; returns the bytes let go.

        What has lain longest goes first. Those that are not `present` and hold nothing are forgotten.
        """
        idle = [(origin, whole) for origin, whole in self.wholes.items() if origin not in self.since]
        excess = sum([whole.held for _, whole in idle]) - self._room
        freed = 0
        for origin, whole in idle:
            if freed < excess:
                freed += whole.clear()
            if not whole.held and origin not in present:
                del self.wholes[origin]
                self.used.pop(origin, None)
        return freed
