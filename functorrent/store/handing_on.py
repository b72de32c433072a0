"""Results on their way out of the store: which files are written, what is due to which outlet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, delete, false, select, true, update

from functorrent.store.jobs import FETCHED, Delivery
from functorrent.store.packing import plain
from functorrent.store.schema import IS_FETCHED, deliveries, jobs
from functorrent.store.work import Work, chunks


def unexported(connection: Connection, limit: int) -> list[bytes]:
    """Keys of fetched jobs without a file. See `IStore.unexported`."""
    query = select(jobs.c.key).where(IS_FETCHED, jobs.c.exported == false())
    return list(connection.execute(query.order_by(jobs.c.id).limit(limit)).scalars())


def exported(work: Work, paths: Mapping[bytes, str]) -> None:
    """The files of these jobs are written. See `IStore.exported`."""
    for chunk in chunks(paths):
        query = select(jobs.c.id, jobs.c.key).where(jobs.c.key.in_(chunk), IS_FETCHED)
        ids = {key: number for number, key in work.connection.execute(query)}
        rows = [{"job": ids[key], "path": plain(paths[key])} for key in chunk if key in ids]
        if rows:
            work.connection.execute(_EXPORTED, rows)
        for row in rows:
            work.move(int(row["job"]), FETCHED, FETCHED)


_EXPORTED = update(jobs).where(jobs.c.id == bindparam("job")).values(exported=True, file=bindparam("path"))


def exports(connection: Connection, after: int, limit: int) -> tuple[list[tuple[bytes, str]], int | None]:
    """A page of files that were written. See `IStore.exports`."""
    query = select(jobs.c.id, jobs.c.key, jobs.c.file).where(
        IS_FETCHED, jobs.c.exported == true(), jobs.c.id > after
    )
    rows = connection.execute(query.order_by(jobs.c.id).limit(limit + 1)).all()
    page = rows[:limit]
    return [(row.key, row.file) for row in page], (page[-1].id if len(rows) > limit else None)


def due_deliveries(connection: Connection, outlet: str, limit: int, now: float) -> list[Delivery]:
    """What is due to an outlet. See `IStore.deliveries`."""
    query = (
        select(deliveries.c.number, deliveries.c.outlet, jobs.c.key, deliveries.c.attempts)
        .join(jobs, jobs.c.id == deliveries.c.job)
        .where(deliveries.c.outlet == outlet, deliveries.c.due <= now)
        .order_by(deliveries.c.due, deliveries.c.number)
        .limit(limit)
    )
    return [Delivery(*row) for row in connection.execute(query)]


def delivered(work: Work, numbers: Sequence[int]) -> list[None]:
    """Outlets have taken these. See `IStore.delivered`."""
    for chunk in chunks(numbers):
        work.connection.execute(delete(deliveries).where(deliveries.c.number.in_(chunk)))
    return [None] * len(numbers)


def undelivered(work: Work, number: int, next_attempt: float | None) -> None:
    """An outlet has not taken it. See `IStore.undelivered`."""
    which = deliveries.c.number == number
    if next_attempt is None:
        work.connection.execute(delete(deliveries).where(which))
        return
    again = {"attempts": deliveries.c.attempts + 1, "due": next_attempt}
    work.connection.execute(update(deliveries).where(which).values(again))
