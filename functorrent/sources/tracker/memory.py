"""What trackers answered, for as long as they want to be left alone (their interval), bounded.

And what is left of it afterwards: who failed the last time is asked last, and the peers that a dead
tracker had named are better than none. `learned` and `recall` carry all that from one process to the
next, as JSON.
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeGuard

from functorrent.limits import Limits
from functorrent.sources.tracker.address import MAX_URL
from functorrent.sources.tracker.announce import MAX_TRACKER_ID, Answer
from functorrent.wire.compact import V4_LENGTH, V6_LENGTH

#: Peers of each family that are remembered of one answer; bounds memory together with
#: `Limits.remembered_announces`.
_PEERS = 100
#: Seconds for which an answer is of use beyond its interval: peers come and go.
_STALE = 86_400.0
#: Characters of what `learned` gives for one torrent, about: a store that keeps millions must not drown.
_MAX_LEARNED = 24_000
#: No time of day is as late.
_NO_TIME = 1e12


class _Known:
    """What is known of one torrent's trackers, by URL."""

    __slots__ = ("answers", "failed")

    def __init__(self) -> None:
        #: Until when the tracker is left alone, and what it answered.
        self.answers: dict[str, tuple[float, Answer]] = {}
        #: None is less than an empty set, of which there would be thousands.
        self.failed: set[str] | None = None

    def __len__(self) -> int:
        return len(self.answers) + len(self.failed or ())


class Memory:
    """Answers by infohash and tracker; the torrents asked for longest ago give way."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: OrderedDict[bytes, _Known] = OrderedDict()
        self._count = 0

    def keep(self, url: str, infohash: bytes, answer: Answer, now: float) -> None:
        """Remember an answer; without an interval in it there is nothing to honour."""
        known = self._kept.get(infohash)
        if known is not None and known.failed is not None and url in known.failed:
            known.failed.discard(url)
            self._count -= 1
        if answer.interval is None:
            return
        interval = min(max(answer.interval, self._limits.min_interval), self._limits.max_interval)
        if len(answer.peers4) > _PEERS * V4_LENGTH or len(answer.peers6) > _PEERS * V6_LENGTH:
            answer = replace(
                answer,
                peers4=answer.peers4[: _PEERS * V4_LENGTH],
                peers6=answer.peers6[: _PEERS * V6_LENGTH],
            )
        self._put(url, infohash, now + interval, answer)

    def failed(self, url: str, infohash: bytes) -> None:
        """The tracker was of no use for this torrent."""
        known = self._of(infohash)
        if known.failed is None:
            known.failed = set()
        if url not in known.failed:
            known.failed.add(url)
            self._grown()

    def _put(self, url: str, infohash: bytes, until: float, answer: Answer) -> None:
        answers = self._of(infohash).answers
        new = url not in answers
        answers[url] = (until, answer)
        if new:
            self._grown()

    def _of(self, infohash: bytes) -> _Known:
        known = self._kept.get(infohash)
        if known is None:
            known = self._kept[infohash] = _Known()
        else:
            self._kept.move_to_end(infohash)
        return known

    def _grown(self) -> None:
        self._count += 1
        while self._count > self._limits.remembered_announces and len(self._kept) > 1:
            self._count -= len(self._kept.popitem(last=False)[1])

    # -- asking --------------------------------------------------------------------------------

    def recall(self, url: str, infohash: bytes, now: float) -> Answer | None:
        """What the tracker answered, while it must not be asked again."""
        kept = self._answer(url, infohash)
        return kept[1] if kept is not None and kept[0] > now else None

    def stale(self, url: str, infohash: bytes, now: float) -> Answer | None:
        """What the tracker answered the last time, for when it does not answer now."""
        kept = self._answer(url, infohash)
        return kept[1] if kept is not None and kept[0] + _STALE > now else None

    def tracker_id(self, url: str, infohash: bytes) -> bytes | None:
        """The ``tracker id`` it gave us for this torrent, however long ago."""
        kept = self._answer(url, infohash)
        return None if kept is None else kept[1].tracker_id

    def useless(self, infohash: bytes) -> set[str] | None:
        """The trackers that failed the last time, where some did; not to be changed."""
        known = self._kept.get(infohash)
        return None if known is None else known.failed

    def _answer(self, url: str, infohash: bytes) -> tuple[float, Answer] | None:
        known = self._kept.get(infohash)
        return None if known is None else known.answers.get(url)

    # -- from one process to the next ----------------------------------------------------------

    def learned(self, infohash: bytes, now: float, wall: float) -> dict[str, Any] | None:
        """What is known of one torrent's trackers, as a JSON object, or None where nothing is.

        `now` is by our clock, `wall` the same moment in seconds since the epoch, as are the times in it.
        """
        known = self._kept.get(infohash)
        if known is None:
            return None
        most = self._limits.learned_peers
        answers = []
        size = 0
        for url, (until, answer) in known.answers.items():
            told: dict[str, Any] = {"url": url, "until": round(wall + until - now, 3)}
            if answer.peers4:
                told["peers"] = _text(answer.peers4[: most * V4_LENGTH])
            if answer.peers6:
                told["peers6"] = _text(answer.peers6[: most * V6_LENGTH])
            if answer.tracker_id is not None:
                told["id"] = _text(answer.tracker_id)
            size += sum(len(value) for value in told.values() if isinstance(value, str))
            if until + _STALE > now and size <= _MAX_LEARNED:
                answers.append(told)
        failed = []
        for url in sorted(known.failed or ()):
            size += len(url)
            if size <= _MAX_LEARNED:
                failed.append(url)
        if not answers and not failed:
            return None
        return {
            "answers": answers[: self._limits.learned_trackers],
            "failed": failed[: self._limits.learned_trackers],
        }

    def take(self, infohash: bytes, learned: Mapping[str, Any], now: float, wall: float) -> None:
        """Take in what `learned` gave, perhaps long ago. What we know ourselves is newer.

        It comes from a store, but what is in it once came from strangers: what has not the right shape
        is passed over.
        """
        most = self._limits.learned_trackers
        for told in _items(learned, "answers")[:most]:
            if not isinstance(told, dict):
                continue
            url, until = told.get("url"), told.get("until")
            if not _is_url(url) or not isinstance(until, int | float) or not 0 < until < _NO_TIME:
                continue
            # A clock that was set must not silence a tracker for ever.
            left = min(until - wall, self._limits.max_interval)
            if not left > -_STALE or self._answer(url, infohash) is not None:
                continue
            answer = Answer(
                _bytes(told.get("peers"), V4_LENGTH, self._limits.learned_peers),
                _bytes(told.get("peers6"), V6_LENGTH, self._limits.learned_peers),
                tracker_id=_bytes(told.get("id"), 1, MAX_TRACKER_ID) or None,
            )
            self._put(url, infohash, now + left, answer)
        for url in _items(learned, "failed")[:most]:
            if _is_url(url) and self._answer(url, infohash) is None:
                self.failed(url, infohash)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: Any, unit: int, most: int) -> bytes:
    """The bytes of base64, at most `most` units of them; b"" where it is none."""
    if not isinstance(text, str) or len(text) > 2 * unit * most + 4:
        return b""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return b""
    return data[: min(len(data) - len(data) % unit, unit * most)]


def _items(learned: Mapping[str, Any], key: str) -> list[Any]:
    found = learned.get(key)
    return found if isinstance(found, list) else []


def _is_url(url: Any) -> TypeGuard[str]:
    return isinstance(url, str) and 0 < len(url) <= MAX_URL
