"""ut_pex (BEP 11), as an extension plugin: peers name further peers, and we listen.

We have no swarm to tell of, so no message is ever sent. A peer that lacks the metadata may know one that
has it: a few of them are kept open while the fetch lasts, and the fetch waits a moment for their first
message, no longer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from zope.interface import implementer

from functorrent.deadlines import Deadlines
from functorrent.errors import MalformedMessage, NoMetadata, PeerError
from functorrent.interfaces import (
    IPeerExchangeSink,
    IPeerExtension,
    IPeerExtensionSession,
    IPeerHandle,
    PeerAddress,
)
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.wire.extended import ExtendedHandshake
from functorrent.wire.handshake import Handshake
from functorrent.wire.metadata import NAME as UT_METADATA
from functorrent.wire.pex import NAME, PexMessage, decode_pex

_NAME = NAME.encode()
_UT_METADATA = UT_METADATA.encode()
_NOTHING: Mapping[str, Any] = {}
#: Seconds between looks at the peers that are kept.
_LOOK = 0.5
_MINUTE = 60.0


@implementer(IPeerExtension)
class UtPex:
    """The extension, one for the process.

    `sink(infohash)` gives the IPeerExchangeSink of a fetch that is on, or None. Where there is none the
    extension is not offered: what we only serve needs no peers, and may be private (BEP 27).
    """

    name = NAME

    def __init__(
        self,
        deadlines: Deadlines,
        sink: Callable[[bytes], IPeerExchangeSink | None],
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.sink = sink
        self.limits = limits
        self.clock = deadlines.clock
        self._deadlines = deadlines
        #: Peers kept for a fetch, in the order they came.
        self._kept: dict[bytes, list[UtPexSession]] = {}

    def connect(self, peer: IPeerHandle) -> IPeerExtensionSession | None:
        """A session for one peer, where a fetch is on."""
        sink = self.sink(peer.infohash)
        if sink is None:
            return None
        session: IPeerExtensionSession = UtPexSession(peer, self, sink)
        return session

    # -- peers that lack the metadata ----------------------------------------------------------

    def keep(self, session: UtPexSession) -> bool:
        """Whether one more peer of a fetch is kept; it may take the place of one that has said its say."""
        infohash, now = session.peer.infohash, self.clock.seconds()
        kept = self._kept.get(infohash, [])
        if len(kept) >= self.limits.max_pex_kept:
            done = next((each for each in kept if each.is_done(now)), None)
            if done is None:
                return False
            done.let_go()
        if not self._kept:
            # Else it is set: who comes must not put the next look off.
            self._deadlines.set(self._look, now + _LOOK)
        self._kept.setdefault(infohash, []).append(session)
        return True

    def forget(self, session: UtPexSession) -> None:
        """It is kept no more."""
        infohash = session.peer.infohash
        kept = self._kept[infohash]
        kept.remove(session)
        if not kept:
            del self._kept[infohash]
            if not self._kept:
                self._deadlines.clear(self._look)

    def _look(self) -> None:
        """Keep them on, but for those that a fetch has nothing left to wait for but them."""
        now = self.clock.seconds()
        for infohash, kept in list(self._kept.items()):
            sink = self.sink(infohash)
            over = sink is None or sink.exhausted
            for session in list(kept):
                if over and session.is_done(now):
                    session.let_go()
                else:
                    session.keep_on()
        if self._kept:
            self._deadlines.set(self._look, now + _LOOK)


@implementer(IPeerExtensionSession)
class UtPexSession:
    """ut_pex on one connection."""

    # Defaults of the class: nearly every connection of a bulk fetch ends before one of them changes.
    _speaks = False
    _shares_metadata = False
    _has_metadata = False
    _is_kept = False
    #: Until when its first message is waited for, if it comes to that.
    _waited_for = 0.0
    #: When its last messages came; made at the first.
    _messages: deque[float] | None = None
    _taken = 0

    def __init__(self, peer: IPeerHandle, extension: UtPex, sink: IPeerExchangeSink) -> None:
        self.peer = peer
        self._extension = extension
        self._sink: IPeerExchangeSink | None = sink

    # -- IPeerExtensionSession ---------------------------------------------------------------

    def handshake_items(self) -> Mapping[str, Any]:
        """Nothing."""
        return _NOTHING

    def peer_handshake(self, handshake: Handshake) -> None:
        """Nothing to learn here."""

    def extended_handshake(self, handshake: ExtendedHandshake) -> None:
        """Keep a peer that lacks the metadata, but may name one that has it."""
        given = handshake.extensions
        # A later handshake that does not name an extension leaves it as it was; 0 turns it off (BEP 10).
        if _NAME in given:
            self._speaks = given[_NAME] != 0
        if _UT_METADATA in given:
            self._shares_metadata = given[_UT_METADATA] != 0
        if handshake.metadata_size:
            self._has_metadata = True
        if self._speaks and not (self._has_metadata and self._shares_metadata):
            self._keep()
        elif self._is_kept:
            self._forget()
            self.peer.keep_open(0)

    def message(self, payload: bytes) -> None:
        """A message; what cannot be read names nobody. Raises PeerError where there are too many."""
        extension = self._extension
        now = extension.clock.seconds()
        messages = self._messages
        if messages is None:
            messages = self._messages = deque(maxlen=extension.limits.max_pex_messages)
        if len(messages) == messages.maxlen and now - messages[0] < _MINUTE:
            raise MalformedMessage(f"over {messages.maxlen} peer exchange messages in a minute")
        messages.append(now)
        left = extension.limits.max_pex_peers - self._taken
        if left <= 0:
            return
        try:
            message = decode_pex(payload)
        except MalformedMessage:
            # The BEP asks for no more, and it may well have the metadata.
            return
        peers = _best(message, left, extension.limits.max_pex_ports)
        self._taken += len(peers)
        if peers and self._sink is not None:
            self._sink.peers(peers, hearsay=True)

    def closed(self, reason: PeerError | None) -> None:
        """The connection is gone."""
        self._sink = None
        if self._is_kept:
            self._forget()

    # -- while it lacks the metadata ---------------------------------------------------------

    def _keep(self) -> None:
        if not self._is_kept:
            if not self._extension.keep(self):
                return
            self._is_kept = True
            self._waited_for = self._extension.clock.seconds() + self._extension.limits.pex_wait
        self.keep_on()

    def _forget(self) -> None:
        self._is_kept = False
        self._extension.forget(self)

    def is_done(self, now: float) -> bool:
        """Whether it has said what it knows, or has had the time to."""
        return self._messages is not None or now >= self._waited_for

    def keep_on(self) -> None:
        """The fetch goes on, and so does it."""
        self.peer.keep_open(self._extension.limits.max_keep_open)

    def let_go(self) -> None:
        """It is waited for no longer."""
        if self._is_kept:
            self._forget()
            self.peer.keep_open(0)
            self.peer.abort(NoMetadata("does not share metadata"))


def _best(message: PexMessage, most: int, ports: int) -> list[PeerAddress]:
    """The peers to take of a message: seeds before others, no more than `ports` of one host."""
    best: list[PeerAddress] = []
    of_host: dict[str, int] = {}
    for address, _ in sorted(message.added, key=lambda peer: not peer.seed):
        count = of_host[address.host] = of_host.get(address.host, 0) + 1
        if count <= ports:
            best.append(address)
            if len(best) == most:
                break
    return best
