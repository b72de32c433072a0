"""Tests of functorrent.wire.assembly and functorrent.wire.whole."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from hashlib import sha1, sha256
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import (
    BadMetadataSize,
    CorruptMetadata,
    MetadataRejected,
    PeerError,
    UnrequestedBlock,
    WrongBlockLength,
)
from functorrent.limits import DEFAULT_LIMITS, MIB, Limits
from functorrent.wire import whole as whole_module
from functorrent.wire.assembly import IDLE_SIZES, MAX_CHANGES, MetadataAssembly
from functorrent.wire.metadata import BLOCK_SIZE
from functorrent.wire.whole import REDUNDANCY, SPREAD, TURN, Turns
from tests.wire.swarm import HONEST, LIARS, Swarm

INFO = bytes(range(1, 255)) * 324  # 82,296 bytes: five full blocks and a shorter one
SMALL = replace(DEFAULT_LIMITS, max_metadata=300_000)


def block_of(info: bytes, piece: int) -> bytes:
    """A block of an info dictionary."""
    return info[piece * BLOCK_SIZE : (piece + 1) * BLOCK_SIZE]


class AssemblyCase(SynchronousTestCase):
    """An assembly of INFO, and what was told of its memory."""

    def setUp(self) -> None:
        self.grown: list[int] = []
        self.now = 0.0
        self.assembly = self.make(INFO)

    def make(self, info: bytes, limits: Limits = SMALL) -> MetadataAssembly:
        """An assembly for an info dictionary."""
        return MetadataAssembly(sha1(info).digest(), limits, grew=self.grown.append)

    def offer(self, *senders: Hashable, size: int = len(INFO), reqq: int | None = None) -> None:
        """These senders offer; each is its own origin, less what stands behind a dot."""
        for sender in senders:
            self.assembly.offer(sender, size, reqq, str(sender).split(".")[0])

    def ask(self, sender: Hashable) -> list[int]:
        """What this sender is asked for now."""
        return self.assembly.next_requests(sender, self.now)

    def give(self, sender: Hashable, piece: int, block: bytes | None = None) -> bool:
        """This sender's answer; the right one unless told otherwise."""
        return self.assembly.block(sender, piece, block_of(INFO, piece) if block is None else block, self.now)

    def give_all(self, sender: Hashable, info: bytes = INFO) -> None:
        """This sender answers all it is asked for, until it is asked no more."""
        pieces = self.ask(sender)
        while pieces:
            for piece in pieces:
                if self.give(sender, piece, block_of(info, piece)):
                    return
            pieces = self.ask(sender)

    def assert_held(self, held: int) -> None:
        """So much is held, and was told of."""
        self.assertEqual((self.assembly.held, sum(self.grown)), (held, held))


class OfferTests(AssemblyCase):
    """What senders offer."""

    def test_sizes(self) -> None:
        """Sizes from 1 to the cap are taken; the error has the numbers."""
        for size in (0, -1, -(2**31), 300_001, 2**31, 2**63, 10**19):
            error = self.assertRaises(BadMetadataSize, self.assembly.offer, "a", size, None, "a")
            self.assertIn(str(size), str(error))
            self.assertEqual(self.ask("a"), [])
        for number, size in enumerate((1, 16384, 300_000)):
            self.offer(f"s{number}", size=size)
            self.assertTrue(self.ask(f"s{number}"))

    def test_nothing_is_allocated(self) -> None:
        """A size alone makes nothing."""
        assembly = MetadataAssembly(bytes(20))
        for number in range(40):
            assembly.offer(number, 32 * MIB - number, None, number)
            self.assertLessEqual(len(assembly.next_requests(number, 0.0)), 8)
        self.assertEqual(assembly.held, 0)

    def test_repeated(self) -> None:
        """The same offer again changes nothing."""
        self.offer("a")
        pieces = self.ask("a")
        for _ in range(100):
            self.offer("a")
        self.assertEqual(self.assembly.outstanding("a"), len(pieces))
        self.give("a", 0)

    def test_other_size(self) -> None:
        """A sender may name another size; what it was asked for is open to others at once."""
        self.offer("a", "b", size=len(INFO))
        pieces = self.ask("a")
        self.offer("a", size=20_000)
        self.assertEqual(self.assembly.outstanding("a"), 0)
        self.assertEqual(self.ask("b"), pieces)
        self.assertEqual(self.ask("a"), [0, 1])
        self.give("a", 0)
        self.assertEqual(self.assembly.useful("a"), 1)

    def test_changing_sizes(self) -> None:
        """A sender that names ever other sizes is of no use, and leaves nothing behind."""
        with self.assertRaises(BadMetadataSize):
            for number in range(1000):
                self.offer("a", size=20_000 + number)
                self.ask("a")
        self.assertEqual(number, MAX_CHANGES + 1)
        self.assembly.lost("a")
        self.assertEqual(self.assembly._wholes(), [])

    def test_unknown_senders(self) -> None:
        """Who never offered is asked for nothing, and may be lost twice."""
        self.assertEqual(self.ask("a"), [])
        self.assertEqual((self.assembly.outstanding("a"), self.assembly.useful("a")), (0, 0))
        self.assembly.lost("a")
        self.offer("a")
        self.assembly.lost("a")
        self.assembly.lost("a")


class RequestTests(AssemblyCase):
    """Who is asked for what."""

    def test_window(self) -> None:
        """Eight at first, then one for each answer; never above the window."""
        self.assembly = self.make(INFO, DEFAULT_LIMITS)
        self.offer("a", size=100 * BLOCK_SIZE)
        self.assertEqual(self.ask("a"), list(range(8)))
        self.assertEqual(self.ask("a"), [])
        self.give("a", 3)
        self.assertEqual(self.ask("a"), [8])
        self.give("a", 0)
        self.give("a", 8, bytes(BLOCK_SIZE))
        self.assertEqual(self.ask("a"), [9, 10])
        self.assertEqual(self.assembly.outstanding("a"), 8)

    def test_reqq(self) -> None:
        """Never more than the peer answers at once."""
        self.offer("a", reqq=2)
        self.assertEqual(self.ask("a"), [0, 1])

    def test_window_grows_and_shrinks(self) -> None:
        """The window hears how long each answer took."""
        self.assembly = self.make(INFO, DEFAULT_LIMITS)
        self.offer("a", size=500 * BLOCK_SIZE)
        for _ in range(4):
            asked = self.ask("a")
            self.now += 0.1
            for piece in asked:
                self.give("a", piece, bytes(BLOCK_SIZE))
        self.ask("a")
        self.assertGreater(self.assembly.outstanding("a"), 8)
        self.now += 60.0
        self.give("a", min(self.assembly._senders["a"].outstanding), bytes(BLOCK_SIZE))
        self.assertEqual(self.ask("a"), [])

    def test_shared_out(self) -> None:
        """Senders are asked for different blocks, as long as there are any."""
        self.offer("a", "b", "c", reqq=2)
        self.assertEqual([self.ask(sender) for sender in "abc"], [[0, 1], [2, 3], [4, 5]])

    def test_lost(self) -> None:
        """What a lost sender was asked for is asked of others first."""
        self.offer("a", "b", reqq=2)
        self.ask("a")
        self.assembly.lost("a")
        self.assertEqual(self.ask("b"), [0, 1])

    def test_rejected_piece(self) -> None:
        """So is what was rejected."""
        self.offer("a", "b", reqq=1)
        self.ask("a")
        self.assembly.reject("a", 0)
        self.assertEqual(self.ask("b"), [0])

    def test_redundancy(self) -> None:
        """A block that is missing is asked of a few at once, and never of one sender twice."""
        info = bytes(16) * BLOCK_SIZE  # 16 blocks, so SPREAD does not count
        self.assembly = self.make(info, DEFAULT_LIMITS)
        senders = [f"s{number}" for number in range(12)]
        self.offer(*senders, size=len(info))
        asked: dict[int, int] = {}
        for sender in senders:
            pieces = self.ask(sender)
            self.assertEqual(len(pieces), len(set(pieces)))
            for piece in pieces:
                asked[piece] = asked.get(piece, 0) + 1
        self.assertEqual(asked, dict.fromkeys(range(16), REDUNDANCY))

    def test_fewest_first(self) -> None:
        """The block that fewest were asked for comes first."""
        self.offer("a", "b", "c", "d", reqq=3)
        self.assertEqual([self.ask(sender) for sender in "abc"], [[0, 1, 2], [3, 4, 5], [0, 1, 2]])
        self.assertEqual(self.ask("d"), [3, 4, 5])

    def test_few_blocks(self) -> None:
        """One block is asked of many, so that a few mute peers hold nobody up; but not of all."""
        senders = [f"s{number}" for number in range(40)]
        self.offer(*senders, size=100)
        self.assertEqual(sum(len(self.ask(sender)) for sender in senders), SPREAD)

    def test_patience(self) -> None:
        """Who does not answer for a while does not keep others from being asked."""
        self.offer(*range(SPREAD + 2), size=100)
        for sender in range(SPREAD):
            self.assertEqual(self.ask(sender), [0])
        self.now = whole_module.PATIENCE - 0.01
        self.assertEqual(self.ask(SPREAD), [])
        self.now = whole_module.PATIENCE
        self.assertEqual(self.ask(SPREAD), [0])

    def test_thousands_under_way(self) -> None:
        """Only so many blocks are looked at for one to ask for again: those asked longest ago."""
        self.assembly = self.make(INFO, DEFAULT_LIMITS)
        looked_at = whole_module.LOOKED_AT
        size = 2 * looked_at * BLOCK_SIZE
        for number in range(2 * looked_at // 8 + REDUNDANCY * looked_at // 8):
            self.offer(f"s{number}", size=size)
            self.ask(f"s{number}")
        asked = [len(senders) for senders in self.assembly._shared[size].asked.values()]
        self.assertEqual(asked, [REDUNDANCY] * looked_at + [1] * looked_at)

    def test_not_asked_again_for_what_is_here(self) -> None:
        """A block that came is not asked for, though others are still asked for it."""
        self.offer("a", "b", size=2 * BLOCK_SIZE)
        self.assertEqual((self.ask("a"), self.ask("b")), ([0, 1], [0, 1]))
        self.give("a", 0)
        self.offer("c", size=2 * BLOCK_SIZE)
        self.assertEqual(self.ask("c"), [1])
        self.assembly.lost("a")
        self.assembly.lost("b")
        self.offer("d", size=2 * BLOCK_SIZE)
        self.assertEqual(self.ask("d"), [1])


class BlockTests(AssemblyCase):
    """Blocks, good and bad."""

    def test_whole(self) -> None:
        """The blocks in any order make the whole."""
        self.offer("a")
        pieces = self.ask("a")
        self.assertEqual(pieces, [0, 1, 2, 3, 4, 5])
        for piece in (5, 0, 3, 2, 4):
            self.assertIs(self.give("a", piece), False)
        self.assert_held(len(INFO) - BLOCK_SIZE)
        self.assertIs(self.give("a", 1), True)
        self.assertEqual(self.assembly.verified, INFO)
        self.assert_held(0)

    def test_one_block(self) -> None:
        """One block is a whole, and nothing is ever held for it."""
        info = b"d4:name1:ae"
        self.assembly = self.make(info)
        self.offer("a", size=len(info))
        self.assertEqual(self.ask("a"), [0])
        self.assertIs(self.give("a", 0, info), True)
        self.assertEqual(self.assembly.verified, info)
        self.assertEqual(self.grown, [])

    def test_exact_multiple(self) -> None:
        """A last block may be full."""
        info = b"x" * (2 * BLOCK_SIZE)
        self.assembly = self.make(info)
        self.offer("a", size=len(info))
        self.assertEqual(self.ask("a"), [0, 1])
        self.give("a", 0, block_of(info, 0))
        self.assertIs(self.give("a", 1, block_of(info, 1)), True)

    def test_v2(self) -> None:
        """32 bytes of infohash are SHA-256's."""
        self.assembly = MetadataAssembly(sha256(INFO).digest())
        self.offer("a")
        self.give_all("a")
        self.assertEqual(self.assembly.verified, INFO)

    def test_after_the_end(self) -> None:
        """Once verified, answers that were under way are no fault, and nobody is asked."""
        self.offer("a", "b", reqq=6)
        self.ask("b")
        self.give_all("a")
        self.assertEqual(self.assembly.verified, INFO)
        self.assertIs(self.give("b", 0), False)
        self.assembly.reject("b", 1)
        self.offer("c")
        self.assertEqual(self.ask("c"), [])
        self.assert_held(0)

    def test_unrequested(self) -> None:
        """Blocks nobody asked that sender for, whatever their number; and each but once."""
        self.offer("a", "b", reqq=1)
        self.ask("a")
        for sender, piece in (("a", 1), ("a", -1), ("a", 6), ("a", 2**64), ("b", 0), ("nobody", 0)):
            with self.assertRaises(UnrequestedBlock):
                self.give(sender, piece, bytes(BLOCK_SIZE))
        self.give("a", 0)
        with self.assertRaises(UnrequestedBlock):
            self.give("a", 0)
        self.assert_held(BLOCK_SIZE)

    def test_wrong_length(self) -> None:
        """Only a block of exactly its length is taken; then it is open to others."""
        last = len(INFO) - 5 * BLOCK_SIZE
        for piece, length in (
            (0, 0),
            (0, BLOCK_SIZE - 1),
            (0, BLOCK_SIZE + 1),
            (0, len(INFO)),
            (5, last - 1),
            (5, last + 1),
            (5, BLOCK_SIZE),
        ):
            self.assembly = self.make(INFO)
            self.offer("a", "b")
            self.ask("a")
            with self.assertRaises(WrongBlockLength) as raised:
                self.give("a", piece, b"x" * length)
            self.assertIn(str(length), str(raised.exception))
            self.assembly.lost("a")
            self.assertEqual(sorted(self.ask("b")), [0, 1, 2, 3, 4, 5])
            self.give_all("b")
            for known in list(self.assembly._senders.get("b", _NOBODY).outstanding):
                self.give("b", known)
            self.assertEqual(self.assembly.verified, INFO)

    def test_wrong_length_discredits(self) -> None:
        """What the sender of a wrong length gave before is fetched again; what others gave is kept."""
        self.offer("a", "b", reqq=3)
        self.ask("a")
        self.ask("b")
        self.give("a", 0, bytes(BLOCK_SIZE))
        self.give("b", 3)
        with self.assertRaises(WrongBlockLength):
            self.give("a", 1, b"")
        self.assert_held(BLOCK_SIZE)
        self.assembly.lost("a")
        self.offer("c")
        self.assertEqual(sorted(self.ask("c")[:3]), [0, 1, 2])

    def test_discredited_but_under_way(self) -> None:
        """A block that another was asked for, too, is not asked for again once it came from there."""
        self.offer("a", "c", "d", reqq=6)
        self.ask("a")
        self.ask("c")
        self.give("a", 0)
        with self.assertRaises(WrongBlockLength):
            self.give("a", 1, b"")
        self.assembly.lost("a")
        self.give("c", 0)
        self.assertEqual(self.ask("d"), [1, 2, 3, 4, 5])

    def test_whole_in_one_block(self) -> None:
        """Some send all of it as block 0 (XD#132): taken where it hashes right."""
        info = b"x" * 40_000
        self.assembly = self.make(info)
        self.offer("a", size=len(info))
        self.ask("a")
        with self.assertRaises(WrongBlockLength):
            self.give("a", 1, info)
        self.assertIs(self.give("a", 0, info), True)
        self.assertEqual(self.assembly.verified, info)
        self.assert_held(0)

    def test_total_size(self) -> None:
        """What a block says of the whole's size is not believed."""
        self.offer("a")
        self.ask("a")
        for piece, total in enumerate((BLOCK_SIZE, 0, -1, None, 10**19, len(INFO))):
            self.assembly.block("a", piece, block_of(INFO, piece), 0.0, total)
        self.assertEqual(self.assembly.verified, INFO)

    def test_quicker_one(self) -> None:
        """Of two who were asked, the second's block is let go; it counts for both."""
        self.offer("a", "b")
        self.ask("a")
        self.ask("b")
        self.give("a", 0)
        self.assertIs(self.give("b", 0, bytes(BLOCK_SIZE)), False)
        self.assertEqual((self.assembly.useful("a"), self.assembly.useful("b")), (1, 1))
        self.assert_held(BLOCK_SIZE)
        self.give_all("a")
        for piece in (1, 2, 3, 4, 5):
            self.give("a", piece)
        self.assertEqual(self.assembly.verified, INFO)


class _Nobody:
    outstanding: dict[int, float] = {}


_NOBODY: Any = _Nobody()


class RejectTests(AssemblyCase):
    """Rejects."""

    def test_in_a_row(self) -> None:
        """Three in a row, and the sender is of no use."""
        self.offer("a", "b")
        self.ask("a")
        self.assembly.reject("a", 0)
        self.assembly.reject("a", 1)
        with self.assertRaises(MetadataRejected):
            self.assembly.reject("a", 2)
        self.assembly.lost("a")
        self.assertEqual(sorted(self.ask("b")), [0, 1, 2, 3, 4, 5])

    def test_blocks_between(self) -> None:
        """A block makes up for those before it."""
        self.offer("a")
        self.ask("a")
        for piece in (0, 1, 2):
            self.assembly.reject("a", 2 * piece)
            self.give("a", 2 * piece + 1)
        self.assertEqual(sorted(self.ask("a")), [0, 2, 4])

    def test_unasked(self) -> None:
        """Rejects of what nobody asked for, by the million, are nothing."""
        self.offer("a")
        self.ask("a")
        for piece in (-1, 6, 2**64):
            for _ in range(1000):
                self.assembly.reject("a", piece)
        self.assembly.reject("nobody", 0)
        self.assertEqual(self.assembly.outstanding("a"), 6)
        self.assembly.reject("a", 0)
        self.assembly.reject("a", 0)
        self.assembly.reject("a", 0)

    def test_everything_rejected(self) -> None:
        """Everybody rejects everything: it ends, and nothing is left."""
        senders = [f"s{number}" for number in range(10)]
        self.offer(*senders)
        steps = 0
        left = list(senders)
        while left:
            for sender in list(left):
                for piece in self.ask(sender) or list(self.assembly._senders[sender].outstanding):
                    steps += 1
                    try:
                        self.assembly.reject(sender, piece)
                    except MetadataRejected:
                        self.assembly.lost(sender)
                        left.remove(sender)
                        break
        self.assertEqual(steps, 30)
        self.assertEqual(self.assembly._wholes(), [])


class LiarTests(AssemblyCase):
    """Wholes that hash wrong, and who is to blame."""

    def test_one_origin(self) -> None:
        """A wrong whole of one origin brands it, at once and for good."""
        self.offer("a")
        with self.assertRaises(CorruptMetadata):
            self.give_all("a", bytes(len(INFO)))
        self.assertEqual(self.assembly.liars, {"a"})
        self.assert_held(0)
        self.assembly.lost("a")
        with self.assertRaises(CorruptMetadata):
            self.offer("a.2")
        self.offer("b")
        self.give_all("b")
        self.assertEqual(self.assembly.verified, INFO)

    def test_one_block(self) -> None:
        """So does a wrong single block; others who were asked for it go on."""
        info = b"d4:name1:ae"
        self.assembly = self.make(info)
        self.offer("a", "b", size=len(info))
        self.ask("a")
        self.ask("b")
        with self.assertRaises(CorruptMetadata):
            self.give("a", 0, info.upper())
        self.assertEqual((self.assembly.liars, self.grown), ({"a"}, []))
        self.assertIs(self.give("b", 0, info), True)

    def test_further_connections(self) -> None:
        """A branded origin's other connections end with their next block, and none of it is kept."""
        self.offer("a.1", "a.2")
        first = self.ask("a.1")
        self.ask("a.2")
        for piece in first[:-1]:
            self.give("a.1", piece)
        with self.assertRaises(CorruptMetadata):
            self.give("a.1", first[-1], bytes(len(block_of(INFO, first[-1]))))
        self.offer("b")
        with self.assertRaises(CorruptMetadata):
            self.give("a.2", 0)
        self.assert_held(0)
        self.assembly.lost("a.1")
        self.assembly.lost("a.2")
        self.assertEqual(self.assembly._shared[len(INFO)].asked, {})
        self.assertEqual(sorted(self.ask("b")), [0, 1, 2, 3, 4, 5])

    def test_other_sizes_of_a_liar(self) -> None:
        """What a branded origin gave towards other sizes is let go."""
        self.offer("a.1", "b")
        self.ask("a.1")
        self.give("a.1", 0, bytes(BLOCK_SIZE))
        self.offer("a.2", size=100)
        self.ask("a.2")
        self.assert_held(BLOCK_SIZE)
        with self.assertRaises(CorruptMetadata):
            self.give("a.2", 0, bytes(100))
        self.assert_held(0)
        self.assembly.lost("a.1")
        self.assembly.lost("a.2")
        self.give_all("b")
        self.assertEqual(self.assembly.verified, INFO)

    def part(self) -> None:
        """`liar` gives block 0, wrong; `b` and `c` the rest, so that the whole is parted."""
        self.offer("liar", "b", "c", reqq=2)
        for sender in ("liar", "b", "c"):
            self.ask(sender)
        self.give("liar", 0, bytes(BLOCK_SIZE))
        for sender, piece in (("liar", 1), ("b", 2), ("c", 4), ("b", 3)):
            self.assertIs(self.give(sender, piece), False)
        self.assertIs(self.assembly.parted, False)
        self.assertIs(self.give("c", 5), False)

    def test_several_origins(self) -> None:
        """A wrong whole of several brands nobody; each goes on by itself, with what it gave."""
        self.part()
        self.assertIs(self.assembly.parted, True)
        self.assertEqual(self.assembly.liars, set())
        self.assert_held(len(INFO))
        self.assertEqual(self.ask("b"), [0, 1])
        for piece in (0, 1):
            self.give("b", piece)
        self.assertEqual(self.ask("b"), [4, 5])
        self.give("b", 4)
        self.assertIs(self.give("b", 5), True)
        self.assertEqual(self.assembly.verified, INFO)
        self.assert_held(0)

    def test_blame_after_parting(self) -> None:
        """Alone, the liar's whole brands it and nobody else."""
        self.part()
        with self.assertRaises(CorruptMetadata):
            self.give_all("liar")
        self.assertEqual(self.assembly.liars, {"liar"})
        self.assembly.lost("liar")
        self.give_all("c")
        self.assertEqual(self.assembly.verified, INFO)

    def test_under_way_when_parted(self) -> None:
        """What was asked before the parting is taken as the sender's own, and not asked again."""
        self.offer("liar", reqq=6)
        self.offer("b", "c")
        self.ask("liar")
        self.ask("b")
        self.ask("c")
        for piece in (0, 1, 2, 3, 4):
            self.give("liar", piece, bytes(BLOCK_SIZE))
        self.give("b", 5)
        self.assertIs(self.assembly.parted, True)
        self.assertEqual(self.ask("b"), [])
        self.assertEqual(self.ask("c"), [])
        for piece in (0, 1, 2, 3):
            self.give("b", piece)
            self.give("c", piece)
        self.assertIs(self.give("b", 4), True)

    def test_new_sender_after_parting(self) -> None:
        """Who offers later fetches alone, too; connections of one origin share."""
        self.part()
        self.offer("d.1", "d.2", reqq=3)
        self.assertEqual((self.ask("d.1"), self.ask("d.2")), ([0, 1, 2], [3, 4, 5]))

    def test_coming_back(self) -> None:
        """An origin that comes back goes on where it was, before the parting and after it."""
        self.offer("b.1", reqq=2)
        self.ask("b.1")
        self.give("b.1", 0)
        self.assembly.lost("b.1")
        self.assert_held(BLOCK_SIZE)
        self.offer("b.2", "liar", reqq=2)
        self.assertEqual(self.ask("b.2"), [1, 2])
        self.give("b.2", 1)
        self.give("b.2", 2)
        self.assembly.lost("b.2")
        self.ask("liar")
        self.give("liar", 3, bytes(BLOCK_SIZE))
        self.give("liar", 4)
        self.give("liar", self.ask("liar")[0])
        self.assertIs(self.assembly.parted, True)
        self.assembly.lost("liar")
        self.offer("b.3", reqq=2)
        self.assertEqual(self.ask("b.3"), [3, 4])
        self.give("b.3", 3)
        self.assembly.lost("b.3")
        self.offer("b.4")
        self.assertEqual(self.ask("b.4"), [4, 5])
        self.give("b.4", 4)
        self.assertIs(self.give("b.4", 5), True)

    def test_sizes_do_not_disturb(self) -> None:
        """Blocks of a size someone lies about never touch those of another."""
        self.offer("a", reqq=3)
        self.offer("liar", size=len(INFO) - 1)
        self.offer("liar2", size=len(INFO) + BLOCK_SIZE)
        self.ask("a")
        for piece in self.ask("liar")[:-1]:
            self.give("liar", piece, bytes(BLOCK_SIZE))
        self.give("liar2", self.ask("liar2")[-1], bytes(len(INFO) % BLOCK_SIZE))
        with self.assertRaises(CorruptMetadata):
            self.give("liar", 5, bytes(len(INFO) % BLOCK_SIZE - 1))
        for piece in (0, 1, 2):
            self.give("a", piece)
        self.assembly.lost("liar")
        self.assembly.lost("liar2")
        self.give_all("a")
        self.assertEqual(self.assembly.verified, INFO)


class TurnTests(AssemblyCase):
    """Fetching alone, in turns."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(whole_module, "ALONE_BYTES", 3 * len(INFO))
        LiarTests.part(self)  # type: ignore[arg-type]
        for sender in ("liar", "b", "c"):
            self.assembly.lost(sender)
        self.assembly.give_way()

    def test_so_many_at_once(self) -> None:
        """As many as memory lets; the next when one is gone."""
        self.offer("p", "q", "r", "s")
        self.assertEqual([bool(self.ask(sender)) for sender in "pqrs"], [True, True, True, False])
        self.assertEqual(self.ask("s"), [])
        self.assembly.lost("q")
        self.assertEqual(self.ask("s"), [0, 1, 2, 3, 4, 5])

    def test_small_ones_wait_for_nobody(self) -> None:
        """Where memory does not matter all fetch alone at once."""
        self.patch(whole_module, "ALONE_BYTES", 16 * MIB)
        turns = Turns(len(INFO))
        self.assertTrue(all(turns.begin(origin, 0.0, []) for origin in range(60)))

    def test_two_in_any_case(self) -> None:
        """Were it only one, a single slow liar would stop everything; two of the largest fit."""
        turns = Turns(32 * MIB)
        self.assertEqual([turns.begin(origin, 0.0, []) for origin in range(3)], [True, True, False])

    def test_no_more_than_the_cap(self) -> None:
        """A small cap on metadata bounds what is fetched alone, too."""
        self.patch(whole_module, "ALONE_BYTES", 16 * MIB)
        turns = Turns(MIB, replace(DEFAULT_LIMITS, max_metadata=5 * MIB))
        self.assertEqual([turns.begin(origin, 0.0, []) for origin in range(6)], [True] * 5 + [False])

    def test_turns_end(self) -> None:
        """Who sends a little now and then makes room for who waits, and goes on later."""
        self.offer("p", "q", "r", "s")
        for sender in "pqr":
            self.ask(sender)
        self.now = TURN - 0.1
        self.give("p", 0)
        self.assertIs(self.assembly.parted, True)  # of the parting before
        self.assembly.parted = False
        self.assertEqual(self.ask("s"), [])
        self.now = TURN
        self.give("p", 1)
        self.assertIs(self.assembly.parted, True)
        self.assertEqual(self.ask("s"), [0, 1, 2, 3, 4, 5])
        self.assertEqual(self.ask("p"), [])
        self.give("p", 2)  # was under way
        self.assembly.lost("s")
        for piece in (3, 4):
            self.give("p", piece)
        self.assertEqual(self.ask("p"), [])
        self.assertIs(self.give("p", 5), True)

    def test_less_time_first(self) -> None:
        """Of those who wait, who had less time comes first, whoever asks first."""
        self.offer("p", "q", "r", "s", reqq=2)
        for sender in "pqr":
            self.assertTrue(self.ask(sender))
        self.now = TURN
        self.assertTrue(self.ask("s"))  # for p
        self.offer("t")
        self.give("p", 0)
        self.now = 2 * TURN
        self.assertEqual(self.ask("p"), [])
        self.assertTrue(self.ask("t"))  # for q
        self.assertTrue(self.ask("p"))  # for r

    def test_who_cannot_be_asked_takes_no_turn(self) -> None:
        """Nor is it waited for, with its window full."""
        self.offer("p", "q", "r", "s", reqq=2)
        for sender in "pqr":
            self.ask(sender)
        self.now = TURN
        self.ask("s")  # for p, which has two outstanding
        self.give("q", 0)
        self.now = 2 * TURN
        self.offer("t")
        self.ask("t")  # for q, which had more time than p
        self.assertEqual(self.ask("p"), [])
        self.assertNotIn("p", self.assembly._turns[len(INFO)].since)
        self.assertTrue(self.ask("q"))  # for r

    def test_other_sizes_are_not_waited_for(self) -> None:
        """Senders of another size wait for turns of their own."""
        self.offer("p", "q", "r", "s", reqq=2)
        for sender in "pqr":
            self.ask(sender)
        self.offer("other", size=100)
        self.now = TURN
        self.ask("s")  # for p
        self.give("p", 0)
        self.assertTrue(self.ask("p"))  # for q

    def test_liars_are_not_waited_for(self) -> None:
        """A branded origin's further connections keep nobody from a turn."""
        self.offer("p.1", "p.2", reqq=6)
        with self.assertRaises(CorruptMetadata):
            self.give_all("p.1", bytes(len(INFO)))
        self.offer("q", "r", "s", "t", reqq=2)
        for sender in "qrs":
            self.ask(sender)
        self.now = TURN
        self.ask("t")  # for q
        self.give("q", 0)
        self.assertTrue(self.ask("q"))  # for r

    def test_further_connections_keep_the_turn(self) -> None:
        """An origin's turn lasts while one of its connections does."""
        self.offer("p.1", "p.2", "q", "r", "s", reqq=2)
        for sender in ("p.1", "p.2", "q", "r"):
            self.assertTrue(self.ask(sender))
        self.assembly.lost("p.1")
        self.assertEqual(self.ask("s"), [])
        self.assembly.lost("p.2")
        self.assertTrue(self.ask("s"))

    def test_what_waits_is_bounded(self) -> None:
        """Origins that had their turn and stay hold no more than those at work do."""
        for number in range(12):
            self.offer(f"s{number}", reqq=6)
        for _ in range(12):
            for number in range(12):
                for piece in self.ask(f"s{number}")[:5]:
                    self.give(f"s{number}", piece)
            self.now += 4 * TURN
            self.assertLessEqual(self.assembly.held, 6 * len(INFO))
        self.assert_held(self.assembly.held)

    def test_turn_lengths(self) -> None:
        """Each turn lasts as long as all before, so that what is long gets done in the end."""
        turns = Turns(32 * MIB)
        starts = {1: 0.0, 2: 100.0, 3: 200.0, 4: 300.0}
        for number, length in ((1, TURN), (2, TURN), (3, 2 * TURN), (4, 4 * TURN)):
            start = starts[number]
            self.assertTrue(turns.begin("p", start, []))
            self.assertIs(turns.over("p", start + length - 0.1), False)
            self.assertIs(turns.over("p", start + length), True)
            turns.whole("p")
            turns.end("p")
        self.assertIs(turns.over("p", 1000.0), False)

    def test_one_makes_room(self) -> None:
        """One who comes takes the place of one, the one that had it longest."""
        turns = Turns(32 * MIB)
        for number, origin in enumerate("pq"):
            turns.whole(origin)
            turns.begin(origin, float(number), [])
        self.assertTrue(turns.begin("r", 100.0, []))
        self.assertEqual(list(turns.since), ["q", "r"])

    def test_everybody_is_served(self) -> None:
        """However many never finish, each waiting origin has its turn in bounded time."""
        senders = [f"s{number}" for number in range(30)]
        self.offer(*senders)
        served: set[str] = set()
        while len(served) < len(senders):
            self.now += 1.0
            self.assertLess(self.now, 15 * TURN)
            served.update(sender for sender in senders if self.ask(sender))

    def test_liars_take_no_turn(self) -> None:
        """A further connection of a liar is asked, so that it ends, but keeps nobody waiting."""
        self.offer("p.1", "p.2", "q", "r", "s", reqq=6)
        with self.assertRaises(CorruptMetadata):
            self.give_all("p.1", bytes(len(INFO)))
        self.assertEqual([bool(self.ask(sender)) for sender in ("p.2", "q", "r", "s")], [True] * 4)
        with self.assertRaises(CorruptMetadata):
            self.give("p.2", 0)

    def test_gone_origins_are_forgotten(self) -> None:
        """Callers that come and go by the thousand leave no more than a few wholes' bytes behind."""
        for number in range(300):
            self.offer(f"s{number}", reqq=1)
            self.give(f"s{number}", self.ask(f"s{number}")[0])
            self.assembly.lost(f"s{number}")
            self.assertLessEqual(self.assembly.held, 3 * len(INFO))
        (turns,) = self.assembly._turns.values()
        self.assertLessEqual(len(turns.wholes), 3 * 6)
        self.assertLessEqual(len(turns.used), 3 * 6)
        self.assert_held(self.assembly.held)

    def test_idle_wholes(self) -> None:
        """What has lain longest goes first."""
        self.patch(whole_module, "ALONE_BYTES", 3 * BLOCK_SIZE)
        turns = Turns(BLOCK_SIZE)
        for number, origin in enumerate("pqrst"):
            turns.begin(origin, float(number), [])
            turns.whole(origin).keep(0, bytes(BLOCK_SIZE), origin)
            turns.end(origin)
        turns.begin("p", 5.0, [])
        turns.end("p")
        self.assertEqual(turns.trim({"q"}), 2 * BLOCK_SIZE)
        self.assertEqual(
            {origin: whole.held for origin, whole in turns.wholes.items() if whole.held}.keys(), set("pst")
        )
        self.assertIn("q", turns.wholes)
        self.assertNotIn("r", turns.wholes)
        self.assertEqual(turns.held, 3 * BLOCK_SIZE)


class MemoryTests(AssemblyCase):
    """What is held, and letting go of it."""

    def test_give_way(self) -> None:
        """All is let go, what is asked for stays asked for, and it can go on at once."""
        self.offer("a", "b", reqq=2)
        self.ask("a")
        self.ask("b")
        for sender, piece in (("a", 0), ("b", 2), ("b", 3)):
            self.give(sender, piece)
        self.assertEqual(self.assembly.give_way(), 3 * BLOCK_SIZE)
        self.assert_held(0)
        self.assertEqual(self.assembly.give_way(), 0)
        self.give("a", 1)
        self.assert_held(BLOCK_SIZE)
        self.assertEqual(self.ask("a"), [0, 2])
        self.give_all("b")
        for piece in (0, 2):
            self.give("a", piece)
        self.give_all("a")
        self.assertEqual(self.assembly.verified, INFO)

    def test_give_way_again_and_again(self) -> None:
        """Memory pressure at any moment costs time only."""
        self.offer("a", "b", reqq=2)
        pending: list[tuple[str, int]] = []
        for step in range(200):
            for sender in ("a", "b"):
                pending += [(sender, piece) for piece in self.ask(sender)]
            sender, piece = pending.pop(0)
            if self.give(sender, piece):
                break
            if step % 7 == 3 and step < 100:
                self.assembly.give_way()
        self.assertEqual(self.assembly.verified, INFO)
        self.assert_held(0)

    def test_completeness(self) -> None:
        """Of the likeliest whole."""
        self.assertEqual(self.assembly.completeness, 0.0)
        self.offer("a", "b")
        self.offer("liar", size=2 * BLOCK_SIZE)
        self.ask("a")
        self.assertEqual(self.assembly.completeness, 0.0)
        self.give("a", 0)
        self.assertAlmostEqual(self.assembly.completeness, 1 / 6)
        self.give("liar", self.ask("liar")[0])
        self.assertAlmostEqual(self.assembly.completeness, 1 / 2)

    def test_close(self) -> None:
        """All is let go, and told of."""
        self.offer("a")
        self.ask("a")
        self.give("a", 0)
        self.assembly.close()
        self.assert_held(0)
        self.assertEqual(self.ask("a"), [])

    def test_idle_sizes(self) -> None:
        """Of sizes nobody offers any more those with most blocks are kept, and empty ones never."""
        for number in range(20):
            size = 2 * BLOCK_SIZE + number
            self.offer(f"s{number}", size=size)
            self.ask(f"s{number}")
        for number in (3, 5, 7, 9, 11, 13):
            self.give(f"s{number}", 0, bytes(BLOCK_SIZE))
        for number in (3, 5, 7, 9):
            self.give(f"s{number}", 1, bytes(BLOCK_SIZE))
        for number in range(20):
            self.assembly.lost(f"s{number}")
        kept = {whole.size - 2 * BLOCK_SIZE for whole in self.assembly._wholes()}
        self.assertEqual(kept, {3, 5, 7, 9})
        self.assertEqual(IDLE_SIZES, 4)
        self.assert_held(8 * BLOCK_SIZE)

    def test_a_liar_does_not_drop_what_others_gave(self) -> None:
        """An honest peer that left comes back to its blocks, whatever sizes others name meanwhile."""
        self.offer("a.1")
        for piece in self.ask("a.1")[:3]:
            self.give("a.1", piece)
        self.assembly.lost("a.1")
        for number in range(50):
            self.offer(f"liar{number}", size=1000 + number)
            self.ask(f"liar{number}")
            self.assembly.lost(f"liar{number}")
        self.offer("a.2")
        self.assertEqual(sorted(self.ask("a.2")), [3, 4, 5])

    def test_parted_sizes_stay_parted(self) -> None:
        """Even where all its blocks were let go, nobody's blocks are mixed there again."""
        LiarTests.part(self)  # type: ignore[arg-type]
        for sender in ("liar", "b", "c"):
            self.assembly.lost(sender)
        self.assembly.give_way()
        self.offer("d", size=10)
        self.assembly.lost("d")
        self.assertEqual(self.assembly._turns, {})
        self.offer("e", "f", reqq=3)
        self.assertEqual((self.ask("e"), self.ask("f")), ([0, 1, 2], [0, 1, 2]))

    def test_cap(self) -> None:
        """All blocks of one assembly are bounded; a size that several offer stays."""
        info = bytes(18) * BLOCK_SIZE
        self.assembly = self.make(info)
        self.offer("a", "b", size=len(info))
        for sender in ("a", "b"):
            for piece in self.ask(sender):
                self.give(sender, piece, bytes(BLOCK_SIZE))
        self.offer("nothing", size=50_000)
        self.ask("nothing")
        sizes = list(range(8, 18))
        for number in sizes:
            liar = f"liar{number}"
            self.offer(liar, size=number * BLOCK_SIZE + 1)
            given = 0
            while given < number - 1:
                for piece in self.ask(liar):
                    if given < number - 1 and piece < number:
                        self.give(liar, piece, bytes(BLOCK_SIZE))
                        given += 1
                    self.assertLessEqual(self.assembly.held, 4 * SMALL.max_metadata)
            if number == 12:
                self.assertIs(self.assembly.parted, False)
        self.assertIs(self.assembly.parted, True)
        self.assertEqual(len(self.assembly._shared[len(info)].blocks), 16)
        left = [number for number in sizes if self.assembly._shared[number * BLOCK_SIZE + 1].blocks]
        self.assertEqual(left[:4], [8, 9, 10, 11])
        self.assertNotIn(13, left)
        self.assert_held(self.assembly.held)

    def test_grew_may_take_it_back_at_once(self) -> None:
        """The budget may call give_way, or ask for more, from within."""
        calls: list[int] = []

        def grew(change: int) -> None:
            calls.append(change)
            if change > 0:
                assembly.give_way()
            else:
                for sender in "ab":
                    assembly.next_requests(sender, 0.0)
            for known in assembly._senders.values():
                self.assertLessEqual(len(known.outstanding), known.window.size)

        assembly = MetadataAssembly(sha1(INFO).digest(), SMALL, grew=grew)
        for sender in "ab":
            assembly.offer(sender, len(INFO), 2, sender)
            assembly.next_requests(sender, 0.0)
        for piece in (0, 1):
            assembly.block("a", piece, block_of(INFO, piece), 0.0)
            self.assertEqual(assembly.held, 0)
        self.assertEqual(sum(calls), 0)


class SwarmTests(SynchronousTestCase):
    """Swarms of honest peers and liars: the right bytes, in bounded time, and nobody blamed wrongly."""

    def swarm(self, size: int, kinds: Iterable[str], random: Any, largest: int = 100) -> Swarm:
        """A swarm around `size` bytes in blocks of 4; run to its end. `largest`: the cap on sizes."""
        info = bytes(random.randrange(1, 256) for _ in range(size))
        limits = replace(DEFAULT_LIMITS, max_metadata=largest)
        with (
            patch.object(whole_module, "BLOCK_SIZE", 4),
            patch.object(whole_module, "ALONE_BYTES", largest // 2),
        ):
            swarm = Swarm(info, kinds, random, limits, 4)
            swarm.run()
        self.assertEqual(swarm.assembly.verified, info)
        self.assertEqual((swarm.assembly.held, swarm.grown), (0, 0))
        self.assertEqual(
            [peer for peer in swarm.peers if peer.honest and peer.origin in swarm.assembly.liars], []
        )
        return swarm

    @given(
        st.integers(1, 60),
        st.lists(st.sampled_from(HONEST), min_size=1, max_size=3),
        st.lists(st.sampled_from(LIARS), max_size=12),
        st.integers(0, 2**32),
    )
    @settings(deadline=None, derandomize=True, max_examples=100)
    def test_any_swarm(self, size: int, honest: list[str], liars: list[str], seed: int) -> None:
        """Any swarm with one honest peer in it."""
        random = _random(seed)
        kinds = honest + liars
        random.shuffle(kinds)
        self.swarm(size, kinds, random)

    def test_each_liar(self) -> None:
        """Each kind of honest peer beside each kind of liar, alone and in numbers."""
        for number, honest in enumerate(HONEST):
            for liar in LIARS:
                for crowd in (1, 9):
                    self.swarm(30 + number, [liar] * crowd + [honest], _random(crowd))

    def test_lone_peers(self) -> None:
        """Each kind of honest peer by itself."""
        for honest in HONEST:
            for size in (1, 3, 4, 5, 8, 60):
                swarm = self.swarm(size, [honest], _random(size))
                self.assertEqual(swarm.assembly.liars, set())

    def test_mute_peers_cost_no_time(self) -> None:
        """Peers that offer and never answer do not hold up one that does."""
        swarm = self.swarm(4, ["mute"] * 10 + ["honest"], _random(1))
        self.assertLess(swarm.now, 1.5)

    def test_corruption_costs_little(self) -> None:
        """A crowd of liars, and still it takes seconds."""
        for seed in range(5):
            swarm = self.swarm(60, ["corrupts one"] * 20 + ["honest"], _random(seed), 4000)
            self.assertLess(swarm.now, 10.0)


def _random(seed: int) -> Any:
    from random import Random

    return Random(seed)


class FuzzTests(SynchronousTestCase):
    """Anything may be called at any time."""

    @given(
        st.lists(
            st.tuples(st.integers(0, 7), st.integers(0, 3), st.integers(-2, 9), st.integers(0, 9)),
            max_size=150,
        )
    )
    @settings(deadline=None, derandomize=True, max_examples=100)
    def test_any_calls(self, calls: list[tuple[int, int, int, int]]) -> None:
        """Any calls in any order raise PeerErrors only, and what is held is what is there."""
        grown: list[int] = []
        info = b"123456789"
        limits = replace(DEFAULT_LIMITS, max_metadata=12)
        with patch.object(whole_module, "BLOCK_SIZE", 2), patch.object(whole_module, "ALONE_BYTES", 20):
            assembly = MetadataAssembly(sha1(info).digest(), limits, grew=grown.append)
            for what, sender, number, other in calls:
                self._call(assembly, info, what, sender, number, other)
                held = sum(len(block) for whole in assembly._wholes() for block in whole.blocks.values())
                self.assertEqual((assembly.held, sum(grown)), (held, held))
                self.assertLessEqual(held, 4 * 12)

    def _call(
        self, assembly: MetadataAssembly, info: bytes, what: int, sender: int, number: int, other: int
    ) -> None:
        actions: list[Callable[[], object]] = [
            lambda: assembly.offer(sender, len(info) if other else number, number, sender % 3),
            lambda: assembly.next_requests(sender, float(number)),
            lambda: assembly.next_requests(sender, float(other)),
            lambda: assembly.block(sender, number, info[number * 2 : number * 2 + 2], float(other)),
            lambda: assembly.block(sender, number, b"?" * (other % 4), float(other)),
            lambda: assembly.reject(sender, number),
            lambda: assembly.lost(sender) if other < 3 else assembly.outstanding(sender),
            lambda: assembly.give_way() if other == 9 else assembly.completeness,
        ]
        try:
            actions[what]()
        except PeerError:
            pass
