"""The daemon's HTTP side on a store in memory, in a process of its own, steered by lines of JSON on stdin.

The test plays the workers: it says what is fetched and what fails, when, and why. One line of JSON
on stdout answers each line on stdin: ``{"do": NAME, ...}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha1
from time import time
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineOnlyReceiver

from functorrent.magnet import Magnet
from functorrent.store.jobs import NewJob, Result
from functorrent.testing.samples import sample_magnet
from functorrent.testing.store import memory_store
from functorrent.web.context import WebContext
from functorrent.web.page.routes import page_routes
from functorrent.web.site import make_site
from functorrent.wire.bencode import encode
from tests.web.fakes import StoreQueue

reactor: Any = _reactor
WORKER = "the test"


class Wall:
    def now(self) -> float:
        return time()


class Steering(LineOnlyReceiver):
    """What a test may ask for: the methods whose names begin with ``do_``."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 26

    def __init__(self) -> None:
        self.port: Any = None
        self.channels: list[Any] = []

    def lineReceived(self, line: bytes) -> None:
        asked = json.loads(line)
        answer = getattr(self, "do_" + asked.pop("do"))(**asked)
        self.sendLine(json.dumps(answer).encode())

    def connectionLost(self, reason: Any = None) -> None:
        if reactor.running:
            reactor.stop()

    # -- what a test may ask for ----------------------------------------------------------------

    def do_fresh(self, token: str | None = None, dht: int | None = None) -> int:
        """An empty store behind a site of its own, from now on; the one before is gone. Its port.

        `dht`: so many nodes are known.
        """
        if self.port is not None:
            self.do_away()
        self.store = memory_store(Wall())
        self.minutes: list[Mapping[str, Any]] = []
        self.token = token
        self.dht = None if dht is None else {"nodes": dht}
        self._make_site()
        self.port = reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self.number: int = self.port.getHost().port
        return self.number

    def _make_site(self) -> None:
        context = WebContext(
            reactor,
            Wall(),
            self.store,
            StoreQueue(self.store),
            "0.1.0",
            token=self.token,
            dht=lambda: self.dht,
            minutes=lambda: self.minutes,
            pages=(page_routes,),
        )
        self.site: Any = make_site(context)
        build = self.site.buildProtocol
        self.site.buildProtocol = lambda address: self.channels.append(build(address)) or self.channels[-1]

    def do_submit(self, magnets: Sequence[str]) -> int:
        """Accept these, in one transaction."""
        jobs = [NewJob(Magnet.parse(text)) for text in magnets]
        return len(result(self.store.submit(jobs)))

    def do_many(self, count: int, word: str = "item") -> int:
        """Accept so many, with names, as a post of so many lines would be."""
        for begin in range(0, count, 5000):
            numbers = range(begin, min(count, begin + 5000))
            self.do_submit([f"magnet:?xt=urn:btih:{key_of(word, n)}&dn={word}+{n:06d}" for n in numbers])
        return count

    def do_torrent(self, name: str, files: Sequence[Any] = ((["file"], 1000),)) -> dict[str, str]:
        """The magnet of a torrent with these files ((path, size)), and its info dictionary for `fetched`."""
        info = info_of(name, files)
        return {
            "key": sha1(info).hexdigest(),
            "magnet": sample_magnet(info, name=name, trackers=["udp://tracker.example:6969/announce"]),
            "info": info.hex(),
        }

    def do_begin(self, key: str) -> bool:
        """A worker takes it."""
        return result(self.store.claim_one(WORKER, bytes.fromhex(key), 600.0)) is not None

    def do_fetched(self, info: str, name: str, files: Sequence[Any], report: Mapping[str, Any]) -> bool:
        """It is here."""
        data = bytes.fromhex(info)
        key = sha1(data).digest()
        self.do_begin(key.hex())
        size = sum(size for _, size in files)
        return result(
            self.store.fetched(WORKER, Result(key, data, name, size, len(files), False, 1.25, report))
        )

    def do_failed(self, key: str, report: Mapping[str, Any], again: float | None) -> bool:
        """A try has failed; the next one is in `again` seconds, or never."""
        self.do_begin(key)
        at = None if again is None else time() + again
        return result(self.store.failed(WORKER, bytes.fromhex(key), report, 3.5, at))

    def do_status(self, key: str) -> str | None:
        """What the store says of it."""
        job = result(self.store.job(bytes.fromhex(key)))
        return None if job is None else job.status

    def do_minutes(self, minutes: Sequence[Mapping[str, Any]]) -> None:
        """What /api/v1/stats tells of the last hour."""
        self.minutes = list(minutes)

    def do_away(self) -> None:
        """As if the daemon had been killed."""
        self.port.stopListening()
        for channel in self.channels:
            if channel is not None and channel.transport is not None:
                channel.transport.abortConnection()
        self.channels.clear()

    def do_back(self, anew: bool = False) -> None:
        """At the same port; `anew`: as another run of the daemon, which knows no event of the one before."""
        if anew:
            self._make_site()
        self.port = reactor.listenTCP(self.number, self.site, interface="127.0.0.1")


def result(asked: Deferred[Any]) -> Any:
    """What a Deferred of the store in memory has fired with already."""
    got: list[Any] = []
    asked.addBoth(got.append)
    if not got or hasattr(got[0], "raiseException"):
        raise AssertionError(got)
    return got[0]


def key_of(word: str, number: int) -> str:
    return sha1(f"{word} {number}".encode()).hexdigest()


def info_of(name: str, files: Sequence[Any]) -> bytes:
    """An info dictionary whose content does not exist."""
    return encode(
        {
            "files": [{"length": size, "path": list(path)} for path, size in files],
            "name": name,
            "piece length": 16_384,
            "pieces": sha1(name.encode()).digest(),
        }
    )


def main() -> None:
    reactor.callWhenRunning(StandardIO, Steering())
    reactor.run()


if __name__ == "__main__":
    main()
