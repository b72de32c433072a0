"""Text and JSON as the store keeps them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

#: Below this a report is hardly shorter deflated.
_DEFLATE_FROM = 400


def plain(text: str) -> str:
    """Text that every database takes: lone surrogates and NUL replaced."""
    if text.isascii():
        return text.replace("\0", "\ufffd") if "\0" in text else text
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def pack(value: Mapping[str, Any]) -> bytes:
    """A JSON object as bytes, deflated where that is worth it."""
    data = json.dumps(value, separators=(",", ":")).encode()
    return zlib.compress(data, 1) if len(data) >= _DEFLATE_FROM else data


def pack_nodes(nodes: Iterable[tuple[str, int]]) -> str:
    """DHT nodes as text."""
    return json.dumps([[plain(host), port] for host, port in nodes], separators=(",", ":"))


def unpack_nodes(text: str) -> tuple[tuple[str, int], ...]:
    """The nodes that `pack_nodes` was given."""
    return tuple((host, port) for host, port in json.loads(text))


def unpack(data: bytes) -> dict[str, Any]:
    """The JSON object that `pack` was given."""
    # Deflated data begins with 0x78, an object with a brace.
    value: dict[str, Any] = json.loads(data if data[:1] == b"{" else zlib.decompress(data))
    return value
