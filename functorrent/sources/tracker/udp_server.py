"""What `udp` knows of one UDP tracker, what it is asked, and how that is written."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from functorrent.errors import TrackerError
from functorrent.limits import Limits
from functorrent.sources.tracker.announce import LEFT, NUM_WANT, Announce, Answer
from functorrent.sources.tracker.health import Health
from functorrent.wire import udp_tracker as wire
from functorrent.wire.compact import V4_LENGTH, V6_LENGTH


class UdpServer:
    """One IP address and port.

    `expires` is when the connection id is to be renewed (0: there is none); `window` how many
    announces may be in flight to it; `listed`: it stands in the row of those that may send.
    """

    __slots__ = (
        "address", "connect", "connection_id", "expires", "farewells", "health", "in_flight", "listed",
        "queue", "v6", "window",
    )  # fmt: skip

    def __init__(self, address: tuple[str, int], window: int) -> None:
        self.address = address
        self.v6 = ":" in address[0]
        self.health = Health()
        self.connect: UdpConnect | None = None
        self.connection_id = 0
        self.expires = 0.0
        self.queue: OrderedDict[UdpAnnounce, None] = OrderedDict()
        self.farewells: list[Announce] = []
        self.in_flight = 0
        self.window = window
        self.listed = False


class UdpConnect:
    """A connect under way; sent again after each of `schedule`'s seconds."""

    __slots__ = ("attempt", "due", "schedule", "sent", "server", "transaction_id")

    def __init__(self, server: UdpServer, schedule: tuple[float, ...], now: float) -> None:
        self.server = server
        self.schedule = schedule
        self.attempt = 0
        self.due = 0.0
        self.sent = now
        self.transaction_id = -1


class UdpAnnounce:
    """An announce queued or in flight; `done` is None once it is over."""

    __slots__ = ("announce", "attempt", "done", "due", "reconnected", "sent", "server", "transaction_id")

    def __init__(self, server: UdpServer, announce: Announce, done: Done) -> None:
        self.server = server
        self.announce = announce
        self.done: Done | None = done
        self.attempt = 0
        self.due = 0.0
        self.sent = 0.0
        self.reconnected = False
        self.transaction_id = -1

    def finish(self, outcome: Answer | TrackerError) -> None:
        done, self.done = self.done, None
        if done is not None:
            done(self, outcome)


Done = Callable[[UdpAnnounce, Answer | TrackerError], None]


def encode_announce(server: UdpServer, announce: Announce, transaction_id: int, event: int) -> bytes:
    """An announce with the server's connection id."""
    return wire.encode_announce(
        server.connection_id,
        transaction_id,
        announce.infohash,
        announce.peer_id,
        announce.port,
        event,
        0,
        LEFT,
        0,
        announce.key,
        0 if event == wire.STOPPED else NUM_WANT,
        announce.tracker.options,
    )


def read_answer(server: UdpServer, answer: wire.AnnounceAnswer, limits: Limits) -> Answer:
    """What the server answered, with as many peers as we take."""
    if server.v6:
        peers4, peers6 = b"", answer.peers[: limits.max_peers_per_announce * V6_LENGTH]
    else:
        peers4, peers6 = answer.peers[: limits.max_peers_per_announce * V4_LENGTH], b""
    return Answer(peers4, peers6, answer.interval, answer.seeders, answer.leechers)
