"""Announces of local service discovery (BEP 14, "Protocol"): HTTP-like lines in one multicast datagram.

Sans-IO: values to bytes and back. Clients differ in what they send and read: Transmission writes infohashes
in capitals, aria2 sends no cookie, and bittorrent-lsd wants `Host` and `Port` on the second and third line,
in this order and case. So what is written here all of them read, and what any might send is read here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from functorrent.errors import LocalProtocolError, MalformedLsd

#: The groups, and the port of both.
GROUP4, GROUP6, PORT = "239.192.152.143", "ff15::efc0:988f", 6771
#: What the Host line says of each.
HOST4, HOST6 = f"{GROUP4}:{PORT}", f"[{GROUP6}]:{PORT}"

#: A datagram of several infohashes "should not exceed" this.
MAX_DATAGRAM = 1400
#: Longest datagram read: what an Ethernet frame takes unfragmented.
MAX_RECEIVED = 1500
#: Infohashes of one datagram: 52 bytes each, beside 99 of other lines.
MAX_INFOHASHES = 25

_MAX_COOKIE = 20
_START = b"BT-SEARCH "
_REQUEST = re.compile(rb"BT-SEARCH +\* +HTTP/1\.[0-9]{1,3} *(?=[\r\n])", re.I)
#: The lines of use, each behind a line end of any kind; all found in one pass.
_LINE = re.compile(rb"[\r\n][ \t]*(infohash|port|cookie|host)[ \t]*:[ \t]*([^\r\n]*)", re.I)
_PORT = re.compile(rb"[0-9]{1,5}")
_INFOHASH = re.compile(rb"[0-9A-Fa-f]{40}")
_NOTHING = bytes(20)


class LsdAnnounce(NamedTuple):
    """Somebody takes part in these torrents (infohashes: bytes of 20, no two alike), and listens on `port`.

    `cookie` is for its sender to know itself by, None where it has none; `host` is the Host line's value,
    None where that is missing. Both are a stranger's words.
    """

    port: int
    infohashes: tuple[bytes, ...]
    cookie: bytes | None = None
    host: bytes | None = None


def is_announce(data: bytes) -> bool:
    """Whether a datagram begins as an announce does: a cheap look, before anything is spent on it."""
    return data[: len(_START)].upper() == _START


def decode_announce(data: bytes) -> LsdAnnounce:
    """What a client announced.

    Any line ends, letter cases, spaces around values and order of lines are read, and unknown lines are
    passed over (as BEP 14 says), as are infohashes that are none. Of a line that should be there once, the
    first counts. Raises MalformedLsd: no announce, no usable port, or no infohash.
    """
    if len(data) > MAX_RECEIVED:
        raise MalformedLsd(f"a datagram of {len(data)} bytes, over the limit of {MAX_RECEIVED}")
    request = _REQUEST.match(data)
    if request is None:
        raise MalformedLsd("not a BT-SEARCH request")
    port = cookie = host = None
    # A dictionary keeps their order.
    infohashes: dict[bytes, None] = {}
    for name, value in _LINE.findall(data, request.end()):
        value = value.rstrip()
        name = name.lower()
        if name == b"infohash":
            if _INFOHASH.fullmatch(value) is not None:
                infohashes[bytes.fromhex(value.decode("ascii"))] = None
        elif name == b"port":
            if port is None:
                port = _read_port(value)
        elif name == b"cookie":
            cookie = value if cookie is None else cookie
        elif host is None:
            host = value
    infohashes.pop(_NOTHING, None)
    if port is None:
        raise MalformedLsd("an announce without a port")
    if not infohashes:
        raise MalformedLsd("an announce without an infohash")
    return LsdAnnounce(port, tuple(infohashes), cookie, host)


def _read_port(value: bytes) -> int:
    port = int(value) if _PORT.fullmatch(value) is not None else 0
    if not 0 < port < 65536:
        raise MalformedLsd("an announce of a port that is none")
    return port


def encode_announce(host: str, port: int, infohashes: Sequence[bytes], cookie: str) -> bytes:
    """The datagram for one group (`HOST4` or `HOST6`), at most `MAX_DATAGRAM` bytes.

    `port`: where we listen; `infohashes`: 1 to `MAX_INFOHASHES`, bytes of 20; `cookie`: up to 20 printable
    ASCII characters. Raises LocalProtocolError for anything else.
    """
    if not 0 < port < 65536:
        raise LocalProtocolError(f"no port to be called on: {port}")
    if not 0 < len(infohashes) <= MAX_INFOHASHES or any(len(each) != 20 for each in infohashes):
        raise LocalProtocolError(f"an announce has 1 to {MAX_INFOHASHES} infohashes of 20 bytes")
    if not 0 < len(cookie) <= _MAX_COOKIE or not (cookie.isascii() and cookie.isprintable()):
        raise LocalProtocolError(f"a cookie has 1 to {_MAX_COOKIE} printable characters")
    lines = [
        "BT-SEARCH * HTTP/1.1",
        f"Host: {host}",
        f"Port: {port}",
        *[f"Infohash: {infohash.hex()}" for infohash in infohashes],
        f"cookie: {cookie}",
        # Transmission up to 3.00 wants two empty lines here, and nothing behind them.
        "",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("ascii")
