"""Node ids: bytes of 20 (BEP 5), bound to the node's address (BEP 42), and what others say ours is."""

from __future__ import annotations

import secrets
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_pton

from functorrent.addresses import classify
from functorrent.sources.dht.places import subnet

ID_BITS = 160
_ID_LENGTH = 20
#: What counts of an address: the less, the closer together addresses are (BEP 42).
_MASK4 = 0x030F3FFF
_MASK6 = 0x0103070F1F3F7FFF
#: Bits of the hash that an id must share.
_BOUND_BITS = 21

#: Votes of so many subnets are counted, the newest ones; and how many must agree before one is believed.
_VOTERS = 40
_QUORUM = 4


def random_id() -> bytes:
    """An id (bytes of 20) that is bound to nothing."""
    return secrets.token_bytes(_ID_LENGTH)


def id_for(host: str | None) -> bytes:
    """A new id for a node at `host` (an IP literal): random where it may be, bound by BEP 42 where not.

    Wholly random for a local address, and for None: we do not know our address yet.
    """
    own = secrets.token_bytes(_ID_LENGTH)
    if host is None or _exempt(host):
        return own
    bound = _bound(host, own[19] & 7)
    third = (bound >> 8) & 0xF8 | own[2] & 0x07
    return bytes((bound >> 24, bound >> 16 & 0xFF, third)) + own[3:]


def complies(node_id: bytes, host: str) -> bool:
    """Whether a node with this id may be at `host` (BEP 42). Local addresses are exempt."""
    if _exempt(host):
        return True
    bound = _bound(host, node_id[19] & 7)
    return (int.from_bytes(node_id[:4], "big") ^ bound) >> (32 - _BOUND_BITS) == 0


def distance(one: bytes, other: bytes) -> int:
    """How far two ids are apart: their XOR as a number (BEP 5)."""
    return int.from_bytes(one, "big") ^ int.from_bytes(other, "big")


def _exempt(host: str) -> bool:
    return classify(host) == "local"


@lru_cache(maxsize=4096)
def _bound(host: str, salt: int) -> int:
    """The 32 bits of which an id shares the first 21; `salt`: 3 bits of its own."""
    if ":" in host:
        masked = int.from_bytes(inet_pton(AF_INET6, host)[:8], "big") & _MASK6 | salt << 61
        return _crc32c(masked.to_bytes(8, "big"))
    masked = int.from_bytes(inet_pton(AF_INET, host), "big") & _MASK4 | salt << 29
    return _crc32c(masked.to_bytes(4, "big"))


@lru_cache(maxsize=1)
def _table() -> tuple[int, ...]:
    # Made at first use: a command that fetches one magnet from a tracker has none.
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


def _crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli, RFC 3720), which neither zlib nor binascii has."""
    table = _table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class AddressVotes:
    """What others say our address is (BEP 42 ``ip``); one object for each family.

    Each subnet has one vote, its last one, so that who owns a few addresses decides nothing: an
    address is believed when more than half of the last 40 subnets name it, and 4 at least.
    """

    def __init__(self) -> None:
        #: Our address as an IP literal; None until it is known.
        self.host: str | None = None
        self._votes: dict[str, str] = {}

    def vote(self, voter: str, host: str) -> bool:
        """The node at `voter` sees us at `host` (IP literals). Returns whether `self.host` has changed.

        A local address is no vote: a neighbour sees another side of us than the rest, and ids need
        not follow it.
        """
        if classify(host) != "global":
            return False
        group = subnet(voter)
        # The newest last.
        self._votes.pop(group, None)
        self._votes[group] = host
        if len(self._votes) > _VOTERS:
            del self._votes[next(iter(self._votes))]
        if host == self.host:
            return False
        votes = sum(1 for each in self._votes.values() if each == host)
        if votes < _QUORUM or votes * 2 <= len(self._votes):
            return False
        self.host = host
        return True
