"""What tests of the command and the daemon share: folders of their own, magnets, and fakes."""

from __future__ import annotations

import shutil
import tempfile
from hashlib import sha1
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from functorrent.commands.console import Console
from functorrent.errors import FetchFailed, OutputError
from functorrent.fetch.core import Stats
from functorrent.fetch.report import FetchReport
from functorrent.fetch.result import Metadata
from functorrent.limits import Limits
from functorrent.metainfo import summarize


class FolderTestCase(SynchronousTestCase):
    """A test with a folder of its own, outside the checkout."""

    def folder(self) -> str:
        path = tempfile.mkdtemp(prefix="functorrent-test-")
        self.addCleanup(shutil.rmtree, path, True)
        return path


def infohash(number: int) -> bytes:
    return sha1(b"%d" % number).digest()


def magnet(number: int, extra: str = "") -> str:
    return f"magnet:?xt=urn:btih:{infohash(number).hex()}{extra}"


def metadata(number: int, name: str = "thing") -> Metadata:
    """Not what hashes right: the fakes do not look."""
    info = b"d6:lengthi5e4:name%d:%s12:piece lengthi16384e6:pieces20:%se" % (
        len(name.encode()),
        name.encode(),
        infohash(number),
    )
    report = FetchReport(seconds=1.5)
    return Metadata(infohash(number), info, b"d4:info" + info + b"e", name, report, summarize(info))


def failed(reason: str) -> FetchFailed:
    return FetchFailed(FetchReport(reason=reason, seconds=2.0))


class FakeFolder:
    """A TorrentFolder in memory. `there`: what existed before; `full`: nothing can be written."""

    def __init__(self, there: tuple[int, ...] = (), full: bool = False) -> None:
        self.there = {infohash(number) for number in there}
        self.full = full
        self.written: list[tuple[bytes, str, bytes]] = []

    def existing(self, infohash: bytes, name: str | None = None) -> str | None:
        return f"out/{infohash.hex()}.torrent" if infohash in self.there else None

    def write(self, infohash: bytes, name: str, torrent_bytes: bytes) -> str:
        if self.full:
            raise OutputError("out: no space left on device")
        self.written.append((infohash, name, torrent_bytes))
        return f"out/{infohash.hex()}.torrent"


class FakeCore:
    def __init__(self, clock: Any) -> None:
        self.clock = clock


class FakeFetcher:
    """A Fetcher whose fetches end when the test says so."""

    def __init__(self, clock: Any) -> None:
        self.core = FakeCore(clock)
        self.limits = Limits()
        self.starting: Deferred[None] = Deferred()
        self.fetches: dict[bytes, Deferred[Metadata]] = {}
        self.joined: list[Any] = []
        self.order: list[bytes] = []
        self.stopping: Deferred[None] = succeed(None)
        self.stopped = 0
        self.stats = Stats()

    def start(self) -> Deferred[None]:
        return self.starting

    def fetch(self, magnet: Any, released: Any = None) -> Deferred[Metadata]:
        fetch: Deferred[Metadata] = Deferred()
        key = magnet.infohash or magnet.infohash_v2
        self.fetches[key] = fetch
        self.order.append(key)
        return fetch

    def join(self, magnet: Any) -> bool:
        self.joined.append(magnet)
        return magnet.infohash in self.fetches

    def stop(self) -> Deferred[None]:
        self.stopped += 1
        return self.stopping

    def succeed(self, number: int, **kept: Any) -> None:
        self.fetches.pop(infohash(number)).callback(metadata(number, **kept))

    def fail(self, number: int, error: Exception) -> None:
        self.fetches.pop(infohash(number)).errback(Failure(error))


class Screen:
    """A Console whose stdout and stderr are lists of lines."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._err = bytearray()
        self.console = Console(self._out.extend, self._err.extend)

    @property
    def out(self) -> list[str]:
        self.console.flush()
        return self._out.decode().splitlines()

    @property
    def err(self) -> list[str]:
        return self._err.decode().splitlines()
