"""The tables of the first daemon."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _where(condition: Any) -> dict[str, Any]:
    """The condition of a partial index, for both databases."""
    return {"sqlite_where": condition, "postgresql_where": condition}


def upgrade() -> None:
    """Make the tables and their indexes."""
    op.create_table(
        "counts",
        sa.Column("state", sa.String(length=9), nullable=False),
        sa.Column("jobs", _NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("state", name=op.f("pk_counts")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("infohash", sa.LargeBinary(length=20), nullable=True),
        sa.Column("infohash_v2", sa.LargeBinary(length=32), nullable=True),
        sa.Column("state", sa.String(length=9), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("since", sa.Float(precision=53), nullable=False),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.Column("due", sa.Float(precision=53), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("folded", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("files", sa.Integer(), nullable=True),
        sa.Column("private", sa.Boolean(), nullable=True),
        sa.Column("seconds", sa.Float(precision=53), nullable=True),
        sa.Column("exported", sa.Boolean(), nullable=True),
        sa.Column("file", sa.Text(), nullable=True),
        sa.Column("added", sa.Float(precision=53), nullable=False),
        sa.Column("updated", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_due", "jobs", ["ready", "due"], **_where(sa.text("due IS NOT NULL")))
    op.create_index(
        "ix_jobs_exported_id", "jobs", ["exported", "id"], **_where(sa.text("exported IS NOT NULL"))
    )
    op.create_index("ix_jobs_infohash", "jobs", ["infohash"], **_where(sa.text("infohash_v2 IS NOT NULL")))
    op.create_index(
        "ix_jobs_infohash_v2", "jobs", ["infohash_v2"], **_where(sa.text("infohash_v2 IS NOT NULL"))
    )
    op.create_index("ix_jobs_queued_since", "jobs", ["state", "since"], **_where(sa.text("state = 'queued'")))
    op.create_index(
        "ix_jobs_ready",
        "jobs",
        [sa.text("priority DESC"), "since", "id"],
        **_where(sa.column("ready") == sa.true()),
    )
    op.create_index("ix_jobs_state_id", "jobs", ["state", "id"])
    op.create_index("ix_jobs_worker", "jobs", ["worker"], **_where(sa.text("worker IS NOT NULL")))
    op.create_index("uq_jobs_key", "jobs", ["key"], unique=True)
    op.create_table(
        "minutes",
        sa.Column("minute", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("fetched", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("minute", name=op.f("pk_minutes")),
    )
    op.create_table(
        "deliveries",
        sa.Column("number", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("outlet", sa.Text(), nullable=False),
        sa.Column("job", _NUMBER, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_deliveries_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_deliveries")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_deliveries_job", "deliveries", ["job"])
    op.create_index("ix_deliveries_outlet_due", "deliveries", ["outlet", "due", "number"])
    op.create_table(
        "infos",
        sa.Column("job", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("info", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_infos_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_infos")),
    )
    op.create_table(
        "magnets",
        sa.Column("job", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("magnet", sa.Text(), nullable=False),
        sa.Column("more", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_magnets_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_magnets")),
    )
    op.create_table(
        "reports",
        sa.Column("job", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("report", sa.LargeBinary(), nullable=False),
        sa.Column("learned", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_reports_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_reports")),
    )
