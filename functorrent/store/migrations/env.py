"""Run by Alembic for each upgrade: on the connection that functorrent.store.upgrade gives it."""

from __future__ import annotations

from alembic import context

from functorrent.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter most things of a table; Alembic then copies it.
    render_as_batch=True,
)
# No transaction of its own: all steps are in the connection's, or none is.
context.run_migrations()
