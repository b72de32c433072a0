"""What the tests of daemon/ share: a wall clock, a fetcher that does what a test says, a store that fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from functorrent.errors import FetchFailed, StoreFull, UnsupportedMagnet
from functorrent.fetch.report import FetchReport
from functorrent.fetch.result import Metadata
from functorrent.fetch.settings import FetchSettings
from functorrent.interfaces import IWallClock
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.magnet import Magnet
from functorrent.metainfo import summarize, torrent_bytes
from functorrent.store.jobs import NewJob
from functorrent.testing import sample_info, sample_magnet

NOW = 1_700_000_000.0


def info(number: int) -> bytes:
    """One of many info dictionaries."""
    return sample_info(2_000, f"torrent {number}")


def text(number: int, **more: Any) -> str:
    """Its magnet."""
    return sample_magnet(info(number), **more)


def magnet(number: int, **more: Any) -> Magnet:
    return Magnet.parse(text(number, **more))


def key(number: int) -> bytes:
    infohash = magnet(number).infohash
    assert infohash is not None
    return infohash


def job(number: int, priority: int = 0, **more: Any) -> NewJob:
    return NewJob(magnet(number, **more), priority)


@implementer(IWallClock)
class Wall:
    """The time of day: NOW and what the clock says, and what a test adds."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.added = 0.0

    def now(self) -> float:
        return NOW + self.clock.seconds() + self.added


class Core:
    def __init__(self, clock: Any) -> None:
        self.clock = clock


class ScriptedFetcher:
    """A Fetcher whose fetches end when the test says so."""

    def __init__(self, clock: Any, limits: Limits = DEFAULT_LIMITS, **settings: Any) -> None:
        self.core = Core(clock)
        self.settings = FetchSettings(**settings)
        self.limits = replace(limits, jobs=self.settings.jobs, timeout=self.settings.timeout)
        self.starting: Deferred[None] = succeed(None)
        self.stopping: Deferred[None] = succeed(None)
        self.fetches: dict[bytes, Deferred[Metadata]] = {}
        self.magnets: dict[bytes, Magnet] = {}
        #: The keys of all fetches, in the order in which they were begun.
        self.order: list[bytes] = []
        self.joined: list[Magnet] = []
        self.recalled: list[tuple[bytes, Mapping[str, Any]]] = []
        self.lessons: dict[bytes, dict[str, Any]] = {}
        self.releases: dict[bytes, Callable[[], None]] = {}
        self.stopped = 0

    def start(self) -> Deferred[None]:
        return self.starting

    def stop(self) -> Deferred[None]:
        self.stopped += 1
        return self.stopping

    def fetch(self, magnet: Magnet, released: Any = None) -> Deferred[Metadata]:
        if magnet.infohash is None:
            return fail(UnsupportedMagnet("v2 alone"))
        infohash = magnet.infohash
        assert infohash not in self.fetches, "fetched twice at once"

        def cancelled(fetch: Deferred[Metadata]) -> None:
            self.fetches.pop(infohash, None)
            fetch.errback(Failure(FetchFailed(FetchReport(reason="interrupted"))))

        fetch: Deferred[Metadata] = Deferred(cancelled)
        self.fetches[infohash] = fetch
        self.magnets[infohash] = magnet
        self.order.append(infohash)
        self.releases[infohash] = released
        return fetch

    def join(self, magnet: Magnet) -> bool:
        self.joined.append(magnet)
        return magnet.infohash in self.fetches

    def learned(self, infohash: bytes, now: float) -> dict[str, Any] | None:
        return self.lessons.get(infohash)

    def recall(self, infohash: bytes, learned: Mapping[str, Any], now: float) -> None:
        self.recalled.append((infohash, learned))

    # -- what a test says ----------------------------------------------------------------------

    def succeed(self, *numbers: int) -> None:
        for number in numbers:
            raw = info(number)
            summary = summarize(raw)
            torrent = torrent_bytes(raw, self.magnets[key(number)])
            report = FetchReport(seconds=1.5)
            self.fetches.pop(key(number)).callback(
                Metadata(key(number), raw, torrent, summary.name, report, summary)
            )

    def fail(self, number: int, error: Exception | str = "nobody has it") -> None:
        if isinstance(error, str):
            error = FetchFailed(FetchReport(reason=error))
        self.fetches.pop(key(number)).errback(Failure(error))


class Flaky:
    """An IStore in front of another one, whose calls fail or wait as a test says."""

    def __init__(self, store: Any) -> None:
        self.store = store
        #: Names of methods that fail with StoreFull; those that wait, with what waits.
        self.broken: set[str] = set()
        self.held: dict[str, list[Callable[[], None]]] = {}
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)

        def call(*arguments: Any, **more: Any) -> Any:
            self.calls.append(name)
            if name in self.broken:
                return fail(StoreFull("no space is left for the store"))
            if name in self.held:
                waiting: Deferred[Any] = Deferred()
                self.held[name].append(lambda: method(*arguments, **more).chainDeferred(waiting))
                return waiting
            return method(*arguments, **more)

        return call

    def release_held(self, name: str) -> None:
        """Do what waits."""
        for do in self.held.pop(name):
            do()
