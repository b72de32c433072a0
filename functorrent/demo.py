"""`functorrent demo`: a tracker and a seeder of its own on loopback, and one magnet fetched from them.

Real sockets, the fetcher everybody uses, and each step said in plain words as it happens.
"""

from __future__ import annotations

import tempfile
from hashlib import sha1
from pathlib import Path
from typing import Any, TextIO

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import BindError

from functorrent.errors import FunctorrentError
from functorrent.fetch.api import fetch_metadata
from functorrent.interfaces import PeerAddress
from functorrent.testing import (
    Announce,
    Behaviour,
    ScriptedSeeder,
    ScriptedTracker,
    SeederProtocol,
    sample_info,
    sample_magnet,
)
from functorrent.wire.extended import ExtendedHandshake
from functorrent.wire.handshake import Handshake
from functorrent.wire.metadata import BLOCK_SIZE, MetadataData, MetadataMessage

_LOOPBACK = "127.0.0.1"
#: Three blocks, the last one short.
_SIZE = 40_000


def run(reactor: Any, out: TextIO, folder: str | None = None) -> Deferred[int]:
    """Run the demo, writing its story to `out` (text). Fires with the exit status, 0 or 1.

    `folder`: where the .torrent file goes; a new temporary one where None. Nothing is left running.
    """
    return Deferred.fromCoroutine(_run(reactor, _Story(out), folder))


class _Story:
    """Lines for a person, one a step."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def say(self, who: str, words: str) -> None:
        self._out.write(f"{who:<12}{words}\n")
        self._out.flush()


class _ToldTracker(ScriptedTracker):
    """A tracker that tells what it was asked."""

    def __init__(self, story: _Story) -> None:
        super().__init__()
        self._story = story

    def announced(self, announce: Announce) -> list[PeerAddress]:
        peers = super().announced(announce)
        if announce.event == "stopped":
            return peers
        named = ", ".join(map(str, peers)) or "nobody"
        self._story.say(
            "tracker",
            f"asked over {announce.scheme.upper()} who has {announce.infohash.hex()[:8]}...; names {named}",
        )
        return peers


class _Told(Behaviour):
    """Changes nothing, and tells what its seeder does."""

    def __init__(self, story: _Story) -> None:
        self._story = story

    def connected(self, peer: SeederProtocol) -> bool:
        self._story.say("seeder", "a peer connects")
        return False

    def handshake(self, peer: SeederProtocol, handshake: Handshake) -> Handshake:
        self._story.say("seeder", "it wants the torrent I have: I answer its handshake")
        return handshake

    def extended_handshake(self, peer: SeederProtocol, handshake: ExtendedHandshake) -> None:
        size = len(peer.seeder.info)
        blocks = -(-size // BLOCK_SIZE)
        self._story.say(
            "seeder", f"it speaks ut_metadata; my info dictionary has {size:,} bytes in {blocks} blocks"
        )

    def answered(self, peer: SeederProtocol, answer: MetadataMessage) -> None:
        if isinstance(answer, MetadataData):
            self._story.say("seeder", f"sends block {answer.piece}, {len(answer.block):,} bytes")


async def _run(reactor: Any, story: _Story, folder: str | None) -> int:
    info = sample_info(_SIZE, "functorrent-demo")
    seeder = ScriptedSeeder(info, _Told(story), clock=reactor)
    tracker = _ToldTracker(story)
    ports: list[Any] = []
    try:
        ports.append(reactor.listenTCP(0, seeder, interface=_LOOPBACK))
        tracker.peers.append(PeerAddress(_LOOPBACK, ports[0].getHost().port))
        ports.append(reactor.listenTCP(0, tracker.http_site(), interface=_LOOPBACK))
        ports.append(reactor.listenUDP(0, tracker.udp_protocol(), interface=_LOOPBACK))
        trackers = [
            f"udp://{_LOOPBACK}:{ports[2].getHost().port}/announce",
            f"http://{_LOOPBACK}:{ports[1].getHost().port}/announce",
        ]
        story.say("demo", f"a seeder listens on {tracker.peers[0]}, a tracker on {' and '.join(trackers)}")
        magnet = sample_magnet(info, trackers=trackers, name="functorrent-demo")
        story.say("demo", f"fetching {magnet}")
        began = reactor.seconds()
        metadata = await fetch_metadata(reactor, magnet, allow_local=True, timeout=15.0)
        took = reactor.seconds() - began
        infohash = sha1(metadata.info_bytes).hexdigest()
        if infohash != metadata.infohash.hex():
            story.say("demo", "the bytes do not have the hash that was asked for: this is a bug")
            return 1
        story.say("functorrent", f"{len(metadata.info_bytes):,} bytes in {took:.2f} s")
        story.say("functorrent", f"their SHA-1 is {infohash}, as in the magnet: verified")
        path = _write(metadata.torrent_bytes, infohash, folder)
        story.say("functorrent", f"written to {path} (to look inside: functorrent show {path})")
        return 0
    except (FunctorrentError, BindError, OSError) as error:
        story.say("demo", f"did not work: {error}")
        return 1
    finally:
        seeder.stop()
        await gatherResults([maybeDeferred(port.stopListening) for port in ports])


def _write(torrent: bytes, infohash: str, folder: str | None) -> Path:
    where = Path(folder) if folder is not None else Path(tempfile.mkdtemp(prefix="functorrent-demo-"))
    path = where / f"{infohash}.torrent"
    path.write_bytes(torrent)
    return path
