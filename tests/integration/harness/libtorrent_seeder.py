"""A libtorrent seeder in a process of its own: a program that takes lines of JSON, and its handle.

Run as a program with a listen interface (as ``127.0.0.1:0``); it writes its port, then answers each
line ``{"add": path, "limit": bytes, "trackers": [...]}`` or ``{"announce": true}`` with a line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from hashlib import sha1
from pathlib import Path
from typing import Any

from tests.integration.harness.programs import Conversation, require_libtorrent


class LibtorrentSeeder(Conversation):
    """The handle. `port` is where it listens; `listens` False: nobody can call it, as behind NAT.

    `dht`: it has a DHT node, on the same port.
    """

    def __init__(
        self, folder: Path, host: str = "127.0.0.1", *, listens: bool = True, dht: bool = False
    ) -> None:
        require_libtorrent()
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._added: set[bytes] = set()
        interface = f"[{host}]:0" if ":" in host else f"{host}:0"
        super().__init__(
            [
                sys.executable,
                "-m",
                __name__,
                interface,
                "listen" if listens else "deaf",
                "dht" if dht else "",
            ],
            folder / "libtorrent.log",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        self.host = host
        self.port: int = self.read()["port"]

    def add(self, info: bytes, trackers: tuple[str, ...] = ()) -> bytes:
        """Seed an info dictionary's torrent, whose content need not exist. Returns the infohash."""
        infohash = sha1(info).digest()
        if infohash not in self._added:
            path = self.folder / f"{infohash.hex()}.torrent"
            path.write_bytes(b"d4:info" + info + b"e")
            self.ask({"add": str(path), "trackers": list(trackers)})
            self._added.add(infohash)
        return infohash

    def announce(self) -> None:
        """Ask its trackers again, at once."""
        self.ask({"announce": True})


def main(interface: str, mode: str, dht: str) -> None:
    """The program."""
    import libtorrent as lt

    session = lt.session(
        {
            "listen_interfaces": interface,
            "enable_dht": bool(dht),
            "dht_bootstrap_nodes": "",
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "allow_multiple_connections_per_ip": True,
            "active_seeds": -1,
            "active_limit": -1,
            "tick_interval": 100,
            # It tries uTP first, and takes seconds to fall back to TCP.
            "enable_outgoing_utp": False,
            "enable_incoming_utp": False,
            "max_concurrent_http_announces": 50,
            # 5 by default: a hundred callers at once are not all answered within 5 s.
            "listen_queue_size": 1000,
        }
    )
    handles = []
    print(json.dumps({"port": session.listen_port()}), flush=True)
    if mode == "deaf":
        # What others are told of is not where it listens, as behind NAT.
        session.apply_settings({"announce_port": 9})
    for line in sys.stdin:
        try:
            asked = json.loads(line)
            if "add" in asked:
                limits: Any = {
                    "max_buffer_size": 64 << 20,
                    "max_pieces": 0x7FFFFFFF,
                    "max_decode_tokens": 5_000_000,
                }
                parameters = lt.add_torrent_params()
                parameters.ti = lt.torrent_info(asked["add"], limits)
                # A folder each: contents of the same name would be found, and found wrong.
                parameters.save_path = asked["add"] + ".content"
                parameters.trackers = asked["trackers"]
                parameters.flags |= lt.torrent_flags.seed_mode | lt.torrent_flags.no_verify_files
                parameters.flags &= ~lt.torrent_flags.auto_managed
                parameters.flags &= ~lt.torrent_flags.paused
                handle = session.add_torrent(parameters)
                handles.append(handle)
                # It hangs up on who asks for a torrent it has not looked at yet.
                while handle.status().state != lt.torrent_status.seeding:
                    time.sleep(0.005)
            for handle in handles if "announce" in asked else ():
                handle.force_reannounce(0, -1, lt.reannounce_flags_t.ignore_min_interval)
            answer: dict[str, Any] = {}
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
