"""What the user sets of the DHT."""

from __future__ import annotations

from dataclasses import dataclass

#: Nodes that are there to be asked first: BitTorrent Inc.'s, Transmission's, libtorrent's, and those that
#: other clients have in their lists. Names and ports alone; each answers for the whole network.
BOOTSTRAP: tuple[tuple[str, int], ...] = (
    ("router.bittorrent.com", 6881),
    ("dht.transmissionbt.com", 6881),
    ("dht.libtorrent.org", 25401),
    ("router.utorrent.com", 6881),
    ("dht.aelitis.com", 6881),
)


@dataclass(frozen=True)
class DhtSettings:
    """How our DHT node is run.

    `bootstrap`: (host, port) of nodes asked when we know no others. `trusted`: the user typed them, so
    they may be local. `table_file`: where the routing table is kept between runs, None for nowhere.
    `read_only`: ask, but answer nobody (BEP 43). `rate`: queries a second of the whole process (rqbit
    250). `port`: UDP port, None for that of the TCP listener, else an ephemeral one. `interfaces`: IP
    literals to send from, at most one of each family is used; empty for the listener's, else all.
    """

    bootstrap: tuple[tuple[str, int], ...] = BOOTSTRAP
    trusted: bool = False
    table_file: str | None = None
    read_only: bool = False
    rate: float = 250.0
    port: int | None = None
    interfaces: tuple[str, ...] = ()
