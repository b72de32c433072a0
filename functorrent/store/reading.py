"""Questions to the store: one job, pages of jobs, results, totals."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from functorrent.infohash import V1_LENGTH
from functorrent.limits import DEFAULT_LIMITS
from functorrent.metainfo.torrent import torrent_bytes
from functorrent.store.jobs import STATES, Job, JobQuery, Page
from functorrent.store.magnets import whole
from functorrent.store.packing import plain, unpack_nodes
from functorrent.store.rows import JOB_COLUMNS, SELECT_JOBS, job_of
from functorrent.store.schema import (
    HAS_V2,
    IS_QUEUED,
    counts,
    infos,
    jobs,
    magnets,
    minutes,
    nodes,
    reports,
)

#: Up to this many jobs of a prefix are taken from the index and put in order; more are met by walking.
_FEW = 2000
#: Digits that are meant as an infohash where they are one's.
_SURELY = 8
#: Jobs of a page.
_MOST = 1000


def find(connection: Connection, key: bytes) -> int | None:
    """The id of the job that this infohash (20 or 32 bytes) is of: its key, or a hybrid's other one."""
    number = connection.execute(select(jobs.c.id).where(jobs.c.key == key)).scalar()
    if number is None:
        other = (jobs.c.infohash == key) & HAS_V2 if len(key) == V1_LENGTH else jobs.c.infohash_v2 == key
        number = connection.execute(select(jobs.c.id).where(other).order_by(jobs.c.id).limit(1)).scalar()
    return number


def job(connection: Connection, key: bytes) -> Job | None:
    """One job, with its report. See `IStore.job`."""
    number = find(connection, key)
    if number is None:
        return None
    row = connection.execute(
        select(*JOB_COLUMNS, reports.c.report)
        .join(magnets, magnets.c.job == jobs.c.id)
        .outerjoin(reports, reports.c.job == jobs.c.id)
        .where(jobs.c.id == number)
    ).first()
    return None if row is None else job_of(row, row.report)


def listing(connection: Connection, query: JobQuery) -> Page:
    """A page of jobs, newest first. See `IStore.jobs`."""
    limit = min(max(query.limit, 1), _MOST)
    window: list[ColumnElement[bool]] = []
    if query.status is not None:
        window.append(jobs.c.state == query.status)
    if query.before is not None:
        window.append(jobs.c.id < query.before)
    wanted: list[ColumnElement[bool]] = []
    walk = bool(query.text)
    if query.infohash:
        few = _of_prefix(connection, query.infohash)
        walk = walk or few is None
        wanted.append(_has_prefix(query.infohash) if few is None else jobs.c.id.in_(few))
        # So many digits that fit are no word of a name; and what the index found is not to be walked for.
        walk = walk and not (few and len(query.infohash) >= _SURELY)
    if query.text and walk:
        wanted.append(jobs.c.folded.contains(plain(query.text).casefold(), autoescape=True))
    end = None
    # What a page may look at is bounded, and the cursor goes on behind it. Mostly a short walk is enough.
    search = DEFAULT_LIMITS.store_search
    for most in (search // 40 + 1, search) if walk else (0,):
        where = list(window)
        if most:
            last = select(jobs.c.id).where(*window).order_by(jobs.c.id.desc()).offset(most - 1).limit(1)
            end = connection.execute(last).scalar()
            if end is not None:
                where.append(jobs.c.id >= end)
        if wanted:
            where.append(or_(*wanted))
        asked = SELECT_JOBS.where(*where).order_by(jobs.c.id.desc()).limit(limit + 1)
        rows = connection.execute(asked).all()
        if len(rows) > limit:
            return Page(tuple(job_of(row) for row in rows[:limit]), rows[limit - 1].id)
        if end is None:
            break
    return Page(tuple(job_of(row) for row in rows), end)


def _bounds(digits: str) -> tuple[bytes, bytes | None]:
    """The least bytes that begin with these hex digits, and the least behind all of them."""
    digits = digits[:64]
    low = bytes.fromhex(digits + "0" * (len(digits) % 2))
    after = int(digits, 16) + 1
    if after == 16 ** len(digits):
        return low, None
    high = f"{after:0{len(digits)}x}"
    return low, bytes.fromhex(high + "0" * (len(high) % 2))


def _between(column: Any, digits: str) -> ColumnElement[bool]:
    low, high = _bounds(digits)
    return and_(column >= low, column < high) if high is not None else column >= low


def _has_prefix(digits: str) -> ColumnElement[bool]:
    """For walking: an index would give the many jobs of a short prefix in no order. coalesce hides it."""
    return or_(
        *(
            _between(func.coalesce(column, column), digits)
            for column in (jobs.c.key, jobs.c.infohash, jobs.c.infohash_v2)
        )
    )


def _of_prefix(connection: Connection, digits: str) -> list[int] | None:
    """The ids of the jobs that have an infohash with these first digits; None where they are many."""
    found: set[int] = set()
    for which in (
        _between(jobs.c.key, digits),
        and_(_between(jobs.c.infohash, digits), HAS_V2),
        _between(jobs.c.infohash_v2, digits),
    ):
        found.update(connection.execute(select(jobs.c.id).where(which).limit(_FEW + 1)).scalars())
        if len(found) > _FEW:
            return None
    return list(found)


def info_bytes(connection: Connection, key: bytes) -> bytes | None:
    """The info dictionary of a fetched job. See `IStore.info_bytes`."""
    found = _info(connection, find(connection, key))
    if found is None and len(key) == V1_LENGTH:
        # In a handshake, a v2 torrent goes by the first bytes of its infohash (BEP 52).
        of_prefix = select(jobs.c.id).where(_between(jobs.c.infohash_v2, key.hex()))
        for number in connection.execute(of_prefix.order_by(jobs.c.id).limit(2)).scalars():
            found = found or _info(connection, number)
    return found


def _info(connection: Connection, number: int | None) -> bytes | None:
    if number is None:
        return None
    return connection.execute(select(infos.c.info).where(infos.c.job == number)).scalar()


def torrent(connection: Connection, key: bytes) -> bytes | None:
    """The .torrent file of a fetched job. See `IStore.torrent`."""
    number = find(connection, key)
    info = _info(connection, number)
    if info is None:
        return None
    row = connection.execute(select(magnets.c.magnet, magnets.c.more).where(magnets.c.job == number)).one()
    magnet = whole(row.magnet, row.more)
    return torrent_bytes(info, magnet, nodes=() if magnet.trackers else _nodes(connection, number))


def _nodes(connection: Connection, number: int | None) -> tuple[tuple[str, int], ...]:
    """DHT nodes of a job. A later magnet may have brought trackers: then the .torrent needs none."""
    text = connection.execute(select(nodes.c.nodes).where(nodes.c.job == number)).scalar()
    return () if text is None else unpack_nodes(text)


def job_counts(connection: Connection) -> dict[str, int]:
    """Jobs in each state. See `IStore.counts`."""
    found = {row.state: row.jobs for row in connection.execute(select(counts))}
    return {state: found.get(state, 0) for state in STATES}


def oldest_queued(connection: Connection) -> float | None:
    """Since when the oldest queued job waits. See `IStore.oldest_queued`."""
    return connection.execute(select(jobs.c.since).where(IS_QUEUED).order_by(jobs.c.since).limit(1)).scalar()


def by_minute(connection: Connection, since: float) -> list[tuple[float, int]]:
    """Results by minute. See `IStore.minutes`."""
    first = int(since // 60) * 60
    query = select(minutes).where(minutes.c.minute >= first).order_by(minutes.c.minute)
    return [(float(minute), number) for minute, number in connection.execute(query)]
