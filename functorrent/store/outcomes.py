"""What tries give: results and failures, any number at once.

They come by the thousand, each with rows in four tables; so those that wait together are looked up
together and written together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1, sha256
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, bindparam, delete, select, update

from functorrent.errors import StoreError
from functorrent.infohash import V1_LENGTH, matches
from functorrent.limits import DEFAULT_LIMITS
from functorrent.store.jobs import CANCELLED, FETCHED, FETCHING, GAVE_UP, WAITING, Result
from functorrent.store.packing import pack, pack_nodes, plain
from functorrent.store.reading import find
from functorrent.store.schema import deliveries, infos, jobs, minutes, nodes, reports
from functorrent.store.work import Work, chunks, upsert

#: Minutes are forgotten after this many seconds: a month and a day.
_REMEMBERED = 32 * 86_400

_COLUMNS = (
    jobs.c.id,
    jobs.c.key,
    jobs.c.infohash,
    jobs.c.infohash_v2,
    jobs.c.state,
    jobs.c.worker,
    jobs.c.attempts,
    jobs.c.name,
)
_ENDED = {"ready": False, "worker": None}
_FAILED = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"))
    .values(
        {name: bindparam(f"new_{name}") for name in ("state", "attempts", "due", "seconds", "updated")}
        | _ENDED
    )
)
_FETCHED_COLUMNS = (
    "infohash",
    "infohash_v2",
    "attempts",
    "seconds",
    "name",
    "folded",
    "size",
    "files",
    "private",
    "updated",
)
_FETCHED = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"))
    .values(
        {name: bindparam(f"new_{name}") for name in _FETCHED_COLUMNS}
        | {"state": FETCHED, "due": None, "exported": False, "file": None}
        | _ENDED
    )
)


@dataclass(frozen=True, slots=True)
class Success:
    """A call of `IStore.fetched`."""

    worker: str
    result: Result
    outlets: Sequence[str]

    @property
    def key(self) -> bytes:
        """Of the job."""
        return self.result.key


@dataclass(frozen=True, slots=True)
class NoSuccess:
    """A call of `IStore.failed`."""

    worker: str
    key: bytes
    report: Mapping[str, Any]
    seconds: float
    next_attempt: float | None
    learned: Mapping[str, Any] | None


@dataclass(slots=True)
class _Job:
    id: int
    key: bytes
    infohash: bytes | None
    infohash_v2: bytes | None
    state: str
    worker: str | None
    attempts: int
    name: str | None


def end(work: Work, calls: Sequence[Success | NoSuccess]) -> list[bool | StoreError]:
    """Note what tries have given, in order; an answer for each. See `IStore.fetched` and `failed`."""
    known = _look_up(work.connection, {call.key for call in calls})
    writes = _Writes(work)
    answers: list[bool | StoreError] = []
    for call in calls:
        job = known.get(call.key)
        if isinstance(call, NoSuccess):
            answers.append(job is not None and _fail(writes, job, call))
        elif matches(call.key, call.result.info_bytes):
            answers.append(job is not None and _succeed(writes, job, call))
        else:
            answers.append(
                StoreError(
                    f"not kept: the info dictionary given for {call.key.hex()} does not have its infohash"
                )
            )
    writes.do()
    return answers


def _look_up(connection: Connection, keys: Iterable[bytes]) -> dict[bytes, _Job]:
    found: dict[bytes, _Job] = {}
    missing = set(keys)
    for chunk in chunks(tuple(missing)):
        for row in connection.execute(_select(jobs.c.key.in_(chunk))):
            found[row.key] = _Job(*row)
    # A hybrid by its other infohash.
    for key in missing.difference(found):
        other = connection.execute(_select(jobs.c.id == find(connection, key))).first()
        if other is not None:
            found[key] = found.setdefault(other.key, _Job(*other))
    return found


def _select(which: ColumnElement[bool]) -> Any:
    return select(*_COLUMNS).where(which).with_for_update()


class _Writes:
    """The rows to write, by table."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.failed: list[dict[str, Any]] = []
        self.fetched: list[dict[str, Any]] = []
        self.reports: dict[int, dict[str, Any]] = {}
        self.infos: list[dict[str, Any]] = []
        self.nodes: list[dict[str, Any]] = []
        self.deliveries: list[dict[str, Any]] = []

    def do(self) -> None:
        connection = self.work.connection
        if self.failed:
            connection.execute(_FAILED, self.failed)
        if self.fetched:
            connection.execute(_FETCHED, self.fetched)
            _count_minute(self.work, len(self.fetched))
        if self.reports:
            _replace(connection, reports, ("report", "learned"), list(self.reports.values()))
        if self.infos:
            _replace(connection, infos, ("info",), self.infos)
        if self.nodes:
            _replace(connection, nodes, ("nodes",), self.nodes)
        if self.deliveries:
            connection.execute(deliveries.insert(), self.deliveries)


def _fail(writes: _Writes, job: _Job, call: NoSuccess) -> bool:
    if job.state != FETCHING or job.worker != call.worker:
        return False
    state = GAVE_UP if call.next_attempt is None else WAITING
    _leave(writes, job, state)
    writes.failed.append(
        {
            "job": job.id,
            "new_state": state,
            "new_attempts": job.attempts,
            "new_due": call.next_attempt,
            "new_seconds": call.seconds,
            "new_updated": writes.work.now,
        }
    )
    writes.reports[job.id] = _report(job, call.report, call.learned)
    return True


def _succeed(writes: _Writes, job: _Job, call: Success) -> bool:
    if job.state in (FETCHED, CANCELLED) or (job.state == FETCHING and job.worker != call.worker):
        return False
    result = call.result
    info = result.info_bytes
    name = plain(result.name) or job.name
    # A hybrid's other infohash, so that a magnet that has only that one finds it. The one that a magnet
    # gave may be a lie, under which the torrent whose it is would be taken for this one.
    if len(result.key) == V1_LENGTH:
        job.infohash_v2 = sha256(info).digest() if b"12:meta versioni2e" in info else None
    elif job.infohash is None and b"6:pieces" in info:
        job.infohash = sha1(info).digest()
    _leave(writes, job, FETCHED)
    writes.fetched.append(
        {
            "job": job.id,
            "new_infohash": job.infohash,
            "new_infohash_v2": job.infohash_v2,
            "new_attempts": job.attempts,
            "new_seconds": result.seconds,
            "new_name": name,
            "new_folded": name and name.casefold(),
            "new_size": result.size,
            "new_files": result.files,
            "new_private": result.private,
            "new_updated": writes.work.now,
        }
    )
    writes.reports[job.id] = _report(job, result.report, None)
    writes.infos.append({"job": job.id, "info": info})
    if result.nodes and not result.private:
        writes.nodes.append({"job": job.id, "nodes": pack_nodes(result.nodes)})
    for outlet in dict.fromkeys(call.outlets):
        writes.deliveries.append({"outlet": outlet, "job": job.id, "attempts": 0, "due": writes.work.now})
    return True


def _leave(writes: _Writes, job: _Job, state: str) -> None:
    """The job is no worker's any more."""
    writes.work.move(job.id, job.state, state)
    job.state = state
    job.worker = None
    job.attempts += 1


def _report(job: _Job, report: Mapping[str, Any], learned: Mapping[str, Any] | None) -> dict[str, Any]:
    packed = pack(report)
    if len(packed) > DEFAULT_LIMITS.max_report:
        packed = pack({**report, "trackers": []})
    kept = None if learned is None else pack(learned)
    if kept is not None and len(kept) > DEFAULT_LIMITS.max_learned:
        kept = None
    return {"job": job.id, "report": packed, "learned": kept}


def _replace(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[dict[str, Any]]
) -> None:
    """Insert rows, or put them in the place of those that their jobs have."""
    insert = upsert(connection, table)
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=[table.c.job], set_={name: insert.excluded[name] for name in columns}
        ),
        rows,
    )


def _count_minute(work: Work, number: int) -> None:
    minute = int(work.now // 60) * 60
    insert = upsert(work.connection, minutes)
    work.connection.execute(
        insert.on_conflict_do_update(
            index_elements=[minutes.c.minute], set_={"fetched": minutes.c.fetched + insert.excluded.fetched}
        ),
        {"minute": minute, "fetched": number},
    )
    work.connection.execute(delete(minutes).where(minutes.c.minute < minute - _REMEMBERED))
