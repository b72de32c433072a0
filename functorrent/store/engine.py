"""Connections to the database, and what is set on each of them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import StaticPool

from functorrent.errors import StoreError, UsageError
from functorrent.store.lock import FileLock
from functorrent.text import printable

#: For RETURNING. Python 3.11's of 2022 and later have 3.37 or newer.
_OLDEST_SQLITE = (3, 35, 0)
#: Seconds that a statement waits for a lock: a backup that copies the file holds one.
_PATIENCE = 10
_PRAGMAS = (
    # A commit that was reported survives the loss of power.
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    f"PRAGMA busy_timeout = {_PATIENCE * 1000}",
    "PRAGMA foreign_keys = ON",
    # KiB of pages kept by each of three connections.
    "PRAGMA cache_size = -16384",
    # 64 MB of log between checkpoints, since keys are scattered over their whole index: with a million jobs,
    # 5000 new ones change nearly every page of it, and a page should not be copied for each few. Nor is
    # more left of a log that a long reader has held up.
    "PRAGMA wal_autocheckpoint = 16000",
    "PRAGMA journal_size_limit = 67108864",
)


class Place:
    """Where the store is: `url` a SQLAlchemy URL, or the path of an SQLite file. Raises UsageError.

    `title`: for people, without a password. `path`: of the file, None where there is none.
    """

    def __init__(self, url: str | URL) -> None:
        if isinstance(url, str) and "://" not in url:
            url = URL.create("sqlite", database=os.path.abspath(url))
        try:
            self.url = make_url(url)
        except (ArgumentError, ValueError):
            raise UsageError(f"not a URL of a store: {printable(str(url))}") from None
        backend = self.url.get_backend_name()
        if backend not in ("sqlite", "postgresql"):
            raise UsageError(f"the store is in SQLite or in PostgreSQL, and not in {printable(backend)}")
        if self.url.drivername == "postgresql":
            # SQLAlchemy's own choice is psycopg2, of which this is the successor.
            self.url = self.url.set(drivername="postgresql+psycopg")
        self.is_sqlite = backend == "sqlite"
        database = self.url.database
        self.in_memory = self.is_sqlite and database in (None, "", ":memory:")
        self.path = os.path.abspath(database) if self.is_sqlite and database and not self.in_memory else None
        self.title = printable(self.path or self.url.render_as_string(), 500)

    def lock(self) -> FileLock | None:
        """The lock that keeps a second daemon away from a file; a server needs none."""
        return None if self.path is None else FileLock(self.path + ".lock")

    def create(self) -> None:
        """Make the file where there is none, for its owner alone: trackers' URLs hold passkeys.

        SQLite gives the files beside it the same mode. Raises StoreError.
        """
        if self.path is None or os.path.exists(self.path):
            return
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreError(f"the store ({self.title}) cannot be made: {error.strerror}") from None

    def connect(self, readers: int) -> Engine:
        """An engine for a writer and so many readers. Nothing is opened before the first use."""
        if not self.is_sqlite:
            try:
                return create_engine(self.url, pool_size=readers + 1, max_overflow=0, pool_pre_ping=True)
            except (ImportError, ArgumentError) as error:
                raise StoreError(f"the store ({self.title}) needs another Python package: {error}") from None
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise StoreError(
                f"SQLite {sqlite3.sqlite_version} is too old for the store: 3.35 or newer is needed"
            )
        options: dict[str, Any] = {"connect_args": {"check_same_thread": False, "timeout": _PATIENCE}}
        if self.in_memory:
            options["poolclass"] = StaticPool
        else:
            options |= {"pool_size": readers + 1, "max_overflow": 0}
        engine = create_engine(self.url, **options)
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
        return engine


def _on_connect(connection: Any, _record: Any) -> None:
    # Python's sqlite3 begins transactions where it thinks fit, and SAVEPOINT then fails to nest.
    connection.isolation_level = None
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma).close()
    except BaseException:
        # No database: nobody else will close it.
        connection.close()
        raise


@contextmanager
def keys_unchecked(connection: Connection) -> Iterator[None]:
    """SQLite leaves foreign keys alone within; for a connection that is in no transaction yet.

    It alters most of a table by copying it; to drop the old one, with foreign keys watched, would drop
    every row that refers to it, too (https://sqlite.org/lang_altertable.html, section 7).
    """
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name != "sqlite":
        yield
        return
    driver.execute("PRAGMA foreign_keys = OFF").close()
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys = ON").close()


def _on_begin(connection: Connection) -> None:
    # A transaction that reads first and writes later could find that another has written meanwhile.
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
