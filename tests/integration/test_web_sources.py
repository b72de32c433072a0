"""Web sources over real sockets: honest .torrent files, and all that may stand where one should."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from functorrent.errors import FetchFailed
from functorrent.fetch.fetcher import Fetcher
from functorrent.fetch.result import Metadata
from functorrent.fetch.settings import FetchSettings
from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS
from functorrent.magnet import Magnet
from functorrent.metainfo import Metainfo
from functorrent.sources.web import WebSourceMaker
from functorrent.testing import HTTPLie, ScriptedTracker, sample_info, sample_magnet, tracker_lies
from functorrent.wire.bencode import encode
from tests.integration.harness.command import Command, check_file
from tests.integration.harness.command import fetch as run_fetch
from tests.integration.harness.listening import Listening
from tests.integration.harness.programs import free_port, require_libtorrent

#: A torrent of somebody else's trackers, which must not get into our file.
HEAD = b"d8:announce33:http://other.example/ann?pass=key"
START = Callable[..., Fetcher]


def torrent(info: bytes) -> bytes:
    return HEAD + b"4:info" + info + b"e"


def magnet(info: bytes, *urls: str, key: str = "xs", **more: Any) -> Magnet:
    return Magnet.parse(sample_magnet(info, **more) + "".join(f"&{key}={url}" for url in urls))


class File(tracker_lies.Body):
    """A file there, perhaps packed."""

    def __init__(self, data: bytes, encoding: bytes | None = None) -> None:
        super().__init__(data)
        self.encoding = encoding

    def respond(self, request: Any) -> bytes:
        if self.encoding is not None:
            request.setHeader(b"Content-Encoding", self.encoding)
        return super().respond(request)


class Counted(HTTPLie):
    """Counts those who come here."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []

    def respond(self, request: Any) -> None:
        self.requests.append(request.uri)


@pytest_twisted.async_yield_fixture
async def start(reactor: Any) -> AsyncIterator[START]:
    """Starts a fetcher with web sources. In the end it is stopped, and must leave nothing."""
    running: list[Fetcher] = []

    def start(**settings: Any) -> Fetcher:
        limits = replace(DEFAULT_LIMITS, **settings.pop("limits", {}))
        settings = {"allow_local": True, "listen": ("off",), "timeout": 10.0, **settings}
        fetcher = Fetcher(
            reactor, FetchSettings(**settings), limits=limits, sources=[WebSourceMaker()], plugins=False
        )
        running.append(fetcher)
        fetcher.start()
        return fetcher

    yield start
    for fetcher in running:
        (source,) = [each for each in fetcher.core.sources if each.name == "web sources"]
        await fetcher.stop()
        downloads: Any = source._downloads  # type: ignore[attr-defined]
        assert (downloads._held, downloads._running, downloads._queues, downloads._timers) == (0, {}, {}, {})


async def fetch(reactor: Any, fetcher: Fetcher, link: Magnet) -> tuple[Metadata | FetchFailed, float]:
    """How it ended, and the seconds that took."""
    began = reactor.seconds()
    try:
        ended: Metadata | FetchFailed = await fetcher.fetch(link)
    except FetchFailed as error:
        ended = error
    return ended, reactor.seconds() - began


def check(ended: Metadata | FetchFailed, info: bytes, host: str = "127.0.0.1") -> Metadata:
    """It was fetched from there, and the file is the magnet's own."""
    assert isinstance(ended, Metadata), str(ended)
    assert ended.info_bytes == info
    assert b"other.example" not in ended.torrent_bytes
    assert ended.report.sources[-1].detail == f"{host} had the .torrent"
    counts = dict(ended.report.peers)
    assert counts.pop("found") == sum(counts.values())
    return ended


# -- honest ones -------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["xs", "as", "ws"])
@pytest_twisted.ensureDeferred
async def test_honest(reactor: Any, listening: Listening, start: START, key: str) -> None:
    info = sample_info(2_000, f"web {key}")
    url = listening.http(ScriptedTracker(), File(torrent(info))).replace("/announce", "/x.torrent")
    tracker = "udp://127.0.0.1:1/announce"
    ended, seconds = await fetch(reactor, start(), magnet(info, url, key=key, trackers=[tracker]))
    got = Metainfo.parse(check(ended, info).torrent_bytes)
    assert got.trackers == ((tracker,),)
    assert got.web_seeds == ((url,) if key == "ws" else ())
    assert seconds < 2


@pytest.mark.parametrize(
    ("size", "packed"), [(200, False), (200, True), (2_000_000, True), (30_000_000, False)]
)
@pytest_twisted.ensureDeferred
async def test_sizes(reactor: Any, listening: Listening, start: START, size: int, packed: bool) -> None:
    # Hashes do not repeat in real ones; what packs a thousandfold is a bomb.
    info = encode({"length": 1, "name": "x", "piece length": 16384, "pieces": _noise(size)})
    data = torrent(info)
    file = File(gzip.compress(data, 1), b"gzip") if packed else File(data)
    ended, seconds = await fetch(reactor, start(), magnet(info, listening.http(ScriptedTracker(), file)))
    check(ended, info)
    assert seconds < 5


def _noise(size: int) -> bytes:
    return b"".join(sha1(b"%d" % number).digest() for number in range(size // 20))


@pytest_twisted.ensureDeferred
async def test_hybrid(reactor: Any, tmp_path: Path, listening: Listening, start: START) -> None:
    """As libtorrent makes them, with piece layers behind the info dictionary."""
    require_libtorrent()
    import libtorrent as lt

    (tmp_path / "content").write_bytes(_noise(200_000))
    made = lt.create_torrent(lt.list_files(str(tmp_path / "content")), piece_size=16_384)
    lt.set_piece_hashes(made, str(tmp_path))
    made.add_tracker("http://other.example/announce")
    data = lt.bencode(made.generate())
    assert b"12:piece layersd" in data
    hashes = lt.torrent_info(data).info_hashes()
    v1, v2 = str(hashes.v1), str(hashes.v2)
    url = listening.http(ScriptedTracker(), File(data))
    link = Magnet.parse(f"magnet:?xt=urn:btih:{v1}&xt=urn:btmh:1220{v2}&xs={url}")
    ended, _ = await fetch(reactor, start(), link)
    assert isinstance(ended, Metadata), str(ended)
    parsed = Metainfo.parse(ended.torrent_bytes)
    assert (parsed.infohash or b"").hex() == v1 and (parsed.infohash_v2 or b"").hex() == v2
    assert parsed.trackers == ()


@pytest_twisted.ensureDeferred
async def test_odd_but_right(reactor: Any, listening: Listening, start: START) -> None:
    """Unsorted keys outside and inside: the hash decides, and the bytes are kept."""
    info = b"d4:name1:x6:lengthi5e12:piece lengthi16384e6:pieces20:" + b"\xff" * 20 + b"e"
    url = listening.http(ScriptedTracker(), File(b"d4:info" + info + b"8:announce1:x4:infodee\r\n"))
    ended, _ = await fetch(reactor, start(), magnet(info, url))
    check(ended, info)


@pytest_twisted.ensureDeferred
async def test_a_redirect(reactor: Any, listening: Listening, start: START) -> None:
    info = sample_info(2_000, "web redirect")
    there = listening.http(ScriptedTracker(), File(torrent(info)))
    here = listening.http(ScriptedTracker(), tracker_lies.RedirectTo(there))
    ended, _ = await fetch(reactor, start(), magnet(info, here))
    check(ended, info)


@pytest_twisted.ensureDeferred
async def test_nothing_holds_it_up(reactor: Any, listening: Listening, start: START) -> None:
    """Mute trackers and peers, and web sources that drip or hang: the one that has it ends the fetch."""
    info = sample_info(2_000, "web beside")
    urls = [
        listening.http(ScriptedTracker(), tracker_lies.NeverAnswers()),
        listening.http(ScriptedTracker(), File(torrent(info))),
    ]
    trackers = [
        listening.http(ScriptedTracker(), tracker_lies.NeverAnswers()),
        listening.udp(ScriptedTracker(), tracker_lies.Silent()),
    ]
    mute = listening.http(ScriptedTracker([PeerAddress("127.0.0.1", free_port())]))
    fetcher = start(limits={"web_source_patience": 0.3})
    ended, seconds = await fetch(reactor, fetcher, magnet(info, *urls, trackers=[*trackers, mute]))
    check(ended, info)
    assert 0.3 <= seconds < 1.0, seconds


@pytest_twisted.ensureDeferred
async def test_peers_win_too(reactor: Any, listening: Listening, start: START) -> None:
    """A web source that hangs holds up nothing, and its GET ends with the fetch."""
    info = sample_info(2_000, "web loses")
    url = listening.http(ScriptedTracker(), tracker_lies.NeverAnswers())
    peer = listening.seeder(info)
    ended, seconds = await fetch(reactor, start(), magnet(info, url, peers=[peer]))
    assert isinstance(ended, Metadata), str(ended)
    assert ended.report.sources[-1].detail == "127.0.0.1 had not answered yet"
    assert seconds < 1


@pytest_twisted.ensureDeferred
async def test_many_of_one_server(reactor: Any, listening: Listening, start: START) -> None:
    """300 magnets of one indexer, a few GETs at a time, over connections that are kept."""
    infos = [sample_info(200, f"bulk {number}") for number in range(300)]

    class Indexer(HTTPLie):
        connections: set[Any] = set()

        def respond(self, request: Any) -> bytes:
            self.connections.add(request.getClientAddress().port)
            return torrent(infos[int(request.uri.rpartition(b"/")[2])])

    url = listening.http(ScriptedTracker(), Indexer())
    fetcher = start()
    results = [fetcher.fetch(magnet(info, f"{url}/{number}")) for number, info in enumerate(infos)]
    for result in results:
        ended = await result
        assert ended.report.sources[-1].detail == "127.0.0.1 had the .torrent"
    assert len(Indexer.connections) < 30, len(Indexer.connections)


@pytest_twisted.ensureDeferred
async def test_the_command(reactor: Any, tmp_path: Path, listening: Listening) -> None:
    """Nobody is asked without --web-sources: a magnet's URL would tell its maker who fetches."""
    info = sample_info(2_000, "web command")
    counted = Counted()
    url = listening.http(ScriptedTracker(), counted, File(torrent(info)))
    link = sample_magnet(info) + f"&xs={url}&ws={url}.torrent"
    outcome = await run_fetch(reactor, tmp_path, link)
    assert (outcome.status, counted.requests) == (1, []), outcome
    outcome = await run_fetch(reactor, tmp_path, link, "--web-sources")
    result = check_file(outcome, info, ())
    assert len(counted.requests) == 1
    assert result["report"]["sources"] == [
        {"source": "web sources", "peers": 0, "detail": "127.0.0.1 had the .torrent"}
    ]


# -- others ------------------------------------------------------------------------------------


def _bomb() -> bytes:
    return gzip.compress(HEAD + b"4:info" + bytes(100_000_000))


#: What stands there, and what the report says.
LIES: dict[str, tuple[Callable[[Any, bytes], HTTPLie], str]] = {
    "another torrent": (
        lambda reactor, info: File(torrent(sample_info(2_000, "another"))),
        "the .torrent at 127.0.0.1 is another torrent",
    ),
    "endless torrent": (
        lambda reactor, info: tracker_lies.EndlessBody(HEAD + b"4:info" + b"l" * 60_000),
        "127.0.0.1 sent more than a .torrent file may have",
    ),
    "endless page": (lambda reactor, info: tracker_lies.EndlessBody(b"<"), "127.0.0.1 sent no .torrent file"),
    "gzip bomb": (
        lambda reactor, info: File(_bomb(), b"gzip"),
        "127.0.0.1 sent more than a .torrent file may have",
    ),
    "no gzip": (
        lambda reactor, info: File(torrent(info), b"gzip"),
        "127.0.0.1 failed: the response is no gzip",
    ),
    "brotli": (lambda reactor, info: File(b"d", b"br"), "127.0.0.1 failed: the response has an encoding"),
    "drip": (lambda reactor, info: tracker_lies.SlowBody(reactor, 0.2), "127.0.0.1 did not answer in time"),
    "mute": (lambda reactor, info: tracker_lies.NeverAnswers(), "127.0.0.1 did not answer in time"),
    "page": (lambda reactor, info: File(b"<!doctype html>no"), "127.0.0.1 sent no .torrent file"),
    "404": (
        lambda reactor, info: tracker_lies.Body(torrent(info), 404),
        "127.0.0.1 has no such torrent (404)",
    ),
    "cut short": (lambda reactor, info: File(torrent(info)[:-30]), "127.0.0.1 sent no .torrent file"),
    "deep": (lambda reactor, info: File(b"d4:info" + b"l" * 1_000_000), "127.0.0.1 sent no .torrent file"),
    "redirect loop": (
        lambda reactor, info: tracker_lies.RedirectLoop(),
        "127.0.0.1 failed: more than 3 redirects",
    ),
    "redirect to a file": (
        lambda reactor, info: tracker_lies.RedirectTo("file:///etc/passwd"),
        "127.0.0.1 failed: a redirect to something that is not",
    ),
    "escapes": (
        lambda reactor, info: tracker_lies.Body(b"\x1b[31m", 599),
        "127.0.0.1 answered with status 599",
    ),
}


@pytest.mark.parametrize("lie", LIES)
@pytest_twisted.ensureDeferred
async def test_liar(reactor: Any, listening: Listening, start: START, lie: str) -> None:
    """Alone, the fetch fails with words; with an honest one behind it, it is fetched."""
    make, words = LIES[lie]
    info = sample_info(2_000, f"web {lie}")
    liar = listening.http(ScriptedTracker(), make(reactor, info)) + "/0123456789abcdef?passkey=secret"
    honest = listening.http(ScriptedTracker(), File(torrent(info)))
    fetcher = start(max_metadata=1 << 22, limits={"web_source_timeout": 0.8})
    alone, seconds = await fetch(reactor, fetcher, magnet(info, liar))
    assert isinstance(alone, FetchFailed)
    assert str(alone).startswith(f"no trackers; {words}"), str(alone)
    assert "secret" not in str(alone) and "0123456789abcdef" not in str(alone)
    assert seconds < 5
    both, _ = await fetch(reactor, fetcher, magnet(info, liar, honest))
    check(both, info)


@pytest_twisted.ensureDeferred
async def test_forbidden_places(reactor: Any, listening: Listening, start: START) -> None:
    """Local ones without --allow-local; with it, a redirect to what no server has. Nobody there is asked."""
    info = sample_info(2_000, "web forbidden")
    counted = Counted()
    inside = listening.http(ScriptedTracker(), counted, File(torrent(info)))
    port = inside.rpartition(":")[2]
    guarded = start(allow_local=False)
    for url in (
        inside,
        f"http://localhost:{port}",
        f"http://[::ffff:7f00:1]:{port}",
        "http://169.254.169.254/",
    ):
        ended, _ = await fetch(reactor, guarded, magnet(info, url))
        assert isinstance(ended, FetchFailed)
        assert "a local address, refused without --allow-local" in str(ended), str(ended)
    local = start()
    for target in (f"http://0.0.0.0:{port}", f"http://224.0.0.1:{port}"):
        url = listening.http(ScriptedTracker(), tracker_lies.RedirectTo(target))
        ended, _ = await fetch(reactor, local, magnet(info, url))
        assert isinstance(ended, FetchFailed)
        assert str(ended).startswith("no trackers; 127.0.0.1 leads to "), str(ended)
    assert counted.requests == []


@pytest_twisted.ensureDeferred
async def test_nobody_there(reactor: Any, start: START) -> None:
    info = sample_info(2_000, "web nobody")
    ended, seconds = await fetch(reactor, start(), magnet(info, f"http://127.0.0.1:{free_port()}/x"))
    assert str(ended) == "no trackers; 127.0.0.1 failed: connection refused"
    assert seconds < 1


# -- memory and the reactor --------------------------------------------------------------------

SCRIPT = """
import json, sys, time
from twisted.internet import epollreactor; epollreactor.install()
from twisted.internet import reactor, task
from functorrent.fetch.fetcher import Fetcher
from functorrent.fetch.settings import FetchSettings
from functorrent.magnet import Magnet
from functorrent.sources.web import WebSourceMaker
settings = FetchSettings(allow_local=True, listen=("off",), timeout=60.0)
fetcher = Fetcher(reactor, settings, sources=[WebSourceMaker()], plugins=False)
gaps, last = [], [time.monotonic()]
def tick():
    now = time.monotonic(); gaps.append(now - last[0]); last[0] = now
def peak():
    # The rusage of a child begins with what its parent had.
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
async def run():
    await fetcher.start()
    magnets = [Magnet.parse(line) for line in sys.argv[1:]]
    try:
        await fetcher.fetch(magnets[0])
    except Exception:
        pass
    before = peak()
    task.LoopingCall(tick).start(0.005)
    last[0] = time.monotonic()
    told = []
    for each in [fetcher.fetch(magnet) for magnet in magnets[1:]]:
        try:
            await each
        except Exception as error:
            told.append(str(error))
    print(json.dumps({"kib": peak() - before, "gap": max(gaps), "told": told}))
    await fetcher.stop()
    reactor.stop()
from twisted.internet.defer import Deferred
reactor.callWhenRunning(lambda: Deferred.fromCoroutine(run()))
reactor.run()
"""


@pytest_twisted.ensureDeferred
async def test_memory_beside_endless_files(reactor: Any, listening: Listening) -> None:
    """Sixteen at once that never end, and bombs among them: bounded in all, and the reactor goes on."""
    flood = tracker_lies.EndlessBody(b"d4:info" + b"0:" * 100_000)
    bomb = listening.http(ScriptedTracker(), File(_bomb(), b"gzip"))
    # Each is a server of its own.
    urls = [listening.http(ScriptedTracker(), flood, host=f"127.0.1.{number}") for number in range(1, 13)]
    page = listening.http(ScriptedTracker(), File(b"<"))
    links = [
        sample_magnet(sample_info(200, f"memory {url}")) + f"&xs={url}"
        for url in [page, *urls, *(f"{bomb}/{number}" for number in range(4))]
    ]
    outcome = await Command(reactor, ["-c", SCRIPT, *links], 40).ended
    told = json.loads(outcome.out)
    assert len(told["told"]) == 16, outcome
    # 128 MiB of files (133,000 KiB were seen); without the bound in all it would be a GiB.
    assert told["kib"] < 180 * 1024, told
    assert told["gap"] < 1.0, told
