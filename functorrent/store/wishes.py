"""What people want of a job that is there: none of it any more, or once more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update

from functorrent.store.jobs import CANCELLED, FETCHED, FETCHING, QUEUED, Job
from functorrent.store.reading import find, job
from functorrent.store.schema import jobs
from functorrent.store.work import Work

_NOBODYS = {"due": None, "worker": None}


def cancel(work: Work, key: bytes) -> Job | None:
    """Nobody wants it any more. See `IStore.cancel`."""
    row = _locked(work, key)
    if row is None:
        return None
    if row.state not in (FETCHED, CANCELLED):
        _set(work, row, CANCELLED, {**_NOBODYS, "ready": False})
    return job(work.connection, row.key)


def retry(work: Work, key: bytes) -> Job | None:
    """Queue it now. See `IStore.retry`."""
    row = _locked(work, key)
    if row is None:
        return None
    if row.state == QUEUED:
        if row.attempts:
            _set(work, row, QUEUED, {"attempts": 0})
    elif row.state not in (FETCHED, FETCHING):
        _set(work, row, QUEUED, {**_NOBODYS, "ready": True, "attempts": 0, "since": work.now})
    return job(work.connection, row.key)


def _locked(work: Work, key: bytes) -> Any:
    query = select(jobs.c.id, jobs.c.key, jobs.c.state, jobs.c.attempts)
    number = find(work.connection, key)
    return work.connection.execute(query.where(jobs.c.id == number).with_for_update()).first()


def _set(work: Work, row: Any, state: str, values: Mapping[str, Any]) -> None:
    work.connection.execute(
        update(jobs).where(jobs.c.id == row.id).values({**values, "state": state, "updated": work.now})
    )
    work.move(row.id, row.state, state)
