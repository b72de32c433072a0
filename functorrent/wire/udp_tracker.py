"""UDP tracker packets: connect, announce and error (BEP 15), with the URL's path as an option (BEP 41).

Sans-IO: values to bytes and back. Every packet starts with an action and a transaction id, 4 bytes
each; a request has its 8-byte connection id before them. All numbers are big-endian.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from functorrent.errors import LocalProtocolError, TrackerProtocolError

#: Stands where the connection id goes in a connect request.
PROTOCOL_ID = 0x41727101980

CONNECT, ANNOUNCE, SCRAPE, ERROR = range(4)
NO_EVENT, COMPLETED, STARTED, STOPPED = range(4)

_OPTION_END, _OPTION_PADDING, _OPTION_URL = range(3)
_OPTION_LENGTH = 255

_HEAD = Struct("!II")
_REQUEST = Struct("!QII")
_CONNECT_ANSWER = Struct("!IIQ")
_ANNOUNCE = Struct("!QII20s20sQQQIIIiH")
_ANNOUNCE_ANSWER = Struct("!IIIII")


class ConnectRequest(NamedTuple):
    """Asks for a connection id (16 bytes)."""

    transaction_id: int

    def encode(self) -> bytes:
        return _REQUEST.pack(PROTOCOL_ID, CONNECT, self.transaction_id)


class AnnounceRequest(NamedTuple):
    """Says that we take part in a torrent, and asks who else does (98 bytes, then options).

    `left` is in bytes; `key` 32 bits that stay the same when our address changes; `num_want` -1 leaves
    the number of peers to the tracker; `options` is what `encode_options` made.
    """

    connection_id: int
    transaction_id: int
    infohash: bytes
    peer_id: bytes
    port: int
    event: int = NO_EVENT
    downloaded: int = 0
    left: int = 0
    uploaded: int = 0
    key: int = 0
    num_want: int = -1
    options: bytes = b""

    def encode(self) -> bytes:
        return encode_announce(*self)


class ConnectAnswer(NamedTuple):
    """A connection id, good for 60 s from the address it was sent to."""

    transaction_id: int
    connection_id: int


class AnnounceAnswer(NamedTuple):
    """Peers, compact: 6 bytes each where the tracker was asked over IPv4, 18 over IPv6."""

    transaction_id: int
    interval: int
    leechers: int
    seeders: int
    peers: bytes


class ErrorAnswer(NamedTuple):
    """The tracker refuses. `message` is a stranger's words, perhaps none."""

    transaction_id: int
    message: bytes


Answer = ConnectAnswer | AnnounceAnswer | ErrorAnswer


def encode_announce(
    connection_id: int,
    transaction_id: int,
    infohash: bytes,
    peer_id: bytes,
    port: int,
    event: int,
    downloaded: int,
    left: int,
    uploaded: int,
    key: int,
    num_want: int,
    options: bytes,
) -> bytes:
    """The bytes of an `AnnounceRequest`, without making one."""
    packet = _ANNOUNCE.pack(
        connection_id, ANNOUNCE, transaction_id, infohash, peer_id, downloaded, left, uploaded, event,
        0,  # the address we send from
        key, num_want, port,
    )  # fmt: skip
    return packet + options


def encode_options(path_and_query: str) -> bytes:
    """The URL's path and query as options of an announce (BEP 41), empty where there is none.

    Raises LocalProtocolError unless `path_and_query` is ASCII.
    """
    try:
        data = path_and_query.encode("ascii")
    except UnicodeEncodeError:
        raise LocalProtocolError("the path of a tracker URL goes out as ASCII") from None
    chunks = [data[start : start + _OPTION_LENGTH] for start in range(0, len(data), _OPTION_LENGTH)]
    return b"".join(bytes((_OPTION_URL, len(chunk))) + chunk for chunk in chunks)


def decode_options(data: bytes) -> bytes:
    """The path and query in an announce's options; unknown options are skipped.

    Raises TrackerProtocolError where an option is cut short.
    """
    found = bytearray()
    at = 0
    while at < len(data) and data[at] != _OPTION_END:
        if data[at] == _OPTION_PADDING:
            at += 1
            continue
        start = at + 2
        end = start + data[at + 1] if start <= len(data) else start
        if end > len(data):
            raise TrackerProtocolError(f"an option that ends at {end} in {len(data)} bytes of options")
        if data[at] == _OPTION_URL:
            found += data[start:end]
        at = end
    return bytes(found)


def decode_head(data: bytes) -> tuple[int, int]:
    """The action and the transaction id of an answer. Raises TrackerProtocolError."""
    if len(data) < _HEAD.size:
        raise TrackerProtocolError(f"an answer of {len(data)} bytes; the shortest has {_HEAD.size}")
    action, transaction_id = _HEAD.unpack_from(data)
    return action, transaction_id


def decode_answer(data: bytes) -> Answer:
    """What a tracker sent.

    An announce answer of 8 bytes is how opentracker refuses: an `ErrorAnswer` without words.
    Raises TrackerProtocolError for anything else that is too short, and for unknown actions.
    """
    return decode_body(*decode_head(data), data)


def decode_body(action: int, transaction_id: int, data: bytes) -> Answer:
    """`decode_answer`, the head read already."""
    if action == ANNOUNCE:
        if len(data) >= _ANNOUNCE_ANSWER.size:
            _, _, interval, leechers, seeders = _ANNOUNCE_ANSWER.unpack_from(data)
            return AnnounceAnswer(transaction_id, interval, leechers, seeders, data[_ANNOUNCE_ANSWER.size :])
        if len(data) == _HEAD.size:
            return ErrorAnswer(transaction_id, b"")
        raise TrackerProtocolError(
            f"an announce answer of {len(data)} bytes; it needs {_ANNOUNCE_ANSWER.size}"
        )
    if action == CONNECT:
        if len(data) < _CONNECT_ANSWER.size:
            raise TrackerProtocolError(
                f"a connect answer of {len(data)} bytes; it needs {_CONNECT_ANSWER.size}"
            )
        return ConnectAnswer(transaction_id, _CONNECT_ANSWER.unpack_from(data)[2])
    if action == ERROR:
        return ErrorAnswer(transaction_id, data[_HEAD.size :])
    raise TrackerProtocolError(f"an answer with the unknown action {action}")


def decode_request(data: bytes) -> ConnectRequest | AnnounceRequest:
    """What a client sent: the other side of this codec, for trackers in tests.

    Raises TrackerProtocolError.
    """
    if len(data) < _REQUEST.size:
        raise TrackerProtocolError(f"a request of {len(data)} bytes; the shortest has {_REQUEST.size}")
    connection_id, action, transaction_id = _REQUEST.unpack_from(data)
    if action == CONNECT and connection_id == PROTOCOL_ID:
        return ConnectRequest(transaction_id)
    if action != ANNOUNCE:
        raise TrackerProtocolError(f"a request with the unknown action {action}")
    if len(data) < _ANNOUNCE.size:
        raise TrackerProtocolError(f"an announce of {len(data)} bytes; it needs {_ANNOUNCE.size}")
    fields = _ANNOUNCE.unpack_from(data)
    infohash, peer_id, downloaded, left, uploaded, event, _address, key, num_want, port = fields[3:]
    return AnnounceRequest(
        connection_id, transaction_id, infohash, peer_id, port, event, downloaded, left, uploaded, key,
        num_want, data[_ANNOUNCE.size :],
    )  # fmt: skip


def encode_answer(answer: Answer) -> bytes:
    """The bytes of an answer, for trackers in tests."""
    if isinstance(answer, ConnectAnswer):
        return _CONNECT_ANSWER.pack(CONNECT, answer.transaction_id, answer.connection_id)
    if isinstance(answer, AnnounceAnswer):
        head = _ANNOUNCE_ANSWER.pack(
            ANNOUNCE, answer.transaction_id, answer.interval, answer.leechers, answer.seeders
        )
        return head + answer.peers
    return _HEAD.pack(ERROR, answer.transaction_id) + answer.message
