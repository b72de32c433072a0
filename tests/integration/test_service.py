"""The daemon as a service: what systemd hears, logs that are turned over, and where options come from."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import deferLater

from tests.integration.harness.command import Command

TWISTD = ["-c", "from twisted.scripts.twistd import run; run()"]
MAGNET = "magnet:?xt=urn:btih:" + "5a" * 20


def daemon(reactor: Any, folder: Path, twistd: tuple[str, ...], *options: str) -> Command:
    """`twistd ... metafetch ...`, running, without a socket to listen on."""
    arguments = [
        *TWISTD,
        *twistd,
        "metafetch",
        "--listen=off",
        "--http=off",
        "--data",
        str(folder / "data"),
        *options,
    ]
    return Command(reactor, arguments, 60, path=str(folder))


async def until(reactor: Any, true: Callable[[], object], what: Any = "", seconds: float = 15.0) -> None:
    for _ in range(int(seconds * 20)):
        if true():
            return
        await deferLater(reactor, 0.05)
    raise AssertionError(what() if callable(what) else what)


class Notified:
    """A NOTIFY_SOCKET: `lines` are what it has been told."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)
        self.lines: list[str] = []

    def heard(self, line: str) -> int:
        """How many lines that begin so have come by now."""
        while True:
            try:
                self.lines += self.socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return sum(each.startswith(line) for each in self.lines)


@pytest.mark.parametrize("kind", ["path", "abstract"])
@pytest_twisted.ensureDeferred
async def test_systemd(reactor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    address = (
        str(tmp_path / "notify") if kind == "path" else f"@functorrent/{os.getpid()}/{time.monotonic_ns()}"
    )
    notified = Notified(address)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    running = daemon(reactor, tmp_path, ("-n", "--pidfile="))
    try:
        await until(
            reactor, lambda: notified.heard("READY=1"), lambda: (notified.lines, running.err, running.out)
        )
        assert notified.lines[0].startswith("EXTEND_TIMEOUT_USEC=")
        assert "WATCHDOG=1" not in notified.lines[: notified.lines.index("READY=1")]
        assert notified.heard("STATUS=0 in flight") or notified.heard("STATUS=waiting")
        before = notified.heard("WATCHDOG=1")
        await until(reactor, lambda: notified.heard("WATCHDOG=1") >= before + 3)
        # A daemon that hangs says nothing.
        running.signal("STOP")
        await deferLater(reactor, 0.3)
        hung = notified.heard("WATCHDOG=1")
        await deferLater(reactor, 1.0)
        assert notified.heard("WATCHDOG=1") == hung
        running.signal(signal.SIGCONT)
        await until(reactor, lambda: notified.heard("WATCHDOG=1") > hung)
        notified.lines.clear()
        running.signal("HUP")
        await until(reactor, lambda: notified.heard("RELOADING=1") and notified.heard("READY=1"))
        usec = next(line for line in notified.lines if line.startswith("MONOTONIC_USEC="))
        assert abs(int(usec.partition("=")[2]) / 1e6 - time.monotonic()) < 60
        assert not running.ended.called
        running.signal("TERM")
        await until(reactor, lambda: notified.heard("STOPPING=1"))
        outcome = await running.ended
        assert "Traceback" not in outcome.out + outcome.err, outcome
    finally:
        running.kill()
        notified.socket.close()


@pytest.mark.parametrize("format", ["text", "json"])
@pytest_twisted.ensureDeferred
async def test_logrotate(reactor: Any, tmp_path: Path, format: str) -> None:
    """A file that is renamed is let go of at SIGHUP, in the foreground."""
    log = tmp_path / "metafetch.log"
    running = daemon(
        reactor,
        tmp_path,
        ("-n", "--pidfile=", "--logfile", str(log)),
        "--log-format",
        format,
        "--timeout=1",
        MAGNET,
    )
    try:
        await until(
            reactor, lambda: log.exists() and "5a5a5a" in log.read_text(), lambda: (running.out, running.err)
        )
        for number, name in enumerate((signal.SIGHUP, signal.SIGUSR1)):
            old = tmp_path / f"metafetch.log.{number}"
            log.rename(old)
            running.signal(name)
            await until(reactor, log.exists)
        running.signal("TERM")
        outcome = await running.ended
        assert outcome.status in (0, 143), outcome
        last, first = log.read_text(), (tmp_path / "metafetch.log.0").read_text()
        assert "Server Shut Down" in last and "Server Shut Down" not in first
        assert outcome.out == "" and "Traceback" not in outcome.err + last + first, outcome
        if format == "json":
            lines = [json.loads(line) for line in (first + last).splitlines()]
            (ended,) = [line for line in lines if line["namespace"] == "metafetch.magnet"]
            assert (ended["infohash"], ended["outcome"]) == ("5a" * 20, "failed")
            assert ended["reason"] and ended["seconds"] >= 0
        else:
            assert f"[metafetch.magnet#info] {'5a' * 20} failed" in first
    finally:
        running.kill()


@pytest_twisted.ensureDeferred
async def test_logrotate_of_a_daemon_in_the_background(reactor: Any, tmp_path: Path) -> None:
    pidfile, log = tmp_path / "twistd.pid", tmp_path / "twistd.log"
    running = daemon(
        reactor, tmp_path, ("--pidfile", str(pidfile)), "--log-format=json", "--timeout=1", MAGNET
    )
    outcome = await running.ended
    assert outcome.status == 0, outcome
    pid = int(pidfile.read_text())
    try:
        await until(
            reactor, lambda: log.exists() and "5a5a5a" in log.read_text(), lambda: os.listdir(tmp_path)
        )
        mode = log.stat().st_mode
        log.rename(tmp_path / "old")
        os.kill(pid, signal.SIGHUP)
        await until(reactor, log.exists)
        assert log.stat().st_mode == mode
        os.kill(pid, signal.SIGTERM)
        await until(reactor, lambda: not pidfile.exists())
        for line in ((tmp_path / "old").read_text() + log.read_text()).splitlines():
            assert json.loads(line)["level"] != "critical", line
        assert "Server Shut Down" in log.read_text()
    finally:
        if pidfile.exists():
            os.kill(pid, signal.SIGKILL)


@pytest_twisted.ensureDeferred
async def test_sighup_without_a_log_file_does_no_harm(reactor: Any, tmp_path: Path) -> None:
    running = daemon(reactor, tmp_path, ("-n", "--pidfile="), "--timeout=1", MAGNET)
    try:
        await until(reactor, lambda: b"5a5a5a" in running.out, lambda: (running.out, running.err))
        running.signal("HUP")
        running.signal(signal.SIGUSR1)
        await deferLater(reactor, 0.5)
        assert not running.ended.called
        running.signal("TERM")
        outcome = await running.ended
        assert "Server Shut Down" in outcome.out, outcome
    finally:
        running.kill()


@pytest_twisted.ensureDeferred
async def test_options_of_file_and_environment(
    reactor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "metafetch.toml"
    config.write_text('log-format = "json"\ntimeout = 1\n')
    monkeypatch.setenv("METAFETCH_CONFIG", str(config))
    running = daemon(reactor, tmp_path, ("-n", "--pidfile="), MAGNET)
    try:
        await until(reactor, lambda: b"metafetch.magnet" in running.out, lambda: (running.out, running.err))
        assert all(line.startswith("{") for line in running.out.decode().splitlines())
    finally:
        running.kill()
        await running.ended
    for name, value, words in (
        ("METAFETCH_JOBS", "many", "METAFETCH_JOBS: 'many' will not do"),
        ("METAFETCH_JOBZ", "1", "METAFETCH_JOBZ: there is no such variable: did you mean METAFETCH_JOBS?"),
        ("METAFETCH_CONFIG", str(tmp_path), f"METAFETCH_CONFIG {tmp_path}: cannot be read"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            outcome = await daemon(reactor, tmp_path, ("-n", "--pidfile=")).ended
        assert outcome.status == 1, outcome
        assert words in outcome.out + outcome.err, outcome
        assert "Traceback" not in outcome.out + outcome.err, outcome


@pytest_twisted.ensureDeferred
async def test_json_goes_with_twistd_alone(reactor: Any, tmp_path: Path) -> None:
    for arguments in (
        [*TWISTD, "-n", "--pidfile=", "--syslog", "metafetch"],
        ["-m", "twisted", "metafetch"],
    ):
        command = [
            *arguments,
            "--listen=off",
            "--http=off",
            "--data",
            str(tmp_path / "data"),
            "--log-format=json",
        ]
        outcome = await Command(reactor, command, 30, path=str(tmp_path)).ended
        assert outcome.status == 1, outcome
        assert "metafetch: --log-format json: " in outcome.out + outcome.err, outcome
        assert "Traceback" not in outcome.out + outcome.err, outcome
