"""`fetch_metadata`, as other programs use it, on the reactor they run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.task import deferLater

from functorrent import FetchFailed, InvalidMagnet, Metainfo, fetch_metadata
from functorrent.testing import ScriptedTracker, behaviours, sample_info, sample_magnet
from tests.integration.harness.libtorrent_seeder import LibtorrentSeeder
from tests.integration.harness.listening import Listening


@pytest_twisted.ensureDeferred
async def test_fetch(reactor: Any, honest: LibtorrentSeeder) -> None:
    info = sample_info(100_000, "library")
    infohash = honest.add(info)
    metadata = await fetch_metadata(reactor, infohash.hex(), peers=[("127.0.0.1", honest.port)])
    assert (metadata.infohash, metadata.info_bytes) == (infohash, info)
    assert metadata.torrent_bytes == b"d4:info" + info + b"e"
    assert metadata.name.startswith("library")
    assert metadata.report.reason is None
    assert Metainfo is not None


@pytest_twisted.ensureDeferred
async def test_several_at_once(reactor: Any, honest: LibtorrentSeeder) -> None:
    infos = [sample_info(2_000, f"several {number}") for number in range(20)]
    for info in infos:
        honest.add(info)
    peers = [("127.0.0.1", honest.port)]
    found = await gatherResults(
        [fetch_metadata(reactor, sample_magnet(info, peers=peers), allow_local=True) for info in infos]
    )
    assert [metadata.info_bytes for metadata in found] == infos


@pytest_twisted.ensureDeferred
async def test_failure_carries_its_report(reactor: Any, listening: Listening) -> None:
    info = sample_info(2_000, "library fails")
    peer = listening.seeder(info, behaviours.RejectsEverything())
    with pytest.raises(FetchFailed) as caught:
        await fetch_metadata(reactor, sample_magnet(info, peers=[peer]), allow_local=True)
    assert caught.value.report.peers["rejected"] == 1
    with pytest.raises(InvalidMagnet):
        await fetch_metadata(reactor, "magnet:?xt=nonsense")


@pytest_twisted.ensureDeferred
async def test_cancel_leaves_nothing(reactor: Any, listening: Listening, tmp_path: Path) -> None:
    """No socket, no timer, no thread of the fetch's own."""
    info = sample_info(2_000, "cancelled")
    peer = listening.seeder(info, behaviours.NeverSpeaks())
    url = listening.udp(ScriptedTracker([peer]))
    before = (set(reactor.getDelayedCalls()), set(reactor.getReaders()), threading.active_count())
    running = fetch_metadata(reactor, sample_magnet(info, trackers=[url]), allow_local=True, listen=True)
    for _ in range(50):
        if listening.seeders[0].connections:
            break
        await deferLater(reactor, 0.05)
    running.cancel()
    with pytest.raises((CancelledError, FetchFailed)):
        await running
    await deferLater(reactor, 0.2)
    assert listening.seeders[0].connections[0].failure is not None
    after = (set(reactor.getDelayedCalls()), set(reactor.getReaders()), threading.active_count())
    assert after == before
