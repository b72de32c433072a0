"""The extension protocol: BEP 10, the extended handshake and the two id tables.

The ids we offer and the ids the peer offered are two separate tables: a message is sent with the id
the *receiver* gave to that extension.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from functorrent.errors import BencodeError, LocalProtocolError, MalformedMessage
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.wire.bencode import Value, decode_prefix, encode

HANDSHAKE_ID = 0
#: Bytes of an extension's name; longer ones are not kept. The longest in use have 16.
MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class ExtendedHandshake:
    """An extended handshake; every part is optional.

    `extensions`: name to id, 0 turns one off. `metadata_size`: bytes, as the peer claims, unchecked
    (any int). `client`: the sender's ``v`` (bytes, cut). `port`: its TCP port. `reqq`: requests it
    answers at once. `yourip`: 4 or 16 bytes, our address as it sees it. `items`: the whole
    dictionary, keys in bytes.
    """

    extensions: Mapping[bytes, int] = field(default_factory=dict)
    metadata_size: int | None = None
    client: bytes | None = None
    port: int | None = None
    reqq: int | None = None
    yourip: bytes | None = None
    items: Mapping[bytes, Value] = field(default_factory=dict, repr=False)

    @classmethod
    def decode(cls, payload: bytes, limits: Limits = DEFAULT_LIMITS) -> ExtendedHandshake:
        """The handshake in the payload of an extended message with id 0.

        Keys of a wrong type count as absent: odd clients have sent them all. Bytes after the
        dictionary are ignored. Raises MalformedMessage where there is no dictionary.
        """
        try:
            items, _ = decode_prefix(payload, 0, depth=limits.bencode_depth, items=limits.bencode_items)
        except BencodeError as error:
            raise MalformedMessage(f"an extended handshake that is not bencode: {error}") from error
        if not isinstance(items, dict):
            raise MalformedMessage("an extended handshake that is no dictionary")
        get = items.get
        names = get(b"m")
        extensions: dict[bytes, int] = {}
        if isinstance(names, dict):
            if len(names) > limits.max_extensions:
                raise MalformedMessage(f"{len(names)} extensions, over {limits.max_extensions}")
            for name, number in names.items():
                if type(number) is int and 0 <= number <= 255 and len(name) <= MAX_NAME:
                    extensions[name] = number
        size, client, port, reqq = get(b"metadata_size"), get(b"v"), get(b"p"), get(b"reqq")
        yourip = get(b"yourip")
        return cls(
            extensions,
            size if isinstance(size, int) else None,
            client[: limits.max_client_name] if isinstance(client, bytes) else None,
            port if isinstance(port, int) and 0 < port < 65536 else None,
            reqq if isinstance(reqq, int) and reqq >= 0 else None,
            yourip if isinstance(yourip, bytes) and len(yourip) in (4, 16) else None,
            items,
        )


def encode_handshake(extensions: Mapping[str, int], items: Mapping[str, Any]) -> bytes:
    """The payload of an extended handshake: ``m`` from `extensions`, beside `items`.

    Raises LocalProtocolError where two names share an id, or `items` would replace ``m``.
    """
    used = [number for number in extensions.values() if number]
    if len(used) != len(set(used)):
        raise LocalProtocolError(f"two extensions share an id: {dict(extensions)}")
    if any(not 0 <= number <= 255 for number in used):
        raise LocalProtocolError(f"an id is a byte: {dict(extensions)}")
    if "m" in items:
        raise LocalProtocolError("'m' is made of the extensions' names")
    return encode({**items, "m": dict(extensions)})


class LocalExtensions:
    """The table of ids we offer: fixed for the process, 1 and up in the order given."""

    def __init__(self, names: Iterable[str]) -> None:
        self.ids = {name: number for number, name in enumerate(dict.fromkeys(names), 1)}
        if len(self.ids) > 255:
            raise LocalProtocolError("more than 255 extensions")
        self._names = {number: name for name, number in self.ids.items()}

    def name(self, extended_id: int) -> str | None:
        """The extension a peer means by one of our ids; None for ids we never gave."""
        return self._names.get(extended_id)


class RemoteExtensions:
    """The table of ids the peer offered; each extended handshake updates it."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: dict[bytes, int] = {}

    def update(self, extensions: Mapping[bytes, int], limits: Limits = DEFAULT_LIMITS) -> None:
        """Take in ``m`` of a handshake; names it does not mention stay, id 0 turns one off.

        Raises MalformedMessage where a peer keeps adding names.
        """
        self._ids.update(extensions)
        if len(self._ids) > limits.max_extensions:
            raise MalformedMessage(f"over {limits.max_extensions} extensions in several handshakes")

    def id(self, name: str) -> int | None:
        """The id to send an extension's messages with, or None where the peer has it not (or off)."""
        return self._ids.get(name.encode()) or None
