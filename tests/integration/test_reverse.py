"""Seeders that nobody can call: they learn of us from the tracker, and call us."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import LoopingCall

from functorrent.interfaces import PeerAddress
from functorrent.testing import (
    Announce,
    ScriptedSeeder,
    ScriptedTracker,
    behaviours,
    sample_info,
    sample_magnet,
)
from tests.integration.harness.clients import Aria2, content_info
from tests.integration.harness.command import check_file, fetch, start
from tests.integration.harness.libtorrent_seeder import LibtorrentSeeder
from tests.integration.harness.listening import Listening
from tests.integration.harness.opentracker import OpenTracker
from tests.integration.harness.programs import Program

Tracker = Callable[..., OpenTracker]


class AnnounceWaiter(ScriptedTracker):
    """Remembers who announces, and calls `heard` at the first `started`."""

    heard: Callable[[Announce], None]

    def announced(self, announce: Announce) -> list[PeerAddress]:
        peers = super().announced(announce)
        if announce.event == "started":
            self.heard(announce)
        return peers


@pytest_twisted.ensureDeferred
async def test_libtorrent_calls_us(
    reactor: Any, tmp_path: Path, opentracker: Tracker, programs: list[Program]
) -> None:
    """libtorrent announces a port where nobody listens, is told of us by opentracker, and dials."""
    info = sample_info(40_000, "reverse libtorrent")
    infohash = sha1(info).digest()
    tracker = opentracker(infohash)
    seeder = LibtorrentSeeder(tmp_path / "seeder", listens=False)
    programs.append(seeder)
    seeder.add(info, (tracker.http,))
    run = fetch(reactor, tmp_path / "out", sample_magnet(info, trackers=[tracker.udp]), "--linger", "8")
    # Its next announce would be in half an hour.
    again = LoopingCall(seeder.announce)
    again.clock = reactor
    again.start(0.5).addErrback(lambda _: None)
    try:
        result = check_file(await run, info)
    finally:
        again.stop()
    assert result["report"]["peers"]["refused"] >= 1, "the announced port was not tried"


@pytest_twisted.ensureDeferred
async def test_aria2_calls_us(
    reactor: Any, tmp_path: Path, programs: list[Program], listening: Listening
) -> None:
    """aria2 starts when we have announced ourselves, asks the tracker, and dials."""
    info = content_info("reverse aria2")
    tracker = AnnounceWaiter(remembers=True)
    url = listening.http(tracker)
    aria: list[Program] = []

    def heard(announce: Announce) -> None:
        if not aria:
            aria.append(Aria2(tmp_path / "aria2", "reverse aria2", tracker=url))
            programs.append(aria[0])

    tracker.heard = heard
    outcome = await fetch(reactor, tmp_path / "out", sample_magnet(info, trackers=[url]))
    check_file(outcome, info)
    assert len({announce.peer_id for announce in tracker.announces}) == 2


@pytest.mark.parametrize("closes", [False, True])
@pytest_twisted.ensureDeferred
async def test_scripted_seeder_calls_us(
    reactor: Any, tmp_path: Path, listening: Listening, closes: bool
) -> None:
    """A caller is as good as a peer that was called; also one that closes and calls again."""
    info = sample_info(100_000, f"calls {closes}")
    seeder = ScriptedSeeder(info, *([behaviours.ClosesAfter(3)] if closes else []))
    tracker = AnnounceWaiter()
    tracker.heard = lambda announce: seeder.call(reactor, "127.0.0.1", announce.port)

    def call_again(*_: object) -> None:
        if closes:
            reactor.callLater(0.1, seeder.call, reactor, "127.0.0.1", tracker.announces[0].port)

    seeder.clientConnectionLost = call_again  # type: ignore[assignment,method-assign]
    url = listening.http(tracker)
    listening.seeders.append(seeder)
    try:
        check_file(await fetch(reactor, tmp_path / "out", sample_magnet(info, trackers=[url])), info)
    finally:
        closes = False


@pytest_twisted.ensureDeferred
async def test_nobody_calls(reactor: Any, tmp_path: Path, listening: Listening) -> None:
    """It waits --linger seconds for callers, then says so; with --listen off it does not wait."""
    url = listening.http(ScriptedTracker())
    magnet = sample_magnet("cd" * 20, trackers=[url])
    waited = await fetch(reactor, tmp_path, magnet, "--linger", "2")
    # Less than the default of 10, which a machine that does much else at once does not take beside it.
    assert waited.status == 1 and 2 <= waited.seconds < 10, waited
    at_once = await fetch(reactor, tmp_path, magnet, "--listen", "off")
    assert at_once.status == 1 and at_once.seconds < 2, at_once


@pytest_twisted.ensureDeferred
async def test_what_was_fetched_is_served(reactor: Any, tmp_path: Path, listening: Listening) -> None:
    """The port we announce answers: a liar that calls is dropped, and the fetch goes on."""
    info = sample_info(2_000, "served")
    tracker = AnnounceWaiter()
    liar = ScriptedSeeder(info, behaviours.HugeLength())
    honest = ScriptedSeeder(info)

    def heard(announce: Announce) -> None:
        liar.call(reactor, "127.0.0.1", announce.port)
        reactor.callLater(0.3, honest.call, reactor, "127.0.0.1", announce.port)

    tracker.heard = heard
    listening.seeders += [liar, honest]
    url = listening.udp(tracker)
    command = start(
        reactor, "fetch", sample_magnet(info, trackers=[url]), "-o", str(tmp_path), "--allow-local", "--json"
    )
    check_file(await command.ended, info)
    assert liar.connections and honest.connections
