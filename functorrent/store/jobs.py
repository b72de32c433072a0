"""Jobs, as values: what is submitted, what a worker claims, what a job is to whoever asks.

A job is one torrent that somebody wants, from its acceptance until for ever. Its `key` is the infohash
(bytes of 20), or the v2 infohash (bytes of 32) of a magnet that has no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from functorrent.magnet import Magnet

QUEUED, FETCHING, WAITING = "queued", "fetching", "waiting"
FETCHED, GAVE_UP, CANCELLED = "fetched", "gave_up", "cancelled"
#: Every state of a job. `waiting`: the last try failed, and the next one has a time.
STATES = (QUEUED, FETCHING, WAITING, FETCHED, GAVE_UP, CANCELLED)
#: Those that nothing leaves by itself.
ENDED = frozenset((FETCHED, GAVE_UP, CANCELLED))
#: Priorities are within these; the higher is fetched first.
LOWEST, HIGHEST = -100, 100


def key_of(magnet: Magnet) -> bytes:
    """The key of a magnet's job: bytes of 20, or of 32 for v2 alone."""
    key = magnet.infohash or magnet.infohash_v2
    assert key is not None, "a magnet has one of the two"
    return key


@dataclass(frozen=True, slots=True)
class NewJob:
    """A magnet to be accepted; `source` and `line` say where it was read, where that is known."""

    magnet: Magnet
    priority: int = 0
    source: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of one NewJob: the state its job is in, and whether it is a new one.

    `queued`: it was put into the queue by this (a new job, or one that had been cancelled or given up,
    or that waited and has learned of a new tracker or peer).
    """

    key: bytes
    status: str
    created: bool
    queued: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that a worker has leased, with all that is known for the try.

    `magnet`: with the trackers and peers of every submission of it. `attempts`: tries before this one.
    `since`: when it was queued for the first time (or again, by a person), seconds since the epoch.
    `learned`: what `IStore.failed` was given at the last try, a JSON object, or None.
    """

    key: bytes
    magnet: Magnet
    priority: int
    attempts: int
    since: float
    learned: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a fetch gave: what the store keeps of it.

    `info_bytes`: exactly as they hashed right. `torrent` is not kept: it is made of these and the
    magnet whenever it is wanted. `size`: bytes of content; `seconds`: the try's; `report`: a JSON object.
    `nodes`: (host, port) of DHT nodes that its .torrent names while no tracker of it is known.
    """

    key: bytes
    info_bytes: bytes = field(repr=False)
    name: str
    size: int
    files: int
    private: bool
    seconds: float
    report: Mapping[str, Any] = field(repr=False)
    nodes: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it is told. Times are seconds since the epoch; `seconds` is the last try's duration.

    `name`: the torrent's where it is fetched, else the magnet's ``dn``. `file`: the path of its
    .torrent file once it is written. `report`: the last try's, a JSON object; None before the first,
    and in lists and events, which go without.
    """

    key: bytes
    infohash: bytes | None
    infohash_v2: bytes | None
    magnet: str
    source: str | None
    line: int | None
    status: str
    priority: int
    attempts: int
    added: float
    updated: float
    next_attempt: float | None
    name: str | None
    size: int | None
    files: int | None
    private: bool | None
    file: str | None
    seconds: float | None
    report: Mapping[str, Any] | None = field(default=None, repr=False)

    def to_json(self, *, report: bool = True) -> dict[str, Any]:
        """The job as the HTTP API tells it: the keys of ``--json``, and the queue's.

        `report`: whether the key ``report`` is there.
        """
        told: dict[str, Any] = {
            "magnet": self.magnet,
            "source": self.source,
            "line": self.line,
            "infohash": self.infohash.hex() if self.infohash else None,
            "infohash_v2": self.infohash_v2.hex() if self.infohash_v2 else None,
            "status": self.status,
            "file": self.file,
            "cached": False,
            "name": self.name,
            "size": self.size,
            "files": self.files,
            "private": self.private,
            "seconds": self.seconds,
            "priority": self.priority,
            "attempts": self.attempts,
            "added": iso(self.added),
            "updated": iso(self.updated),
            "next_attempt": None if self.next_attempt is None else iso(self.next_attempt),
        }
        if report:
            told["report"] = None if self.report is None else dict(self.report)
        return told


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs to list, newest first.

    `status`: one of STATES, or None for all. `infohash`: the first digits of one, in small letters;
    `text`: a part of the name, of any letter size, 3 characters or more; with both, a job that either
    fits (names are not looked at where 8 digits or more fit). `before`: the `Page.next` of the page
    before; where a name is searched for, a page may come short, or empty, and yet have a `next`.
    """

    status: str | None = None
    infohash: str | None = None
    text: str | None = None
    before: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs of a listing; `next` goes into `JobQuery.before` for more, None at the end."""

    jobs: tuple[Job, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A result that an outlet has not taken yet. `attempts`: tries so far."""

    number: int
    outlet: str
    key: bytes
    attempts: int


def iso(seconds: float) -> str:
    """A time (seconds since the epoch) in ISO 8601, UTC, to the millisecond, with a Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
