"""Extensions on connections: the process's table of them, and what runs them on one connection.

Extensions are `IPeerExtension` plugins (DESIGN law 7). One that raises is switched off for that
connection with a warning; it never takes the connection along.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from zope.interface import implementer

from functorrent.errors import PeerError
from functorrent.interfaces import (
    IPeerExtension,
    IPeerExtensionSession,
    IPeerHandle,
    PeerAddress,
)
from functorrent.wire.extended import ExtendedHandshake, LocalExtensions, encode_handshake
from functorrent.wire.handshake import Handshake

if TYPE_CHECKING:
    from functorrent.peer.protocol import PeerProtocol

#: What we say we are in ``v``.
CLIENT = "functorrent"


def discover_extensions() -> list[IPeerExtension]:
    """The installed third-party extensions (namespace ``functorrent.plugins``)."""
    from twisted.plugin import getPlugins

    import functorrent.plugins

    return list(getPlugins(IPeerExtension, functorrent.plugins))


class ExtensionTable:
    """The extensions a process offers, and its extended handshake.

    `extensions`: in the order that gives them their ids; a name that comes again is left out.
    `port`: our listening port for ``p``, or None; it may be set later.
    """

    log = Logger()

    def __init__(self, extensions: Iterable[IPeerExtension], version: str = "") -> None:
        self.extensions: dict[str, IPeerExtension] = {}
        for extension in extensions:
            if extension.name in self.extensions:
                self.log.warn("a second extension {name!r} is left out", name=extension.name)
                continue
            self.extensions[extension.name] = extension
        self.local = LocalExtensions(self.extensions)
        self.port: int | None = None
        self._client = f"{CLIENT} {version}".strip()
        self._plain: dict[int | None, bytes] = {}

    def handshake(self, items: Mapping[str, Any]) -> bytes:
        """Our extended handshake's payload, with `items` beside what is always in it."""
        if items:
            return encode_handshake(self.local.ids, {**self._items(), **items})
        payload = self._plain.get(self.port)
        if payload is None:
            payload = self._plain[self.port] = encode_handshake(self.local.ids, self._items())
        return payload

    def _items(self) -> dict[str, Any]:
        items: dict[str, Any] = {"v": self._client, "reqq": 250}
        if self.port is not None:
            items["p"] = self.port
        return items


@implementer(IPeerHandle)
class _Handle:
    """One extension's view of one connection."""

    __slots__ = ("_name", "_peer", "address", "inbound", "infohash")

    def __init__(self, peer: PeerProtocol, name: str, infohash: bytes) -> None:
        self._peer = peer
        self._name = name
        self.infohash = infohash
        self.address: PeerAddress = peer.address
        self.inbound: bool = peer.inbound

    @property
    def congested(self) -> bool:
        return self._peer.congested

    def send(self, payload: bytes) -> None:
        self._peer.send_extension(self._name, payload)

    def progress(self) -> None:
        self._peer.progress()

    def keep_open(self, seconds: float) -> None:
        self._peer.keep_open(self._name, seconds)

    def abort(self, error: PeerError) -> None:
        if not isinstance(error, PeerError):
            raise TypeError(f"a peer is counted by a PeerError, not by {error!r}")
        self._peer.abort(error)


class ExtensionDispatcher:
    """Runs the extensions of one connection."""

    __slots__ = ("_sessions", "_table")

    log = Logger()

    def __init__(self, table: ExtensionTable) -> None:
        self._table = table
        self._sessions: dict[str, IPeerExtensionSession] = {}

    def open(self, peer: PeerProtocol, infohash: bytes, handshake: Handshake) -> bytes:
        """Start every extension on a peer that speaks BEP 10; returns our extended handshake.

        Raises PeerError where an extension has no use for the peer.
        """
        items: dict[str, Any] = {}
        for name, extension in self._table.extensions.items():
            try:
                session = extension.connect(_Handle(peer, name, infohash))
                session.peer_handshake(handshake)
                items.update(session.handshake_items())
            except PeerError:
                raise
            except Exception:
                self._broken(name)
            else:
                self._sessions[name] = session
        if not items:
            return self._table.handshake(items)
        try:
            return self._table.handshake(items)
        except Exception:
            self.log.failure("an extension's handshake items cannot be sent: {names}", names=sorted(items))
            return self._table.handshake({})

    def extended_handshake(self, handshake: ExtendedHandshake) -> None:
        """The peer's extended handshake, for every extension. Raises PeerError."""
        for name, session in self._each():
            try:
                session.extended_handshake(handshake)
            except PeerError:
                raise
            except Exception:
                self._broken(name)

    def message(self, name: str, payload: bytes) -> None:
        """A message of one extension. Raises PeerError."""
        session = self._sessions.get(name)
        if session is None:
            return
        try:
            session.message(payload)
        except PeerError:
            raise
        except Exception:
            self._broken(name)

    def writable(self) -> None:
        """What we had to send has gone out: for those extensions that wait for it."""
        for name, session in self._each():
            writable = getattr(session, "writable", None)
            if writable is None:
                continue
            try:
                writable()
            except PeerError:
                raise
            except Exception:
                self._broken(name)

    def closed(self, reason: PeerError | None) -> None:
        """The connection is gone."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            try:
                session.closed(reason)
            except Exception:
                self.log.failure("an extension failed to close")

    def _each(self) -> Sequence[tuple[str, IPeerExtensionSession]]:
        return list(self._sessions.items())

    def _broken(self, name: str) -> None:
        self._sessions.pop(name, None)
        self.log.failure("extension {name!r} failed and is off for this connection", name=name)
