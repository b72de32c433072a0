"""The bytes of a bare fetch, for the floor loops: no checks beyond the hash, no trackers, no files.

One block is asked for, so it is for info dictionaries of at most 16 KiB.
"""

from __future__ import annotations

from hashlib import sha1
from urllib.parse import parse_qs

PROTOCOL = b"\x13BitTorrent protocol\x00\x00\x00\x00\x00\x10\x00\x00"
PEER_ID = b"-BE0000-000000000000"
#: Our extended handshake (BEP 10): metadata messages come to us under id 1.
HELLO = b"d1:md11:ut_metadatai1eee"
HELLO_FRAME = (len(HELLO) + 2).to_bytes(4, "big") + b"\x14\x00" + HELLO
REQUEST = b"d8:msg_typei0e5:piecei0ee"
WINDOW = 100

Target = tuple[bytes, str, int]


def targets(path: str) -> list[Target]:
    """Infohash, address and port of each magnet (xt and x.pe) of a file."""
    found = []
    with open(path) as file:
        for line in file:
            query = parse_qs(line.strip().partition("?")[2])
            host, _, port = query["x.pe"][0].rpartition(":")
            found.append((bytes.fromhex(query["xt"][0][9:]), host, int(port)))
    return found


class Bare:
    """One fetch: bytes in, bytes out; `done` is None until it is known how it ended."""

    __slots__ = ("buffer", "done", "infohash")

    def __init__(self, infohash: bytes) -> None:
        self.infohash = infohash
        self.buffer = b""
        self.done: bool | None = None

    def hello(self) -> bytes:
        """What is said at once: both handshakes."""
        return PROTOCOL + self.infohash + PEER_ID + HELLO_FRAME

    def receive(self, data: bytes) -> bytes:
        """Takes what came and returns what to send."""
        buffer = self.buffer = self.buffer + data
        if len(buffer) < 68:
            return b""
        reply, at = b"", 68
        while len(buffer) - at >= 4:
            end = at + 4 + int.from_bytes(buffer[at : at + 4], "big")
            if len(buffer) < end:
                break
            if buffer[at + 4 : at + 6] == b"\x14\x00":
                reply = _request(buffer[at:end])
            elif buffer[at + 4 : at + 6] == b"\x14\x01":
                header_end = buffer.index(b"ee", at) + 2
                self.done = sha1(buffer[header_end:end]).digest() == self.infohash
            at = end
        self.buffer = buffer[:68] + buffer[at:]
        return reply


def _request(hello: bytes) -> bytes:
    """A request for the only block, under the id the peer gave to ut_metadata."""
    start = hello.index(b"11:ut_metadatai") + 15
    number = int(hello[start : hello.index(b"e", start)])
    return (len(REQUEST) + 2).to_bytes(4, "big") + bytes((20, number)) + REQUEST
