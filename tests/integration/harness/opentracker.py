"""Debian's opentracker, HTTP and UDP on one port; it serves the infohashes of a whitelist only."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

from functorrent.wire.bencode import decode
from functorrent.wire.compact import parse_v4
from tests.integration.harness.programs import Program, accepts, free_port, require, wait_until


class OpenTracker(Program):
    """A fresh tracker for these infohashes (bytes of 20)."""

    def __init__(self, folder: Path, infohashes: Iterable[bytes]) -> None:
        program = require("opentracker")
        folder.mkdir(parents=True, exist_ok=True)
        # It gives up root and may change its root to here.
        folder.chmod(0o755)
        infohashes = list(infohashes)
        (folder / "whitelist").write_text("".join(f"{infohash.hex()}\n" for infohash in infohashes))
        self.port = free_port()
        arguments = [program, "-i", "127.0.0.1", "-p", str(self.port), "-P", str(self.port)]
        arguments += ["-d", ".", "-w", "whitelist"]
        if os.geteuid() == 0:
            arguments += ["-u", "nobody"]
        super().__init__(arguments, folder / "opentracker.log", cwd=folder)
        wait_until("opentracker", lambda: accepts("127.0.0.1", self.port))
        self.check()
        # A thread of its own reads the whitelist; until then everybody is refused.
        last = infohashes[-1]
        wait_until("its whitelist", lambda: b"peers" in self._ask(last, 1, 1, "started"))
        self._ask(last, 1, 1, "stopped")

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}/announce"

    @property
    def udp(self) -> str:
        return f"udp://127.0.0.1:{self.port}/announce"

    def announce(self, infohash: bytes, port: int, *, left: int = 0) -> list[Any]:
        """Tell it of a peer on 127.0.0.1, on that peer's behalf; returns the peers it names."""
        items = self._ask(infohash, port, left, "started")
        peers = items[b"peers"]
        assert isinstance(peers, bytes), items
        return list(parse_v4(peers))

    def _ask(self, infohash: bytes, port: int, left: int, event: str) -> dict[bytes, Any]:
        url = (
            f"{self.http}?info_hash={quote_from_bytes(infohash, safe='')}&peer_id=-TS0001-{port:012d}"
            f"&port={port}&uploaded=0&downloaded=0&left={left}&compact=1&event={event}"
        )
        with urllib.request.urlopen(url, timeout=5) as answer:
            items = decode(answer.read())
        assert isinstance(items, dict), items
        return items

    def knows(self, infohash: bytes, port: int) -> bool:
        """Whether a peer with this port has announced itself."""
        # Asking is announcing here: port 1 is the asker, a leecher nobody can reach.
        return any(peer.port == port for peer in self.announce(infohash, 1, left=1))
