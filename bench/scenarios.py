"""What is measured: the scenarios of the table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table: which magnets, which peers, and how many."""

    title: str
    count: int
    #: Kinds of tracker in each magnet, in this order; empty: the seeder's address is in the magnet.
    trackers: tuple[str, ...] = ("udp", "http")
    #: Size of the info dictionaries, a key of corpus.SIZES.
    size: str = "2k"
    #: Dead peers beside the seeder of each live magnet, by kind.
    dead_beside: tuple[tuple[str, int], ...] = ()
    #: Magnets that have only dead peers, mixed in; the run ends when the live ones are done.
    dead_magnets: int = 0
    rounds: int = 3
    #: Clients run when none are named.
    clients: tuple[str, ...] = ("functorrent", "libtorrent")


ALL = ("functorrent", "libtorrent", "aria2", "magnet2torrent", "demagnetize")

TABLE = (
    Scenario("1000 magnets, UDP and HTTP tracker", 1000, clients=ALL),
    Scenario("1000 magnets, UDP tracker", 1000, ("udp",)),
    Scenario("1000 magnets, HTTP tracker", 1000, ("http",)),
    Scenario("1000 magnets, peers given", 1000, ()),
    Scenario("10,000 magnets, UDP and HTTP tracker", 10_000),
    Scenario("10,000 magnets, UDP tracker", 10_000, ("udp",)),
    Scenario("10,000 magnets, HTTP tracker", 10_000, ("http",)),
    Scenario("10,000 magnets, peers given", 10_000, ()),
    Scenario("20 magnets of 2 MB", 20, size="2m", clients=ALL),
    Scenario("1 magnet", 1, rounds=5, clients=ALL),
    Scenario(
        "100 magnets, libtorrent defaults", 100, rounds=1, clients=("functorrent", "libtorrent-defaults")
    ),
    Scenario(
        "100 magnets, each with 5 refusing and 5 mute peers",
        100,
        dead_beside=(("refuse", 5), ("mute", 5)),
        clients=ALL,
    ),
    Scenario("100 live magnets alone", 100),
    Scenario("the same 100 among 900 whose peers are dead", 100, dead_magnets=900),
)
