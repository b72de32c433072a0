"""ut_pex messages: BEP 11, "extension message"; peers that the sender has met, and lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from functorrent.errors import BencodeError, LocalProtocolError, MalformedMessage
from functorrent.interfaces import PeerAddress
from functorrent.wire.bencode import Value, decode, encode
from functorrent.wire.compact import V4_LENGTH, V6_LENGTH, pack, parse_v4, parse_v6

NAME = "ut_pex"

#: Flags of a peer (BEP 11); hints of somebody who may be wrong.
PREFERS_ENCRYPTION = 0x01
SEED = 0x02
UTP = 0x04
HOLEPUNCH = 0x08
REACHABLE = 0x10

#: Peers read of each list. The BEP has 50 of both families together, more in the first message;
#: libtorrent sends up to 100.
MOST = 100


class PexPeer(NamedTuple):
    """A peer that the sender is connected to, and its flags (0 to 255)."""

    address: PeerAddress
    flags: int = 0

    @property
    def seed(self) -> bool:
        """Whether it is said to have everything, so the metadata, too."""
        return bool(self.flags & SEED)


@dataclass(frozen=True, slots=True)
class PexMessage:
    """One message: `added` since the last one, IPv4 before IPv6, and `dropped`."""

    added: tuple[PexPeer, ...] = ()
    dropped: tuple[PeerAddress, ...] = ()

    def encode(self) -> bytes:
        """The payload. Raises LocalProtocolError for what is no address, or flags that are no byte."""
        lists: dict[str, bytes] = {}
        try:
            for suffix, six in (("", False), ("6", True)):
                added = [each for each in self.added if (":" in each.address.host) == six]
                lists[f"added{suffix}"] = b"".join([pack(each.address) for each in added])
                lists[f"added{suffix}.f"] = bytes([each.flags for each in added])
                dropped = [each for each in self.dropped if (":" in each.host) == six]
                lists[f"dropped{suffix}"] = b"".join(map(pack, dropped))
        except ValueError:
            raise LocalProtocolError(f"flags that are not a byte: {self.added}") from None
        return encode(lists)


def decode_pex(payload: bytes, *, most: int = MOST) -> PexMessage:
    """The message in a payload; of each of its lists no more than the first `most` peers.

    Addresses are as sent, port 0 and local ones too. Flags that are not one for each peer count as none.
    Raises MalformedMessage where it is not one dictionary and nothing else, or a list is no list of peers.
    """
    try:
        # Six lists, and keys of a client's own.
        items = decode(payload, depth=4, items=64)
    except BencodeError as error:
        raise MalformedMessage(f"a peer exchange message that is not bencode: {error}") from error
    if not isinstance(items, dict):
        raise MalformedMessage("a peer exchange message that is no dictionary")
    added = [
        *_peers(items, b"added", V4_LENGTH, parse_v4, most),
        *_peers(items, b"added6", V6_LENGTH, parse_v6, most),
    ]
    dropped = [
        *parse_v4(_list(items, b"dropped", V4_LENGTH, most)),
        *parse_v6(_list(items, b"dropped6", V6_LENGTH, most)),
    ]
    return PexMessage(tuple(added), tuple(dropped))


def _peers(
    items: Mapping[bytes, Value],
    key: bytes,
    length: int,
    parse: Callable[[bytes], list[PeerAddress]],
    most: int,
) -> list[PexPeer]:
    packed = _list(items, key, length, most)
    if not packed:
        return []
    flags = items.get(key + b".f")
    if not isinstance(flags, bytes) or len(flags) != len(items[key]) // length:  # type: ignore[arg-type]
        flags = bytes(most)
    return list(map(PexPeer, parse(packed), flags))


def _list(items: Mapping[bytes, Value], key: bytes, length: int, most: int) -> bytes:
    """The first `most` peers of a list, packed; b"" where there is none."""
    packed = items.get(key, b"")
    if not isinstance(packed, bytes) or len(packed) % length:
        raise MalformedMessage(f"{key.decode()} of a peer exchange message is no list of peers")
    return packed[: length * most]
