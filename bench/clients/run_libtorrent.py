"""libtorrent as the client: `python run_libtorrent.py tuned|defaults MAGNETS OUTPUT WINDOW`.

Tuned as well as we know how: the one to beat. It leaves without waiting for its `stopped`
announces.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import libtorrent as lt

QUIET = {
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "alert_queue_size": 100_000,
    "max_metadata_size": 32 * 1024 * 1024,
}
TUNED = {
    "connection_speed": 5000,
    "torrent_connect_boost": 255,
    "tick_interval": 100,
    "active_downloads": -1,
    "active_seeds": -1,
    "active_limit": 100_000,
    "active_tracker_limit": 100_000,
    "connections_limit": 10_000,
    "max_concurrent_http_announces": 1000,
    "enable_ip_notifier": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "in_enc_policy": 2,
    "out_enc_policy": 2,
    "allow_multiple_connections_per_ip": True,
}


def _write(folder: str, handle: lt.torrent_handle) -> None:
    info = handle.torrent_file()
    assert info is not None
    name = info.info_hash().to_bytes().hex()
    with open(f"{folder}/{name}.torrent", "wb") as file:
        file.write(b"d4:info" + info.info_section() + b"e")


def main(mode: str, magnets: str, output: str, window: int) -> None:
    """Fetches every magnet of the file, `window` at a time."""
    tuned = mode == "tuned"
    settings: Any = {**QUIET, **(TUNED if tuned else {})}
    settings["alert_mask"] = lt.alert.category_t.status_notification
    session = lt.session(settings)
    with open(magnets) as file:
        waiting = iter(file.read().split())
    managed = lt.torrent_flags.auto_managed | lt.torrent_flags.paused

    def add() -> bool:
        line = next(waiting, None)
        if line is None:
            return False
        params = lt.parse_magnet_uri(line)
        params.save_path = output
        if tuned:
            params.flags = (params.flags | lt.torrent_flags.default_dont_download) & ~managed
        session.async_add_torrent(params)
        return True

    active = 0
    while active < window and add():
        active += 1
    while active:
        session.wait_for_alert(1000)
        for alert in session.pop_alerts():
            if isinstance(alert, lt.metadata_received_alert):
                _write(output, alert.handle)
                session.remove_torrent(alert.handle)
                active -= not add()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
