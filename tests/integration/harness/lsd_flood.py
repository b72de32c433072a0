"""Datagrams to the group of local service discovery that nobody should believe, or be hurt by: a program.

`python -m ... WHAT`: ``stranger`` an announce from another subnet; ``flood`` junk, giants and announces as
quickly as they go, for `SECONDS`, and writes how many; ``good`` an announce now and then meanwhile.
"""

from __future__ import annotations

import os
import socket
import sys
import time

from functorrent.wire.lsd import GROUP4, HOST4, PORT, encode_announce
from tests.integration.harness.lsd_network import GOOD4, STRANGER4, THEY4

SECONDS = 2.0


def main(what: str) -> None:
    """The program."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    us = socket.inet_aton({"stranger": STRANGER4, "good": GOOD4}.get(what, THEY4))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, us)
    group = (GROUP4, PORT)
    announce = encode_announce(HOST4, 5555, [os.urandom(20)], "flood")
    end = time.monotonic() + SECONDS
    if what == "flood":
        junk = [os.urandom(100), b"BT-SEARCH * HTTP/1.1\r\n" + os.urandom(1300), announce, b""]
        junk = junk * 20 + [announce.ljust(60_000, b"\n")]
        sent = 0
        while time.monotonic() < end:
            for each in junk:
                sock.sendto(each, group)
            sent += len(junk)
        print(sent)
        return
    while True:
        sock.sendto(announce, group)
        if what == "stranger" or time.monotonic() > end + 5:
            return
        time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
