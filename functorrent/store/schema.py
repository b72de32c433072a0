"""The store's tables. What changes here needs a migration (migrations/versions/), and a test compares both.

Rows that every transaction touches are short: a job's magnet, report and info dictionary have tables of
their own, so that the queue and the listings read little.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    literal_column,
    true,
)

#: SQLite numbers rows by itself only where the type is INTEGER.
Number = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

jobs = Table(
    "jobs",
    metadata,
    # Never given twice (AUTOINCREMENT), so that a page's cursor stays right: the higher is the newer.
    Column("id", Number, primary_key=True, autoincrement=True),
    #: What the job is asked for by: 20 bytes, or 32 where it came as v2 alone.
    Column("key", LargeBinary(32), nullable=False),
    Column("infohash", LargeBinary(20)),
    Column("infohash_v2", LargeBinary(32)),
    Column("state", String(9), nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    #: When it was queued, for the first time or again by somebody.
    Column("since", Float(53), nullable=False),
    #: A worker may take it now: it is queued, or `due` has come and was noticed (claiming.py).
    Column("ready", Boolean, nullable=False),
    #: waiting: the time of the next try; fetching: the end of the lease; else null.
    Column("due", Float(53)),
    #: fetching: who has the lease; else null.
    Column("worker", Text),
    Column("source", Text),
    Column("line", Integer),
    #: The torrent's name, or the magnet's; and the same for searching (casefold).
    Column("name", Text),
    Column("folded", Text),
    Column("size", BigInteger),
    Column("files", Integer),
    Column("private", Boolean),
    Column("seconds", Float(53)),
    #: Null until fetched; then whether the .torrent file was written, and where.
    Column("exported", Boolean),
    Column("file", Text),
    Column("added", Float(53), nullable=False),
    Column("updated", Float(53), nullable=False),
    sqlite_autoincrement=True,
)

#: In the words of the partial indexes: a bound parameter would hide from SQLite that they apply.
IS_READY = jobs.c.ready == true()
IS_QUEUED = jobs.c.state == literal_column("'queued'")
HAS_V2 = jobs.c.infohash_v2.is_not(None)
HAS_WORKER = jobs.c.worker.is_not(None)
HAS_DUE = jobs.c.due.is_not(None)
IS_FETCHED = jobs.c.exported.is_not(None)


def _partial(name: str, *columns: object, where: object, unique: bool = False) -> Index:
    return Index(name, *columns, sqlite_where=where, postgresql_where=where, unique=unique)  # type: ignore[arg-type]


Index("uq_jobs_key", jobs.c.key, unique=True)
# Most magnets have v1 alone, and cost these two nothing.
_partial("ix_jobs_infohash", jobs.c.infohash, where=HAS_V2)
_partial("ix_jobs_infohash_v2", jobs.c.infohash_v2, where=HAS_V2)
Index("ix_jobs_state_id", jobs.c.state, jobs.c.id)
_partial("ix_jobs_ready", jobs.c.priority.desc(), jobs.c.since, jobs.c.id, where=IS_READY)
_partial("ix_jobs_due", jobs.c.ready, jobs.c.due, where=HAS_DUE)
_partial("ix_jobs_worker", jobs.c.worker, where=HAS_WORKER)
_partial("ix_jobs_queued_since", jobs.c.state, jobs.c.since, where=IS_QUEUED)
_partial("ix_jobs_exported_id", jobs.c.exported, jobs.c.id, where=IS_FETCHED)


def _job_id() -> Column[int]:
    return Column(
        "job", Number, ForeignKey(jobs.c.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )


magnets = Table(
    "magnets",
    metadata,
    _job_id(),
    Column("magnet", Text, nullable=False),
    #: What later magnets of the torrent know beyond it (magnets.py), or null.
    Column("more", Text),
)

reports = Table(
    "reports",
    metadata,
    _job_id(),
    #: JSON, deflated where that is shorter (packing.py).
    Column("report", LargeBinary, nullable=False),
    Column("learned", LargeBinary),
)

infos = Table("infos", metadata, _job_id(), Column("info", LargeBinary, nullable=False))

#: DHT nodes for the .torrent of a magnet without trackers: JSON, [[host, port], ...]. Few jobs have some.
nodes = Table("nodes", metadata, _job_id(), Column("nodes", Text, nullable=False))

deliveries = Table(
    "deliveries",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("outlet", Text, nullable=False),
    Column("job", Number, ForeignKey(jobs.c.id, ondelete="CASCADE"), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", Float(53), nullable=False),
    sqlite_autoincrement=True,
)
Index("ix_deliveries_outlet_due", deliveries.c.outlet, deliveries.c.due, deliveries.c.number)
Index("ix_deliveries_job", deliveries.c.job)

#: How many jobs there are in each state, kept in the transaction that moves them.
counts = Table(
    "counts",
    metadata,
    Column("state", String(9), primary_key=True),
    Column("jobs", Number, nullable=False),
)

#: Results by minute: seconds since the epoch at its start.
minutes = Table(
    "minutes",
    metadata,
    Column("minute", Number, primary_key=True, autoincrement=False),
    Column("fetched", Integer, nullable=False),
)
