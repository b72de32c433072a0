"""libtorrent as the client: `python run_libtorrent.py tuned|defaults MAGNETS OUTPUT WINDOW [HOST:PORT]`.

Tuned as well as we know how: the one to beat. It leaves without waiting for its `stopped`
announces. HOST:PORT is a DHT node to begin with; without one there is no DHT.
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
#: The DHT on loopback: addresses of one /8 are as good as any, and nothing is held back.
DHT = {
    "enable_dht": True,
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    "dht_prefer_verified_node_ids": False,
    "dht_upload_rate_limit": 100_000_000,
    "active_dht_limit": 100_000,
}


def _write(folder: str, handle: lt.torrent_handle) -> None:
    info = handle.torrent_file()
    assert info is not None
    name = info.info_hash().to_bytes().hex()
    with open(f"{folder}/{name}.torrent", "wb") as file:
        file.write(b"d4:info" + info.info_section() + b"e")


def _bootstrap(session: Any) -> None:
    """Wait until it is through: a torrent added before is at times not announced for a quarter of an hour."""
    while not any(isinstance(alert, lt.dht_bootstrap_alert) for alert in session.pop_alerts()):
        session.wait_for_alert(1000)
    session.apply_settings({"alert_mask": lt.alert.category_t.status_notification})


def main(mode: str, magnets: str, output: str, window: int, node: str | None = None) -> None:
    """Fetches every magnet of the file, `window` at a time."""
    tuned = mode == "tuned"
    settings: Any = {**QUIET, **(TUNED if tuned else {})}
    if node is not None:
        settings = {**settings, **DHT, "dht_bootstrap_nodes": node}
    settings["alert_mask"] = lt.alert.category_t.status_notification
    if node is not None:
        settings["alert_mask"] |= lt.alert.category_t.dht_notification
    session = lt.session(settings)
    if node is not None:
        _bootstrap(session)
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
        if node is None:
            session.async_add_torrent(params)
        else:
            # Else its DHT gets one new torrent a second.
            session.add_torrent(params).force_dht_announce()
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
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), *sys.argv[5:6])
