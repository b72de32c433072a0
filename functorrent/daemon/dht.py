"""The daemon's DHT node: its numbers for metrics and page, and the line in the log when it knows others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from functorrent.daemon.counters import Metric, Read, Reading
from functorrent.text import plural

FAMILIES = ("ipv4", "ipv6")


class DhtWatch:
    """Reads the DHT node of a Fetcher, once there is one.

    `node()` gives the DhtNode, or None while there is none: no DHT (``--no-dht``), or not started yet.
    """

    log = Logger()

    def __init__(self, node: Callable[[], Any]) -> None:
        self._node = node
        self._stopped = False

        def counter(
            name: str, help: str, read: Callable[[Any], Reading], labels: tuple[str, ...] = ()
        ) -> Read:
            return Read(f"metafetch_dht_{name}_total", help, labels, self._of(read), "counter")

        self.metrics: tuple[Metric, ...] = (
            Read(
                "metafetch_dht_nodes",
                "DHT nodes in the routing tables, by family.",
                ("family",),
                self._nodes_by_family,
            ),
            counter("queries_sent", "Queries sent to DHT nodes.", lambda stats: stats.queries_sent),
            counter(
                "answers",
                "What became of queries sent to DHT nodes.",
                lambda stats: {
                    ("answered",): stats.answers,
                    ("error",): stats.errors,
                    ("timed_out",): stats.timeouts,
                },
                ("outcome",),
            ),
            counter(
                "queries_received", "Queries that DHT nodes sent to us.", lambda stats: stats.queries_received
            ),
            counter(
                "queries_answered", "Queries of DHT nodes that we answered.", lambda stats: stats.answered
            ),
            counter("dropped", "Datagrams of the DHT that were dropped.", lambda stats: stats.dropped),
            counter("lookups", "Infohashes looked for in the DHT.", lambda stats: stats.lookups),
            counter("peers_found", "Peers that DHT nodes named.", lambda stats: stats.peers_found),
        )

    def _of(self, read: Callable[[Any], Reading]) -> Callable[[], Reading]:
        def reading() -> Reading:
            node = self._node()
            return None if node is None else read(node.stats)

        return reading

    def _nodes_by_family(self) -> Reading:
        node = self._node()
        if node is None:
            return None
        # None for a family that the machine has not.
        return {
            (family,): 0 if table is None else len(table)
            for family, table in zip(FAMILIES, node.tables, strict=True)
        }

    # -- what it tells -------------------------------------------------------------------------

    @property
    def nodes(self) -> int | None:
        """Nodes known in both families; None without a DHT."""
        node = self._node()
        return None if node is None else sum(len(table) for table in node.tables if table is not None)

    def told(self) -> dict[str, int] | None:
        """As /api/v1/stats tells it: ``{"nodes": n}``, or None without a DHT."""
        nodes = self.nodes
        return None if nodes is None else {"nodes": nodes}

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Say in the log when the node is warm. Nothing waits for it."""
        node = self._node()
        if node is not None:
            node.ready.addCallbacks(self._warm, lambda _: None)

    def stop(self) -> None:
        """Say nothing any more."""
        self._stopped = True

    def _warm(self, _: object) -> None:
        nodes = self.nodes
        if self._stopped or nodes is None:
            return
        if nodes:
            self.log.info("DHT: {nodes}", nodes=plural(nodes, "node"))
        else:
            self.log.warn(
                "DHT: no node could be reached; it goes on trying "
                "(UDP may be filtered; --dht-bootstrap names other nodes)"
            )
