"""What came of a lookup."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from functorrent.wire.krpc import NodeInfo


class LookupReport(NamedTuple):
    """What came of one get_peers lookup, over both families.

    `asked`, `answered`: nodes; `peers`: distinct ones found; `announced`: nodes that took our
    announce_peer; `hops`: steps from our table to the closest node that answered; `packets`: datagrams
    sent and received; `seconds`: since its first query; `closest`: up to 8 that answered, the closest
    first.
    """

    asked: int = 0
    answered: int = 0
    peers: int = 0
    announced: int = 0
    hops: int = 0
    packets: int = 0
    seconds: float = 0.0
    closest: tuple[NodeInfo, ...] = ()


NOTHING = LookupReport()
