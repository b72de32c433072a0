"""aria2 and transmission-daemon as seeders, with every way of finding peers but trackers turned off."""

from __future__ import annotations

import json
from hashlib import sha1
from pathlib import Path

from functorrent.wire.bencode import encode
from tests.integration.harness.programs import Program, accepts, free_port, require, wait_until

_PIECE = 16_384


def content_info(name: str, pieces: int = 4) -> bytes:
    """An info dictionary whose content is zeros, so that a client can check what it seeds."""
    return encode(
        {
            "length": pieces * _PIECE,
            "name": name,
            "piece length": _PIECE,
            "pieces": sha1(bytes(_PIECE)).digest() * pieces,
        }
    )


def _lay_out(folder: Path, info: bytes, name: str, pieces: int, tracker: str | None) -> Path:
    """Write the content and its .torrent into `folder`; returns the latter's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(bytes(pieces * _PIECE))
    announce = b"8:announce" + encode(tracker.encode()) if tracker else b""
    torrent = folder / "seed.torrent"
    torrent.write_bytes(b"d" + announce + b"4:info" + info + b"e")
    return torrent


class Aria2(Program):
    """aria2c seeding; `listens` False: its port leads nowhere, so it can only call others."""

    def __init__(self, folder: Path, name: str, *, tracker: str | None = None, listens: bool = True) -> None:
        program = require("aria2c")
        self.info = content_info(name)
        torrent = _lay_out(folder, self.info, name, 4, tracker)
        self.port = free_port()
        arguments = [program, "--no-conf", "--interface=127.0.0.1", f"--listen-port={self.port}"]
        arguments += ["--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"]
        arguments += ["--enable-peer-exchange=false", "--check-integrity=true", "--seed-ratio=0.0"]
        arguments += [f"--dir={folder}", "--disable-ipv6=true", str(torrent)]
        if not listens:
            arguments.insert(1, "--bt-external-ip=127.0.0.99")
        super().__init__(arguments, folder / "aria2.log")
        wait_until("aria2", lambda: accepts("127.0.0.1", self.port))
        self.check()


class Transmission(Program):
    """transmission-daemon seeding."""

    def __init__(self, folder: Path, name: str, *, tracker: str | None = None) -> None:
        program = require("transmission-daemon")
        self.info = content_info(name)
        data = folder / "data"
        torrent = _lay_out(data, self.info, name, 4, tracker)
        config = folder / "config"
        (config / "torrents").mkdir(parents=True)
        # It looks for the metadata it serves under this name, whatever name it was loaded from.
        torrent.rename(config / "torrents" / f"{sha1(self.info).hexdigest()}.torrent")
        self.port = free_port()
        settings = {
            "bind-address-ipv4": "127.0.0.1",
            "dht-enabled": False,
            "download-dir": str(data),
            "lpd-enabled": False,
            "peer-port": self.port,
            "peer-port-random-on-start": False,
            "pex-enabled": False,
            "port-forwarding-enabled": False,
            "rpc-enabled": False,
            "utp-enabled": False,
        }
        (config / "settings.json").write_text(json.dumps(settings))
        super().__init__([program, "-f", "-g", str(config)], folder / "transmission.log")
        wait_until("transmission", lambda: accepts("127.0.0.1", self.port))
        self.check()
