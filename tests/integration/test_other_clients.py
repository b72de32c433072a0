"""Seeders that are not libtorrent: aria2 and Transmission, with content they have checked."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest_twisted

from functorrent.testing import sample_magnet
from tests.integration.harness.clients import Aria2, Transmission, content_info
from tests.integration.harness.command import check_file, fetch
from tests.integration.harness.opentracker import OpenTracker
from tests.integration.harness.programs import Program, wait_until

Tracker = Callable[..., OpenTracker]


@pytest_twisted.ensureDeferred
async def test_aria2(reactor: Any, tmp_path: Path, opentracker: Tracker, programs: list[Program]) -> None:
    """It announces itself over HTTP, and we find it there."""
    infohash = sha1(content_info("aria2")).digest()
    tracker = opentracker(infohash)
    seeder = Aria2(tmp_path / "aria2", "aria2", tracker=tracker.http)
    programs.append(seeder)
    wait_until("aria2's announce", lambda: tracker.knows(infohash, seeder.port))
    magnet = sample_magnet(seeder.info, trackers=[tracker.udp])
    check_file(await fetch(reactor, tmp_path / "out", magnet), seeder.info)


@pytest_twisted.ensureDeferred
async def test_transmission(
    reactor: Any, tmp_path: Path, opentracker: Tracker, programs: list[Program]
) -> None:
    """Debian's 3.00 takes callers from loopback, and sends its metadata in its own good time."""
    infohash = sha1(content_info("transmission")).digest()
    tracker = opentracker(infohash)
    seeder = Transmission(tmp_path / "transmission", "transmission", tracker=tracker.http)
    programs.append(seeder)
    wait_until("transmission's announce", lambda: tracker.knows(infohash, seeder.port), 20)
    magnet = sample_magnet(seeder.info, trackers=[tracker.http])
    check_file(await fetch(reactor, tmp_path / "out", magnet), seeder.info)
