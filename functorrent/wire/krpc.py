"""KRPC, the DHT's messages (BEP 5), with IPv6 (BEP 32), read-only nodes (BEP 43) and ``ip`` (BEP 42).

Sans-IO: one datagram is one bencoded dictionary. Keys and methods that are not known are passed over,
and what a stranger may repeat (nodes, values) is cut to its cap before it is taken apart. Messages of
ours are put together by hand, and the three queries that a node is sent all day are read by one regular
expression: a node answers thousands a second.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from socket import AF_INET6, inet_ntoa, inet_ntop
from struct import Struct
from typing import Any, NamedTuple

from functorrent.errors import BencodeError, MalformedKrpc
from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS
from functorrent.wire.bencode import decode
from functorrent.wire.compact import V4_LENGTH, V6_LENGTH, pack

ID_LENGTH = 20
#: Bytes of one node in ``nodes`` and in ``nodes6``: its id, its address and its port.
NODE4_LENGTH = ID_LENGTH + V4_LENGTH
NODE6_LENGTH = ID_LENGTH + V6_LENGTH

#: Codes of errors (BEP 5).
GENERIC_ERROR, SERVER_ERROR, PROTOCOL_ERROR, METHOD_UNKNOWN = 201, 202, 203, 204

#: Our ``v``: two letters of the client, two bytes of its version, as most have it.
VERSION = b"FT\x00\x01"

#: The most a datagram of ours may have (BEP 32).
MAX_SENT = 1024
#: Values in one ``values`` of ours, so that it fits beside 8 nodes of both families.
VALUES4_SENT = 40
VALUES6_SENT = 15

_MAX_DATAGRAM = DEFAULT_LIMITS.dht_datagram
_MAX_NODES = DEFAULT_LIMITS.dht_nodes
_MAX_VALUES = DEFAULT_LIMITS.dht_values
_MAX_TOKEN = DEFAULT_LIMITS.dht_token
_MAX_TRANSACTION = DEFAULT_LIMITS.dht_transaction
#: A datagram full of values, two bytes of length and six of peer each, and the rest of the message.
_ITEMS = _MAX_DATAGRAM // 8 + 64
#: Messages are three deep; a BEP 44 ``v`` may be deeper.
_DEPTH = 16
#: Bytes kept of ``v``, of a method's name and of an error's words.
_MAX_VERSION = 16
_MAX_METHOD = 32
_MAX_WORDS = 200

_NODE4 = Struct("!20s4sH")
_NODE6 = Struct("!20s16sH")
_V4 = Struct("!4sH")
_V6 = Struct("!16sH")
#: What NamedTuples come to, without a call of Python for each.
_new = tuple.__new__


class NodeInfo(NamedTuple):
    """A DHT node: its id (bytes of 20) and where it is."""

    id: bytes
    address: PeerAddress


class Query(NamedTuple):
    """What a node asks.

    `method`: ``ping``, ``find_node``, ``get_peers`` or ``announce_peer``, or one we do not know, which
    BEP 5 answers with error 204. `sender`: its id. `target`: the id or infohash it is about (bytes of
    20; always there where the method needs it). `port`: of an announce_peer, 1 to 65535; None only
    where `implied_port` says that the datagram's own port is meant. `token`: of an announce_peer.
    `want`: ``n4`` and ``n6`` as asked for (BEP 32). `read_only`: it answers no queries (BEP 43).
    `version`: its ``v``.
    """

    transaction: bytes
    method: str
    sender: bytes
    target: bytes | None = None
    port: int | None = None
    implied_port: bool = False
    token: bytes | None = None
    want: tuple[str, ...] = ()
    read_only: bool = False
    version: bytes | None = None


class Response(NamedTuple):
    """What a node answers.

    `nodes` and `nodes6`: nodes close to what was asked for; `values`: peers of both families. Whatever
    has port 0 is left out; all of it is a stranger's words. `token`: what an announce_peer to it must
    carry. `external`: our own address as it sees us (BEP 42 ``ip``).
    """

    transaction: bytes
    sender: bytes
    nodes: tuple[NodeInfo, ...] = ()
    nodes6: tuple[NodeInfo, ...] = ()
    values: tuple[PeerAddress, ...] = ()
    token: bytes | None = None
    external: PeerAddress | None = None
    version: bytes | None = None


class Error(NamedTuple):
    """A node refuses. `code`: see BEP 5, 0 where it named none; `words`: a stranger's, perhaps none."""

    transaction: bytes
    code: int
    words: bytes = b""


Message = Query | Response | Error


# -- reading -----------------------------------------------------------------------------------

#: ping, find_node and get_peers as nearly all clients send them. Every string has its length in front of
#: it here as in bencode, so what matches has no second reading.
_COMMON = re.compile(
    # libtorrent's bs says that it begins: nobody need put it into a table.
    rb"d1:ad(?:2:bsi1e)?2:id20:(.{20})"
    rb"(?:(6:target|9:info_hash)20:(.{20}))?"
    rb"(?:4:wantl((?:2:n[46]){1,2})e)?"
    rb"e1:q(4:ping|9:find_node|9:get_peers)"
    rb"(?:2:roi([01])e)?"
    rb"1:t(1:.|2:..|3:...|4:....|8:.{8})"
    rb"(?:1:v4:(....))?"
    rb"1:y1:qe",
    re.DOTALL,
)
#: By the method as it is in the datagram: its name, and the key of its target.
_METHODS = {
    b"4:ping": ("ping", None),
    b"9:find_node": ("find_node", b"6:target"),
    b"9:get_peers": ("get_peers", b"9:info_hash"),
}
_WANTS: dict[bytes | None, tuple[str, ...]] = {
    None: (),
    b"2:n4": ("n4",),
    b"2:n6": ("n6",),
    b"2:n42:n6": ("n4", "n6"),
    b"2:n62:n4": ("n6", "n4"),
}
#: The key of the target of each method that needs one.
_TARGETS = {b"find_node": b"target", b"get_peers": b"info_hash", b"announce_peer": b"info_hash"}
_WANTED = {b"n4": "n4", b"n6": "n6"}


def decode_krpc(data: bytes) -> Message:
    """The message of one datagram. Raises MalformedKrpc."""
    match = _COMMON.fullmatch(data)
    if match is not None:
        sender, key, target, want, method, read_only, transaction, version = match.groups()
        name, needed = _METHODS[method]
        if key == needed and want in _WANTS:
            return _new(
                Query,
                (
                    transaction[2:], name, sender, target, None, False, None, _WANTS[want],
                    read_only == b"1", version,
                ),
            )  # fmt: skip
    return _decode(data)


def _decode(data: bytes) -> Message:
    if len(data) > _MAX_DATAGRAM:
        raise MalformedKrpc(f"a datagram of {len(data)} bytes; at most {_MAX_DATAGRAM} are read")
    try:
        message = decode(data, depth=_DEPTH, items=_ITEMS)
    except BencodeError as error:
        raise MalformedKrpc(str(error)) from None
    if type(message) is not dict:
        raise MalformedKrpc("not a dictionary")
    transaction = message.get(b"t")
    if type(transaction) is not bytes or len(transaction) > _MAX_TRANSACTION:
        raise MalformedKrpc("no transaction id that could be given back")
    kind = message.get(b"y")
    if kind == b"q":
        return _query(message, transaction)
    if kind == b"r":
        return _response(message, transaction)
    if kind == b"e":
        return _error(message, transaction)
    raise MalformedKrpc("neither a query nor a response nor an error", transaction=transaction)


def _query(message: dict[bytes, Any], transaction: bytes) -> Query:
    method = message.get(b"q")
    arguments = message.get(b"a")
    if type(method) is not bytes or type(arguments) is not dict:
        raise MalformedKrpc("a query without a method or arguments", transaction=transaction, query=True)
    sender = _id(arguments.get(b"id"))
    if sender is None:
        raise MalformedKrpc("a query without an id of 20 bytes", transaction=transaction, query=True)
    key = _TARGETS.get(method)
    if key is not None:
        target = _id(arguments.get(key))
        if target is None:
            raise MalformedKrpc(
                f"a query without {key.decode()} of 20 bytes", transaction=transaction, query=True
            )
    else:
        target = _id(arguments.get(b"target")) or _id(arguments.get(b"info_hash"))
    port: int | None = None
    implied = False
    token = None
    if method == b"announce_peer":
        port = _port(arguments.get(b"port"))
        implied_port = arguments.get(b"implied_port")
        implied = type(implied_port) is int and implied_port != 0
        token = arguments.get(b"token")
        if port is None and not implied:
            raise MalformedKrpc("an announce without a port", transaction=transaction, query=True)
        if type(token) is not bytes or len(token) > _MAX_TOKEN:
            raise MalformedKrpc("an announce without a token", transaction=transaction, query=True)
    want = arguments.get(b"want")
    return Query(
        transaction,
        method[:_MAX_METHOD].decode("ascii", "replace"),
        sender,
        target,
        port,
        implied,
        token,
        # A family asked for twice is asked for once.
        tuple(dict.fromkeys(_WANTED[each] for each in want if type(each) is bytes and each in _WANTED))
        if type(want) is list
        else (),
        message.get(b"ro") == 1,
        _version(message),
    )


def _response(message: dict[bytes, Any], transaction: bytes) -> Response:
    answer = message.get(b"r")
    sender = _id(answer.get(b"id")) if type(answer) is dict else None
    if type(answer) is not dict or sender is None:
        raise MalformedKrpc("a response without an id of 20 bytes", transaction=transaction)
    nodes = answer.get(b"nodes")
    nodes6 = answer.get(b"nodes6")
    values = answer.get(b"values")
    token = answer.get(b"token")
    return Response(
        transaction,
        sender,
        parse_nodes(nodes) if type(nodes) is bytes else (),
        parse_nodes6(nodes6) if type(nodes6) is bytes else (),
        _values(values) if type(values) is list else (),
        token if type(token) is bytes and len(token) <= _MAX_TOKEN else None,
        _address(message.get(b"ip")),
        _version(message),
    )


def _error(message: dict[bytes, Any], transaction: bytes) -> Error:
    # Whatever it says, the query of that transaction has failed.
    told = message.get(b"e")
    code = told[0] if type(told) is list and told and type(told[0]) is int else 0
    words = told[1] if type(told) is list and len(told) > 1 and type(told[1]) is bytes else b""
    return Error(transaction, code, words[:_MAX_WORDS])


def _id(value: Any) -> bytes | None:
    return value if type(value) is bytes and len(value) == ID_LENGTH else None


def _port(value: Any) -> int | None:
    return value if type(value) is int and 0 < value < 65536 else None


def _version(message: dict[bytes, Any]) -> bytes | None:
    version = message.get(b"v")
    return version[:_MAX_VERSION] if type(version) is bytes else None


def _address(value: Any) -> PeerAddress | None:
    """An address and a port other than 0 in 6 or in 18 bytes."""
    if type(value) is not bytes:
        return None
    if len(value) == V4_LENGTH:
        host, port = _V4.unpack(value)
        return _new(PeerAddress, (inet_ntoa(host), port)) if port else None
    if len(value) == V6_LENGTH:
        host, port = _V6.unpack(value)
        return _new(PeerAddress, (inet_ntop(AF_INET6, host), port)) if port else None
    return None


def _values(values: list[Any]) -> tuple[PeerAddress, ...]:
    return tuple([peer for value in values[:_MAX_VALUES] if (peer := _address(value)) is not None])


def parse_nodes(data: bytes, most: int = _MAX_NODES) -> tuple[NodeInfo, ...]:
    """The nodes in a ``nodes`` value, 26 bytes each; stray bytes, port 0 and what goes over `most` nodes
    left out."""
    data = data[: min(len(data) // NODE4_LENGTH, most) * NODE4_LENGTH]
    return tuple(
        [
            _new(NodeInfo, (node_id, _new(PeerAddress, (inet_ntoa(host), port))))
            for node_id, host, port in _NODE4.iter_unpack(data)
            if port
        ]
    )


def parse_nodes6(data: bytes, most: int = _MAX_NODES) -> tuple[NodeInfo, ...]:
    """The nodes in a ``nodes6`` value, 38 bytes each; as `parse_nodes`."""
    data = data[: min(len(data) // NODE6_LENGTH, most) * NODE6_LENGTH]
    return tuple(
        [
            _new(NodeInfo, (node_id, _new(PeerAddress, (inet_ntop(AF_INET6, host), port))))
            for node_id, host, port in _NODE6.iter_unpack(data)
            if port
        ]
    )


def pack_node(node: NodeInfo) -> bytes:
    """A node in 26 bytes, or in 38 where its address is IPv6. Raises LocalProtocolError."""
    return node.id + pack(node.address)


# -- writing -----------------------------------------------------------------------------------
#
# Keys go out sorted. `transaction` and ids are ours; `external` and `values` are addresses as
# `functorrent.wire.compact.pack` gives them. `read_only`: we answer no queries (BEP 43).

_WANT_BYTES = {
    (): b"",
    ("n4",): b"4:wantl2:n4e",
    ("n6",): b"4:wantl2:n6e",
    ("n4", "n6"): b"4:wantl2:n42:n6e",
}


def encode_ping(transaction: bytes, own_id: bytes, *, read_only: bool = False) -> bytes:
    """A ``ping`` query."""
    return b"".join((b"d1:ad2:id20:", own_id, b"e1:q4:ping", _query_end(transaction, read_only)))


def encode_find_node(
    transaction: bytes, own_id: bytes, target: bytes, *, want: tuple[str, ...] = (), read_only: bool = False
) -> bytes:
    """A ``find_node`` query. `want`: ``n4``, ``n6`` or both, in that order (BEP 32)."""
    return b"".join(
        (
            b"d1:ad2:id20:", own_id, b"6:target20:", target, _WANT_BYTES[want], b"e1:q9:find_node",
            _query_end(transaction, read_only),
        )
    )  # fmt: skip


def encode_get_peers(
    transaction: bytes, own_id: bytes, infohash: bytes, *, want: tuple[str, ...] = (), read_only: bool = False
) -> bytes:
    """A ``get_peers`` query. `want`: ``n4``, ``n6`` or both, in that order (BEP 32)."""
    return b"".join(
        (
            b"d1:ad2:id20:", own_id, b"9:info_hash20:", infohash, _WANT_BYTES[want], b"e1:q9:get_peers",
            _query_end(transaction, read_only),
        )
    )  # fmt: skip


def encode_announce_peer(
    transaction: bytes,
    own_id: bytes,
    infohash: bytes,
    port: int,
    token: bytes,
    *,
    implied_port: bool = False,
    read_only: bool = False,
) -> bytes:
    """An ``announce_peer`` query: we have a peer at `port`, or at the port that the datagram comes from
    (`implied_port`). `token`: what the node gave us."""
    return b"".join(
        (
            b"d1:ad2:id20:", own_id, b"12:implied_porti1e" if implied_port else b"",
            b"9:info_hash20:", infohash,
            b"4:porti%de5:token%d:" % (port, len(token)), token, b"e1:q13:announce_peer",
            _query_end(transaction, read_only),
        )
    )  # fmt: skip


def encode_response(
    transaction: bytes,
    own_id: bytes,
    *,
    nodes: bytes | None = None,
    nodes6: bytes | None = None,
    values: Sequence[bytes] = (),
    token: bytes | None = None,
    external: bytes | None = None,
) -> bytes:
    """A response. `nodes` and `nodes6`: nodes as `pack_node` gives them, one behind the other; None
    leaves the key out."""
    parts = [b"d"]
    if external is not None:
        parts.append(b"2:ip%d:%b" % (len(external), external))
    parts.append(b"1:rd2:id20:")
    parts.append(own_id)
    if nodes is not None:
        parts.append(b"5:nodes%d:%b" % (len(nodes), nodes))
    if nodes6 is not None:
        parts.append(b"6:nodes6%d:%b" % (len(nodes6), nodes6))
    if token is not None:
        parts.append(b"5:token%d:%b" % (len(token), token))
    if values:
        parts.append(b"6:valuesl")
        parts += [b"%d:%b" % (len(value), value) for value in values]
        parts.append(b"e")
    parts.append(b"e1:t%d:%b1:v4:%b1:y1:re" % (len(transaction), transaction, VERSION))
    return b"".join(parts)


def encode_error(transaction: bytes, code: int, words: bytes, *, external: bytes | None = None) -> bytes:
    """An error; codes are `PROTOCOL_ERROR` and its kin."""
    return b"d1:eli%de%d:%be%b1:t%d:%b1:v4:%b1:y1:ee" % (
        code,
        len(words),
        words,
        b"" if external is None else b"2:ip%d:%b" % (len(external), external),
        len(transaction),
        transaction,
        VERSION,
    )


def _query_end(transaction: bytes, read_only: bool) -> bytes:
    return b"%b1:t%d:%b1:v4:%b1:y1:qe" % (
        b"2:roi1e" if read_only else b"",
        len(transaction),
        transaction,
        VERSION,
    )
