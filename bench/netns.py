"""A loopback of our own for each run: a fresh network namespace (Linux).

Ports of closed connections stay taken for a minute. On a shared loopback libtorrent was six times
slower at the second run of 10,000 magnets (presumably because it binds before it dials).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1
#: One run of 10,000 magnets over an HTTP tracker takes 20,000 ports; the usual range has 28,000.
PORT_RANGE = "1100 65000"

#: Set to run on the machine's own loopback instead, with its usual range of ports, as people's
#: machines are.
SHARED = "FUNCTORRENT_BENCH_SHARED"

_warned = False


def fresh() -> bool:
    """Moves this process, and what it starts from now on, to an empty loopback.

    False, and a warning once, where that is not allowed (it needs root): runs then disturb the
    next one, and a minute should lie between them.
    """
    if os.environ.get(SHARED):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not sys.platform.startswith("linux") or libc.unshare(CLONE_NEWNET) != 0:
        return _shared()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
    try:
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(PORT_RANGE)
    except OSError as error:
        print(f"the range of ports stays as it is: {os.strerror(error.errno or 0)}", file=sys.stderr)
    return True


def _shared() -> bool:
    global _warned
    if not _warned:
        _warned = True
        print("no network namespace of our own (needs root): leave a minute between runs", file=sys.stderr)
    return False
