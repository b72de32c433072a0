"""Extra trackers over real sockets: opentracker, lists in files and on the web, and what is private."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import deferLater
from zope.interface import implementer

from functorrent.errors import FetchFailed
from functorrent.fetch.fetcher import Fetcher
from functorrent.fetch.result import Metadata
from functorrent.fetch.settings import FetchSettings
from functorrent.interfaces import IWallClock, PeerAddress
from functorrent.magnet import Magnet
from functorrent.metainfo import Metainfo
from functorrent.sources.extra import ExtraTrackersMaker
from functorrent.testing import HTTPLie, ScriptedTracker, sample_info, sample_magnet, tracker_lies
from functorrent.wire.bencode import encode
from tests.integration.harness.command import Command, check_file
from tests.integration.harness.command import fetch as run_fetch
from tests.integration.harness.libtorrent_seeder import LibtorrentSeeder
from tests.integration.harness.listening import Listening
from tests.integration.harness.opentracker import OpenTracker

START = Callable[..., Fetcher]
Tracker = Callable[..., OpenTracker]


@implementer(IWallClock)
class Wall:
    """A day that does not end."""

    def now(self) -> float:
        return 1_800_000_000.0


class Served(HTTPLie):
    """A list, or whatever else stands there."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.requests = 0

    def respond(self, request: Any) -> bytes:
        self.requests += 1
        return self.text.encode()


@pytest_twisted.async_yield_fixture
async def start(reactor: Any, tmp_path: Path) -> AsyncIterator[START]:
    """Starts a fetcher with extra trackers: of a file with these lines, or of a URL."""
    running: list[Fetcher] = []

    def start(*lines: str, url: str | None = None, **settings: Any) -> Fetcher:
        (tmp_path / "list.txt").write_text("\n\n".join(["# best", *lines]))
        maker = ExtraTrackersMaker(url or str(tmp_path / "list.txt"), str(tmp_path / "cache"), Wall())
        settings = {"allow_local": True, "timeout": 10.0, "linger": 0.2, **settings}
        fetcher = Fetcher(reactor, FetchSettings(**settings), sources=[maker], plugins=False)
        running.append(fetcher)
        fetcher.start()
        return fetcher

    yield start
    for fetcher in running:
        await fetcher.stop()


async def fetched(fetcher: Fetcher, info: bytes, magnet: str | None = None) -> Metadata:
    """The magnet of `info` (without trackers, where none is given), fetched."""
    metadata: Metadata = await fetcher.fetch(Magnet.parse(magnet or sample_magnet(info)))
    assert sha1(metadata.info_bytes).digest() == sha1(info).digest()
    return metadata


@pytest_twisted.ensureDeferred
async def test_found_through_an_extra_tracker(
    reactor: Any, honest: LibtorrentSeeder, opentracker: Tracker, start: START
) -> None:
    """A magnet without trackers; over UDP and HTTP. The .torrent has none either, the report has them."""
    for kind in ("udp", "http"):
        info = sample_info(20_000, f"extra {kind}")
        infohash = honest.add(info)
        tracker = opentracker(infohash)
        tracker.announce(infohash, honest.port)
        url = getattr(tracker, kind)
        fetcher = start("udp://127.0.0.1:1/announce", url)
        metadata = await fetched(fetcher, info)
        parsed = Metainfo.parse(metadata.torrent_bytes)
        assert (parsed.trackers, parsed.infohash) == ((), infohash)
        statuses = {line.url: (line.status, line.peers) for line in metadata.report.trackers}
        assert statuses[url][0] == "ok" and statuses[url][1] >= 1, statuses
        # The tracker is told that we are gone.
        for _ in range(50):
            await deferLater(reactor, 0.02)
            if not tracker.knows(infohash, fetcher.port or 0):
                break
        else:
            raise AssertionError("no stopped came")


@pytest_twisted.ensureDeferred
async def test_beside_those_of_the_magnet(listening: Listening, start: START) -> None:
    """Each is asked once, whoever names it; the .torrent has the magnet's own."""
    info = sample_info(2_000, "extra beside")
    seeder = listening.seeder(info)
    own, both, extra = ScriptedTracker(), ScriptedTracker(), ScriptedTracker([seeder])
    own_url, both_url, extra_url = listening.http(own), listening.udp(both), listening.udp(extra)
    fetcher = start(both_url, extra_url)
    metadata = await fetched(fetcher, info, sample_magnet(info, trackers=[both_url, own_url]))
    assert Metainfo.parse(metadata.torrent_bytes).trackers == ((both_url,), (own_url,))
    assert sorted(line.url for line in metadata.report.trackers) == sorted([both_url, own_url, extra_url])
    assert [announce.event for announce in both.announces[:1]] == ["started"]
    await fetcher.stop()
    assert [announce.event for announce in both.announces] == ["started", "stopped"]
    assert [announce.event for announce in extra.announces] == ["started", "stopped"]


@pytest_twisted.ensureDeferred
async def test_none_knows_it(listening: Listening, start: START) -> None:
    info = sample_info(2_000, "extra unknown")
    urls = [listening.udp(ScriptedTracker()) for _ in range(3)]
    try:
        await fetched(start(*urls, listen=("off",)), info)
    except FetchFailed as error:
        assert str(error) == "3 trackers answered but know no peers"
        assert [line["url"] for line in error.report.to_json()["trackers"]] == urls
    else:
        raise AssertionError("it has no peers")


# -- what is private (BEP 27) ------------------------------------------------------------------


def _private(name: str) -> bytes:
    pieces = sha1(name.encode()).digest()
    return encode({"length": 1, "name": name, "piece length": 16384, "pieces": pieces, "private": 1})


@pytest_twisted.ensureDeferred
async def test_what_turns_out_private(reactor: Any, listening: Listening, start: START) -> None:
    """From the moment that is known: `stopped` to those told `started`, and nothing more to anybody.

    One tracker is mute over UDP, whose announce would be sent again after a second; one over HTTP is slow;
    and two dozen more have not had their turn.
    """
    info = _private("private")
    seeder = listening.seeder(info)
    knows, mute, slow = ScriptedTracker([seeder]), ScriptedTracker(), ScriptedTracker()
    rest = [ScriptedTracker() for _ in range(24)]
    own_url = listening.http(ScriptedTracker())
    silent = tracker_lies.Silent()
    urls = [
        listening.udp(mute, silent),
        listening.http(slow, tracker_lies.LateAnswer(reactor, 0.5)),
        listening.udp(knows),
        *(listening.http(tracker, tracker_lies.LateAnswer(reactor, 0.5)) for tracker in rest),
    ]
    fetcher = start(*urls)
    metadata = await fetched(fetcher, info, sample_magnet(info, trackers=[own_url]))
    assert metadata.summary.private
    await deferLater(reactor, 0.1)
    before = [len(tracker.announces) for tracker in (mute, slow, *rest)]
    await deferLater(reactor, 1.6)
    assert [announce.event for announce in knows.announces] == ["started", "stopped"]
    assert [len(tracker.announces) for tracker in (mute, slow, *rest)] == before
    for tracker in (mute, slow, *rest):
        assert {announce.event for announce in tracker.announces} <= {"started"}
    parsed = Metainfo.parse(metadata.torrent_bytes)
    assert parsed.trackers == ((own_url,),)
    assert b"5:nodes" not in metadata.torrent_bytes
    # Nothing is owed to anybody any more.
    await fetcher.stop()
    assert [announce.event for announce in knows.announces] == ["started", "stopped"]


@pytest_twisted.ensureDeferred
async def test_a_passkey_is_enough(listening: Listening, start: START) -> None:
    """A magnet of a private tracker never gets to the extra ones, though nobody has said yet that it is."""
    info = _private("passkey")
    own, extra = ScriptedTracker([listening.seeder(info)]), ScriptedTracker()
    url = listening.http(own).replace("/announce", "/0123456789abcdef0123456789abcdef/announce")
    metadata = await fetched(start(listening.udp(extra)), info, sample_magnet(info, trackers=[url]))
    assert extra.announces == []
    assert [source.detail for source in metadata.report.sources] == [
        "extra trackers were not asked, as the magnet's own have a passkey"
    ]


@pytest_twisted.ensureDeferred
async def test_the_daemon(reactor: Any, tmp_path: Path, listening: Listening) -> None:
    """The file it writes of what is private, too, has the magnet's own tracker alone."""
    info = _private("of a daemon")
    extra = ScriptedTracker([listening.seeder(info)])
    (tmp_path / "list.txt").write_text(listening.udp(extra))
    own_url = listening.http(ScriptedTracker())
    options = ["--data", str(tmp_path / "data"), "--output", str(tmp_path / "out"), "--http", "off"]
    options += ["--extra-trackers", str(tmp_path / "list.txt"), "--allow-local", "--no-dht", "--no-lsd"]
    magnet = sample_magnet(info, trackers=[own_url])
    daemon = Command(reactor, ["-m", "twisted", "metafetch", *options, magnet], 30, path=str(tmp_path))
    path = tmp_path / "out" / f"{sha1(info).hexdigest()}.torrent"
    try:
        for _ in range(150):
            if path.exists() or daemon.ended.called:
                break
            await deferLater(reactor, 0.1)
        assert path.exists(), (daemon.out, daemon.err)
        daemon.signal("TERM")
        outcome = await daemon.ended
    finally:
        daemon.kill()
    assert "Traceback" not in outcome.err + outcome.out, outcome
    assert Metainfo.parse(path.read_bytes()).trackers == ((own_url,),)
    assert [announce.event for announce in extra.announces] == ["started", "stopped"]


# -- lists on the web --------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_the_command(
    reactor: Any, listening: Listening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is kept in the user's cache folder, and read once a day; a file that is not there is told."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    info = sample_info(2_000, "extra command")
    tracker = ScriptedTracker([listening.seeder(info)])
    tracker_url = listening.udp(tracker)
    served = Served(f"{tracker_url}\nwss://tracker.example\n")
    url = listening.http(ScriptedTracker(), served)
    for number in (1, 2):
        outcome = await run_fetch(
            reactor, tmp_path / f"out{number}", sample_magnet(info), "--extra-trackers", url
        )
        result = check_file(outcome, info, ())
        assert [line["url"] for line in result["report"]["trackers"]] == [tracker_url]
    assert served.requests == 1
    missing = str(tmp_path / "none.txt")
    outcome = await run_fetch(reactor, tmp_path, sample_magnet(info), "--extra-trackers", missing)
    assert outcome.status == 2
    assert outcome.err.strip().endswith(f"--extra-trackers {missing}: No such file or directory"), outcome


@pytest_twisted.ensureDeferred
async def test_a_list_on_the_web(reactor: Any, listening: Listening, start: START, tmp_path: Path) -> None:
    """Waited for at the first start; at the second, what was kept is enough, the server being gone."""
    info = sample_info(2_000, "extra web")
    tracker = ScriptedTracker([listening.seeder(info)])
    served = Served(f"\n{listening.udp(tracker)}\n\nwss://tracker.example\n")
    url = listening.http(ScriptedTracker(), served) + "/best.txt"
    metadata = await fetched(start(url=url), info)
    assert [line.status for line in metadata.report.trackers] == ["ok"]
    assert (tmp_path / "cache").exists()
    served.text = "<html>gone</html>"
    metadata = await fetched(start(url=url), info)
    assert [line.status for line in metadata.report.trackers] == ["ok"]
    assert served.requests == 1


@pytest_twisted.ensureDeferred
async def test_a_list_that_does_not_come(reactor: Any, listening: Listening, start: START) -> None:
    """A peer ends the fetch all the same, at once; and without one, the report says why."""
    info = sample_info(2_000, "extra mute")
    seeder = listening.seeder(info)
    url = listening.http(ScriptedTracker(), tracker_lies.NeverAnswers())
    fetcher = start(url=url)
    began = reactor.seconds()
    await fetched(fetcher, info, sample_magnet(info, peers=[PeerAddress(*seeder)]))
    assert reactor.seconds() - began < 1
    try:
        await fetched(start(url=url + "/x", timeout=1.0, listen=("off",)), info)
    except FetchFailed as error:
        assert str(error).startswith("no trackers; the list of extra trackers was not here yet")
    else:
        raise AssertionError("it has no peers")
