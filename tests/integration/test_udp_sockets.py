"""The UDP sockets of the DHT node on a real reactor: one port in both families, and what comes by them."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from functorrent.sources.udp_socket import UdpSockets


def _both_families() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest_twisted.ensureDeferred
async def test_one_port_in_both_families(reactor: Any) -> None:
    if not _both_families():
        pytest.skip("no IPv6 on this machine")
    came: dict[tuple[str, int], Deferred[bytes]] = {}

    def received(data: bytes, address: tuple[str, int]) -> None:
        came[address].callback(data)

    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as free:
        free.bind(("::", 0))
        port = free.getsockname()[1]
    sockets = UdpSockets(reactor, 1 << 20, received, port=port)
    other = UdpSockets(reactor, 1 << 20, received, port=port, interfaces=("127.0.0.1", "::1"))
    try:
        assert (sockets.open(False), sockets.open(True)) == (port, port)
        # The port is taken, so the other one has another.
        for v6, host in ((False, "127.0.0.1"), (True, "::1")):
            its_port = other.open(v6)
            assert its_port not in (None, port)
            assert its_port is not None
            there: Deferred[bytes] = Deferred()
            back: Deferred[bytes] = Deferred()
            came[host, its_port] = there
            came[host, port] = back
            assert other.write((host, port), b"there") is None
            assert await _soon(reactor, there) == b"there"
            assert sockets.write((host, its_port), b"back") is None
            assert await _soon(reactor, back) == b"back"
    finally:
        await sockets.close()
        await other.close()


def _soon(reactor: Any, waiting: Deferred[bytes]) -> Deferred[bytes]:
    return waiting.addTimeout(5, reactor)
