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
    arguments = [*RUNNERS[runner], *options, "--http", "off", "--allow-local", magnets[0]]
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
async def test_what_is_not_done_goes_on_after_a_stop(
    reactor: Any, tmp_path: Path, honest: LibtorrentSeeder
) -> None:
    """Accepted by one process without any peer, fetched by the next, which is told nothing anew."""
    info = sample_info(2_000, "goes on")
    infohash = honest.add(info).hex()
    arguments = [*RUNNERS["twistd -n"], "--data", str(tmp_path), "--http", "off", "--allow-local"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # It accepts, and never says a word: the fetch is on when we stop.
        magnet = sample_magnet(info, peers=[("127.0.0.1", silent.getsockname()[1])])
        daemon = Command(reactor, [*arguments, magnet], 60, path=str(tmp_path))
        try:
            await daemon.until(lambda command: b"command line: 1 magnet accepted" in command.out)
            await deferLater(reactor, 0.5)
            daemon.signal("TERM")
            began = reactor.seconds()
            outcome = await daemon.ended
            assert reactor.seconds() - began < 10
        finally:
            daemon.kill()
    assert "Traceback" not in outcome.out + outcome.err, outcome
    assert f"{infohash} put back" in outcome.out, outcome
    again = Command(
        reactor, [*arguments, "--peer", f"127.0.0.1:{honest.port}"], 60, path=str(tmp_path)
    )  # fmt: skip
    try:
        await _appears(reactor, tmp_path / "torrents" / f"{infohash}.torrent", again)
    finally:
        again.kill()
        await again.ended


async def _refused(reactor: Any, folder: Path, *options: str) -> str:
    """What a daemon says that cannot start: one sentence, status 1, no traceback."""
    daemon = Command(reactor, [*RUNNERS["twistd -n"], *options], 30, path=str(folder))
    try:
        outcome = await daemon.ended
    finally:
        daemon.kill()
    said = outcome.out + outcome.err
    assert outcome.status == 1, outcome
    assert "Traceback" not in said, outcome
    lines = [line for line in said.splitlines() if "metafetch" in line and "starting up" not in line]
    sentences = [
        line for line in lines if "metafetch cannot start: " in line or line.startswith("metafetch: ")
    ]
    assert len(sentences) == 1, outcome
    return sentences[0]


@pytest.mark.parametrize("option", ["--listen", "--http"])
@pytest_twisted.ensureDeferred
async def test_a_port_that_is_taken(reactor: Any, tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        off = "--http" if option == "--listen" else "--listen"
        said = await _refused(reactor, tmp_path, option, endpoint, off, "off", "--data", str(tmp_path))
    assert f"cannot start: {option} {endpoint}: " in said
    assert "in use" in said


@pytest_twisted.ensureDeferred
async def test_a_store_that_another_daemon_has(reactor: Any, tmp_path: Path) -> None:
    options = ["--data", str(tmp_path), "--http", "off", "--listen", "off"]
    first = Command(reactor, [*RUNNERS["twistd -n"], *options], 60, path=str(tmp_path))
    try:
        await _appears(reactor, tmp_path / "metafetch.sqlite", first)
        said = await _refused(reactor, tmp_path, *options)
        assert "another process" in said or "in use" in said, said
        assert not first.ended.called
    finally:
        first.kill()
        await first.ended


@pytest_twisted.ensureDeferred
async def test_a_store_that_is_damaged(reactor: Any, tmp_path: Path) -> None:
    (tmp_path / "metafetch.sqlite").write_bytes(b"not a database, whatever its name says" * 100)
    said = await _refused(reactor, tmp_path, "--data", str(tmp_path), "--http", "off", "--listen", "off")
    assert "is damaged, or is no store" in said


@pytest_twisted.ensureDeferred
async def test_folders_that_cannot_be_used(reactor: Any, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    said = await _refused(reactor, tmp_path, "--data", str(file / "data"))
    assert f"--data {file}/data: cannot be" in said
    said = await _refused(reactor, tmp_path, "--data", str(tmp_path / "data"), "--output", str(file / "out"))
    assert f"cannot write into the folder {file}/out" in said
    said = await _refused(
        reactor, tmp_path, "--data", str(tmp_path / "data"), "--http", "tcp:0:interface=0.0.0.0"
    )
    assert "--token-file" in said
