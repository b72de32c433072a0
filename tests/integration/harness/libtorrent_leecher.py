"""A libtorrent peer without metadata in a process of its own: it has ut_pex, and no ut_metadata.

Run as a program with a listen interface (as ``127.0.0.3:0``); it writes its port, then answers each line
``{"join": infohash, "peers": [[host, port], ...]}`` once it is connected to them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from functorrent.interfaces import PeerAddress
from tests.integration.harness.programs import Conversation, require_libtorrent


class LibtorrentLeecher(Conversation):
    """The handle; `address` is where it listens."""

    def __init__(self, folder: Path, host: str = "127.0.0.3") -> None:
        require_libtorrent()
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(
            [sys.executable, "-m", __name__, f"{host}:0", str(folder)],
            folder / "libtorrent.log",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        self.address = PeerAddress(host, self.read()["port"])

    def join(self, infohash: bytes, peers: Iterable[PeerAddress] = ()) -> PeerAddress:
        """Take part in a torrent, connected to these peers. Returns where it listens."""
        self.ask({"join": infohash.hex(), "peers": list(peers)})
        return self.address


def main(interface: str, folder: str) -> None:
    """The program."""
    import libtorrent as lt

    settings = {
        "listen_interfaces": interface,
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "allow_multiple_connections_per_ip": True,
        "enable_outgoing_utp": False,
        "enable_incoming_utp": False,
    }
    # Without the default plugins: ut_metadata would get it the metadata at once.
    session = lt.session(settings, 0)
    session.add_extension("ut_pex")
    print(json.dumps({"port": session.listen_port()}), flush=True)
    for line in sys.stdin:
        try:
            asked = json.loads(line)
            answer: dict[str, Any] = {}
            parameters = lt.parse_magnet_uri("magnet:?xt=urn:btih:" + asked["join"])
            parameters.save_path = folder
            parameters.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
            handle = session.add_torrent(parameters)
            while handle.status().state != lt.torrent_status.downloading_metadata:
                time.sleep(0.005)
            for host, port in asked["peers"]:
                handle.connect_peer((host, port))
            end = time.monotonic() + 8
            while sum(bool(peer.client) for peer in handle.get_peer_info()) < len(asked["peers"]):
                if time.monotonic() > end:
                    raise TimeoutError(f"not connected to {asked['peers']}")
                time.sleep(0.02)
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
