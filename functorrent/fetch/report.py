"""What a fetch tried and why it failed, for people and for scripts (DESIGN section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from functorrent.errors import PEER_OUTCOMES
from functorrent.interfaces import SourceReport, TrackerReport

#: How each outcome is told: (for one peer, for several).
_WORDS = {
    "refused": ("refused the connection", "refused the connection"),
    "timed_out": ("did not answer", "did not answer"),
    "unreachable": ("could not be reached", "could not be reached"),
    "not_allowed": ("is at an address that is not allowed", "are at addresses that are not allowed"),
    "closed": ("hung up", "hung up"),
    "not_bittorrent": ("does not speak BitTorrent", "do not speak BitTorrent"),
    "wrong_infohash": ("shares another torrent", "share another torrent"),
    "self": ("was this program itself", "were this program itself"),
    "no_extensions": ("does not support extensions", "do not support extensions"),
    "no_metadata": ("does not share metadata", "do not share metadata"),
    "rejected": ("refused to send metadata", "refused to send metadata"),
    "bad_data": ("sent wrong data", "sent wrong data"),
    "stalled": ("stopped sending", "stopped sending"),
    "cancelled": ("was not waited for", "were not waited for"),
    "fetched": ("sent the metadata", "sent the metadata"),
}


def count(number: int, noun: str) -> str:
    """``1 peer``, ``2 peers``, ``no peers``."""
    if number == 0:
        return f"no {noun}s"
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


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
        }


def empty_counts() -> dict[str, int]:
    """``found`` and every outcome, at 0."""
    return {"found": 0, **dict.fromkeys(PEER_OUTCOMES, 0)}


def explain(
    trackers: Iterable[TrackerReport],
    peers: Mapping[str, int],
    details: Iterable[str] = (),
    *,
    timed_out_after: float | None = None,
    given_peers: int = 0,
    waited_for_callers: float | None = None,
) -> str:
    """The sentence that says why a fetch failed, in words a layman understands.

    `details` are further sources' own words; `timed_out_after`: the whole fetch's time limit, where
    that ended it; `given_peers`: how many peers the magnet or the user named;
    `waited_for_callers`: seconds waited for peers to connect to us.
    """
    trackers = list(trackers)
    found = peers["found"]
    lead = _lead(trackers, found, given_peers, list(details))
    told = [
        f"{peers[word]} {_WORDS[word][0 if peers[word] == 1 else 1]}"
        for word in PEER_OUTCOMES
        if peers.get(word) and word != "fetched"
    ]
    sentence = f"{lead}: {', '.join(told)}" if told else lead
    if waited_for_callers is not None and not told:
        sentence += f"; none connected to us within {waited_for_callers:g} s"
    if timed_out_after is not None:
        sentence += f" (gave up after {timed_out_after:g} s)"
    return sentence


def _lead(trackers: list[TrackerReport], found: int, given: int, details: list[str]) -> str:
    answered = [t for t in trackers if t.status == "ok"]
    parts: list[str] = []
    if not trackers:
        if not details and not given:
            if found:
                return f"no trackers; {count(found, 'peer')} called"
            return "the magnet names no trackers and no peers"
        parts.append("no trackers" if details else "")
    elif answered:
        parts.append(
            f"{count(len(answered), 'tracker')} answered"
            + (f" of {len(trackers)}" if len(answered) < len(trackers) else "")
            + f" with {count(max(found - given, 0), 'peer')}"
        )
        failed = _failures([t for t in trackers if t.status != "ok"])
        if failed and not found:
            parts.append(failed)
    else:
        parts.append(_failures(trackers))
    parts.extend(details)
    if given:
        parts.append(f"{count(given, 'peer')} named with it")
    return "; ".join(part for part in parts if part)


def _singular(words: str) -> str:
    return words.replace("are at addresses that are", "is at an address that is").replace("were", "was")


def _failures(trackers: list[TrackerReport]) -> str:
    """Why these trackers were of no use: the one reason in full, several as counts."""
    if len(trackers) == 1:
        only = trackers[0]
        words = {
            "timed_out": "the tracker did not answer",
            "cancelled": "the tracker was not waited for",
        }.get(only.status)
        return words or f"the tracker failed: {only.error or only.status}"
    words_by_status = {
        "timed_out": "did not answer",
        "failed": "failed",
        "unsupported": "cannot be used",
        "not_allowed": "are at addresses that are not allowed",
        "cancelled": "were not waited for",
    }
    counts: dict[str, int] = {}
    for tracker in trackers:
        counts[tracker.status] = counts.get(tracker.status, 0) + 1
    told = []
    for status, number in counts.items():
        words = words_by_status[status]
        told.append(f"{number} {_singular(words) if number == 1 else words}")
    first_error = next((t.error for t in trackers if t.status == "failed" and t.error), None)
    lead = f"of {count(len(trackers), 'tracker')} {', '.join(told)}" if trackers else ""
    return lead + (f" ({first_error})" if first_error else "")
