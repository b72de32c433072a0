"""Queries of others, answered (BEP 5, with `want` of BEP 32 and `ip` of BEP 42)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from functorrent.errors import LocalProtocolError, MalformedKrpc
from functorrent.interfaces import PeerAddress
from functorrent.rates import Bucket, RateOfEach
from functorrent.sources.dht.core import DhtCore
from functorrent.sources.dht.pings import Pings
from functorrent.sources.dht.places import place
from functorrent.sources.dht.storage import PeerStorage
from functorrent.sources.dht.tokens import Tokens
from functorrent.wire.compact import pack
from functorrent.wire.krpc import (
    METHOD_UNKNOWN,
    PROTOCOL_ERROR,
    VALUES4_SENT,
    VALUES6_SENT,
    NodeInfo,
    Query,
    encode_error,
    encode_response,
)

#: Nodes named in one answer (BEP 5), of each family that is asked for.
_NODES = 8
#: A table with fewer nodes is in need of them.
_FEW = 32
#: Addresses, and as many /24s, whose rate is remembered.
_MAX_ADDRESSES = 4096


class Answers:
    """Answers queries. `send(data, (host, port))` sends a datagram."""

    def __init__(
        self,
        core: DhtCore,
        send: Callable[[bytes, tuple[str, int]], Any],
        tokens: Tokens,
        storage: PeerStorage,
        pings: Pings,
    ) -> None:
        self._core = core
        self._pings = pings
        self._send = send
        self._tokens = tokens
        self._storage = storage
        limits = core.limits
        self._all = Bucket(core.clock, limits.dht_answers_rate_all, limits.dht_answers_burst_all)
        self._each = RateOfEach(limits.dht_answers_rate, limits.dht_answers_burst, _MAX_ADDRESSES)
        self._near = RateOfEach(limits.dht_answers_rate_near, limits.dht_answers_burst_near, _MAX_ADDRESSES)

    def admits(self, address: PeerAddress) -> bool:
        """Whether an address is within its rate, its /24 in that of such, and all together in theirs.

        An answer has up to five times the bytes of its query, and goes to whom the query says it is from.
        """
        now = float(self._core.clock.seconds())
        who, near = place(address)
        if self._each.pause(who, now) or (near != who and self._near.pause(near, now)):
            return False
        if not self._all.ready():
            return False
        self._all.take()
        self._each.take(who, now)
        if near != who:
            self._near.take(near, now)
        return True

    def received(self, query: Query, address: tuple[str, int]) -> None:
        """A query of anybody."""
        core = self._core
        core.stats.queries_received += 1
        if core.read_only:
            return
        asker = PeerAddress(*address)
        if not self.admits(asker):
            core.stats.over_rate += 1
            return
        try:
            data = self._answer(query, asker, pack(asker))
        except LocalProtocolError:
            # From a port or an address that nothing can be sent to.
            core.stats.malformed += 1
            return
        self._send(data, address)
        if not query.read_only:
            self._heard(NodeInfo(query.sender, asker))

    def malformed(self, error: MalformedKrpc, address: tuple[str, int]) -> None:
        """A query that could not be read is told so, where it has a transaction id (BEP 5)."""
        core = self._core
        if (
            not error.query
            or error.transaction is None
            or core.read_only
            or not self.admits(PeerAddress(*address))
        ):
            return
        core.stats.refused += 1
        self._send(encode_error(error.transaction, PROTOCOL_ERROR, b"Protocol Error"), address)

    def _heard(self, node: NodeInfo) -> None:
        core = self._core
        table = core.tables.get(":" in node.address.host)
        if table is None or not core.allowed(node):
            return
        if table.heard(node, float(core.clock.seconds())) and len(table) < _FEW:
            # A full table takes them in now and then; in a young network they are all there is.
            for each in table.candidates():
                self._pings.add(each.address, each.id)

    def _answer(self, query: Query, asker: PeerAddress, external: bytes) -> bytes:
        core, v6 = self._core, ":" in asker.host
        own_id, method, target = core.ids[v6], query.method, query.target
        if method == "ping":
            core.stats.answered += 1
            return encode_response(query.transaction, own_id, external=external)
        if target is None:
            core.stats.refused += 1
            return encode_error(query.transaction, METHOD_UNKNOWN, b"Method Unknown", external=external)
        if method == "announce_peer":
            return self._announce(query, target, asker, own_id, external)
        now = float(core.clock.seconds())
        values: list[bytes] = []
        token = None
        if method == "get_peers":
            token = self._tokens.make(asker.host, now)
            most = VALUES6_SENT if v6 else VALUES4_SENT
            values = self._storage.sample(target, 6 if v6 else 4, most, now)
        # What is not known but has a target is answered as find_node (BEP 5's forward compatibility).
        want = query.want or (("n6",) if v6 else ("n4",))
        core.stats.answered += 1
        return encode_response(
            query.transaction,
            own_id,
            nodes=self._closest(False, target) if "n4" in want else None,
            nodes6=self._closest(True, target) if "n6" in want else None,
            values=values,
            token=token,
            external=external,
        )

    def _closest(self, v6: bool, target: bytes) -> bytes | None:
        table = self._core.tables.get(v6)
        if table is None:
            return None
        return table.closest_packed(target, _NODES)

    def _announce(
        self, query: Query, infohash: bytes, asker: PeerAddress, own_id: bytes, external: bytes
    ) -> bytes:
        core = self._core
        now = float(core.clock.seconds())
        if query.token is None or not self._tokens.good(query.token, asker.host, now):
            core.stats.refused += 1
            return encode_error(query.transaction, PROTOCOL_ERROR, b"Bad token", external=external)
        port = asker.port if query.implied_port or query.port is None else query.port
        self._storage.announce(infohash, PeerAddress(asker.host, port), now)
        core.stats.answered += 1
        return encode_response(query.transaction, own_id, external=external)
