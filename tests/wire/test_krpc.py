"""KRPC messages: the BEP's own packets, both directions, and datagrams cut or broken anywhere."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import MalformedKrpc
from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS
from functorrent.wire import krpc
from functorrent.wire.bencode import decode, encode
from functorrent.wire.compact import pack
from functorrent.wire.krpc import (
    METHOD_UNKNOWN,
    NODE4_LENGTH,
    NODE6_LENGTH,
    PROTOCOL_ERROR,
    VALUES4_SENT,
    VALUES6_SENT,
    VERSION,
    Error,
    NodeInfo,
    Query,
    Response,
    decode_krpc,
    encode_announce_peer,
    encode_error,
    encode_find_node,
    encode_get_peers,
    encode_ping,
    encode_response,
    pack_node,
    parse_nodes,
    parse_nodes6,
)

quick = settings(deadline=None, derandomize=True, max_examples=200)
A = b"abcdefghij0123456789"
B = b"mnopqrstuvwxyz123456"
V6 = PeerAddress("2001:db8::7", 6881)

ids = st.binary(min_size=20, max_size=20)
transactions = st.binary(max_size=DEFAULT_LIMITS.dht_transaction)
ports = st.integers(1, 65535)
peers4 = st.builds(PeerAddress, st.ip_addresses(v=4).map(str), ports)
#: As inet_ntop writes them, which differs from `ipaddress` in those that hold an IPv4 address.
peers6 = st.binary(min_size=16, max_size=16).flatmap(
    lambda host: st.builds(lambda port: krpc._address(host + port.to_bytes(2, "big")), ports)
)
nodes4 = st.lists(st.builds(NodeInfo, ids, peers4), max_size=8).map(tuple)
nodes6 = st.lists(st.builds(NodeInfo, ids, peers6), max_size=8).map(tuple)
wants = st.sampled_from([(), ("n4",), ("n6",), ("n4", "n6")])
anything: st.SearchStrategy[Any] = st.recursive(
    st.integers(-(10**19), 10**19) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=9), inner, max_size=4),
    max_leaves=8,
)


def query(method: bytes, *, ro: Any = None, v: Any = None, t: Any = b"aa", **arguments: Any) -> bytes:
    """A query as another client would send it."""
    message: dict[str, Any] = {"a": {"id": A, **arguments}, "q": method, "t": t, "y": b"q"}
    if ro is not None:
        message["ro"] = ro
    if v is not None:
        message["v"] = v
    return encode(message)


def response(*, ip: Any = None, t: Any = b"aa", **answer: Any) -> bytes:
    message: dict[str, Any] = {"r": {"id": A, **answer}, "t": t, "y": b"r"}
    if ip is not None:
        message["ip"] = ip
    return encode(message)


class Packets(SynchronousTestCase):
    """The example packets of BEP 5."""

    def test_ping(self) -> None:
        self.assertEqual(
            decode_krpc(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"), Query(b"aa", "ping", A)
        )
        self.assertEqual(decode_krpc(b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re"), Response(b"aa", B))

    def test_find_node(self) -> None:
        self.assertEqual(
            decode_krpc(
                b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe"
            ),
            Query(b"aa", "find_node", A, B),
        )
        # Its nodes are 9 bytes in the BEP: none.
        self.assertEqual(
            decode_krpc(b"d1:rd2:id20:0123456789abcdefghij5:nodes9:def456...e1:t2:aa1:y1:re"),
            Response(b"aa", b"0123456789abcdefghij"),
        )

    def test_get_peers(self) -> None:
        self.assertEqual(
            decode_krpc(
                b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe"
            ),
            Query(b"aa", "get_peers", A, B),
        )
        self.assertEqual(
            decode_krpc(
                b"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re"
            ),
            Response(
                b"aa",
                A,
                values=(PeerAddress("97.120.106.101", 11893), PeerAddress("105.100.104.116", 28269)),
                token=b"aoeusnth",
            ),
        )

    def test_announce_peer(self) -> None:
        self.assertEqual(
            decode_krpc(
                b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz123456"
                b"4:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe"
            ),
            Query(b"aa", "announce_peer", A, B, 6881, True, b"aoeusnth"),
        )

    def test_error(self) -> None:
        self.assertEqual(
            decode_krpc(b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee"),
            Error(b"aa", 201, b"A Generic Error Ocurred"),
        )


class Ours(SynchronousTestCase):
    """What we send: sorted bencode, and the other side reads what was meant."""

    def both(self, data: bytes, message: krpc.Message) -> None:
        self.assertEqual(decode_krpc(data), message)
        # Keys sorted, no two the same: a stranger's strict reader takes it.
        self.assertEqual(encode(decode(data)), data)
        self.assertLessEqual(len(data), krpc.MAX_SENT)

    @quick
    @given(transactions, ids, ids, wants, st.booleans())
    def test_queries(
        self, transaction: bytes, own: bytes, target: bytes, want: tuple[str, ...], read_only: bool
    ) -> None:
        def expected(method: str, **fields: Any) -> Query:
            return Query(transaction, method, own, read_only=read_only, version=VERSION, **fields)

        self.both(encode_ping(transaction, own, read_only=read_only), expected("ping"))
        self.both(
            encode_find_node(transaction, own, target, want=want, read_only=read_only),
            expected("find_node", target=target, want=want),
        )
        self.both(
            encode_get_peers(transaction, own, target, want=want, read_only=read_only),
            expected("get_peers", target=target, want=want),
        )

    @quick
    @given(transactions, ids, ids, ports, st.binary(max_size=64), st.booleans(), st.booleans())
    def test_announce_peer(
        self, transaction: bytes, own: bytes, target: bytes, port: int, token: bytes, implied: bool, ro: bool
    ) -> None:
        self.both(
            encode_announce_peer(transaction, own, target, port, token, implied_port=implied, read_only=ro),
            Query(transaction, "announce_peer", own, target, port, implied, token, (), ro, VERSION),
        )

    @quick
    @given(
        transactions,
        ids,
        st.none() | nodes4,
        st.none() | nodes6,
        st.lists(peers4, max_size=VALUES4_SENT) | st.lists(peers6, max_size=VALUES6_SENT),
        st.none() | st.binary(max_size=20),
        st.none() | peers4 | peers6,
    )
    def test_responses(
        self,
        transaction: bytes,
        own: bytes,
        nodes: tuple[NodeInfo, ...] | None,
        more: tuple[NodeInfo, ...] | None,
        values: list[PeerAddress],
        token: bytes | None,
        external: PeerAddress | None,
    ) -> None:
        data = encode_response(
            transaction,
            own,
            nodes=None if nodes is None else b"".join(map(pack_node, nodes)),
            nodes6=None if more is None else b"".join(map(pack_node, more)),
            values=[pack(peer) for peer in values],
            token=token,
            external=None if external is None else pack(external),
        )
        self.both(
            data,
            Response(transaction, own, nodes or (), more or (), tuple(values), token, external, VERSION),
        )

    @quick
    @given(transactions, st.integers(201, 204), st.binary(max_size=100), st.none() | peers4)
    def test_errors(self, transaction: bytes, code: int, words: bytes, external: PeerAddress | None) -> None:
        data = encode_error(transaction, code, words, external=None if external is None else pack(external))
        self.both(data, Error(transaction, code, words))

    def test_the_largest_response_fits(self) -> None:
        """8 nodes of both families, all values, the longest ids: within BEP 32's 1024 bytes."""
        for value, count in ((bytes(6), VALUES4_SENT), (bytes(18), VALUES6_SENT)):
            data = encode_response(
                bytes(DEFAULT_LIMITS.dht_transaction),
                A,
                nodes=bytes(8 * NODE4_LENGTH),
                nodes6=bytes(8 * NODE6_LENGTH),
                values=[value] * count,
                token=bytes(20),
                external=bytes(18),
            )
            self.assertLessEqual(len(data), krpc.MAX_SENT)

    def test_a_find_node_answer_without_nodes_says_so(self) -> None:
        self.assertIn(b"5:nodes0:", encode_response(b"aa", A, nodes=b""))
        self.assertNotIn(b"nodes", encode_response(b"aa", A))


class Queries(SynchronousTestCase):
    """What others ask, as they ask it."""

    def test_unknown_methods_are_kept(self) -> None:
        """So that error 204 can be answered; vote, sample_infohashes, put and get exist in the wild."""
        got = decode_krpc(query(b"sample_infohashes", target=B))
        self.assertEqual(got, Query(b"aa", "sample_infohashes", A, B))
        got = decode_krpc(query(b"x" * 500))
        assert isinstance(got, Query)
        self.assertEqual(got.method, "x" * 32)
        got = decode_krpc(query(b"\xff\x1b[2J"))
        assert isinstance(got, Query)
        self.assertEqual(got.method, "\N{REPLACEMENT CHARACTER}\x1b[2J")

    def test_unknown_keys_are_passed_over(self) -> None:
        """libtorrent sends noseed and scrape, BEP 44 a v that may be anything."""
        data = encode(
            {
                "a": {"bs": 1, "id": A, "info_hash": B, "noseed": 1, "scrape": 1, "v": [[{"a": [1]}]]},
                "q": b"get_peers",
                "sv": b"1",
                "t": b"aa",
                "v": b"LT\x02\x00",
                "y": b"q",
            }
        )
        self.assertEqual(decode_krpc(data), Query(b"aa", "get_peers", A, B, version=b"LT\x02\x00"))

    def test_want(self) -> None:
        """n4 and n6 are taken, once each; other strings are ignored (BEP 32)."""
        for want, expected in (
            ([b"n4", b"n6"], ("n4", "n6")),
            ([b"n6", b"n4"], ("n6", "n4")),
            ([b"n6", b"n6"], ("n6",)),
            ([b"n9", 7, [b"n4"], b"n4"], ("n4",)),
            ([], ()),
            (b"n4", ()),
            (4, ()),
        ):
            got = decode_krpc(query(b"find_node", target=B, want=want))
            self.assertEqual(got, Query(b"aa", "find_node", A, B, want=expected), want)

    def test_read_only(self) -> None:
        """BEP 43: ro is 1, and nothing else."""
        for ro, expected in ((1, True), (0, False), (2, False), (b"1", False), ([1], False)):
            got = decode_krpc(query(b"ping", ro=ro))
            self.assertEqual(got, Query(b"aa", "ping", A, read_only=expected), ro)

    def test_transactions_of_any_short_length(self) -> None:
        most = DEFAULT_LIMITS.dht_transaction
        for length in range(most + 1):
            self.assertEqual(decode_krpc(query(b"ping", t=b"e" * length)).transaction, b"e" * length)
        self.assertRaises(MalformedKrpc, decode_krpc, query(b"ping", t=b"e" * (most + 1)))
        self.assertRaises(MalformedKrpc, decode_krpc, query(b"ping", t=7))

    def test_ports_of_announces(self) -> None:
        """1 to 65535; with implied_port the datagram's own port does, whatever stands there."""
        for port in (0, 65536, -1, b"80", [80]):
            data = query(b"announce_peer", info_hash=B, port=port, token=b"t")
            self.assertRaises(MalformedKrpc, decode_krpc, data)
            data = query(b"announce_peer", info_hash=B, port=port, token=b"t", implied_port=1)
            self.assertEqual(decode_krpc(data), Query(b"aa", "announce_peer", A, B, None, True, b"t"))
        data = query(b"announce_peer", info_hash=B, port=65535, token=b"t", implied_port=0)
        self.assertEqual(decode_krpc(data), Query(b"aa", "announce_peer", A, B, 65535, False, b"t"))

    def test_queries_that_get_error_203(self) -> None:
        """They are known to be queries, and their transaction is."""
        for data in (
            encode({"a": {"id": A}, "t": b"aa", "y": b"q"}),
            encode({"a": {"id": A}, "q": 7, "t": b"aa", "y": b"q"}),
            encode({"q": b"ping", "t": b"aa", "y": b"q"}),
            encode({"a": [], "q": b"ping", "t": b"aa", "y": b"q"}),
            encode({"a": {"id": A[:19]}, "q": b"ping", "t": b"aa", "y": b"q"}),
            encode({"a": {"id": 20}, "q": b"ping", "t": b"aa", "y": b"q"}),
            query(b"find_node"),
            query(b"find_node", target=B + b"x"),
            query(b"find_node", info_hash=B),
            query(b"get_peers", target=B),
            query(b"get_peers", info_hash=[B]),
            query(b"announce_peer", info_hash=B, port=1),
            query(b"announce_peer", info_hash=B, port=1, token=5),
            query(b"announce_peer", info_hash=B, port=1, token=bytes(65)),
            query(b"announce_peer", port=1, token=b"t"),
        ):
            error = self.assertRaises(MalformedKrpc, decode_krpc, data)
            self.assertEqual((error.transaction, error.query), (b"aa", True), data)


class Answers(SynchronousTestCase):
    """What others answer, as they answer it."""

    def test_nodes(self) -> None:
        node, other = NodeInfo(A, PeerAddress("192.0.2.1", 6881)), NodeInfo(B, V6)
        got = decode_krpc(response(nodes=pack_node(node), nodes6=pack_node(other)))
        self.assertEqual(got, Response(b"aa", A, (node,), (other,)))

    def test_stray_bytes_and_port_0(self) -> None:
        node = NodeInfo(A, PeerAddress("192.0.2.1", 6881))
        silent = A + bytes((192, 0, 2, 2, 0, 0))
        for extra in range(NODE4_LENGTH):
            self.assertEqual(parse_nodes(silent + pack_node(node) + bytes(extra)), (node,))
        other = NodeInfo(A, V6)
        for extra in range(NODE6_LENGTH):
            self.assertEqual(parse_nodes6(A + bytes(18) + pack_node(other) + bytes(extra)), (other,))

    def test_hybrid_values(self) -> None:
        """Both families in one list (BEP 32); other lengths, other types and port 0 are dropped."""
        peer = PeerAddress("192.0.2.1", 6881)
        values = [pack(peer), b"", b"short", 7, pack(V6), [b"x"], bytes(6), bytes(18), bytes(7)]
        got = decode_krpc(response(values=values))
        self.assertEqual(got, Response(b"aa", A, values=(peer, V6)))

    def test_odd_types_are_as_good_as_none(self) -> None:
        got = decode_krpc(response(nodes=[A], nodes6=6, values=b"axje.u", token=[1], ip=7))
        self.assertEqual(got, Response(b"aa", A))

    def test_what_is_repeated_is_capped(self) -> None:
        limits = DEFAULT_LIMITS
        got = decode_krpc(response(nodes=b"\x01" * NODE4_LENGTH * 100))
        assert isinstance(got, Response)
        self.assertEqual(len(got.nodes), limits.dht_nodes)
        got = decode_krpc(response(nodes6=b"\x01" * NODE6_LENGTH * 100))
        assert isinstance(got, Response)
        self.assertEqual(len(got.nodes6), limits.dht_nodes)
        got = decode_krpc(response(values=[b"\x01" * 6] * 400))
        assert isinstance(got, Response)
        self.assertEqual(len(got.values), limits.dht_values)

    def test_tokens(self) -> None:
        """One too long to be carried back is none, and the rest of the answer counts."""
        for length, kept in ((0, True), (4, True), (64, True), (65, False)):
            got = decode_krpc(response(token=bytes(length)))
            self.assertEqual(got, Response(b"aa", A, token=bytes(length) if kept else None))

    def test_external_address(self) -> None:
        """BEP 42: ip stands beside r, not inside."""
        for ip, expected in (
            (pack(V6), V6),
            (b"\xc0\x00\x02\x01\x1a\xe1", PeerAddress("192.0.2.1", 6881)),
            (b"\xc0\x00\x02\x01", None),
            (bytes(6), None),
        ):
            self.assertEqual(decode_krpc(response(ip=ip)), Response(b"aa", A, external=expected))
        self.assertEqual(
            decode_krpc(encode({"r": {"id": A, "ip": bytes(6)}, "t": b"", "y": b"r"})), Response(b"", A)
        )

    def test_without_an_id(self) -> None:
        for answer in ({}, {"id": A[:19]}, {"id": 5}, [], b"r"):
            data = encode({"r": answer, "t": b"aa", "y": b"r"})
            error = self.assertRaises(MalformedKrpc, decode_krpc, data)
            self.assertEqual((error.transaction, error.query), (b"aa", False))

    def test_errors_of_any_shape(self) -> None:
        """The query has failed, whatever stands there."""
        for told, code, words in (
            ([203, b"no"], 203, b"no"),
            ([203], 203, b""),
            ([], 0, b""),
            ([b"no", 203], 0, b""),
            (b"no", 0, b""),
            ([202, b"x" * 999, b"y"], 202, b"x" * 200),
        ):
            self.assertEqual(
                decode_krpc(encode({"e": told, "t": b"aa", "y": b"e"})), Error(b"aa", code, words)
            )
        self.assertEqual(decode_krpc(encode({"t": b"aa", "y": b"e"})), Error(b"aa", 0, b""))


class Hostile(SynchronousTestCase):
    """No datagram does more than raise MalformedKrpc."""

    def read(self, data: bytes) -> None:
        try:
            got = decode_krpc(data)
        except MalformedKrpc:
            return
        self.assertIsInstance(got, Query | Response | Error)
        self.assertLessEqual(len(got.transaction), DEFAULT_LIMITS.dht_transaction)

    def test_not_messages(self) -> None:
        for data in (
            b"",
            b"d",
            b"de",
            b"i1e",
            b"le",
            b"4:ping",
            b"d1:t2:aae",
            b"d1:t2:aa1:y1:xe",
            b"d1:t2:aa1:yi1ee",
            b"d1:y1:q1:y1:qe",
            b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qex",
            b"d1:rd5:nodes999999999999:e",
            b"d1:rd6:valuesl" + b"l" * 3000,
            b"d1:rd6:valuesl" + b"0:" * 2000 + b"ee1:t2:aa1:y1:re",
            b"i" + b"9" * 4000 + b"e",
        ):
            self.assertRaises(MalformedKrpc, decode_krpc, data)

    def test_too_long(self) -> None:
        """It is not even looked at, though it be a good message."""
        room = DEFAULT_LIMITS.dht_datagram - len(response(x=b"1" * 1000))
        self.assertIsInstance(decode_krpc(response(x=b"1" * (1000 + room))), Response)
        self.assertRaises(MalformedKrpc, decode_krpc, response(x=b"1" * (1001 + room)))

    @quick
    @given(st.binary(max_size=200))
    def test_noise(self, data: bytes) -> None:
        self.read(data)

    @quick
    @given(anything, anything, anything, st.sampled_from([b"q", b"r", b"e"]))
    def test_messages_of_anything(self, body: Any, key: Any, transaction: Any, kind: bytes) -> None:
        """Well-formed bencode with anything where anything may stand."""
        for inner in (
            body,
            {
                "id": A,
                "target": key,
                "info_hash": B,
                "port": body,
                "token": key,
                "want": [key, body],
                "nodes": body,
                "nodes6": key,
                "values": [body, key],
            },
        ):
            for t in (transaction, b"aa"):
                self.read(
                    encode({"a": inner, "e": [body, key], "ip": key, "q": key, "r": inner, "ro": body,
                            "t": t, "v": key, "y": kind})
                )  # fmt: skip

    @quick
    @given(st.data())
    def test_real_ones_broken(self, data: st.DataObject) -> None:
        """A few bytes changed, cut out or put in."""
        good = data.draw(
            st.sampled_from(
                [
                    encode_get_peers(b"aa", A, B, want=("n4", "n6"), read_only=True),
                    encode_announce_peer(b"aa", A, B, 6881, b"token"),
                    encode_response(b"aa", A, nodes=b"n" * 52, nodes6=b"m" * 76, values=[b"v" * 6] * 3,
                                    token=b"t", external=b"i" * 6),
                    encode_error(b"aa", METHOD_UNKNOWN, b"no"),
                ]
            )
        )  # fmt: skip
        broken = bytearray(good)
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, max(0, len(broken) - 1)))
            broken[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
        self.read(bytes(broken))


class ShortCut(SynchronousTestCase):
    """The regular expression reads what the decoder would, or nothing."""

    def same(self, data: bytes) -> None:
        got: Any
        expected: Any
        try:
            got = decode_krpc(data)
        except MalformedKrpc as error:
            got = (str(error), error.transaction, error.query)
        try:
            expected = krpc._decode(data)
        except MalformedKrpc as error:
            expected = (str(error), error.transaction, error.query)
        self.assertEqual(got, expected)
        self.assertEqual(type(got), type(expected))

    @quick
    @given(
        ids,
        st.sampled_from([b"ping", b"find_node", b"get_peers", b"announce_peer"]),
        st.fixed_dictionaries(
            {},
            optional={
                "bs": st.integers(0, 1),
                "target": ids | st.binary(max_size=20),
                "info_hash": ids,
                "want": st.lists(st.sampled_from([b"n4", b"n6", b"n5"]), max_size=3),
            },
        ),
        st.sampled_from([None, 0, 1, 2]),
        st.binary(max_size=9),
        st.none() | st.binary(min_size=3, max_size=5),
    )
    def test_same_as_the_decoder(
        self,
        sender: bytes,
        method: bytes,
        arguments: dict[str, Any],
        ro: int | None,
        t: bytes,
        v: bytes | None,
    ) -> None:
        arguments["id"] = sender
        self.same(query(method, ro=ro, v=v, t=t, **arguments))

    def test_it_is_taken(self) -> None:
        """By our own queries and by libtorrent's, else it were for nothing."""
        for data in (
            encode_ping(b"aa", A),
            encode_find_node(b"aaaa", A, B, want=("n4", "n6")),
            encode_get_peers(b"a", A, B, read_only=True),
            b"d1:ad2:id20:" + A + b"9:info_hash20:" + B + b"e1:q9:get_peers1:t2:aa1:v4:LT\x02\x001:y1:qe",
        ):
            self.assertIsNotNone(krpc._COMMON.fullmatch(data))
            self.same(data)

    @quick
    @given(st.binary(max_size=12), st.integers(0, 110), st.integers(0, 3))
    def test_broken_ones(self, noise: bytes, at: int, gone: int) -> None:
        good = encode_get_peers(b"aa", A, B, want=("n4",), read_only=True)
        self.same(good[:at] + noise + good[at + gone :])


class InTheWild(SynchronousTestCase):
    """Packets of real programs, as they came."""

    LT = b']\xee\xe3\xce\xb5\xd4U"^\xaf`@V\xefD\x8e\x8d*N!'
    JS = b"\xadB\x11k \xc5\xf5,\xd1\xdd\xca\x1c/\xb7\xe2\xbd\xe9\x95\x8dq"

    def test_libtorrent(self) -> None:
        """2.1.1: its bootstrap, and its answer over IPv4, with a port of its own making."""
        target = b']\xee\xe3\xce\xb5\xd4U"^\xaf`@\xa7(C\xb6o\x84Dd'
        data = (
            b"d1:ad2:bsi1e2:id20:" + self.LT + b"9:info_hash20:" + target + b"e1:q9:get_peers1:t2:\\F"
            b"1:v4:LT\x02\x111:y1:qe"
        )
        self.assertEqual(
            decode_krpc(data), Query(b"\\F", "get_peers", self.LT, target, version=b"LT\x02\x11")
        )
        self.assertIsNotNone(krpc._COMMON.fullmatch(data))
        data = (
            b"d2:ip6:\x7f\x00\x00\x01\xe4\xf91:rd2:id20:" + self.LT + b"5:nodes0:1:pi58617e"
            b"5:token4:\x05\x06\xe1\x89e1:t2:zz1:v4:LT\x02\x111:y1:re"
        )
        self.assertEqual(
            decode_krpc(data),
            Response(
                b"zz",
                self.LT,
                token=b"\x05\x06\xe1\x89",
                external=PeerAddress("127.0.0.1", 58617),
                version=b"LT\x02\x11",
            ),
        )

    def test_bittorrent_dht(self) -> None:
        """Of npm: no version, tokens of 20 bytes."""
        data = b"d1:ad2:id20:" + self.JS + b"6:target20:" + self.JS + b"e1:q9:find_node1:t2:\x00\x011:y1:qe"
        self.assertEqual(decode_krpc(data), Query(b"\x00\x01", "find_node", self.JS, self.JS))
        self.assertIsNotNone(krpc._COMMON.fullmatch(data))
        token = b"\xfeb_\t\xcc\xfe\x9f\x96\x01m+D\x02\x13\xe8\xe7\xab\x03+\xff"
        data = (
            b"d1:rd2:id20:" + self.JS + b"5:nodes26:" + b"\x01" * 20 + b"\x7f\x00\x00\x01\xe4\xf9"
            b"5:token20:" + token + b"e1:t2:zz1:y1:re"
        )
        node = NodeInfo(b"\x01" * 20, PeerAddress("127.0.0.1", 58617))
        self.assertEqual(decode_krpc(data), Response(b"zz", self.JS, (node,), token=token))


class Values(SynchronousTestCase):
    def test_frozen(self) -> None:
        """A message is given to many, and changed by none."""
        message = decode_krpc(query(b"ping"))
        with self.assertRaises(AttributeError):
            message.transaction = b"bb"  # type: ignore[misc]

    def test_codes(self) -> None:
        self.assertEqual((PROTOCOL_ERROR, METHOD_UNKNOWN), (203, 204))
