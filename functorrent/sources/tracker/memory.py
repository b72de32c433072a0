"""What trackers answered, for as long as they want to be left alone (their interval), bounded."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from functorrent.limits import Limits
from functorrent.sources.tracker.announce import Answer
from functorrent.wire.compact import V4_LENGTH, V6_LENGTH

#: Peers of each family that are remembered of one answer; bounds memory together with
#: `Limits.remembered_announces`.
_PEERS = 100


class Memory:
    """Answers by tracker and infohash; the oldest give way."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: OrderedDict[tuple[str, bytes], tuple[float, Answer]] = OrderedDict()

    def keep(self, url: str, infohash: bytes, answer: Answer, now: float) -> None:
        """Remember an answer; without an interval in it there is nothing to honour."""
        if answer.interval is None:
            return
        interval = min(max(answer.interval, self._limits.min_interval), self._limits.max_interval)
        if len(answer.peers4) > _PEERS * V4_LENGTH or len(answer.peers6) > _PEERS * V6_LENGTH:
            answer = replace(
                answer,
                peers4=answer.peers4[: _PEERS * V4_LENGTH],
                peers6=answer.peers6[: _PEERS * V6_LENGTH],
            )
        key = (url, infohash)
        self._kept[key] = (now + interval, answer)
        self._kept.move_to_end(key)
        if len(self._kept) > self._limits.remembered_announces:
            self._kept.popitem(last=False)

    def recall(self, url: str, infohash: bytes, now: float) -> Answer | None:
        """What the tracker answered, while it must not be asked again."""
        kept = self._kept.get((url, infohash))
        if kept is None:
            return None
        if kept[0] > now:
            return kept[1]
        return None

    def tracker_id(self, url: str, infohash: bytes) -> bytes | None:
        """The ``tracker id`` it gave us for this torrent, however long ago."""
        kept = self._kept.get((url, infohash))
        return None if kept is None else kept[1].tracker_id
