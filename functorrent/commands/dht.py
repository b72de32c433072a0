"""`functorrent dht get-peers|ping|nodes`: questions to the DHT, for people who look into things."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from functorrent.cli import OK, SOME_FAILED
from functorrent.commands.console import Console
from functorrent.commands.live import live, options_of_command, stop
from functorrent.commands.parser import Parser
from functorrent.commands.sources import cache_folder, dht_settings
from functorrent.errors import DhtSilent, FunctorrentError, UsageError
from functorrent.interfaces import PeerAddress
from functorrent.magnet import Magnet
from functorrent.options import add_arguments, decimal, fetch_settings, peer
from functorrent.text import plural, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from functorrent.wire.krpc import NodeInfo

#: The options of `functorrent fetch` that a DHT node of our own is made with.
OPTIONS = frozenset(("dht-bootstrap", "dht-rate", "allow-local"))
_USAGE = (
    "say what to ask the DHT: functorrent dht get-peers MAGNET, dht ping HOST:PORT, or dht nodes [INFOHASH]"
)
#: Seconds that each may take, where --timeout does not say otherwise.
_TIMEOUTS = {"get-peers": 60.0, "ping": 10.0, "nodes": 60.0}
#: Pings until a node counts as silent.
_TRIES = 3


def dht(arguments: list[str], load_reactor: Callable[[], Any]) -> int:
    """Run the command and return its exit status. Raises FunctorrentError."""
    word, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if word in ("--help", "-h"):
        sys.stdout.write(_HELP)
        return OK
    runner = {"get-peers": _get_peers, "ping": _ping, "nodes": _nodes}.get(word)
    if runner is None:
        raise UsageError(_USAGE)
    return runner(rest, load_reactor)


_HELP = """\
usage: functorrent dht get-peers [OPTIONS] MAGNET   the peers that the DHT knows for an infohash
       functorrent dht ping [OPTIONS] HOST:PORT     whether there is a DHT node
       functorrent dht nodes [OPTIONS] [INFOHASH]   the nodes closest to it, or those of our routing table
`functorrent dht get-peers --help` lists the options; --json prints one JSON object.
exit status: 0 something was found, 1 nothing, 2 wrong usage
"""


def _options(word: str, description: str, rest: list[str], **positional: Any) -> dict[str, Any]:
    parser = Parser(f"dht {word}", description)
    parser.add_argument("what", **positional)
    add_arguments(parser, only=OPTIONS)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    seconds = decimal(0.1, 3600, "seconds")
    most = _TIMEOUTS[word]
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        default=most,
        help=f"time for all of it (default: {most:g})",
    )
    return options_of_command(parser.parse_intermixed_args(rest))


def _infohash(text: str) -> bytes:
    """What a magnet or an infohash is looked for by in the DHT: bytes of 20. Raises InvalidMagnet."""
    magnet = Magnet.parse(os.fsencode(text).decode("utf-8", "replace"))
    # A v2 torrent goes by the first bytes of its infohash (BEP 52).
    return magnet.wire_infohash


# -- the three -------------------------------------------------------------------------------


def _get_peers(rest: list[str], load_reactor: Callable[[], Any]) -> int:
    values = _options(
        "get-peers",
        "Look for the peers of an infohash in the DHT (BEP 5), and say what that took. Nobody is told of us.",
        rest,
        metavar="MAGNET",
        help="infohash, or magnet link (in quotes)",
    )
    infohash = _infohash(values["what"])
    console = Console.standard()

    async def work(asking: Asking) -> int:
        return await asking.get_peers(infohash)

    return _ask(values, console, load_reactor, work, cache_folder(os.environ))


def _ping(rest: list[str], load_reactor: Callable[[], Any]) -> int:
    values = _options(
        "ping",
        "Ask whether there is a DHT node (BEP 5).",
        rest,
        metavar="HOST:PORT",
        help="as router.example:6881 or [2001:db8::1]:6881",
    )
    host, port = peer(values["what"])
    console = Console.standard()

    async def work(asking: Asking) -> int:
        return await asking.ping(host, port)

    # Nothing but this one node is asked.
    return _ask(values, console, load_reactor, work, None, bootstrap=())


def _nodes(rest: list[str], load_reactor: Callable[[], Any]) -> int:
    values = _options(
        "nodes",
        "List the DHT nodes closest to an infohash that answer; without one, our routing table after it was "
        "filled (bootstrap).",
        rest,
        metavar="INFOHASH",
        nargs="?",
        help="infohash, magnet link, or node id (40 hex digits)",
    )
    target = None if values["what"] is None else _infohash(values["what"])
    console = Console.standard()

    async def work(asking: Asking) -> int:
        return await asking.nodes(target)

    return _ask(values, console, load_reactor, work, cache_folder(os.environ))


def _ask(
    values: dict[str, Any],
    console: Console,
    load_reactor: Callable[[], Any],
    work: Callable[[Asking], Any],
    folder: str | None,
    **more: Any,
) -> int:
    """Run `work` with a DHT node of our own, which answers nobody: it is gone in a moment."""
    settings = fetch_settings({**values, "listen": ["off"]})

    async def run(reactor: Any) -> int:
        from functorrent.fetch.fetcher import Fetcher
        from functorrent.sources.dht.source import DhtSourceMaker

        maker = DhtSourceMaker(dht_settings({**values, "dht-read-only": True}, folder, **more))
        fetcher = Fetcher(reactor, settings, sources=[maker], plugins=False)
        try:
            await fetcher.start()
            sources: list[Any] = [each for each in fetcher.core.sources if each.name == maker.name]
            status: int = await work(Asking(fetcher.core, sources[0].node, console, values))
            return status
        finally:
            await stop(fetcher)

    return live(console, load_reactor, run)


class Asking:
    """Asks one DhtNode and says what it answered. `core`: with `clock` and `resolver`. Cancellable."""

    def __init__(self, core: Any, node: Any, console: Console, values: dict[str, Any]) -> None:
        self._core = core
        self._node = node
        self._console = console
        self._json = bool(values["json"])
        self._timeout: float = values["timeout"]

    async def get_peers(self, infohash: bytes) -> int:
        """List peers as they come, then what the lookup took."""
        found: dict[PeerAddress, None] = {}

        def more(peers: Iterable[PeerAddress]) -> None:
            for address in peers:
                if address not in found:
                    found[address] = None
                    if not self._json:
                        self._console.result(str(address))

        # Cancelled, by the time limit or by Ctrl-C, it gives the report so far.
        lookup = self._node.get_peers(infohash, more)
        timer = self._core.clock.callLater(self._timeout, lookup.cancel)
        try:
            report = await lookup
        finally:
            if timer.active():
                timer.cancel()
        if self._json:
            self._tell(
                {
                    "infohash": infohash.hex(),
                    "peers": [_address(each) for each in found],
                    "asked": report.asked,
                    "answered": report.answered,
                    "hops": report.hops,
                    "packets": report.packets,
                    "seconds": round(report.seconds, 3),
                    "nodes": [_node(each) for each in report.closest],
                }
            )
        else:
            self._console.flush()
            self._console.say(
                f"functorrent: {plural(len(found), 'peer')}; {plural(report.asked, 'node')} asked, "
                f"{report.answered:,} answered; {plural(report.hops, 'hop')}, "
                f"{plural(report.packets, 'packet')}, {report.seconds:.2f} s"
            )
        return OK if found else SOME_FAILED

    async def ping(self, host: str, port: int) -> int:
        """Ask the one node."""
        from functorrent.sources.dht.ids import complies

        shown = str(PeerAddress(printable(host), port))
        try:
            literal = (await self._core.resolver.resolve(host, trusted=True))[0]
            pong = await self._pong(PeerAddress(literal, port))
        except DhtSilent:
            return self._no_answer(shown, "it does not answer")
        except FunctorrentError as error:
            return self._no_answer(shown, str(error))
        if pong is None:
            return self._no_answer(shown, f"no answer within {self._timeout:g} s")
        fits = complies(pong.node_id, literal)
        if self._json:
            self._tell(
                {
                    "host": literal,
                    "port": port,
                    "id": pong.node_id.hex(),
                    "complies": fits,
                    "seconds": round(pong.seconds, 4),
                    "version": None if pong.version is None else printable(pong.version),
                    "external": None if pong.external is None else _address(pong.external),
                    "error": None,
                }
            )
            return OK
        told = f"{PeerAddress(literal, port)}\t{pong.node_id.hex()}\t{pong.seconds * 1000:.1f} ms"
        if pong.version is not None:
            told += f"\t{printable(pong.version)}"
        self._console.result(told)
        if not fits:
            self._console.say("functorrent: its id is not one of its address (BEP 42)")
        if pong.external is not None:
            self._console.say(f"functorrent: it sees us at {pong.external}")
        return OK

    async def _pong(self, address: PeerAddress) -> Any:
        """What a ping brings, or None where that takes too long. Raises DhtSilent."""
        end = self._core.clock.seconds() + self._timeout
        for _ in range(_TRIES - 1):
            try:
                return await self._in_time(self._node.ping(address), end)
            except DhtSilent:
                # A datagram is soon lost, and the node may be slower than is waited for at first.
                continue
        return await self._in_time(self._node.ping(address), end)

    def _no_answer(self, shown: str, words: str) -> int:
        if self._json:
            host, _, port = shown.rpartition(":")
            told = dict.fromkeys(
                ("host", "port", "id", "complies", "seconds", "version", "external", "error")
            )
            self._tell({**told, "host": host.strip("[]"), "port": int(port), "error": words})
        else:
            self._console.say(f"functorrent: {shown}: {words}")
        return SOME_FAILED

    async def nodes(self, target: bytes | None) -> int:
        """List the nodes closest to `target`, or those of the tables."""
        found: list[NodeInfo]
        end = self._core.clock.seconds() + self._timeout
        await self._in_time(self._node.ready, end)
        if target is None:
            found = [node for table in self._node.tables if table is not None for node in table]
        else:
            # Cancelled, it gives those so far.
            looking = self._node.find_node(target)
            timer = self._core.clock.callLater(max(0.0, end - self._core.clock.seconds()), looking.cancel)
            try:
                found = list(await looking)
            finally:
                if timer.active():
                    timer.cancel()
        if self._json:
            self._tell(
                {"target": None if target is None else target.hex(), "nodes": [_node(each) for each in found]}
            )
        else:
            for each in found:
                self._console.result(f"{each.id.hex()}\t{each.address}")
            self._console.flush()
            self._console.say(f"functorrent: {plural(len(found), 'node')}")
        return OK if found else SOME_FAILED

    async def _in_time(self, asked: Any, end: float) -> Any:
        """What it gives, or None where it has not by then."""
        from twisted.internet.defer import TimeoutError

        asked.addTimeout(max(0.0, end - self._core.clock.seconds()), self._core.clock)
        try:
            return await asked
        except TimeoutError:
            return None

    def _tell(self, told: dict[str, Any]) -> None:
        self._console.result(json.dumps(told))


def _address(address: PeerAddress) -> dict[str, Any]:
    return {"host": address.host, "port": address.port}


def _node(node: NodeInfo) -> dict[str, Any]:
    return {"id": node.id.hex(), **_address(node.address)}
