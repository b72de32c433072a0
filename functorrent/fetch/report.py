"""What a fetch tried and why it failed, for people and for scripts (DESIGN section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from functorrent.errors import PEER_OUTCOMES
from functorrent.interfaces import SourceReport, TrackerReport
from functorrent.text import plural

#: How each outcome is told: of one peer, of several.
_WORDS = {
    "refused": ("refused the connection", "refused the connection"),
    "timed_out": ("did not answer", "did not answer"),
    "unreachable": ("could not be reached", "could not be reached"),
    "not_allowed": ("is at an address that is not allowed", "are at addresses that are not allowed"),
    "closed": ("hung up", "hung up"),
    "not_bittorrent": ("does not speak BitTorrent", "do not speak BitTorrent"),
    "wrong_infohash": ("shares another torrent", "share another torrent"),
    "self": ("was this program itself", "were this program itself"),
    "no_extensions": ("cannot exchange metadata", "cannot exchange metadata"),
    "no_metadata": ("does not share metadata", "do not share metadata"),
    "rejected": ("refused to send metadata", "refused to send metadata"),
    "bad_data": ("sent wrong data", "sent wrong data"),
    "stalled": ("stopped sending", "stopped sending"),
    "cancelled": ("was not waited for", "were not waited for"),
}
_EMPTY = {"found": 0, **dict.fromkeys(PEER_OUTCOMES, 0)}
_LOCAL = (
    "is at a local address (refused without --allow-local)",
    "are at local addresses (refused without --allow-local)",
)
#: How several trackers of one status are told, and one of them.
_TRACKERS = {
    "timed_out": ("did not answer", "did not answer"),
    "failed": ("failed", "failed"),
    "unsupported": ("cannot be used", "cannot be used"),
    "not_allowed": ("is at an address that is not allowed", "are at addresses that are not allowed"),
    "cancelled": ("was not waited for", "were not waited for"),
}


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What one fetch tried. `reason` is one sentence, None when it fetched.

    `trackers`: one TrackerReport each. `peers`: ``found`` and every word of PEER_OUTCOMES, counted.
    `sources`: the other sources' reports. `seconds`: how long it took.
    """

    trackers: tuple[TrackerReport, ...] = ()
    peers: Mapping[str, int] = field(default_factory=lambda: empty_counts())
    sources: tuple[SourceReport, ...] = ()
    reason: str | None = None
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The ``report`` object of the ``--json`` contract."""
        return {
            "trackers": [
                {
                    "url": t.url,
                    "status": t.status,
                    "peers": t.peers,
                    "seeders": t.seeders,
                    "leechers": t.leechers,
                    "error": t.error,
                }
                for t in self.trackers
            ],
            "peers": dict(self.peers),
            "reason": self.reason,
            "sources": [
                {"source": s.source, "peers": s.peers, "detail": s.detail}
                for s in self.sources
                if s.peers or s.detail
            ],
        }


def empty_counts() -> dict[str, int]:
    """``found`` and every outcome, at 0."""
    return _EMPTY.copy()


def explain(
    trackers: Sequence[TrackerReport],
    peers: Mapping[str, int],
    sources: Iterable[SourceReport] = (),
    *,
    given: int = 0,
    called: int = 0,
    heard: int = 0,
    local: int = 0,
    timed_out_after: float | None = None,
    waited_for_callers: float | None = None,
) -> str:
    """The sentence that says why a fetch failed, in words a layman understands.

    `peers`: the counts of a FetchReport; of those found, `given` were named by the magnet or the user,
    `called` called us, `heard` were named by other peers (PEX), and `local` were refused as local addresses.
    `sources`: the reports of sources other than trackers. `timed_out_after`: the fetch's time limit
    (seconds), where that ended it.
    `waited_for_callers`: seconds waited for peers to connect to us, at the end.
    """
    found_elsewhere = 0
    others: list[str] = []
    for source in sources:
        found_elsewhere += source.peers
        if source.detail is not None:
            others.append(source.detail)
        elif source.peers:
            others.append(f"{source.source} found {plural(source.peers, 'peer')}")
    of_trackers = max(0, peers["found"] - given - called - heard - found_elsewhere)
    parts = [_of_trackers(trackers, of_trackers), *others] if trackers else others
    if others and not trackers:
        parts.insert(0, "no trackers")
    if given:
        parts.append(f"{plural(given, 'peer')} {'was' if given == 1 else 'were'} given")
    if called:
        parts.append(f"{plural(called, 'peer')} called us")
    if heard:
        parts.append(f"{plural(heard, 'peer')} {'was' if heard == 1 else 'were'} named by other peers")
    if not parts:
        parts = ["the magnet names no trackers and no peers"]
    sentence = "; ".join(parts)
    told = _outcomes(peers, local)
    if told:
        sentence += f": {told}"
    if waited_for_callers and not called:
        sentence += f"; nobody connected to us within {waited_for_callers:g} s"
    if timed_out_after is not None:
        sentence += f"; gave up after {timed_out_after:g} s"
    return sentence


def _outcomes(peers: Mapping[str, int], local: int) -> str:
    """What became of the peers: "9 refused the connection, 1 hung up"; of a single one: "it hung up"."""
    words: list[tuple[int, tuple[str, str]]] = []
    for outcome, pair in _WORDS.items():
        number = peers[outcome]
        if outcome == "not_allowed":
            words.append((local, _LOCAL))
            number -= local
        words.append((number, pair))
    words = [(number, pair) for number, pair in words if number > 0]
    if peers["found"] == 1:
        return "".join(f"it {one}" for _, (one, _) in words)
    return ", ".join(f"{number:,} {one if number == 1 else many}" for number, (one, many) in words)


def _of_trackers(trackers: Sequence[TrackerReport], found: int) -> str:
    """What the trackers said: "2 of 3 trackers answered with 14 peers"."""
    answered = [tracker for tracker in trackers if tracker.status == "ok"]
    rest = [tracker for tracker in trackers if tracker.status != "ok"]
    if not answered:
        told = (
            _only_one(rest[0]) if len(rest) == 1 else f"none of {len(rest)} trackers was of use: {_why(rest)}"
        )
        return f"{told}; {plural(found, 'peer')} had been named earlier" if found else told
    all_of_them = plural(len(trackers), "tracker")
    lead = f"{len(answered)} of {all_of_them} answered" if rest else f"{all_of_them} answered"
    if found:
        return f"{lead} with {plural(found, 'peer')}"
    verb = "knows" if len(answered) == 1 else "know"
    # Peers that others had named before are counted there.
    what = "no further peers" if any(tracker.peers for tracker in answered) else "no peers"
    return f"{lead} but {verb} {what}" + (f" ({_why(rest)})" if rest else "")


def _only_one(tracker: TrackerReport) -> str:
    """Why the one tracker was of no use."""
    if tracker.status not in _TRACKERS or tracker.status == "failed":
        error = tracker.error or "it did not say why"
        return error if error.startswith("the tracker ") else f"the tracker failed: {error}"
    told = f"the tracker {_TRACKERS[tracker.status][0]}"
    if tracker.status in ("unsupported", "not_allowed") and tracker.error:
        told += f" ({tracker.error})"
    return told


def _why(trackers: Sequence[TrackerReport]) -> str:
    """Why these trackers were of no use, by status, with the first reason that one gave."""
    told = []
    for status, (one, many) in _TRACKERS.items():
        those = [tracker for tracker in trackers if tracker.status == status]
        if status == "failed":
            those += [tracker for tracker in trackers if tracker.status not in _TRACKERS]
        if not those:
            continue
        words = f"{len(those)} {one if len(those) == 1 else many}"
        errors = dict.fromkeys(tracker.error for tracker in those if tracker.error)
        if errors and status != "timed_out":
            words += f" ({'for example: ' if len(errors) > 1 else ''}{next(iter(errors))})"
        told.append(words)
    return ", ".join(told)
