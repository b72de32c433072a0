"""Honest swarms: sizes, kinds of trackers, IPv6, x.pe, tiers, and peers that are dead."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from functorrent.interfaces import PeerAddress
from functorrent.testing import ScriptedTracker, behaviours, sample_info, sample_magnet, tracker_lies
from tests.integration.harness.command import check_file, fetch
from tests.integration.harness.libtorrent_seeder import LibtorrentSeeder
from tests.integration.harness.listening import Listening
from tests.integration.harness.opentracker import OpenTracker
from tests.integration.harness.programs import free_port, wait_until

Tracker = Callable[..., OpenTracker]


@pytest.mark.parametrize("size", [2_000, 16_384, 16_385, 2_000_000, 20_000_000])
@pytest_twisted.ensureDeferred
async def test_sizes(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, opentracker: Tracker, size: int
) -> None:
    """One block, the edges of a block, 123 blocks, 1221 blocks; the tracker asked over UDP and HTTP."""
    info = sample_info(size, "sizes")
    infohash = honest.add(info)
    tracker = opentracker(infohash)
    tracker.announce(infohash, honest.port)
    trackers = (tracker.udp, tracker.http)
    outcome = await fetch(reactor, tmp_path / "out", sample_magnet(info, trackers=trackers))
    result = check_file(outcome, info, trackers)
    assert result["report"]["peers"]["fetched"] >= 1, outcome


@pytest.mark.parametrize("kind", ["http", "udp"])
@pytest_twisted.ensureDeferred
async def test_one_kind_of_tracker(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, opentracker: Tracker, kind: str
) -> None:
    info = sample_info(2_000, f"kind {kind}")
    infohash = honest.add(info)
    tracker = opentracker(infohash)
    tracker.announce(infohash, honest.port)
    url = getattr(tracker, kind)
    outcome = await fetch(reactor, tmp_path / "out", sample_magnet(info, trackers=[url]))
    (told,) = check_file(outcome, info, (url,))["report"]["trackers"]
    assert (told["url"], told["status"]) == (url, "ok")


@pytest_twisted.ensureDeferred
async def test_seeder_that_announces_itself(
    reactor: Any, tmp_path: Path, opentracker: Tracker, programs: list[Any]
) -> None:
    """Nothing done on its behalf: libtorrent tells the tracker, the tracker tells us."""
    info = sample_info(2_000, "announces itself")
    seeder = LibtorrentSeeder(tmp_path / "seeder")
    programs.append(seeder)
    tracker = opentracker(sha1(info).digest())
    infohash = seeder.add(info, (tracker.http,))
    wait_until("libtorrent's announce", lambda: tracker.knows(infohash, seeder.port))
    outcome = await fetch(reactor, tmp_path / "out", sample_magnet(info, trackers=[tracker.udp]))
    check_file(outcome, info)


@pytest_twisted.ensureDeferred
async def test_refused_by_the_tracker(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, opentracker: Tracker
) -> None:
    """opentracker's 8-byte refusal ends that tracker at once, and only it."""
    info = sample_info(2_000, "refused by the tracker")
    infohash = honest.add(info)
    refusing, tracker = opentracker(b"x" * 20), opentracker(infohash)
    tracker.announce(infohash, honest.port)
    magnet = sample_magnet(info, trackers=[refusing.udp, refusing.http, tracker.http])
    check_file(await fetch(reactor, tmp_path / "out", magnet), info)
    outcome = await fetch(reactor, tmp_path / "other", sample_magnet(info, trackers=[refusing.udp]))
    assert outcome.status == 1, outcome
    assert outcome.results[0]["report"]["trackers"][0]["status"] == "failed", outcome
    assert outcome.seconds < 3, outcome


@pytest_twisted.ensureDeferred
async def test_ipv6(reactor: Any, tmp_path: Path, honest6: LibtorrentSeeder) -> None:
    """A seeder on ::1, named by x.pe."""
    info = sample_info(40_000, "ipv6")
    honest6.add(info)
    magnet = sample_magnet(info, peers=[("::1", honest6.port)])
    check_file(await fetch(reactor, tmp_path / "out", magnet), info, ())


@pytest.mark.parametrize("kind", ["http", "udp"])
@pytest_twisted.ensureDeferred
async def test_ipv6_tracker(
    reactor: Any, tmp_path: Path, honest6: LibtorrentSeeder, listening: Listening, kind: str
) -> None:
    """Tracker and seeder both on ::1 (opentracker is IPv4 only, so the tracker is our own)."""
    info = sample_info(2_000, f"ipv6 {kind}")
    honest6.add(info)
    url = getattr(listening, kind)(ScriptedTracker([PeerAddress("::1", honest6.port)]), host="::1")
    check_file(await fetch(reactor, tmp_path / "out", sample_magnet(info, trackers=[url])), info)


@pytest_twisted.ensureDeferred
async def test_peers_named_by_the_magnet_alone(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder
) -> None:
    info = sample_info(2_000, "x.pe")
    honest.add(info)
    magnet = sample_magnet(info, peers=[("127.0.0.1", honest.port)])
    check_file(await fetch(reactor, tmp_path / "out", magnet), info, ())


@pytest_twisted.ensureDeferred
async def test_peer_with_a_host_name(reactor: Any, tmp_path: Path, honest: LibtorrentSeeder) -> None:
    """Nobody in the field passes this (FIELD, section 7)."""
    info = sample_info(2_000, "x.pe by name")
    honest.add(info)
    magnet = sample_magnet(info, peers=[("localhost", honest.port)])
    check_file(await fetch(reactor, tmp_path / "out", magnet), info)


@pytest_twisted.ensureDeferred
async def test_peer_and_tracker_of_the_command_line(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, opentracker: Tracker
) -> None:
    """A bare infohash with --peer; then with --tracker, which --save-trackers writes."""
    info = sample_info(2_000, "typed")
    infohash = honest.add(info)
    peer = ("--peer", f"127.0.0.1:{honest.port}")
    check_file(await fetch(reactor, tmp_path / "one", infohash.hex(), *peer), info, ())
    tracker = opentracker(infohash)
    tracker.announce(infohash, honest.port)
    typed = ("--tracker", tracker.http)
    check_file(await fetch(reactor, tmp_path / "two", infohash.hex(), *typed), info, ())
    saved = await fetch(reactor, tmp_path / "three", infohash.hex(), *typed, "--save-trackers")
    check_file(saved, info, (tracker.http,))


@pytest_twisted.ensureDeferred
async def test_dead_first_tiers(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, opentracker: Tracker, listening: Listening
) -> None:
    """Tiers of trackers that refuse, are silent or make no sense; libtorrent needs 50 s here."""
    info = sample_info(2_000, "tiers")
    infohash = honest.add(info)
    tracker = opentracker(infohash)
    tracker.announce(infohash, honest.port)
    nobody = free_port()
    silent = listening.udp(ScriptedTracker(), tracker_lies.Silent())
    mute = listening.http(ScriptedTracker(), tracker_lies.NeverAnswers())
    tiers = [
        [f"http://127.0.0.1:{nobody}/announce", f"udp://127.0.0.1:{nobody}/announce"],
        ["wss://127.0.0.1/announce", "gopher:nonsense", silent],
        [mute],
        [tracker.http],
    ]
    check_file(await fetch(reactor, tmp_path / "out", sample_magnet(info, tiers=tiers)), info)


@pytest_twisted.ensureDeferred
async def test_dead_peers(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, opentracker: Tracker, listening: Listening
) -> None:
    """Twenty that refuse, ten that accept and say nothing, five that speak garbage; one that is alive."""
    info = sample_info(40_000, "dead peers")
    infohash = honest.add(info)
    tracker = opentracker(infohash)
    tracker.announce(infohash, honest.port)
    dead = [PeerAddress("127.0.0.1", free_port()) for _ in range(20)]
    dead += [listening.seeder(info, behaviours.NeverSpeaks()) for _ in range(10)]
    dead += [listening.seeder(info, behaviours.SpeaksGarbage()) for _ in range(5)]
    magnet = sample_magnet(info, trackers=[tracker.http], peers=dead)
    outcome = await fetch(reactor, tmp_path / "out", magnet)
    check_file(outcome, info, seconds=4)


@pytest_twisted.ensureDeferred
async def test_only_dead_peers(reactor: Any, tmp_path: Path, listening: Listening) -> None:
    """It ends of itself, with a count of each kind and a sentence; not at the time limit."""
    info = sample_info(2_000, "only dead peers")
    peers = [PeerAddress("127.0.0.1", free_port()) for _ in range(3)]
    peers += [listening.seeder(info, behaviours.NeverSpeaks()) for _ in range(2)]
    peers += [listening.seeder(info, behaviours.SpeaksGarbage())]
    outcome = await fetch(reactor, tmp_path / "out", sample_magnet(info, peers=peers))
    assert outcome.status == 1, outcome
    (result,) = outcome.results
    counts = result["report"]["peers"]
    assert (result["status"], result["file"]) == ("failed", None)
    assert counts["found"] == 6 and counts["refused"] == 3, counts
    assert counts["timed_out"] == 2 and counts["not_bittorrent"] == 1, counts
    assert "3 refused the connection" in result["report"]["reason"], outcome
    assert outcome.seconds < 9, outcome
    assert list((tmp_path / "out").iterdir()) == []


@pytest_twisted.ensureDeferred
async def test_many_magnets(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, opentracker: Tracker
) -> None:
    """A file of 100 magnets, with a blank line, a comment, a duplicate and a line of nonsense."""
    infos = [sample_info(1_000, f"many {number}") for number in range(100)]
    hashes = [honest.add(info) for info in infos]
    tracker = opentracker(*hashes)
    for infohash in hashes:
        tracker.announce(infohash, honest.port)
    magnets = [sample_magnet(info, trackers=[tracker.udp, tracker.http]) for info in infos]
    batch = tmp_path / "magnets.txt"
    batch.write_text("\n".join(["# a comment", "", magnets[0], *magnets, "nonsense"]) + "\n")
    outcome = await fetch(reactor, tmp_path / "out", "-i", str(batch))
    assert outcome.status == 1, outcome
    statuses = [result["status"] for result in outcome.results]
    lost = [result["report"] for result in outcome.results if result["status"] == "failed"]
    assert not lost, lost[0]
    assert (statuses.count("fetched"), statuses.count("invalid"), len(statuses)) == (100, 1, 101)
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == sorted(f"{infohash.hex()}.torrent" for infohash in hashes)
    # Again: everything is there, and nobody is asked.
    tracker.kill()
    again = await fetch(reactor, tmp_path / "out", "-i", str(batch))
    assert all(result["cached"] for result in again.results if result["status"] == "fetched"), again
    assert len(again.results) == 101
