"""Dead peers on loopback: some refuse, some accept and never speak, some never answer a dial.

Run as `python -m bench.dead COUNT`: COUNT addresses of each kind, one peer on each. Prints the
peers as JSON ({"refuse": [[address, port], ...], "mute": ..., "drop": ...}) and ends when its
standard input does.
"""

from __future__ import annotations

import json
import select
import socket
import sys

#: The /24 of 127.0.0.0/8 of each kind.
NETWORKS = {"refuse": "127.0.11", "mute": "127.0.12", "drop": "127.0.13"}


def _bound(address: str) -> socket.socket:
    sock = socket.socket()
    sock.bind((address, 0))
    return sock


def _dropping(address: str) -> tuple[socket.socket, list[socket.socket]]:
    """A listener whose queue is full: Linux drops further SYNs, as a host that is off does."""
    listener = _bound(address)
    listener.listen(0)
    fillers = []
    for _ in range(2):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    return listener, fillers


def main(count: int) -> None:
    """Keeps the dead peers dead until standard input ends."""
    peers: dict[str, list[tuple[str, int]]] = {kind: [] for kind in NETWORKS}
    kept: list[object] = []
    listeners: dict[int, socket.socket] = {}
    waiting = select.epoll()
    for last in range(1, count + 1):
        refusing = _bound(f"{NETWORKS['refuse']}.{last}")  # bound, so nobody else listens there
        mute = _bound(f"{NETWORKS['mute']}.{last}")
        mute.listen(4096)
        listeners[mute.fileno()] = mute
        waiting.register(mute, select.EPOLLIN)
        dropping, fillers = _dropping(f"{NETWORKS['drop']}.{last}")
        kept += [refusing, dropping, fillers]
        for kind, sock in (("refuse", refusing), ("mute", mute), ("drop", dropping)):
            peers[kind].append(sock.getsockname())
    print(json.dumps(peers), flush=True)
    waiting.register(sys.stdin, select.EPOLLIN)
    held: dict[int, socket.socket] = {}
    while True:
        for fd, _ in waiting.poll():
            if fd == sys.stdin.fileno():
                return
            if fd in listeners:
                connection, _ = listeners[fd].accept()
                held[connection.fileno()] = connection
                waiting.register(connection, select.EPOLLIN)
            else:
                _read(held, waiting, fd)


def _read(held: dict[int, socket.socket], waiting: select.epoll, fd: int) -> None:
    """Throws away what a client said; lets it go when it hung up."""
    try:
        gone = not held[fd].recv(65536)
    except OSError:
        gone = True
    if gone:
        waiting.unregister(fd)
        held.pop(fd).close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
