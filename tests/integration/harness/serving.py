"""A store that peers are served from, in a process of its own (`bench.library`), and clients that fetch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from hashlib import sha1
from pathlib import Path
from typing import Any

from functorrent.testing import sample_magnet
from tests.integration.harness.programs import Conversation, Program, require, require_libtorrent

ROOT = Path(__file__).parents[3]


class ServedStore(Conversation):
    """A Database with these info dictionaries, behind a Fetcher that listens on `host`:`port`."""

    def __init__(self, folder: Path, infos: Iterable[bytes] = (), *changes: str) -> None:
        folder.mkdir(parents=True)
        self.infos = list(infos)
        for info in self.infos:
            (folder / f"{sha1(info).hexdigest()}.info").write_bytes(info)
        super().__init__(
            [sys.executable, "-m", "bench.library", str(folder), *changes],
            folder / "log",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "log").open("ab"),
            text=True,
            cwd=ROOT,
        )
        self.host = "127.0.0.1"
        self.port: int = self.read()["port"]

    def stats(self) -> dict[str, Any]:
        """See `bench.library`."""
        return self.ask({"stats": True})

    def wait(self, magnet: str) -> None:
        """Make it a job that waits for its next try."""
        self.ask({"wait": magnet})

    def status(self, info: bytes) -> str | None:
        """The state of its job."""
        status: str | None = self.ask({"job": sha1(info).hexdigest()})["status"]
        return status


class LibtorrentFetcher:
    """libtorrent fetching magnets, in this process; `settings` beside its defaults."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        require_libtorrent()
        import libtorrent as lt

        self._lt = lt
        self._folder = folder
        self._session = lt.session(
            {
                "listen_interfaces": "127.0.0.1:0",
                "enable_dht": False,
                "enable_lsd": False,
                "enable_upnp": False,
                "enable_natpmp": False,
                # It tries uTP first, and takes seconds to fall back to TCP.
                "enable_outgoing_utp": False,
                "enable_incoming_utp": False,
                # 3 MiB by default.
                "max_metadata_size": 64 << 20,
                **settings,
            }
        )
        self._torrents: dict[bytes, Any] = {}

    def fetch(self, magnet: str, host: str, port: int) -> bytes:
        """Begin to fetch from a peer; returns the infohash."""
        parameters = self._lt.parse_magnet_uri(magnet)
        parameters.save_path = str(self._folder)
        parameters.flags &= ~self._lt.torrent_flags.auto_managed
        parameters.flags &= ~self._lt.torrent_flags.paused
        torrent = self._session.add_torrent(parameters)
        torrent.connect_peer((host, port))
        infohashes = torrent.info_hashes()
        best = infohashes.v1 if infohashes.has_v1() else infohashes.v2
        infohash: bytes = best.to_bytes()
        self._torrents[infohash] = torrent
        return infohash

    def info(self, infohash: bytes) -> bytes | None:
        """The info dictionary, once it is there."""
        torrent = self._torrents[infohash]
        if not torrent.status().has_metadata:
            return None
        section: bytes = torrent.torrent_file().info_section()
        return section

    def stop(self) -> None:
        """Hang up on everybody."""
        for torrent in self._torrents.values():
            self._session.remove_torrent(torrent)


class Aria2Fetcher(Program):
    """aria2c fetching one magnet's metadata into `folder`; it knows of peers from a tracker alone."""

    def __init__(self, folder: Path, info: bytes, tracker: str) -> None:
        program = require("aria2c")
        folder.mkdir(parents=True)
        self._path = folder / f"{sha1(info).hexdigest()}.torrent"
        arguments = [program, "--no-conf", "--interface=127.0.0.1", "--disable-ipv6=true"]
        arguments += ["--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"]
        arguments += ["--enable-peer-exchange=false", "--bt-metadata-only=true", "--bt-save-metadata=true"]
        arguments += [f"--dir={folder}", sample_magnet(info, trackers=[tracker])]
        super().__init__(arguments, folder / "aria2.log")

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def torrent(self) -> bytes:
        """What it has written."""
        assert self._path.exists(), self.log.read_text()
        return self._path.read_bytes()
