"""The floor without a framework: non-blocking sockets and epoll; `python floor_sockets.py MAGNETS`.

Prints how many info dictionaries hashed right.
"""

from __future__ import annotations

import select
import socket
import sys

from bench.bare import WINDOW, Bare, Target, targets


def _dial(poll: select.epoll, target: Target) -> tuple[socket.socket, Bare]:
    infohash, host, port = target
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex((host, port))
    poll.register(sock, select.EPOLLOUT)
    return sock, Bare(infohash)


def main(path: str) -> None:
    """Fetches every magnet of the file, WINDOW at a time."""
    poll = select.epoll()
    waiting = iter(targets(path))
    active: dict[int, tuple[socket.socket, Bare]] = {}
    right = 0
    more = True
    while more or active:
        while more and len(active) < WINDOW:
            target = next(waiting, None)
            if target is None:
                more = False
                break
            sock, fetch = _dial(poll, target)
            active[sock.fileno()] = sock, fetch
        for fd, events in poll.poll():
            sock, fetch = active[fd]
            try:
                if events & select.EPOLLOUT:
                    sock.send(fetch.hello())
                    poll.modify(fd, select.EPOLLIN)
                    continue
                data = sock.recv(65536)
                if reply := fetch.receive(data):
                    sock.send(reply)
            except OSError:
                data = b""
            if fetch.done is not None or not data:
                right += bool(fetch.done)
                sock.close()
                del active[fd]
    print(right)


if __name__ == "__main__":
    main(sys.argv[1])
