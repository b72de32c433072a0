"""Extensions on connections: the process's table of them, and what runs them on one connection.

Extensions are `IPeerExtension` plugins (DESIGN law 7). One that raises is switched off for that
connection with a warning; it never takes the connection along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from functorrent.wire.extended import MAX_NAME, ExtendedHandshake, LocalExtensions, encode_handshake
from functorrent.wire.handshake import Handshake

if TYPE_CHECKING:
    from functorrent.peer.protocol import PeerProtocol

#: What we say we are in ``v``.
CLIENT = "functorrent"
_NOTHING: Mapping[str, Any] = {}


def discover_extensions() -> list[IPeerExtension]:
    """The installed third-party extensions (namespace ``functorrent.plugins``)."""
    from twisted.plugin import getPlugins

    import functorrent.plugins

    return list(getPlugins(IPeerExtension, functorrent.plugins))


class ExtensionTable:
    """The extensions a process offers, and its extended handshake.

    `extensions`: in the order that gives them their ids; one whose name comes again, or is no name,
    is left out with a warning.
    `port`: our listening port for ``p``, or None; it may be set later. So may `node_port`, the UDP port of
    our DHT node (None: we have none), and `heard_node`, which takes the nodes that peers say they have.
    """

    log = Logger()

    def __init__(self, extensions: Iterable[IPeerExtension], version: str = "") -> None:
        self.extensions: dict[str, IPeerExtension] = {}
        for extension in extensions:
            name = getattr(extension, "name", None)
            if not isinstance(name, str) or not name.isascii() or not 0 < len(name) <= MAX_NAME:
                self.log.warn("an extension without a usable name is left out: {it!r}", it=extension)
            elif name in self.extensions:
                self.log.warn("a second extension {name!r} is left out", name=name)
            else:
                self.extensions[name] = extension
        self.local = LocalExtensions(self.extensions)
        self.port: int | None = None
        self.node_port: int | None = None
        self.heard_node: Callable[[PeerAddress], None] | None = None
        self._client = f"{CLIENT} {version}".strip()
        self._plain: dict[tuple[int | None, tuple[str, ...]], bytes] = {}

    def handshake(self, items: Mapping[str, Any], withheld: tuple[str, ...] = ()) -> bytes:
        """Our extended handshake's payload, with `items` beside what is always in it, and without the
        extensions in `withheld`."""
        if not items:
            payload = self._plain.get((self.port, withheld))
            if payload is not None:
                return payload
        ids = {name: number for name, number in self.local.ids.items() if name not in withheld}
        payload = encode_handshake(ids, {**self._items(), **items})
        if not items:
            self._plain[self.port, withheld] = payload
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
        given: dict[str, dict[str, Any]] = {}
        withheld: tuple[str, ...] = ()
        for name, extension in self._table.extensions.items():
            try:
                session = extension.connect(_Handle(peer, name, infohash))
                if session is None:
                    withheld += (name,)
                    continue
                # Known before it is told anything, so that it hears of the end, whatever comes.
                self._sessions[name] = session
                if not peer.over:
                    session.peer_handshake(handshake)
                items = None if peer.over else session.handshake_items()
                if items:
                    given[name] = dict(items)
            except PeerError:
                raise
            except Exception:
                self._broken(name)
            if peer.over:
                # It hung up, perhaps before its session was known.
                self.closed(peer.error)
                return b""
        if not given:
            return self._table.handshake(_NOTHING, withheld)
        try:
            return self._table.handshake(
                {key: item for items in given.values() for key, item in items.items()}, withheld
            )
        except Exception:
            return self._table.handshake(self._that_can_be_sent(given), withheld)

    def _that_can_be_sent(self, given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """The handshake items of those extensions whose items can be encoded; the others are broken."""
        sound: dict[str, Any] = {}
        for name, items in given.items():
            try:
                self._table.handshake(items)
            except Exception:
                self._broken(name)
            else:
                sound.update(items)
        return sound

    def extended_handshake(self, handshake: ExtendedHandshake) -> None:
        """The peer's extended handshake, for every extension. Raises PeerError."""
        for name, session in self._each():
            if name not in self._sessions:
                # One before it has hung up.
                continue
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
            if writable is None or name not in self._sessions:
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
        for name, session in sessions.items():
            self._close(name, session, reason)

    def _close(self, name: str, session: IPeerExtensionSession, reason: PeerError | None) -> None:
        try:
            session.closed(reason)
        except Exception:
            self.log.failure("extension {name!r} failed to close", name=name)

    def _each(self) -> Sequence[tuple[str, IPeerExtensionSession]]:
        return list(self._sessions.items())

    def _broken(self, name: str) -> None:
        self.log.failure("extension {name!r} failed and is off for this connection", name=name)
        session = self._sessions.pop(name, None)
        if session is not None:
            # What it holds, timers perhaps, it lets go of there.
            self._close(name, session, None)
