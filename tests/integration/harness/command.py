"""functorrent as its user runs it: a process of its own, its output and its end awaited."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from functorrent.wire.bencode import Value, decode
from functorrent.wire.lenient import raw_span

ROOT = Path(__file__).parents[3]


@dataclass
class Outcome:
    """How a run ended: exit status (128 + signal where one killed it), seconds, what it wrote."""

    status: int
    seconds: float
    out: str
    err: str
    results: list[dict[str, Any]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"status {self.status} after {self.seconds:.2f} s\nstdout: {self.out}\nstderr: {self.err}"


class Command(ProcessProtocol):
    """A running `python -m ...`. `ended` fires with its `Outcome`; it is killed after `limit` seconds.

    `env`: variables of its environment beside ours.
    """

    def __init__(
        self,
        reactor: Any,
        arguments: list[str],
        limit: float,
        env: Mapping[str, str] | None = None,
        **spawn: Any,
    ) -> None:
        self.reactor = reactor
        self.out = b""
        self.err = b""
        self.ended: Deferred[Outcome] = Deferred()
        self._waiting: list[tuple[Callable[[Command], bool], Deferred[None]]] = []
        self._began = reactor.seconds()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(env or {})}
        self.process = reactor.spawnProcess(
            self, sys.executable, [sys.executable, *arguments], environment, **spawn
        )
        self._timer = reactor.callLater(limit, self.kill)

    def outReceived(self, data: bytes) -> None:
        self.out += data
        self._look()

    def errReceived(self, data: bytes) -> None:
        self.err += data
        self._look()

    def until(self, ready: Callable[[Command], bool]) -> Deferred[None]:
        """Fires when its output satisfies `ready`, or it ended."""
        waiting: Deferred[None] = Deferred()
        self._waiting.append((ready, waiting))
        self._look()
        return waiting

    def signal(self, name: str | int) -> None:
        """Send it a signal, as "INT" or signal.SIGUSR1."""
        try:
            self.process.signalProcess(name)
        except ProcessExitedAlready:
            pass

    def kill(self) -> None:
        """End it at once."""
        self.signal("KILL")

    def processEnded(self, reason: Failure) -> None:
        if self._timer.active():
            self._timer.cancel()
        value: Any = reason.value
        status = value.exitCode if value.exitCode is not None else 128 + (value.signal or 0)
        out, err = self.out.decode(errors="replace"), self.err.decode(errors="replace")
        results = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        self.ended.callback(Outcome(status, self.reactor.seconds() - self._began, out, err, results))
        self._look()

    def _look(self) -> None:
        for entry in list(self._waiting):
            if self.ended.called or entry[0](self):
                self._waiting.remove(entry)
                entry[1].callback(None)


def start(reactor: Any, *arguments: str, limit: float = 30.0, **spawn: Any) -> Command:
    """`functorrent ARGUMENTS`, running. A fetch that names no DHT nodes has no DHT: the world's is no place
    for tests."""
    if arguments[:1] == ("fetch",) and not any(each.startswith("--dht") for each in arguments):
        arguments = (*arguments, "--no-dht")
    return Command(reactor, ["-m", "functorrent", *arguments], limit, **spawn)


async def fetch(reactor: Any, folder: Path, *arguments: str, limit: float = 30.0, **spawn: Any) -> Outcome:
    """`functorrent fetch ARGUMENTS -o folder --allow-local --json`, ended."""
    command = start(
        reactor, "fetch", *arguments, "-o", str(folder), "--allow-local", "--json", limit=limit, **spawn
    )
    return await command.ended


def torrent(path: str | Path) -> tuple[bytes, dict[bytes, Value]]:
    """The raw info dictionary of a .torrent file, and the rest of the file decoded."""
    data = Path(path).read_bytes()
    begin, end = raw_span(data, b"info")
    rest = decode(data[:begin] + b"de" + data[end:])
    assert isinstance(rest, dict)
    return data[begin:end], rest


def check_file(
    outcome: Outcome, info: bytes, trackers: tuple[str, ...] | None = None, seconds: float = 10.0
) -> dict[str, Any]:
    """Assert that one magnet was fetched into a file that is right, in time. Returns its result.

    `trackers`: the announce list the file must have, each a tier of its own; None: not looked at.
    """
    assert outcome.status == 0, outcome
    (result,) = outcome.results
    assert result["status"] == "fetched", outcome
    found, rest = torrent(result["file"])
    assert sha1(found).digest() == sha1(info).digest(), outcome
    assert result["infohash"] == sha1(info).hexdigest()
    if trackers is not None:
        announced = [url.encode() for url in trackers]
        assert rest.get(b"announce") == (announced[0] if announced else None), rest
        listed = [[url] for url in announced] if len(announced) > 1 else None
        assert rest.get(b"announce-list") == listed, rest
    assert outcome.seconds < seconds, outcome
    # No traceback ever reaches a user.
    assert "Traceback" not in outcome.err, outcome
    return dict(result)
