"""`functorrent peers`: the peers that each source yields for a magnet, as they come. Nobody is dialed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from functorrent.cli import OK, SOME_FAILED, WallClock
from functorrent.commands.console import Console
from functorrent.commands.live import live, options_of_command, stop
from functorrent.commands.parser import Parser
from functorrent.commands.sources import cache_folder, source_makers
from functorrent.errors import AddressNotAllowed
from functorrent.interfaces import IPeerSink, PeerAddress, SourceReport
from functorrent.magnet import Magnet
from functorrent.options import add_arguments, fetch_settings
from functorrent.text import plural, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from functorrent.addresses import AddressGuard

#: The options of `functorrent fetch` that are about sources.
OPTIONS = frozenset(
    (
        "tracker", "timeout", "allow-local", "no-dht", "dht-bootstrap", "dht-read-only", "dht-rate", "lsd",
        "extra-trackers",
    )
)  # fmt: skip
#: Peers listed of one source: no honest one has so many, and a liar should not fill memory.
_MOST = 100_000


def peers(arguments: list[str], load_reactor: Callable[[], Any]) -> int:
    """Run the command and return its exit status. Raises FunctorrentError."""
    parser = Parser(
        "peers",
        "List the peers that trackers, the DHT and other sources name for a magnet, as they come. They are "
        "not connected to, so what peers know of each other (PEX) is not there.",
    )
    parser.add_argument("magnet", metavar="MAGNET", help="magnet link (in quotes) or infohash")
    add_arguments(parser, only=OPTIONS)
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each peer")
    parser.add_argument("--quiet", "-q", action="store_true", help="no summary")
    values = options_of_command(parser.parse_intermixed_args(arguments))
    magnet = Magnet.parse(os.fsencode(values["magnet"]).decode("utf-8", "replace"))
    # Who only looks is not there to be called.
    settings = fetch_settings({**values, "listen": ["off"]})
    console = Console.standard()

    def make_fetcher(reactor: Any) -> Any:
        from functorrent.fetch.fetcher import Fetcher

        makers = source_makers(values, cache_folder(os.environ), WallClock(), lsd=values["lsd"])
        return Fetcher(reactor, settings, sources=makers)

    listing = Listing(magnet, console, as_json=values["json"], quiet=values["quiet"])
    return live(console, load_reactor, lambda reactor: listing.run(make_fetcher(reactor)))


class Listing:
    """One run: every source is asked once, and each peer of each is a line."""

    def __init__(self, magnet: Magnet, console: Console, *, as_json: bool, quiet: bool) -> None:
        self._magnet = magnet
        self._console = console
        self._as_json = as_json
        self._quiet = quiet
        self._peers: set[PeerAddress] = set()
        self._refused = 0
        self._reports: list[SourceReport] = []
        self._began = 0.0
        self._clock: Any = None

    async def run(self, fetcher: Any) -> int:
        """Ask the sources of a Fetcher, which is started and stopped. Returns the exit status.

        Cancelled, it says what was found so far.
        """
        from twisted.internet.defer import CancelledError, Deferred, DeferredList

        self._clock = clock = fetcher.core.clock
        timeout: float = fetcher.settings.timeout
        timed_out = False
        try:
            await fetcher.start()
            self._began = clock.seconds()
            magnet = _with_trackers(self._magnet, fetcher.settings.trackers)
            lookups: list[Deferred[Any]] = [
                self._find(source, magnet, fetcher.core.guard) for source in fetcher.core.sources
            ]

            def end() -> None:
                nonlocal timed_out
                timed_out = True
                for lookup in lookups:
                    lookup.cancel()

            timer = clock.callLater(timeout, end)
            # Of its own: a DeferredList that is cancelled fires as if all were well.
            done: Deferred[None] = Deferred()
            DeferredList(lookups).addCallback(lambda _: done.callback(None))
            try:
                await done
            except CancelledError:
                for lookup in lookups:
                    lookup.cancel()
                self._sum_up("interrupted")
                raise
            finally:
                if timer.active():
                    timer.cancel()
            self._sum_up(f"stopped after {timeout:g} s" if timed_out else None)
        finally:
            await stop(fetcher)
        return OK if self._peers else SOME_FAILED

    def _find(self, source: Any, magnet: Magnet, guard: AddressGuard) -> Any:
        from twisted.internet.defer import maybeDeferred

        sink = _Sink(guard, lambda addresses: self._found(source.name, addresses), self._not_allowed)
        return maybeDeferred(source.find, magnet, sink).addCallbacks(
            self._reports.append, lambda failure: self._broke(source.name, failure)
        )

    def _broke(self, name: str, failure: Any) -> None:
        from twisted.internet.defer import CancelledError

        if not failure.check(CancelledError):
            self._console.say(
                f"functorrent: the source {printable(name)} failed: {printable(str(failure.value))}"
            )

    def _not_allowed(self) -> None:
        self._refused += 1

    def _found(self, name: str, addresses: Iterable[PeerAddress]) -> None:
        seconds = round(self._clock.seconds() - self._began, 3)
        for address in addresses:
            self._peers.add(address)
            if self._as_json:
                told = {"host": address.host, "port": address.port, "source": name, "seconds": seconds}
                self._console.result(json.dumps(told))
            else:
                self._console.result(f"{address}\t{printable(name)}")

    def _sum_up(self, end: str | None) -> None:
        self._console.flush()
        if self._quiet:
            return
        from functorrent.fetch.report import empty_counts, explain

        trackers = [tracker for report in self._reports for tracker in report.trackers]
        others = [report for report in self._reports if not report.trackers]
        named = sum(report.peers for report in self._reports)
        parts = [
            f"{plural(len(self._peers), 'peer')} found",
            explain(trackers, {**empty_counts(), "found": named}, others),
        ]
        if self._refused:
            parts.append(
                f"{plural(self._refused, 'peer')} at addresses that are not allowed left out (--allow-local)"
            )
        if end is not None:
            parts.append(end)
        self._console.say(f"functorrent: {'; '.join(parts)}")


@implementer(IPeerSink)
class _Sink:
    """Takes in the peers of one source."""

    #: What a source keeps back until it is needed is wanted, too.
    hungry = True

    def __init__(
        self,
        guard: AddressGuard,
        found: Callable[[list[PeerAddress]], None],
        refused: Callable[[], None],
    ) -> None:
        self._guard = guard
        self._found = found
        self._refused = refused
        self._known: set[PeerAddress] = set()

    def peers(
        self, addresses: Iterable[PeerAddress], *, hearsay: bool = False, on_link: bool = False
    ) -> None:
        """Further peers; each is told once."""
        new = []
        for address in addresses:
            if address in self._known or len(self._known) >= _MOST:
                continue
            self._known.add(address)
            try:
                self._guard.check(*address, trusted=on_link)
            except AddressNotAllowed:
                self._refused()
            else:
                new.append(address)
        if new:
            self._found(new)

    def whole(self, info_bytes: bytes) -> bool:
        """An info dictionary is nothing that is looked for here."""
        return False


def _with_trackers(magnet: Magnet, trackers: tuple[str, ...]) -> Magnet:
    """`magnet` with the trackers that the user typed, too."""
    known = set(magnet.all_trackers())
    further = tuple((url,) for url in trackers if url not in known)
    return replace(magnet, trackers=magnet.trackers + further) if further else magnet
