"""announce_peer to the nodes that a lookup ended at (BEP 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from zope.interface import implementer

from functorrent.rates import ITurn
from functorrent.sources.dht.calls import Call
from functorrent.sources.dht.core import DhtCore
from functorrent.sources.dht.lookup import Candidate
from functorrent.wire.krpc import Response, encode_announce_peer


@implementer(ITurn)
class Announcing:
    """Tells `candidates`, where they gave a token, that we have a peer at `port`; then `ended()`."""

    def __init__(
        self,
        core: DhtCore,
        infohash: bytes,
        port: int,
        v6: bool,
        candidates: Iterable[Candidate],
        ended: Callable[[], None],
    ) -> None:
        self.sent = 0
        self.accepted = 0
        self._core = core
        self._infohash = infohash
        self._port = port
        self._v6 = v6
        self._waiting = [each for each in candidates if each.token is not None]
        self._calls: set[Call] = set()
        self._ended: Callable[[], None] | None = ended

    def start(self) -> None:
        """Begin; `ended` may be called before this returns."""
        while self._waiting and self._core.calls.turns.take(self):
            self._announce(self._waiting.pop(0))
        self._look()

    def turn(self) -> None:
        """A query is ours."""
        if self._waiting:
            self._announce(self._waiting.pop(0))
        self.start()

    def cancel(self) -> None:
        """Send no more, wait for none; `ended` is not called."""
        self._ended = None
        self._waiting.clear()
        self._core.calls.turns.leave(self)
        for call in self._calls:
            self._core.calls.forget(call)
        self._calls.clear()

    def _announce(self, candidate: Candidate) -> None:
        core, token = self._core, candidate.token
        if token is None or core.calls.pause(candidate.address):
            return
        own_id, infohash, port = core.ids[self._v6], self._infohash, self._port
        call = Call(candidate.address, candidate.node_id, "announce_peer", self, None)
        self._calls.add(call)
        self.sent += 1
        core.calls.ask(
            call, lambda transaction: encode_announce_peer(transaction, own_id, infohash, port, token)
        )

    def _look(self) -> None:
        if self._ended is not None and not self._waiting and not self._calls:
            ended, self._ended = self._ended, None
            ended()

    # -- ICaller -------------------------------------------------------------------------------

    def answered(self, call: Call, response: Response) -> None:
        """It has taken it."""
        if call in self._calls:
            self._calls.discard(call)
            self.accepted += 1
            self._core.stats.announced += 1
            self._look()

    def stalled(self, call: Call) -> None:
        """Nobody waits for a place."""

    def lost(self, call: Call) -> None:
        """It did not take it, or did not say so."""
        self._calls.discard(call)
        self._look()
