"""Many libtorrent DHT nodes in one process: a program that takes lines of JSON, each answered with one.

Each node is a session of its own, on an address of its own. What it takes is the methods of `Nodes`, as
``{"do": "open", ...}``; `tests.integration.harness.dht_network` is its handle.
"""

from __future__ import annotations

import json
import socket
import sys
import time
import warnings
from typing import Any

import libtorrent as lt

Endpoint = tuple[str, int]

SETTINGS = {
    "alert_mask": lt.alert.category_t.dht_notification | lt.alert.category_t.status_notification,
    "alert_queue_size": 100_000,
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_ip_notifier": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    "allow_multiple_connections_per_ip": True,
    "tick_interval": 100,
    "in_enc_policy": 2,
    "out_enc_policy": 2,
    "aio_threads": 1,
    "hashing_threads": 1,
    # No bootstrap hosts of the Internet; and local addresses are as good as any, as are several in one /8.
    "dht_bootstrap_nodes": "",
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    "dht_prefer_verified_node_ids": False,
    "dht_enforce_node_id": False,
    # It sends 8,000 bytes a second by default, and answers no more than 5 queries a second of one address.
    "dht_upload_rate_limit": 100_000_000,
    "dht_block_ratelimit": 1_000_000,
}
#: What a client is given that is raced (bench/clients/run_libtorrent.py says why).
TUNED = {
    "connection_speed": 5000,
    "torrent_connect_boost": 255,
    "active_downloads": -1,
    "active_seeds": -1,
    "active_limit": 100_000,
    "active_dht_limit": 100_000,
    "connections_limit": 10_000,
    "max_metadata_size": 32 << 20,
    "seeding_outgoing_connections": True,
    # 5 by default.
    "listen_queue_size": 1000,
}


def packed(nodes: list[Endpoint]) -> list[bytes]:
    """Compact addresses."""
    return [
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host) + port.to_bytes(2, "big")
        for host, port in nodes
    ]


class Node:
    """One session. `announces`: how often an infohash was announced to it; `fetched`: seconds it took."""

    def __init__(self, host: str, port: int) -> None:
        literal = f"[{host}]" if ":" in host else host
        settings: Any = {**SETTINGS, **TUNED, "listen_interfaces": f"{literal}:{port}"}
        self.host = host
        self.session = lt.session(settings)
        self.announces: dict[str, int] = {}
        self.begun: dict[str, float] = {}
        self.fetched: dict[str, float] = {}
        self.counters: dict[str, int] = {}
        self.bootstrapped = False

    @property
    def endpoint(self) -> Endpoint:
        """Where it is."""
        return self.host, self.session.listen_port()

    def look(self) -> None:
        """Take in what has happened."""
        for alert in self.session.pop_alerts():
            if isinstance(alert, lt.dht_announce_alert):
                infohash = alert.info_hash.to_bytes().hex()
                self.announces[infohash] = self.announces.get(infohash, 0) + 1
            elif isinstance(alert, lt.metadata_received_alert):
                infohash = alert.handle.info_hash().to_bytes().hex()
                self.fetched[infohash] = time.monotonic() - self.begun.get(infohash, 0.0)
            elif isinstance(alert, lt.dht_bootstrap_alert):
                self.bootstrapped = True
            elif isinstance(alert, lt.session_stats_alert):
                self.counters = alert.values


class Nodes:
    """What the program does. Nodes are named by their hosts."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def open(self, hosts: list[str], ports: list[int] | None = None) -> list[Endpoint]:
        """Sessions that listen, without a DHT yet; where."""
        for host, port in zip(hosts, ports or [0] * len(hosts), strict=True):
            self.nodes[host] = Node(host, port)
        return [self.nodes[host].endpoint for host in hosts]

    def join(self, host: str, nodes: list[Endpoint]) -> None:
        """Start its DHT with these in its saved table."""
        session = self.nodes[host].session
        key = b"nodes6" if ":" in host else b"nodes"
        with warnings.catch_warnings():
            # session_params do not take the state's nodes in 2.1.1's bindings.
            warnings.simplefilter("ignore", DeprecationWarning)
            session.load_state({b"dht state": {key: packed(nodes)}})  # type: ignore[attr-defined]
        session.apply_settings({"enable_dht": True})

    def add(self, host: str, nodes: list[Endpoint]) -> None:
        """Name further nodes to it, which it pings."""
        for node in nodes:
            self.nodes[host].session.add_dht_node(tuple(node))

    def sizes(self) -> dict[str, int]:
        """How many nodes each has in its table."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return {host: node.session.status().dht_nodes for host, node in self.nodes.items()}

    def bootstrapped(self) -> int:
        """How many are through with it."""
        self._look()
        return sum(node.bootstrapped for node in self.nodes.values())

    def quiet(self, hosts: list[str], quiet: bool) -> None:
        """Their DHT is gone (the port stays taken, so nobody learns of it), or back."""
        for host in hosts:
            self.nodes[host].session.apply_settings({"enable_dht": not quiet})

    def seed(self, host: str, path: str, listens: bool) -> None:
        """Seed a .torrent without content and announce it to the DHT; not `listens`: at a dead port."""
        node = self.nodes[host]
        if not listens:
            node.session.apply_settings({"announce_port": 9})
        limits: Any = {"max_buffer_size": 64 << 20, "max_pieces": 0x7FFFFFFF}
        parameters = lt.add_torrent_params()
        parameters.ti = lt.torrent_info(path, limits)
        parameters.save_path = path + ".content"
        parameters.flags |= lt.torrent_flags.seed_mode | lt.torrent_flags.no_verify_files
        parameters.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        # Not in its turn: it has one torrent announced a second.
        node.session.add_torrent(parameters).force_dht_announce()

    def announce(self, host: str) -> None:
        """Announce all it has to the DHT, now."""
        for handle in self.nodes[host].session.get_torrents():
            handle.force_dht_announce()

    def announces(self, infohash: str) -> int:
        """How many of the nodes were told of a peer of this infohash."""
        self._look()
        return sum(infohash in node.announces for node in self.nodes.values())

    def fetch(self, host: str, magnets: list[str], folder: str) -> None:
        """Look for these magnets' metadata."""
        node = self.nodes[host]
        for magnet in magnets:
            parameters = lt.parse_magnet_uri(magnet)
            parameters.save_path = folder
            parameters.flags |= lt.torrent_flags.default_dont_download
            parameters.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
            node.begun[parameters.info_hashes.v1.to_bytes().hex()] = time.monotonic()
            node.session.add_torrent(parameters).force_dht_announce()

    def fetched(self, host: str) -> dict[str, float]:
        """Seconds that each magnet took, of those that are there."""
        self._look()
        return self.nodes[host].fetched

    def look(self, host: str, infohashes: list[str], at_once: bool) -> dict[str, Any]:
        """Look for infohashes, to the end of each lookup: seconds to the first peer of each (one by one
        only), packets and CPU seconds of one."""
        node = self.nodes[host]
        operations = lt.alert.category_t.dht_operation_notification
        node.session.apply_settings({"alert_mask": 0 if at_once else operations | SETTINGS["alert_mask"]})
        before, cpu = self.counters(host), time.process_time()
        first: list[float | None] = []
        for infohash in infohashes:
            began = time.monotonic()
            node.session.dht_get_peers(lt.sha1_hash(bytes.fromhex(infohash)))
            if not at_once:
                first.append(self._through(node, began))
        if at_once:
            # Not watched: looking at hundreds costs more than they do.
            time.sleep(3)
        cpu, after = time.process_time() - cpu, self.counters(host)
        keys = ("dht.dht_messages_in", "dht.dht_messages_out")
        packets = sum(after[key] - before[key] for key in keys)
        return {"first": first, "packets": packets / len(infohashes), "cpu": cpu / len(infohashes)}

    def _through(self, node: Node, began: float) -> float | None:
        """Wait until no lookup of it runs; when its first peer came."""
        first = None
        while True:
            node.session.post_dht_stats()
            active = None
            while active is None:
                node.session.wait_for_alert(100)
                for alert in node.session.pop_alerts():
                    if isinstance(alert, lt.dht_get_peers_reply_alert) and first is None:
                        first = time.monotonic() - began
                    elif isinstance(alert, lt.dht_stats_alert):
                        active = alert.active_requests
            if not [each for each in active if each["type"] == "get_peers"]:
                return first
            time.sleep(0.001)

    def remove(self, host: str) -> None:
        """Drop every torrent it has."""
        session = self.nodes[host].session
        for handle in session.get_torrents():
            session.remove_torrent(handle)

    def counters(self, host: str) -> dict[str, int]:
        """Its counters of the DHT (libtorrent's ``dht.`` metrics)."""
        node = self.nodes[host]
        node.counters = {}
        node.session.post_session_stats()
        while not node.counters:
            node.session.wait_for_alert(1000)
            node.look()
        return {key: value for key, value in node.counters.items() if key.startswith("dht.")}

    def _look(self) -> None:
        for node in self.nodes.values():
            node.look()


def main() -> None:
    """The program."""
    nodes = Nodes()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"is": getattr(nodes, asked.pop("do"))(**asked)}
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
