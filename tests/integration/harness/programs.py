"""Programs of others: found or skipped, started in a session of their own, killed with their children."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

_INSTALL = {
    "opentracker": "apt-get install opentracker",
    "chromium": "apt-get install chromium",
    "aria2c": "apt-get install aria2",
    "transmission-daemon": "apt-get install transmission-daemon",
}


def require(program: str) -> str:
    """The path of a program; skips the test, saying how to install it, where there is none."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"needs {program} ({_INSTALL[program]})")
    return path


def require_libtorrent() -> None:
    """Skips the test where libtorrent's bindings are not installed."""
    pytest.importorskip("libtorrent", reason="needs libtorrent's bindings (pip install libtorrent)")


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free for TCP and UDP now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(50):
        with (
            socket.socket(family, socket.SOCK_STREAM) as tcp,
            socket.socket(family, socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind((host, 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind((host, port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free for both TCP and UDP")


def wait_until(what: str, ready: Callable[[], bool], seconds: float = 10.0) -> None:
    """Ask `ready` until it says so. Blocks the reactor, so only for what answers in milliseconds."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


def accepts(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


class Program:
    """A running program of somebody else's; `log` is what it wrote."""

    def __init__(self, arguments: Sequence[str], log: Path, **options: object) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(  # type: ignore[call-overload]
                arguments,
                **{
                    "stdin": subprocess.DEVNULL,
                    "stdout": output,
                    "stderr": subprocess.STDOUT,
                    "start_new_session": True,
                    **options,
                },
            )

    def check(self) -> None:
        """Raise with its log where it has died."""
        if self.process.poll() is not None:
            words = self.log.read_text(errors="replace")
            raise AssertionError(f"{self.process.args} died ({self.process.returncode}):\n{words}")

    def kill(self) -> None:
        """End it and its children."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.wait(10)


class Conversation(Program):
    """A program of ours that is asked by lines of JSON, and answers each with one. Blocks, so only for what
    takes milliseconds. It is started with pipes for stdin and stdout, and text."""

    def ask(self, what: dict[str, Any]) -> dict[str, Any]:
        """Say a line, and read the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return self.read()

    def read(self) -> dict[str, Any]:
        """The next answer that is due."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"{self.process.args} died: {self.log.read_text()}"
        answer: dict[str, Any] = json.loads(line)
        assert "error" not in answer, answer
        return answer
