"""Tests of functorrent.store.upgrade and of the migrations, on real files in the working folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, Integer, create_engine, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateIndex, CreateTable
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import StoreCorrupt, StoreError, StoreTooNew
from functorrent.metainfo import Metainfo
from functorrent.store import transactions
from functorrent.store.database import Database
from functorrent.store.jobs import NewJob
from functorrent.store.schema import metadata
from functorrent.store.transactions import Transactions
from functorrent.store.upgrade import upgrade
from tests.store.bed import StoreCase, Wall, hash_of, info_of, magnet_of, result_of


def statements(connection: Connection) -> dict[str, str]:
    """What made each table and index, names and numbers of blanks apart."""
    rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    return {name: re.sub(r"\s+|\"", " ", sql).replace(" ,", ",").strip() for name, sql in rows}


class MigrationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())
        os.makedirs(self.path)
        self.engine = create_engine(f"sqlite:///{self.path}/store.sqlite")
        self.addCleanup(self.engine.dispose)

    def test_they_make_the_tables_of_the_schema(self) -> None:
        """Each table, column, index and condition of an index, word by word."""
        with self.engine.begin() as connection:
            upgrade(connection, "here")
            made = statements(connection)
            self.assertEqual(compare_metadata(MigrationContext.configure(connection), metadata), [])
        plain = create_engine("sqlite://")
        self.addCleanup(plain.dispose)
        with plain.begin() as connection:
            metadata.create_all(connection)
            wanted = statements(connection)
        del made["alembic_version"]
        self.assertEqual(sorted(made), sorted(wanted))
        for name, statement in wanted.items():
            self.assertEqual(made[name], statement)

    def test_once_is_enough(self) -> None:
        for _ in range(2):
            with self.engine.begin() as connection:
                upgrade(connection, "here")
                connection.execute(text("INSERT INTO minutes SELECT count(*), 1 FROM minutes"))
        with self.engine.begin() as connection:
            self.assertEqual(connection.execute(text("SELECT count(*) FROM minutes")).scalar(), 2)

    def test_all_or_nothing(self) -> None:
        """An upgrade that is cut short, as by a full disk, leaves what was there."""
        with self.assertRaises(ZeroDivisionError), self.engine.connect() as connection:
            connection.connection.dbapi_connection.isolation_level = None  # type: ignore[union-attr]
            connection.execute(text("BEGIN"))
            upgrade(connection, "here")
            raise ZeroDivisionError
        with self.engine.begin() as connection:
            self.assertEqual(statements(connection), {})

    def test_one_line_of_revisions(self) -> None:
        config = Config()
        config.set_main_option("script_location", "functorrent.store:migrations")
        scripts = ScriptDirectory.from_config(config)
        self.assertEqual(len(scripts.get_heads()), 1)
        self.assertEqual(len(scripts.get_bases()), 1)

    def test_the_working_folder_is_not_looked_at(self) -> None:
        """An alembic.ini there, of another program, changes nothing."""
        before = os.getcwd()
        os.chdir(self.path)
        self.addCleanup(os.chdir, before)
        with open("alembic.ini", "w") as file:
            file.write("[alembic]\nscript_location = nowhere\n")
        with self.engine.begin() as connection:
            upgrade(connection, "here")
            self.assertIn("jobs", statements(connection))

    def test_postgresql_has_every_table_too(self) -> None:
        """Nothing in the tables is SQLite's alone (no server here: the statements are made, not run)."""
        dialects: tuple[Any, ...] = (postgresql.dialect(), sqlite.dialect())  # type: ignore[no-untyped-call]
        for table in metadata.sorted_tables:
            for dialect in dialects:
                self.assertIn("PRIMARY KEY", str(CreateTable(table).compile(dialect=dialect)))
            for index in table.indexes:
                made = [str(CreateIndex(index).compile(dialect=dialect)) for dialect in dialects]
                self.assertEqual(*("WHERE" in statement for statement in made))
        self.assertIn(
            "WHERE ready = true", str(CreateIndex(index_named("ix_jobs_ready")).compile(dialect=dialects[0]))
        )


def index_named(name: str) -> Any:
    return next(index for table in metadata.sorted_tables for index in table.indexes if index.name == name)


class CopyTests(StoreCase):
    """A later migration may have to copy a table, as SQLite alters most of one."""

    def migrate(self, change: Callable[[Operations], None]) -> None:
        """Open the store with a migration that does this."""

        def changed(connection: Connection, where: str) -> None:
            change(Operations(MigrationContext.configure(connection)))

        self.patch(transactions, "upgrade", changed)
        assert self.store._engine is not None
        Transactions(self.store._engine, "here", []).prepare()

    def test_what_refers_to_it_stays(self) -> None:
        self.in_state(1, "fetched")
        self.in_state(2, "waiting")
        before = [self.job(number) for number in (1, 2)]

        def copy(operations: Operations) -> None:
            with operations.batch_alter_table("jobs", recreate="always") as table:
                table.add_column(Column("new", Integer))

        self.migrate(copy)
        self.assertEqual([self.job(number) for number in (1, 2)], before)
        self.assertEqual(self.get(self.store.info_bytes(hash_of(1))), info_of(1))
        # And they are watched again.
        assert self.store._engine is not None
        with self.assertRaises(IntegrityError), self.store._engine.begin() as connection:
            connection.execute(text("INSERT INTO infos VALUES (99, 'x')"))


class StepTests(SynchronousTestCase):
    """A store of an earlier version, with what it held."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())

    def made_by(self, revision: str, *statements: str) -> None:
        """A store as the version of this revision left it."""
        engine = create_engine(f"sqlite:///{self.path}")
        config = Config()
        config.set_main_option("script_location", "functorrent.store:migrations")
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    def test_of_the_first_daemon(self) -> None:
        key, info = hash_of(1).hex(), info_of(1).hex()
        self.made_by(
            "0001",
            "INSERT INTO jobs (key, infohash, state, priority, attempts, since, ready, name, size, files,"
            " private, exported, added, updated)"
            f" VALUES (x'{key}', x'{key}', 'fetched', 0, 1, 5, 0, 'old', 2, 1, 0, 0, 5, 6)",
            f"INSERT INTO magnets (job, magnet) VALUES (1, 'magnet:?xt=urn:btih:{key}')",
            f"INSERT INTO infos (job, info) VALUES (1, x'{info}')",
            "INSERT INTO counts (state, jobs) VALUES ('fetched', 1)",
        )
        store = Database(None, Wall(), self.path)
        self.successResultOf(store.open())
        job = self.successResultOf(store.job(hash_of(1)))
        self.assertEqual((job.status, job.name, job.added), ("fetched", "old", 5.0))
        torrent = Metainfo.parse(self.successResultOf(store.torrent(hash_of(1))))
        self.assertEqual((torrent.info_bytes, torrent.nodes), (info_of(1), ()))
        # And what is new goes in.
        self.successResultOf(store.submit([NewJob(magnet_of(2))]))
        self.successResultOf(store.claim("w", 1, 60.0))
        result = replace(result_of(2), nodes=(("192.0.2.1", 6881),))
        self.assertTrue(self.successResultOf(store.fetched("w", result)))
        torrent = Metainfo.parse(self.successResultOf(store.torrent(hash_of(2))))
        self.assertEqual(torrent.nodes, (("192.0.2.1", 6881),))
        self.successResultOf(store.close())


class RefusalTests(SynchronousTestCase):
    """Databases that are not ours to open."""

    def test_a_step_that_loses_rows(self) -> None:
        """It is found before the commit, and nothing of it stays."""
        really = command.upgrade

        def lose(config: Config, revision: str) -> None:
            really(config, revision)
            config.attributes["connection"].execute(text("INSERT INTO infos VALUES (99, 'x')"))

        self.patch(command, "upgrade", lose)
        self.assertIn("a row of infos", self.refused(StoreCorrupt))
        engine = create_engine(f"sqlite:///{self.path}")
        with engine.begin() as connection:
            self.assertEqual(statements(connection), {})
        engine.dispose()

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())

    def opened(self) -> Database:
        store = Database(None, Wall(), self.path)
        self.successResultOf(store.open())
        return store

    def refused(self, error: type[StoreError]) -> str:
        store = Database(None, Wall(), self.path)
        reason = str(self.failureResultOf(store.open(), error).value)
        self.assertIn(self.path, reason)
        self.failureResultOf(store.job(hash_of(1)), StoreError)
        return reason

    def execute(self, statement: str) -> None:
        engine = create_engine(f"sqlite:///{self.path}")
        with engine.begin() as connection:
            connection.execute(text(statement))
        engine.dispose()

    def test_made_by_a_newer_one(self) -> None:
        self.successResultOf(self.opened().close())
        self.execute("UPDATE alembic_version SET version_num = '0099'")
        self.assertIn("0099", self.refused(StoreTooNew))
        # It was left as it is.
        self.execute("UPDATE alembic_version SET version_num = '0002' WHERE version_num = '0099'")
        self.successResultOf(self.opened().close())

    def test_somebody_else_s(self) -> None:
        self.execute("CREATE TABLE holidays (day INTEGER)")
        self.assertIn("holidays", self.refused(StoreCorrupt))
        self.execute("INSERT INTO holidays VALUES (1)")

    def test_no_database(self) -> None:
        for content in (b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000):
            with open(self.path, "wb") as file:
                file.write(content)
            self.assertIn("put a backup in its place", self.refused(StoreCorrupt))
            with open(self.path, "rb") as file:
                self.assertEqual(file.read(), content)

    def test_an_empty_file(self) -> None:
        """... is a database without tables, as SQLite has it."""
        with open(self.path, "wb"):
            pass
        self.successResultOf(self.opened().close())
