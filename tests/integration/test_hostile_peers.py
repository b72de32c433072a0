"""Liars beside one honest libtorrent seeder, and honest peers that are odd: a right file within 10 s.

The honest peer is named half a second later than the liars, so that each lie is met.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from functorrent.interfaces import PeerAddress
from functorrent.testing import (
    Behaviour,
    ScriptedTracker,
    behaviours,
    sample_info,
    sample_magnet,
    tracker_lies,
)
from tests.integration.harness.command import check_file, fetch
from tests.integration.harness.libtorrent_seeder import LibtorrentSeeder
from tests.integration.harness.listening import Listening

SIZE = 100_000

#: What it does, and how the report may count it.
LIES: dict[str, tuple[list[Behaviour], set[str]]] = {
    "never speaks": ([behaviours.NeverSpeaks()], {"cancelled"}),
    "speaks garbage": ([behaviours.SpeaksGarbage()], {"not_bittorrent"}),
    "endless bytes": ([behaviours.EndlessBytes()], {"wrong_infohash"}),
    "endless garbage": ([behaviours.EndlessBytes(b"\x00" * 16_384)], {"not_bittorrent"}),
    "endless handshake": ([behaviours.EndlessHandshake()], {"bad_data"}),
    "handshake trickled": ([behaviours.Trickle(2)], {"cancelled"}),
    "wrong infohash": ([behaviours.WrongInfohash()], {"wrong_infohash"}),
    "our own peer id": ([behaviours.SelfPeerId()], {"self"}),
    "no extension bit": ([behaviours.NoExtensionBit()], {"no_extensions"}),
    "no ut_metadata": ([behaviours.NoMetadata()], {"no_metadata"}),
    "no size": ([behaviours.ClaimsSize(None)], {"no_metadata"}),
    "size 0": ([behaviours.ClaimsSize(0)], {"no_metadata", "bad_data"}),
    "size -1": ([behaviours.ClaimsSize(-1)], {"bad_data"}),
    "size 2**63": ([behaviours.ClaimsSize(2**63)], {"bad_data"}),
    "size 2 GB": ([behaviours.ClaimsSize(2_000_000_000)], {"bad_data"}),
    "size too small": ([behaviours.ClaimsSize(12)], {"bad_data"}),
    "size one too large": ([behaviours.ClaimsSize(SIZE + 1)], {"bad_data"}),
    "size far too large": ([behaviours.ClaimsSize(30_000_000)], {"bad_data", "rejected"}),
    "d1:a1:b-6: as handshake": ([behaviours.HostileBencode()], {"bad_data"}),
    "nested 30,000 deep": ([behaviours.HostileBencode(b"l" * 30_000 + b"e" * 30_000)], {"bad_data"}),
    "4 GB message": ([behaviours.HugeLength()], {"bad_data"}),
    "4 GB bitfield": ([behaviours.HugeLength(5)], {"bad_data"}),
    "data before handshake": ([behaviours.DataBeforeHandshake()], {"bad_data", "fetched"}),
    "corrupt first block": ([behaviours.CorruptBlock(0)], {"bad_data"}),
    "corrupt last block": ([behaviours.CorruptBlock(6)], {"bad_data"}),
    "short blocks": ([behaviours.WrongBlockLength(-1)], {"bad_data"}),
    "empty blocks": ([behaviours.WrongBlockLength(-16_384)], {"bad_data"}),
    "long blocks": ([behaviours.WrongBlockLength(7)], {"bad_data"}),
    "unrequested block": ([behaviours.UnrequestedBlock()], {"bad_data"}),
    "rejects everything": ([behaviours.RejectsEverything()], {"rejected"}),
    "one block a minute": ([behaviours.OneBlockEvery(60)], {"cancelled"}),
    "blocks trickled": ([behaviours.Trickle(100, after=200)], {"cancelled"}),
}


@pytest.mark.parametrize("lie", LIES)
@pytest_twisted.ensureDeferred
async def test_liar_beside_an_honest_peer(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, listening: Listening, lie: str
) -> None:
    lies, counted = LIES[lie]
    info = sample_info(SIZE, f"liar {lie}")
    honest.add(info)
    liar = listening.seeder(info, *lies)
    tracker = ScriptedTracker([PeerAddress("127.0.0.1", honest.port)])
    late = listening.http(tracker, tracker_lies.LateAnswer(reactor, 0.5))
    magnet = sample_magnet(info, peers=[liar], trackers=[late])
    outcome = await fetch(reactor, tmp_path / "out", magnet)
    result = check_file(outcome, info, (late,))
    assert listening.seeders[0].connections, "the liar was never met"
    counts = result["report"]["peers"]
    told = {word: number for word, number in counts.items() if number}
    assert sum(counts[word] for word in counted) >= 1, (lie, told)
    assert counts["found"] == 2 and counts["fetched"] == 1, counts


@pytest.mark.parametrize("piece", [None, 3])
@pytest_twisted.ensureDeferred
async def test_poisoned_together(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, listening: Listening, piece: int | None
) -> None:
    """Four that corrupt blocks and an honest peer, all at once: libtorrent never finishes beside one."""
    info = sample_info(400_000, f"poisoned {piece}")
    honest.add(info)
    liars = [listening.seeder(info, behaviours.CorruptBlock(piece)) for _ in range(4)]
    magnet = sample_magnet(info, peers=[*liars[:2], ("127.0.0.1", honest.port), *liars[2:]])
    check_file(await fetch(reactor, tmp_path / "out", magnet), info)


@pytest_twisted.ensureDeferred
async def test_poison_that_cannot_be_traced(reactor: Any, tmp_path: Path, listening: Listening) -> None:
    """Each whole is made of both their blocks, as they are equally quick: they have to be parted."""
    info = sample_info(400_000, "untraced")
    pace = behaviours.OneBlockEvery(0.05)
    peers = [listening.seeder(info, behaviours.CorruptBlock(None), pace), listening.seeder(info, pace)]
    check_file(await fetch(reactor, tmp_path / "out", sample_magnet(info, peers=peers)), info)


@pytest_twisted.ensureDeferred
async def test_every_liar_at_once(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, listening: Listening
) -> None:
    """All of them together beside one honest peer, named last."""
    info = sample_info(SIZE, "every liar")
    honest.add(info)
    liars = [listening.seeder(info, *lies) for lies, _ in LIES.values()]
    magnet = sample_magnet(info, peers=[*liars, ("127.0.0.1", honest.port)])
    check_file(await fetch(reactor, tmp_path / "out", magnet), info)


ODD: dict[str, list[Behaviour]] = {
    "bitfield, have-all and unknown ids first": [behaviours.SendsFirst()],
    "id given anew": [behaviours.ReassignsId()],
    "total_size is the block's": [behaviours.BlockSizeAsTotal()],
    "rejects the first request": [behaviours.RejectsFirst(1)],
    "a block a second": [behaviours.OneBlockEvery(0.7)],
    "closes after two blocks": [behaviours.ClosesAfter(2)],
    "closes after each block": [behaviours.ClosesAfter(1)],
    "30 KB a second": [behaviours.Trickle(30_000)],
}


@pytest.mark.parametrize("oddity", ODD)
@pytest_twisted.ensureDeferred
async def test_odd_but_honest(reactor: Any, tmp_path: Path, listening: Listening, oddity: str) -> None:
    """The only peer there is has its ways."""
    info = sample_info(SIZE, f"odd {oddity}")
    peer = listening.seeder(info, *ODD[oddity])
    check_file(await fetch(reactor, tmp_path / "out", sample_magnet(info, peers=[peer])), info)


@pytest_twisted.ensureDeferred
async def test_whole_in_one_message(reactor: Any, tmp_path: Path, listening: Listening) -> None:
    """XD sends the whole info dictionary for piece 0, and rejects the others."""
    info = sample_info(40_000, "xd")
    peer = listening.seeder(info, behaviours.WholeInOneMessage())
    check_file(await fetch(reactor, tmp_path / "out", sample_magnet(info, peers=[peer])), info)


@pytest_twisted.ensureDeferred
async def test_only_a_liar(reactor: Any, tmp_path: Path, listening: Listening) -> None:
    """Nothing is written, and the reason says what happened."""
    info = sample_info(SIZE, "only a liar")
    peer = listening.seeder(info, behaviours.CorruptBlock(0))
    outcome = await fetch(reactor, tmp_path / "out", sample_magnet(info, peers=[peer]))
    assert outcome.status == 1, outcome
    report = outcome.results[0]["report"]
    assert report["peers"]["bad_data"] == 1, outcome
    assert "sent wrong data" in report["reason"], outcome
    assert outcome.seconds < 10, outcome
    assert list((tmp_path / "out").iterdir()) == []
