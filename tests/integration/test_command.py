"""The command's ends: exit statuses, signals, folders that cannot be written, disks that are full."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import deferLater

from functorrent.testing import ScriptedTracker, behaviours, sample_info, sample_magnet
from tests.integration.harness.command import ROOT, Command, Outcome, check_file, fetch, start, torrent
from tests.integration.harness.libtorrent_seeder import LibtorrentSeeder
from tests.integration.harness.listening import Listening


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fetch"],
        ["fetch", "--no-such-option"],
        ["fetch", "--jobs", "many", "ab" * 20],
        ["fetch", "-i", "/no/such/file"],
        ["nonsense"],
        ["show", "/no/such/file.torrent"],
    ],
)
@pytest_twisted.ensureDeferred
async def test_wrong_usage(reactor: Any, arguments: list[str]) -> None:
    outcome = await start(reactor, *arguments).ended
    assert (outcome.status, outcome.out) == (2, ""), outcome
    assert outcome.err and "Traceback" not in outcome.err, outcome


@pytest_twisted.ensureDeferred
async def test_some_failed(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, listening: Listening
) -> None:
    """One fetched, one invalid, one without peers: status 1, each its own result, --failed as input."""
    info = sample_info(2_000, "some failed")
    honest.add(info)
    good = sample_magnet(info, peers=[("127.0.0.1", honest.port)])
    failed = tmp_path / "failed.txt"
    lost = sample_magnet("ab" * 20)
    outcome = await fetch(reactor, tmp_path / "out", good, "magnet:?nonsense", lost, "--failed", str(failed))
    assert outcome.status == 1, outcome
    statuses = {result["magnet"]: result["status"] for result in outcome.results}
    assert statuses == {good: "fetched", "magnet:?nonsense": "invalid", lost: "failed"}
    assert lost in failed.read_text() and good not in failed.read_text()


@pytest_twisted.ensureDeferred
async def test_plain_output(reactor: Any, tmp_path: Path, honest: LibtorrentSeeder) -> None:
    """Without --json: a path a line on stdout, words on stderr; `show` reads the file."""
    info = sample_info(2_000, "plain")
    honest.add(info)
    magnet = sample_magnet(info, peers=[("127.0.0.1", honest.port)])
    out = tmp_path / "new" / "folder"
    outcome = await start(reactor, "fetch", magnet, "ab" * 20, "-o", str(out), "--allow-local").ended
    (path,) = outcome.out.splitlines()
    assert torrent(path)[0] == info
    assert outcome.status == 1 and "abab" in outcome.err, outcome
    shown = await start(reactor, "show", path).ended
    assert shown.status == 0 and "plain" in shown.out, shown


@pytest_twisted.ensureDeferred
async def test_to_stdout(reactor: Any, tmp_path: Path, honest: LibtorrentSeeder) -> None:
    """-o -: the torrent's bytes and nothing else."""
    info = sample_info(40_000, "stdout")
    honest.add(info)
    magnet = sample_magnet(info, peers=[("127.0.0.1", honest.port)])
    command = start(reactor, "fetch", magnet, "-o", "-", "--allow-local")
    outcome = await command.ended
    assert (outcome.status, command.out) == (0, b"d4:info" + info + b"e"), outcome.err


async def interrupted(reactor: Any, tmp_path: Path, listening: Listening, *signals: str) -> Outcome:
    """A fetch from a peer that never speaks, ended by signals once it was met."""
    info = sample_info(2_000, "interrupted")
    peer = listening.seeder(info, behaviours.NeverSpeaks())
    tracker = ScriptedTracker([peer])
    magnet = sample_magnet(info, trackers=[listening.http(tracker)])
    command = start(reactor, "fetch", magnet, "-o", str(tmp_path / "out"), "--allow-local", "--json")
    for _ in range(100):
        if listening.seeders[0].connections:
            break
        await deferLater(reactor, 0.1)
    for signal in signals:
        command.signal(signal)
    outcome = await command.ended
    assert list((tmp_path / "out").iterdir()) == [], outcome
    assert "Traceback" not in outcome.err, outcome
    return outcome


@pytest.mark.parametrize(("signal", "status"), [("INT", 130), ("TERM", 143)])
@pytest_twisted.ensureDeferred
async def test_signals(reactor: Any, tmp_path: Path, listening: Listening, signal: str, status: int) -> None:
    outcome = await interrupted(reactor, tmp_path, listening, signal)
    assert outcome.status == status, outcome
    (result,) = outcome.results
    assert result["status"] == "failed", outcome


@pytest.mark.parametrize("place", ["a file", "below a file", "/proc"])
@pytest_twisted.ensureDeferred
async def test_folder_that_cannot_be_written(
    reactor: Any, tmp_path: Path, listening: Listening, place: str
) -> None:
    """Said before any network, with status 2. (Root may write everywhere but there.)"""
    (tmp_path / "file").write_text("in the way")
    folder = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "x", "/proc": Path("/proc/x")}
    tracker = ScriptedTracker()
    magnet = sample_magnet("ab" * 20, trackers=[listening.http(tracker)])
    outcome = await fetch(reactor, folder[place], magnet)
    assert outcome.status == 2 and outcome.err and "Traceback" not in outcome.err, outcome
    assert tracker.announces == []


@pytest.mark.parametrize("how", ["a full disk", "a limit on file sizes"])
@pytest_twisted.ensureDeferred
async def test_disk_full(reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, how: str) -> None:
    """The big one fails and is told; the small one is written; nothing half-written is left."""
    small, big = sample_info(2_000, f"small {how}"), sample_info(400_000, f"big {how}")
    magnets = []
    for info in (small, big):
        honest.add(info)
        magnets.append(sample_magnet(info, peers=[("127.0.0.1", honest.port)]))
    out = tmp_path / "out"
    out.mkdir()
    arguments = ["fetch", *magnets, "-o", str(out), "--allow-local", "--json"]
    mounted = False
    try:
        if how == "a full disk":
            mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(out)]
            if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
                # Not a program that could be installed, so no skip: the other case is the same test.
                return
            mounted = True
            command = start(reactor, *arguments)
        else:
            code = (
                "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (128 << 10,) * 2);"
                "sys.argv[0] = 'functorrent'; runpy.run_module('functorrent', run_name='__main__')"
            )
            command = Command(reactor, ["-c", code, *arguments], 30, path=str(ROOT))
        outcome = await command.ended
        assert outcome.status == 1, outcome
        assert sorted(result["status"] for result in outcome.results) == ["failed", "fetched"], outcome
        (failed,) = (result for result in outcome.results if result["status"] == "failed")
        assert failed["size"] is None or failed["file"] is None, outcome
        assert len(list(out.iterdir())) == 1, list(out.iterdir())
        assert "Traceback" not in outcome.err, outcome
    finally:
        if mounted:
            subprocess.run(["umount", str(out)], check=True)


@pytest_twisted.ensureDeferred
async def test_template(reactor: Any, tmp_path: Path, honest: LibtorrentSeeder) -> None:
    """--name with a name that would leave the folder."""
    info = sample_info(2_000, "../../escape")
    honest.add(info)
    magnet = sample_magnet(info, peers=[("127.0.0.1", honest.port)])
    outcome = await fetch(reactor, tmp_path / "out", magnet, "--name", "{name}.torrent")
    path = Path(check_file(outcome, info)["file"])
    assert path.resolve().parent == (tmp_path / "out").resolve()
