"""The store's tables made, or brought to this version's shape (Alembic; migrations/)."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from functorrent import __version__
from functorrent.errors import StoreCorrupt, StoreTooNew


def upgrade(connection: Connection, where: str) -> None:
    """Bring the database to this version's revision, within the connection's transaction.

    `where`: the store, for people. Raises StoreTooNew where it has a revision that this version does not
    know, StoreCorrupt where it is somebody else's database.
    """
    config = Config()
    config.set_main_option("script_location", "functorrent.store:migrations")
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    present = set(MigrationContext.configure(connection).get_current_heads())
    if unknown := present - known:
        raise StoreTooNew(
            f"the store ({where}) was made by a newer functorrent (its revision is {min(unknown)}, and this "
            f"is {__version__}): install that version, or restore the backup from before"
        )
    if not present and (others := set(inspect(connection).get_table_names())):
        raise StoreCorrupt(f"the store ({where}) is somebody else's database: it has a table {min(others)}")
    if present == set(scripts.get_heads()):
        return
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    if connection.dialect.name == "sqlite":
        # They were not watched meanwhile.
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if broken is not None:
            raise StoreCorrupt(
                f"the store ({where}) lost what a row of {broken[0]} refers to; it stays as it was"
            )
