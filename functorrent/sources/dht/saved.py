"""The routing table's file: our ids and good nodes, from one process to the next.

It is a cache: one that is damaged, hostile or not ours is as good as none, and what is in it is
asked again before it is believed.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from secrets import token_hex
from typing import Any, NamedTuple

from functorrent.errors import BencodeError, OutputError
from functorrent.limits import DEFAULT_LIMITS
from functorrent.wire.bencode import decode
from functorrent.wire.krpc import ID_LENGTH, NodeInfo, pack_node, parse_nodes, parse_nodes6

#: What each file of ours begins with, and what it began with in any version.
_MAGIC = b"d6:format23:functorrent DHT table 1"
_ANY = _MAGIC[:-1]
_MOST = DEFAULT_LIMITS.dht_table_file
_NODES = DEFAULT_LIMITS.dht_saved_nodes
#: A FIFO that bears the name must not hang us.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class SavedTable(NamedTuple):
    """What outlives a process: our ids (bytes of 20) and nodes that were good, by family.

    `time`: when, in whole seconds since the epoch.
    """

    id4: bytes
    id6: bytes
    nodes4: tuple[NodeInfo, ...] = ()
    nodes6: tuple[NodeInfo, ...] = ()
    time: int = 0


def load(path: str) -> SavedTable | None:
    """What `save` wrote to `path`; None where there is nothing that can be used."""
    # Of one that is larger only a part is read, which is no bencode.
    data = _read(path, _MOST)
    if data is None or not data.startswith(_MAGIC):
        return None
    try:
        found: Any = decode(data, depth=2, items=16)
    except BencodeError:
        return None
    ids = [found.get(key) for key in (b"id4", b"id6")]
    nodes = [found.get(key) for key in (b"nodes4", b"nodes6")]
    time = found.get(b"time")
    if not all(type(each) is bytes and len(each) == ID_LENGTH for each in ids):
        return None
    if not all(type(each) is bytes for each in nodes) or type(time) is not int or time < 0:
        return None
    return SavedTable(
        ids[0],
        ids[1],
        parse_nodes(nodes[0], _NODES),
        parse_nodes6(nodes[1], _NODES),
        time,
    )


def save(path: str, table: SavedTable) -> None:
    """Write `table` to `path`, whole or not at all, for its owner alone; the folder is made.

    Never over a file of another kind. Raises OutputError.
    """
    nodes4 = b"".join(map(pack_node, table.nodes4[:_NODES]))
    nodes6 = b"".join(map(pack_node, table.nodes6[:_NODES]))
    data = b"%b3:id420:%b3:id620:%b6:nodes4%d:%b6:nodes6%d:%b4:timei%dee" % (
        _MAGIC, table.id4, table.id6, len(nodes4), nodes4, len(nodes6), nodes6, table.time,
    )  # fmt: skip
    new = f"{path}.{token_hex(8)}"
    try:
        os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
        # A typing error in an option must not cost anybody a file.
        if os.path.lexists(path) and not _is_ours(path):
            raise OutputError(f"{path} is no DHT table of ours, and is left alone")
        handle = os.open(new, _NEW, 0o600)
        try:
            with open(handle, "wb") as file:
                file.write(data)
            os.replace(new, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(new)
            raise
    except (OSError, ValueError) as error:
        raise OutputError(f"the DHT table cannot be saved to {path}: {error}") from None


def _is_ours(path: str) -> bool:
    there = _read(path, len(_ANY))
    # What a crash leaves is empty, cut short or full of zeros.
    return there is not None and (_ANY.startswith(there) or not there.strip(b"\0"))


def _read(path: str, most: int) -> bytes | None:
    """The first bytes of a plain file; None where it is none, or cannot be read."""
    try:
        handle = os.open(path, _READ)
    except (OSError, ValueError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        with open(handle, "rb", closefd=False) as file:
            return file.read(most)
    except OSError:
        return None
    finally:
        os.close(handle)
