"""Accepting magnets: new jobs, and what a further magnet of a torrent does to the job that is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, bindparam, or_, select, update

from functorrent.magnet import Magnet
from functorrent.store.jobs import (
    CANCELLED,
    GAVE_UP,
    HIGHEST,
    LOWEST,
    QUEUED,
    WAITING,
    NewJob,
    Submitted,
    key_of,
)
from functorrent.store.magnets import learn
from functorrent.store.packing import plain
from functorrent.store.schema import HAS_V2, jobs, magnets
from functorrent.store.work import Work, chunks, upsert

#: Jobs looked up and written at a time: bounds what is in memory of magnets that are there already.
_AT_ONCE = 1000
_KNOWN = (
    jobs.c.id,
    jobs.c.key,
    jobs.c.infohash,
    jobs.c.infohash_v2,
    jobs.c.state,
    jobs.c.priority,
    jobs.c.attempts,
    jobs.c.since,
    jobs.c.name,
    magnets.c.magnet,
    magnets.c.more,
)
#: What a further magnet may change of a job, with the two that follow from its state.
_CHANGEABLE = ("infohash", "infohash_v2", "state", "priority", "attempts", "since", "name", "folded")
_UPDATE_JOB = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"))
    .values({name: bindparam(f"new_{name}") for name in (*_CHANGEABLE, "ready", "due", "updated")})
)
_UPDATE_MAGNET = (
    update(magnets).where(magnets.c.job == bindparam("of_job")).values(more=bindparam("new_more"))
)


@dataclass(slots=True)
class _Known:
    """A job that is there, or (`id` is 0) that this call is about to make."""

    id: int
    key: bytes
    infohash: bytes | None
    infohash_v2: bytes | None
    state: str
    priority: int
    attempts: int
    since: float
    name: str | None
    magnet: str
    more: str | None
    source: str | None = None
    line: int | None = None
    before: str | None = None
    touched: bool = False
    queued: bool = False


def submit(work: Work, new_jobs: Sequence[NewJob]) -> list[Submitted]:
    """Accept magnets. See `IStore.submit`."""
    answers: list[Submitted | None] = [None] * len(new_jobs)
    for numbers in chunks(range(len(new_jobs)), _AT_ONCE):
        while numbers:
            # A second round only where another process has just made one of the jobs (PostgreSQL).
            numbers = _round(work, new_jobs, numbers, answers)
    return [answer for answer in answers if answer is not None]


def _round(
    work: Work, new_jobs: Sequence[NewJob], todo: Sequence[int], answers: list[Submitted | None]
) -> list[int]:
    """Answer what can be answered; returns what is left."""
    index = _look_up(work, (new_jobs[number].magnet for number in todo))
    made: list[tuple[int, _Known]] = []
    joined: list[tuple[int, _Known]] = []
    for number in todo:
        new_job = new_jobs[number]
        magnet = new_job.magnet
        known = index.get(magnet.infohash or b"") or _of_v2(index, magnet)
        if known is None:
            known = _new(work, new_job)
            made.append((number, known))
        else:
            known.queued = False
            _join(work, known, new_job)
            joined.append((number, known))
            answers[number] = Submitted(known.key, known.state, False, known.queued)
        for hashed in (known.infohash, known.infohash_v2):
            if hashed is not None:
                index.setdefault(hashed, known)
    lost = _insert(work, [known for _, known in made])
    touched: dict[int, _Known] = {}
    for _, known in joined:
        if known.id and known.touched:
            touched.pop(known.id, None)
            touched[known.id] = known
    _update(work, touched.values())
    left = []
    for number, known in made:
        if known.key in lost:
            left.append(number)
        else:
            answers[number] = Submitted(known.key, QUEUED, True, True)
    if lost:
        left += [number for number, known in joined if known.key in lost]
    return sorted(left)


def _of_v2(index: dict[bytes, _Known], magnet: Magnet) -> _Known | None:
    """The job of the magnet's v2 infohash; none where that has another v1: it is another torrent."""
    known = index.get(magnet.infohash_v2 or b"")
    if known is None or None in (magnet.infohash, known.infohash) or magnet.infohash == known.infohash:
        return known
    return None


def _look_up(work: Work, wanted: Iterable[Magnet]) -> dict[bytes, _Known]:
    """The jobs that are there for these magnets, by each of their infohashes."""
    hashes: dict[bytes, None] = {}
    for magnet in wanted:
        for hashed in (magnet.infohash, magnet.infohash_v2):
            if hashed is not None:
                hashes[hashed] = None
    found: dict[bytes, _Known] = {}
    for chunk in chunks(hashes):
        matching = or_(
            jobs.c.key.in_(chunk),
            and_(jobs.c.infohash.in_(chunk), HAS_V2),
            jobs.c.infohash_v2.in_(chunk),
        )
        query = select(*_KNOWN).join(magnets, magnets.c.job == jobs.c.id).where(matching).order_by(jobs.c.id)
        for row in work.connection.execute(query):
            known = _Known(*row)
            # By its own key first: one that was there as v2 alone, and as v1 alone, is two jobs.
            found[known.key] = known
            for hashed in (known.infohash, known.infohash_v2):
                if hashed is not None:
                    found.setdefault(hashed, known)
    return found


def _new(work: Work, new_job: NewJob) -> _Known:
    magnet = new_job.magnet
    return _Known(
        0,
        key_of(magnet),
        magnet.infohash,
        magnet.infohash_v2,
        QUEUED,
        min(max(new_job.priority, LOWEST), HIGHEST),
        0,
        work.now,
        plain(magnet.name) if magnet.name else None,
        plain(magnet.text),
        None,
        None if new_job.source is None else plain(new_job.source),
        new_job.line,
    )


def _join(work: Work, known: _Known, new_job: NewJob) -> None:
    """What a further magnet does to a job that is there."""
    magnet = new_job.magnet
    known.more, news = learn(known.magnet, known.more, magnet)
    priority = min(max(new_job.priority, known.priority), HIGHEST)
    state, before = known.state, known.before or known.state
    changed = news
    if priority > known.priority:
        known.priority = priority
        changed = True
    for name, value in (
        ("infohash", magnet.infohash),
        ("infohash_v2", magnet.infohash_v2),
        ("name", plain(magnet.name) if magnet.name else None),
    ):
        if value is not None and getattr(known, name) is None:
            setattr(known, name, value)
            changed = True
    if state in (CANCELLED, GAVE_UP) or (state == WAITING and news):
        if state != WAITING:
            known.attempts = 0
        known.state = QUEUED
        known.since = work.now
        known.queued = changed = True
    if changed and known.id:
        known.before = before
        known.touched = True


def _insert(work: Work, made: Sequence[_Known]) -> set[bytes]:
    """Make these jobs; returns the keys of those that another process has made meanwhile."""
    if not made:
        return set()
    rows: list[dict[str, Any]] = [
        {
            "key": known.key,
            "infohash": known.infohash,
            "infohash_v2": known.infohash_v2,
            "state": QUEUED,
            "priority": known.priority,
            "attempts": 0,
            "since": work.now,
            "ready": True,
            "source": known.source,
            "line": known.line,
            "name": known.name,
            "folded": known.name and known.name.casefold(),
            "added": work.now,
            "updated": work.now,
        }
        for known in made
    ]
    insert = upsert(work.connection, jobs).on_conflict_do_nothing(index_elements=[jobs.c.key])
    ids: dict[bytes, int] = {}
    for key, number in work.connection.execute(insert.returning(jobs.c.key, jobs.c.id), rows):
        ids[key] = number
    for known in made:
        known.id = ids.get(known.key, 0)
    texts = [{"job": known.id, "magnet": known.magnet, "more": known.more} for known in made if known.id]
    if texts:
        work.connection.execute(magnets.insert(), texts)
    for number in sorted(ids.values()):
        work.move(number, None, QUEUED)
    return {known.key for known in made if not known.id}


def _update(work: Work, touched: Iterable[_Known]) -> None:
    job_rows, magnet_rows = [], []
    for known in touched:
        row: dict[str, Any] = {f"new_{name}": getattr(known, name, None) for name in _CHANGEABLE}
        row["new_folded"] = known.name and known.name.casefold()
        job_rows.append(row | {"job": known.id, "new_updated": work.now})
        magnet_rows.append({"of_job": known.id, "new_more": known.more})
        work.move(known.id, known.before, known.state)
    # A job that is leased or has ended keeps what goes with that.
    queued = [row | {"new_ready": True, "new_due": None} for row in job_rows if row["new_state"] == QUEUED]
    others = [row for row in job_rows if row["new_state"] != QUEUED]
    if queued:
        work.connection.execute(_UPDATE_JOB, queued)
    if others:
        work.connection.execute(_UPDATE_OTHER, others)
    if magnet_rows:
        work.connection.execute(_UPDATE_MAGNET, magnet_rows)


_UPDATE_OTHER = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"))
    .values({name: bindparam(f"new_{name}") for name in (*_CHANGEABLE, "updated")})
)
