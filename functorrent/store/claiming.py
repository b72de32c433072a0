"""The queue: which jobs a worker gets, for how long, and how they come back.

A job may be claimed when it is `ready`: queued, or due. Time alone makes a waiting job or a lease due,
and no index can order by priority what a clock decides; so `_notice` marks those whose time has come,
and the claim then reads one index in its order, however many wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, false, select, true, update

from functorrent.store.jobs import FETCHING, QUEUED, WAITING, Claim
from functorrent.store.reading import find
from functorrent.store.rows import claim_of
from functorrent.store.schema import HAS_DUE, HAS_WORKER, IS_READY, jobs, magnets, reports
from functorrent.store.work import Work, chunks

#: Due jobs noticed at one claim: after a long stop there may be any number.
_NOTICED = 10_000


def claim(work: Work, worker: str, count: int, lease: float) -> list[Claim]:
    """Lease jobs. See `IStore.claim`."""
    _notice(work)
    ready = (
        select(jobs.c.id, jobs.c.state)
        .where(IS_READY)
        .order_by(jobs.c.priority.desc(), jobs.c.since, jobs.c.id)
        .limit(max(count, 0))
        .with_for_update(skip_locked=True)
    )
    return _lease(work, work.connection.execute(ready).all(), worker, lease)


def claim_one(work: Work, worker: str, key: bytes, lease: float) -> Claim | None:
    """Lease this job if it is queued or waiting. See `IStore.claim_one`."""
    wanted = (
        select(jobs.c.id, jobs.c.state)
        .where(jobs.c.id == find(work.connection, key), jobs.c.state.in_((QUEUED, WAITING)))
        .with_for_update(skip_locked=True)
    )
    claims = _lease(work, work.connection.execute(wanted).all(), worker, lease)
    return claims[0] if claims else None


def _notice(work: Work) -> None:
    due = (
        select(jobs.c.id)
        .where(jobs.c.ready == false(), jobs.c.due <= work.now)
        .order_by(jobs.c.due)
        .limit(_NOTICED)
        .with_for_update(skip_locked=True)
    )
    for chunk in chunks(work.connection.execute(due).scalars().all()):
        work.connection.execute(update(jobs).where(jobs.c.id.in_(chunk)).values(ready=true()))


def _lease(work: Work, rows: Sequence[Any], worker: str, lease: float) -> list[Claim]:
    claims: list[Claim] = []
    leased = {
        "state": FETCHING,
        "ready": False,
        "due": work.now + lease,
        "worker": worker,
        "updated": work.now,
    }
    for chunk in chunks(rows):
        ids = [row.id for row in chunk]
        work.connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(leased))
        found = {row.id: row for row in work.connection.execute(_claims(jobs.c.id.in_(ids)))}
        for row in chunk:
            work.move(row.id, row.state, FETCHING)
            claims.append(claim_of(found[row.id]))
    return claims


def _claims(which: ColumnElement[bool]) -> Any:
    return (
        select(
            jobs.c.id,
            jobs.c.key,
            jobs.c.infohash,
            jobs.c.infohash_v2,
            jobs.c.priority,
            jobs.c.attempts,
            jobs.c.since,
            magnets.c.magnet,
            magnets.c.more,
            reports.c.learned,
        )
        .join(magnets, magnets.c.job == jobs.c.id)
        .outerjoin(reports, reports.c.job == jobs.c.id)
        .where(which)
    )


def renew(work: Work, worker: str, lease: float) -> None:
    """Lengthen the leases of a worker. See `IStore.renew`."""
    work.connection.execute(
        update(jobs).where(HAS_WORKER, jobs.c.worker == worker).values(due=work.now + lease, ready=False)
    )


def release(work: Work, worker: str, keys: Iterable[bytes] | None) -> None:
    """Put jobs of a worker back. See `IStore.release`."""
    mine = jobs.c.worker == worker
    if keys is None:
        _put_back(work, mine)
    else:
        for chunk in chunks(keys):
            _put_back(work, and_(jobs.c.key.in_(chunk), mine))


def release_others(work: Work, worker: str) -> int:
    """Put back the jobs of all other workers. See `IStore.release_others`."""
    # The state has an index; of workers, "another" has none.
    return _put_back(work, and_(jobs.c.state == FETCHING, jobs.c.worker != worker))


def _put_back(work: Work, which: ColumnElement[bool]) -> int:
    ids = work.connection.execute(select(jobs.c.id).where(HAS_WORKER, which).order_by(jobs.c.id)).scalars()
    back = {"state": QUEUED, "ready": True, "due": None, "worker": None, "updated": work.now}
    count = 0
    for chunk in chunks(ids.all()):
        work.connection.execute(update(jobs).where(jobs.c.id.in_(chunk)).values(back))
        for number in chunk:
            work.move(number, FETCHING, QUEUED)
        count += len(chunk)
    return count


def next_due(connection: Connection) -> float | None:
    """When the next waiting job or lease is due. See `IStore.next_due`."""
    times = [
        connection.execute(
            select(jobs.c.due).where(jobs.c.ready == ready, HAS_DUE).order_by(jobs.c.due).limit(1)
        ).scalar()
        for ready in (false(), true())
    ]
    return min((time for time in times if time is not None), default=None)
