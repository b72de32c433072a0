"""libtorrent sessions that announce themselves by local service discovery and by nothing else: a program.

`python -m ... FOLDER KIND INTERFACE [...]`: each torrent (`lsd_network.info_of`) on its own interface, as
``10.0.0.2:0``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any


def seed(folder: Path, interface: str, kind: str) -> Any:
    """One session on one address."""
    import libtorrent as lt

    from tests.integration.harness.lsd_network import info_of

    session = lt.session(
        {
            "listen_interfaces": interface,
            "enable_dht": False,
            "enable_lsd": True,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_outgoing_utp": False,
            "enable_incoming_utp": False,
        }
    )
    torrent = folder / f"{kind}.torrent"
    torrent.write_bytes(b"d4:info" + info_of(kind) + b"e")
    parameters = lt.add_torrent_params()
    parameters.ti = lt.torrent_info(str(torrent))
    parameters.save_path = str(folder / f"{kind}.content")
    parameters.flags |= lt.torrent_flags.seed_mode | lt.torrent_flags.no_verify_files
    parameters.flags &= ~lt.torrent_flags.auto_managed
    parameters.flags &= ~lt.torrent_flags.paused
    session.add_torrent(parameters)
    return session


def main(folder: str, *torrents: str) -> None:
    """The program."""
    sessions = [
        seed(Path(folder), interface, kind)
        for kind, interface in zip(torrents[::2], torrents[1::2], strict=True)
    ]
    print([session.listen_port() for session in sessions], flush=True)
    time.sleep(100)


if __name__ == "__main__":
    main(*sys.argv[1:])
