"""The scripted fakes on real loopback sockets."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import maybeDeferred

from functorrent.interfaces import PeerAddress
from functorrent.testing import Behaviour, HTTPLie, ScriptedSeeder, ScriptedTracker, UDPLie


class Listening:
    """Fakes on real loopback sockets of this process's reactor; `stop` ends them all."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.seeders: list[ScriptedSeeder] = []
        self._ports: list[Any] = []

    def seeder(self, info: bytes, *behaviours: Behaviour, host: str = "127.0.0.1") -> PeerAddress:
        """A scripted seeder; returns where it listens. It is added to `seeders`."""
        seeder = ScriptedSeeder(info, *behaviours, clock=self.reactor)
        self.seeders.append(seeder)
        port = self.reactor.listenTCP(0, seeder, interface=host)
        self._ports.append(port)
        return PeerAddress(host, port.getHost().port)

    def http(self, tracker: ScriptedTracker, *lies: HTTPLie, host: str = "127.0.0.1") -> str:
        """The tracker over HTTP; returns its URL."""
        port = self.reactor.listenTCP(0, tracker.http_site(*lies), interface=host)
        self._ports.append(port)
        return f"http://{f'[{host}]' if ':' in host else host}:{port.getHost().port}/announce"

    def udp(self, tracker: ScriptedTracker, *lies: UDPLie, host: str = "127.0.0.1") -> str:
        """The tracker over UDP; returns its URL."""
        port = self.reactor.listenUDP(0, tracker.udp_protocol(*lies), interface=host)
        self._ports.append(port)
        return f"udp://{f'[{host}]' if ':' in host else host}:{port.getHost().port}/announce"

    async def stop(self) -> None:
        for seeder in self.seeders:
            seeder.stop()
        for port in self._ports:
            await maybeDeferred(port.stopListening)
