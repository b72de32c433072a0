"""Puts peers into a tracker: UDP announces (BEP 15) sent from each peer's own address.

opentracker believes the source address, so the socket is bound to it; about a hundred announces
are in flight, and one that is not answered goes out again.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterable
from itertools import groupby

CONNECT_MAGIC = 0x41727101980
IN_FLIGHT = 100
RETRANSMIT = 0.25
DEADLINE = 30.0

#: A peer of a torrent: address, port, infohash.
Entry = tuple[str, int, bytes]


class AnnounceError(Exception):
    """The tracker refused or did not answer."""


def inject(tracker: tuple[str, int], entries: Iterable[Entry]) -> None:
    """Makes `tracker` know every entry as a seed. Raises AnnounceError."""
    ordered = sorted(entries)
    for address, group in groupby(ordered, key=lambda entry: entry[0]):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            sock.connect(tracker)
            _inject_from(sock, [(port, infohash) for _, port, infohash in group])


def _inject_from(sock: socket.socket, entries: list[tuple[int, bytes]]) -> None:
    connection_id = _connect(sock)
    packets = {
        tid: struct.pack(
            ">QII20s20sQQQIIIiH",
            connection_id, 1, tid, infohash, b"-BE0000-" + b"%012d" % tid, 0, 0, 0, 2, 0, tid, 0, port,
        )
        for tid, (port, infohash) in enumerate(entries)
    }  # fmt: skip
    waiting = iter(list(packets))
    due: dict[int, float] = {}
    end = time.monotonic() + DEADLINE
    while packets:
        now = time.monotonic()
        if now > end:
            raise AnnounceError(f"{len(packets)} announces were refused or never answered")
        for tid in [tid for tid, at in due.items() if at < now]:
            due[tid] = now + RETRANSMIT
            sock.send(packets[tid])
        while len(due) < IN_FLIGHT and (fresh := next(waiting, None)) is not None:
            due[fresh] = now + RETRANSMIT
            sock.send(packets[fresh])
        if not select.select([sock], [], [], 0.05)[0]:
            continue
        answer = sock.recv(2048)
        action, tid = struct.unpack(">II", answer[:8])
        # opentracker refuses (8 bytes) until it has read its whitelist: such an announce goes out again.
        if action == 1 and len(answer) >= 20 and due.pop(tid, None) is not None:
            del packets[tid]


def _connect(sock: socket.socket) -> int:
    """The connection id the tracker gives to this socket; it may still be starting."""
    for _ in range(100):
        try:
            sock.send(struct.pack(">QII", CONNECT_MAGIC, 0, 7))
            if select.select([sock], [], [], 0.1)[0]:
                action, tid, connection_id = struct.unpack(">IIQ", sock.recv(2048)[:16])
                if (action, tid) == (0, 7):
                    return int(connection_id)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise AnnounceError("the tracker did not answer a connect")
