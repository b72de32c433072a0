"""Trackers that lie, dawdle or are odd, beside an honest opentracker or alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from functorrent.interfaces import PeerAddress
from functorrent.testing import HTTPLie, ScriptedTracker, UDPLie, sample_info, sample_magnet, tracker_lies
from tests.integration.harness.command import Command, check_file, fetch, start
from tests.integration.harness.libtorrent_seeder import LibtorrentSeeder
from tests.integration.harness.listening import Listening
from tests.integration.harness.opentracker import OpenTracker

#: What it does, and the report's status for it when it is alone (None: it may take the time limit).
HTTP_LIES: dict[str, tuple[list[HTTPLie], str | None]] = {
    "gzip bomb": ([tracker_lies.GzipBomb(200)], "failed"),
    "redirect loop": ([tracker_lies.RedirectLoop()], "failed"),
    "endless body": ([tracker_lies.EndlessBody()], "failed"),
    "failure reason": ([tracker_lies.FailureReason("not here")], "failed"),
    "a page": ([tracker_lies.Body(b"<html>404</html>", 404)], "failed"),
    "hostile bencode": ([tracker_lies.Body(b"d1:a1:b-6:")], "failed"),
    "never answers": ([tracker_lies.NeverAnswers()], None),
}


@pytest.mark.parametrize("lie", HTTP_LIES)
@pytest_twisted.ensureDeferred
async def test_http_liar(
    reactor: Any,
    tmp_path: Path,
    honest: LibtorrentSeeder,
    opentracker: Callable[..., OpenTracker],
    listening: Listening,
    lie: str,
) -> None:
    """Beside an honest tracker the magnet is fetched; alone, it fails with the tracker's status."""
    lies, status = HTTP_LIES[lie]
    info = sample_info(2_000, f"tracker {lie}")
    infohash = honest.add(info)
    tracker = opentracker(infohash)
    tracker.announce(infohash, honest.port)
    liar = listening.http(ScriptedTracker(), *lies)
    both = await fetch(reactor, tmp_path / "out", sample_magnet(info, trackers=[liar, tracker.http]))
    check_file(both, info, (liar, tracker.http))
    if status is None:
        return
    alone = await fetch(reactor, tmp_path / "alone", sample_magnet(info, trackers=[liar]))
    assert (alone.status, alone.results[0]["report"]["trackers"][0]["status"]) == (1, status), alone
    assert alone.seconds < 10, alone


@pytest_twisted.ensureDeferred
async def test_slow_body(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, listening: Listening
) -> None:
    """A tracker that sends a byte a second holds up neither the other nor the end."""
    info = sample_info(2_000, "slow body")
    honest.add(info)
    slow = listening.http(ScriptedTracker(), tracker_lies.SlowBody(reactor, 1.0))
    late = tracker_lies.LateAnswer(reactor, 1.0)
    good = listening.http(ScriptedTracker([PeerAddress("127.0.0.1", honest.port)]), late)
    outcome = await fetch(reactor, tmp_path / "out", sample_magnet(info, trackers=[slow, good]))
    told = check_file(outcome, info, (slow, good), seconds=4)["report"]["trackers"]
    assert [tracker["status"] for tracker in told] == ["cancelled", "ok"], told


@pytest_twisted.ensureDeferred
async def test_memory_beside_a_bomb(reactor: Any, tmp_path: Path, listening: Listening) -> None:
    """A bomb of 900 MB, small enough as it is sent, in an address space of 700."""
    info = sample_info(2_000, "bomb")
    liar = listening.http(ScriptedTracker(), tracker_lies.GzipBomb(900))
    code = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_AS, (700 << 20,) * 2);"
        "sys.argv[0] = 'functorrent'; runpy.run_module('functorrent', run_name='__main__')"
    )
    arguments = [
        "fetch",
        sample_magnet(info, trackers=[liar]),
        "-o",
        str(tmp_path),
        "--allow-local",
        "--json",
    ]
    outcome = await Command(reactor, ["-c", code, *arguments], 30).ended
    assert outcome.status == 1 and outcome.results[0]["report"]["trackers"][0]["status"] == "failed", outcome


HONEST_HTTP: dict[str, list[HTTPLie]] = {
    "dictionary peers": [tracker_lies.DictionaryPeers()],
    "stray bytes": [tracker_lies.StrayBytes(3)],
    "a warning": [tracker_lies.WarningMessage("\x1b[31mred\x1b[0m")],
}
ODD_UDP: dict[str, list[UDPLie]] = {
    "wrong transaction id first": [tracker_lies.WrongTransactionFirst()],
    "the first packet lost": [tracker_lies.LosesFirst(1)],
    "two packets lost": [tracker_lies.LosesFirst(2)],
}


@pytest.mark.parametrize("oddity", HONEST_HTTP)
@pytest_twisted.ensureDeferred
async def test_odd_http_tracker(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, listening: Listening, oddity: str
) -> None:
    info = sample_info(2_000, f"odd {oddity}")
    honest.add(info)
    tracker = ScriptedTracker([PeerAddress("127.0.0.1", honest.port)])
    url = listening.http(tracker, *HONEST_HTTP[oddity])
    outcome = await fetch(reactor, tmp_path / "out", sample_magnet(info, trackers=[url]))
    check_file(outcome, info)
    # What a stranger says never reaches the terminal raw.
    assert "\x1b" not in outcome.err + outcome.out.replace("\\u001b", "")
    events = [announce.event for announce in tracker.announces]
    assert events == ["started", "stopped"], events
    assert {announce.left for announce in tracker.announces} == {16_384}


@pytest.mark.parametrize("oddity", ODD_UDP)
@pytest_twisted.ensureDeferred
async def test_odd_udp_tracker(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, listening: Listening, oddity: str
) -> None:
    """libtorrent needs 40 s where one packet is lost."""
    info = sample_info(2_000, f"odd {oddity}")
    honest.add(info)
    tracker = ScriptedTracker([PeerAddress("127.0.0.1", honest.port)])
    url = listening.udp(tracker, *ODD_UDP[oddity])
    check_file(await fetch(reactor, tmp_path / "out", sample_magnet(info, trackers=[url])), info, (url,))
    assert tracker.announces[0].path == b"/announce"


@pytest.mark.parametrize("lie", [tracker_lies.ErrorAction(), tracker_lies.ShortAnswer(8)])
@pytest_twisted.ensureDeferred
async def test_udp_refusal(reactor: Any, tmp_path: Path, listening: Listening, lie: UDPLie) -> None:
    """An error, or 8 bytes, ends it at once."""
    url = listening.udp(ScriptedTracker(), lie)
    outcome = await fetch(reactor, tmp_path, sample_magnet("ab" * 20, trackers=[url]))
    assert outcome.results[0]["report"]["trackers"][0]["status"] == "failed", outcome
    assert outcome.status == 1 and outcome.seconds < 3, outcome


@pytest_twisted.ensureDeferred
async def test_local_addresses_are_refused(reactor: Any, tmp_path: Path, listening: Listening) -> None:
    """Without --allow-local neither tracker nor peer on loopback is dialled, and it is said."""
    tracker = ScriptedTracker()
    url = listening.http(tracker)
    magnet = sample_magnet("ab" * 20, trackers=[url], peers=[("127.0.0.1", 9)])
    outcome = await start(reactor, "fetch", magnet, "-o", str(tmp_path), "--json").ended
    assert outcome.status == 1, outcome
    report = outcome.results[0]["report"]
    assert report["trackers"][0]["status"] == "not_allowed", outcome
    assert report["peers"]["not_allowed"] == 1, outcome
    assert tracker.announces == []


@pytest_twisted.ensureDeferred
async def test_redirect_to_loopback(reactor: Any, tmp_path: Path, listening: Listening) -> None:
    """A tracker the user typed may be local; where it redirects to may not."""
    behind = ScriptedTracker()
    url = listening.http(ScriptedTracker(), tracker_lies.RedirectTo(listening.http(behind)))
    arguments = ("ab" * 20, "--tracker", url, "-o", str(tmp_path), "--json")
    outcome = await start(reactor, "fetch", *arguments).ended
    assert outcome.status == 1, outcome
    assert outcome.results[0]["report"]["trackers"][0]["status"] in ("not_allowed", "failed"), outcome
    assert behind.announces == []
