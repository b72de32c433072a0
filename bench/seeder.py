"""The seeder: libtorrent in a process of its own, with metadata to give and no content.

Run as `python -m bench.seeder SIZE COUNT ADDRESS`; prints the port once all torrents are in, and
ends when its standard input does (so that it never outlives the bench).
"""

from __future__ import annotations

import sys
import time
from typing import Any

from bench.corpus import torrents

SETTINGS = {
    "alert_mask": 0,
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_ip_notifier": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "in_enc_policy": 2,
    "out_enc_policy": 2,
    "allow_multiple_connections_per_ip": True,
    "connections_limit": 15_000,
    "listen_queue_size": 4_000,
    "seeding_outgoing_connections": False,
    "max_metadata_size": 32 * 1024 * 1024,
    "active_limit": -1,
    "active_seeds": -1,
}


def main(size: str, count: int, address: str) -> None:
    """Seeds the first `count` torrents of `size` on `address` until standard input ends."""
    import libtorrent as lt

    settings: Any = {**SETTINGS, "listen_interfaces": f"{address}:0"}
    session = lt.session(settings)
    # The content is not there: seed mode without verifying says it is, and nobody asks for any.
    flags = lt.torrent_flags.seed_mode | lt.torrent_flags.no_verify_files
    for torrent in torrents(size, count):
        params = lt.add_torrent_params()
        params.ti = lt.torrent_info(b"d4:info" + torrent.info + b"e")
        params.save_path = "/nonexistent"
        params.flags = flags
        session.async_add_torrent(params)
    while len(session.get_torrents()) < count:
        time.sleep(0.05)
    print(session.listen_port(), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
