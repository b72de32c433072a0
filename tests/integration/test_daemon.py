"""The twistd plugin: magnets as arguments and from a watched folder, and a clean stop."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import deferLater

from functorrent.testing import sample_info, sample_magnet
from tests.integration.harness.command import Command, torrent
from tests.integration.harness.libtorrent_seeder import LibtorrentSeeder

RUNNERS = {
    "twistd": ["-m", "twisted", "metafetch"],
    "twistd -n": ["-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=", "metafetch"],
}


async def _appears(reactor: Any, path: Path, daemon: Command, seconds: float = 15.0) -> None:
    for _ in range(int(seconds * 10)):
        if path.exists() or daemon.ended.called:
            break
        await deferLater(reactor, 0.1)
    assert path.exists(), (path, daemon.out, daemon.err)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest_twisted.ensureDeferred
async def test_watch(reactor: Any, tmp_path: Path, honest: LibtorrentSeeder, runner: str) -> None:
    given, watched = sample_info(2_000, f"given {runner}"), sample_info(40_000, f"watched {runner}")
    hashes = [honest.add(info).hex() for info in (given, watched)]
    magnets = [sample_magnet(info, peers=[("127.0.0.1", honest.port)]) for info in (given, watched)]
    incoming, out = tmp_path / "incoming", tmp_path / "out"
    incoming.mkdir()
    options = ["--watch", str(incoming), "--output", str(out), "--data", str(tmp_path / "data")]
    arguments = [*RUNNERS[runner], *options, "--allow-local", magnets[0]]
    daemon = Command(reactor, arguments, 60, path=str(tmp_path))
    try:
        await _appears(reactor, out / f"{hashes[0]}.torrent", daemon)
        (tmp_path / "part").write_text(f"# a comment\n\n{magnets[1]}\nnonsense\n")
        (tmp_path / "part").rename(incoming / "batch.txt")
        await _appears(reactor, out / f"{hashes[1]}.torrent", daemon)
        await _appears(reactor, incoming / "batch.txt.done", daemon)
        assert "nonsense" in (incoming / "batch.txt.errors").read_text()
        assert torrent(out / f"{hashes[1]}.torrent")[0] == watched
        assert not daemon.ended.called, "magnets given as arguments do not end it"
        daemon.signal("TERM")
        began = reactor.seconds()
        outcome = await daemon.ended
        assert reactor.seconds() - began < 10
        assert "Traceback" not in outcome.err + outcome.out, outcome
    finally:
        daemon.kill()


@pytest_twisted.ensureDeferred
async def test_a_port_that_is_taken(reactor: Any, tmp_path: Path) -> None:
    """It ends with words, and a status that systemd takes for a failure."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        daemon = Command(
            reactor,
            [*RUNNERS["twistd -n"], "--listen", listen, "--data", str(tmp_path)],
            30,
            path=str(tmp_path),
        )
        try:
            outcome = await daemon.ended
        finally:
            daemon.kill()
    assert outcome.status == 1, outcome
    assert f"metafetch cannot start: --listen {listen}" in outcome.out + outcome.err, outcome
