"""Asks one DHT node as fast as it answers: `python -m bench.dht_flood HOST PORT METHOD SECONDS`.

From 200 addresses (127.40.N.1), each in a /24 of its own, with a few queries in flight each: as a node
in the wild is asked. Prints a line of JSON: how many it sent, how many were answered (errors among them),
in how many seconds.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from functorrent.wire.bencode import decode

ADDRESSES = 200
#: Queries of one address in flight.
WINDOW = 2
#: Seconds without any answer at all after which the window is sent again: the rest was lost.
LOST = 0.2


@dataclass
class Asker:
    """One address, its socket, and what it needs to announce a peer."""

    sock: socket.socket
    node_id: bytes
    infohash: bytes
    token: bytes = b""


def ping(asker: Asker, number: int) -> bytes:
    """A ping."""
    return b"d1:ad2:id20:%be1:q4:ping1:t2:%b1:y1:qe" % (asker.node_id, number.to_bytes(2, "big"))


def find_node(asker: Asker, number: int) -> bytes:
    """A find_node for an id of chance."""
    return b"d1:ad2:id20:%b6:target20:%be1:q9:find_node1:t2:%b1:y1:qe" % (
        asker.node_id, os.urandom(20), number.to_bytes(2, "big"),
    )  # fmt: skip


def get_peers(asker: Asker, number: int, infohash: bytes | None = None) -> bytes:
    """A get_peers; for an infohash that nobody has, unless it is given."""
    return b"d1:ad2:id20:%b9:info_hash20:%be1:q9:get_peers1:t2:%b1:y1:qe" % (
        asker.node_id, infohash or os.urandom(20), number.to_bytes(2, "big"),
    )  # fmt: skip


def announce_peer(asker: Asker, number: int) -> bytes:
    """An announce_peer with a good token, which libtorrent gives for one infohash and one address."""
    return (
        b"d1:ad2:id20:%b12:implied_porti1e9:info_hash20:%b4:porti6881e5:token%d:%be"
        b"1:q13:announce_peer1:t2:%b1:y1:qe"
        % (asker.node_id, asker.infohash, len(asker.token), asker.token, number.to_bytes(2, "big"))
    )


METHODS: dict[str, Callable[[Asker, int], bytes]] = {
    "ping": ping,
    "find_node": find_node,
    "get_peers": get_peers,
    "announce_peer": announce_peer,
}


def askers(node: tuple[str, int]) -> list[Asker]:
    """All of them, connected, with tokens."""
    made = []
    for number in range(1, ADDRESSES + 1):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((f"127.40.{number}.1", 0))
        sock.connect(node)
        sock.settimeout(2)
        asker = Asker(sock, os.urandom(20), os.urandom(20))
        sock.send(get_peers(asker, 0, asker.infohash))
        answer: Any = decode(sock.recv(65_536))
        asker.token = answer[b"r"][b"token"]
        sock.setblocking(False)
        made.append(asker)
    return made


def flood(node: tuple[str, int], method: str, seconds: float) -> dict[str, float]:
    """Ask for so long."""
    make = METHODS[method]
    poll = select.epoll()
    by_number: dict[int, Asker] = {}
    for asker in askers(node):
        by_number[asker.sock.fileno()] = asker
        poll.register(asker.sock.fileno(), select.EPOLLIN)
    number = answered = sent = errors = 0
    began = time.monotonic()
    end, quiet = began + seconds, 0.0
    while (now := time.monotonic()) < end:
        if now > quiet:
            for asker in by_number.values():
                for _ in range(WINDOW):
                    number = (number + 1) & 0xFFFF
                    sent += 1
                    asker.sock.send(make(asker, number))
        events = poll.poll(LOST)
        if events:
            quiet = now + LOST
        for fileno, _ in events:
            asker = by_number[fileno]
            try:
                while True:
                    errors += b"1:y1:e" in asker.sock.recv(65_536)
                    answered += 1
                    number = (number + 1) & 0xFFFF
                    sent += 1
                    asker.sock.send(make(asker, number))
            except BlockingIOError:
                continue
    took = time.monotonic() - began
    return {"answered": answered, "sent": sent, "errors": errors, "seconds": took}


if __name__ == "__main__":
    print(json.dumps(flood((sys.argv[1], int(sys.argv[2])), sys.argv[3], float(sys.argv[4]))))
