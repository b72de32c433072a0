"""Rows as values: `Job` and `Claim`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, select

from functorrent.store.jobs import WAITING, Claim, Job
from functorrent.store.magnets import whole
from functorrent.store.packing import unpack
from functorrent.store.schema import jobs, magnets
from functorrent.store.work import chunks

#: What `job_of` reads, in its order.
JOB_COLUMNS = (
    jobs.c.id,
    jobs.c.key,
    jobs.c.infohash,
    jobs.c.infohash_v2,
    magnets.c.magnet,
    jobs.c.source,
    jobs.c.line,
    jobs.c.state,
    jobs.c.priority,
    jobs.c.attempts,
    jobs.c.added,
    jobs.c.updated,
    jobs.c.due,
    jobs.c.name,
    jobs.c.size,
    jobs.c.files,
    jobs.c.private,
    jobs.c.file,
    jobs.c.seconds,
)
SELECT_JOBS = select(*JOB_COLUMNS).join(magnets, magnets.c.job == jobs.c.id)


def job_of(row: Any, report: bytes | None = None) -> Job:
    """A row of JOB_COLUMNS as a Job; `report`: packed."""
    _, key, v1, v2, magnet, source, line, state, priority, attempts, added, updated, due, *result = row[:19]
    name, size, files, private, file, seconds = result
    return Job(
        key,
        v1,
        v2,
        magnet,
        source,
        line,
        state,
        priority,
        attempts,
        added,
        updated,
        due if state == WAITING else None,
        name,
        size,
        files,
        private,
        file,
        seconds,
        None if report is None else unpack(report),
    )


def jobs_of(connection: Connection, ids: Iterable[int]) -> Iterator[Job]:
    """The jobs of these ids, in this order, without reports; those that are gone left out."""
    for chunk in chunks(ids):
        found = {row.id: row for row in connection.execute(SELECT_JOBS.where(jobs.c.id.in_(chunk)))}
        for number in chunk:
            if number in found:
                yield job_of(found[number])


def claim_of(row: Any) -> Claim:
    """A row of what a claim needs as a Claim."""
    magnet = replace(whole(row.magnet, row.more), infohash=row.infohash, infohash_v2=row.infohash_v2)
    learned = None if row.learned is None else unpack(row.learned)
    return Claim(row.key, magnet, row.priority, row.attempts, row.since, learned)
