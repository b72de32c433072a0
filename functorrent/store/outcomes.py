"""What becomes of a job: fetched, failed, cancelled, queued again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha1, sha256
from typing import Any

from sqlalchemy import delete, select, update

from functorrent.errors import StoreError
from functorrent.infohash import V1_LENGTH, matches
from functorrent.limits import DEFAULT_LIMITS
from functorrent.store.jobs import CANCELLED, FETCHED, FETCHING, GAVE_UP, QUEUED, WAITING, Job, Result
from functorrent.store.packing import pack, plain
from functorrent.store.reading import find, job
from functorrent.store.schema import deliveries, infos, jobs, minutes, reports
from functorrent.store.work import Work, upsert

#: Minutes are forgotten after this many seconds: a month and a day.
_REMEMBERED = 32 * 86_400


def fetched(work: Work, worker: str, result: Result, outlets: Sequence[str]) -> bool:
    """Keep a result. See `IStore.fetched`."""
    key, info = result.key, result.info_bytes
    if not matches(key, info):
        raise StoreError(f"not kept: the info dictionary given for {key.hex()} does not have its infohash")
    row = _locked(work, key)
    if row is None or row.state in (FETCHED, CANCELLED) or (row.state == FETCHING and row.worker != worker):
        return False
    name = plain(result.name) or row.name
    values: dict[str, Any] = {
        **_ended(work, FETCHED, row.attempts + 1, result.seconds),
        "name": name,
        "folded": name and name.casefold(),
        "size": result.size,
        "files": result.files,
        "private": result.private,
        "exported": False,
        "file": None,
    }
    # A hybrid's other infohash, so that a magnet that has only this one finds it.
    if len(key) == V1_LENGTH:
        if row.infohash_v2 is None and b"12:meta versioni2e" in info:
            values["infohash_v2"] = sha256(info).digest()
    elif row.infohash is None and b"6:pieces" in info:
        values["infohash"] = sha1(info).digest()
    _set(work, row, FETCHED, values)
    _report(work, row.id, result.report, None)
    _keep_info(work, row.id, info)
    for outlet in dict.fromkeys(outlets):
        work.connection.execute(
            deliveries.insert(), {"outlet": outlet, "job": row.id, "attempts": 0, "due": work.now}
        )
    _count_minute(work)
    return True


def _keep_info(work: Work, number: int, info: bytes) -> None:
    insert = upsert(work.connection, infos)
    work.connection.execute(
        insert.on_conflict_do_update(index_elements=[infos.c.job], set_={"info": insert.excluded.info}),
        {"job": number, "info": info},
    )


def _count_minute(work: Work) -> None:
    minute = int(work.now // 60) * 60
    insert = upsert(work.connection, minutes)
    work.connection.execute(
        insert.on_conflict_do_update(
            index_elements=[minutes.c.minute], set_={"fetched": minutes.c.fetched + 1}
        ),
        {"minute": minute, "fetched": 1},
    )
    work.connection.execute(delete(minutes).where(minutes.c.minute < minute - _REMEMBERED))


def failed(
    work: Work,
    worker: str,
    key: bytes,
    report: Mapping[str, Any],
    seconds: float,
    next_attempt: float | None,
    learned: Mapping[str, Any] | None,
) -> bool:
    """Note a try that failed. See `IStore.failed`."""
    row = _locked(work, key)
    if row is None or row.state != FETCHING or row.worker != worker:
        return False
    state = GAVE_UP if next_attempt is None else WAITING
    _set(work, row, state, {**_ended(work, state, row.attempts + 1, seconds), "due": next_attempt})
    _report(work, row.id, report, learned)
    return True


def cancel(work: Work, key: bytes) -> Job | None:
    """Nobody wants it any more. See `IStore.cancel`."""
    row = _locked(work, key)
    if row is not None and row.state not in (FETCHED, CANCELLED):
        _set(work, row, CANCELLED, _ended(work, CANCELLED, row.attempts))
    return None if row is None else job(work.connection, row.key)


def retry(work: Work, key: bytes) -> Job | None:
    """Queue it now. See `IStore.retry`."""
    row = _locked(work, key)
    if row is None:
        return None
    if row.state == QUEUED:
        if row.attempts:
            _set(work, row, QUEUED, {"attempts": 0, "updated": work.now})
    elif row.state not in (FETCHED, FETCHING):
        values = {**_ended(work, QUEUED, 0), "ready": True, "since": work.now}
        _set(work, row, QUEUED, values)
    return job(work.connection, row.key)


def _locked(work: Work, key: bytes) -> Any | None:
    number = find(work.connection, key)
    columns = (
        jobs.c.id,
        jobs.c.key,
        jobs.c.infohash,
        jobs.c.infohash_v2,
        jobs.c.state,
        jobs.c.worker,
        jobs.c.attempts,
        jobs.c.name,
    )
    return work.connection.execute(select(*columns).where(jobs.c.id == number).with_for_update()).first()


def _ended(work: Work, state: str, attempts: int, seconds: float | None = None) -> dict[str, Any]:
    """The values of a job that no worker has any more."""
    values = {"state": state, "attempts": attempts, "ready": False, "due": None, "worker": None}
    if seconds is not None:
        values["seconds"] = seconds
    return {**values, "updated": work.now}


def _set(work: Work, row: Any, state: str, values: Mapping[str, Any]) -> None:
    work.connection.execute(update(jobs).where(jobs.c.id == row.id).values(values))
    work.move(row.id, row.state, state)


def _report(work: Work, number: int, report: Mapping[str, Any], learned: Mapping[str, Any] | None) -> None:
    packed = pack(report)
    if len(packed) > DEFAULT_LIMITS.max_report:
        packed = pack({**report, "trackers": []})
    kept = None if learned is None else pack(learned)
    if kept is not None and len(kept) > DEFAULT_LIMITS.max_learned:
        kept = None
    insert = upsert(work.connection, reports)
    work.connection.execute(
        insert.on_conflict_do_update(
            index_elements=[reports.c.job],
            set_={"report": insert.excluded.report, "learned": insert.excluded.learned},
        ),
        {"job": number, "report": packed, "learned": kept},
    )
