"""Tests of functorrent.store.database, engine, lock and failures: what opens, and what is said if not."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from typing import Any

from sqlalchemy.exc import OperationalError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from functorrent.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    UsageError,
)
from functorrent.store.database import Database, open_store
from functorrent.store.engine import Place
from functorrent.store.failures import store_error
from functorrent.store.interfaces import IStore
from functorrent.store.jobs import NewJob
from functorrent.store.lock import FileLock
from functorrent.testing.store import memory_store
from tests.store.bed import Wall, magnet_of


class LifeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())

    def test_it_is_a_store(self) -> None:
        store = memory_store(Wall())
        self.addCleanup(store.close)
        self.assertTrue(verifyObject(IStore, store))

    def test_what_was_accepted_is_there_after(self) -> None:
        """... and is counted afresh; nothing but the database and its lock file is left."""
        store = self.successResultOf(open_store(None, Wall(), self.path))
        self.successResultOf(store.submit([NewJob(magnet_of(1))]))
        self.successResultOf(store.close())
        self.assertEqual(
            sorted(os.listdir(os.path.dirname(self.path))),
            sorted(os.path.basename(self.path) + end for end in ("", ".lock")),
        )
        connection = sqlite3.connect(self.path)
        connection.execute("UPDATE counts SET jobs = 77")
        connection.commit()
        connection.close()
        self.successResultOf(store.open())
        self.assertEqual(self.successResultOf(store.counts())["queued"], 1)
        self.successResultOf(store.close())

    def test_nobody_else_may_read_it(self) -> None:
        """Trackers' URLs hold passkeys; one whose owner has made it readable stays so."""
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        store = self.successResultOf(open_store(None, Wall(), self.path))
        self.successResultOf(store.submit([NewJob(magnet_of(1))]))
        modes = {end: os.stat(self.path + end).st_mode & 0o777 for end in ("", "-wal", "-shm", ".lock")}
        self.assertEqual(set(modes.values()), {0o600}, modes)
        self.successResultOf(store.close())
        os.chmod(self.path, 0o640)
        self.successResultOf(store.open())
        self.successResultOf(store.close())
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o640)

    def test_it_cannot_be_made(self) -> None:
        os.mkdir(self.path + ".d")
        self.patch(os, "open", self.refuse(os.open))
        path = os.path.join(self.path + ".d", "store")
        reason = str(self.failureResultOf(open_store(None, Wall(), path), StoreError).value)
        self.assertEqual(reason, f"the store ({path}) cannot be made: No space left on device")
        self.assertEqual(os.listdir(self.path + ".d"), ["store.lock"])

    def refuse(self, really: Any) -> Any:
        """os.open that makes no file but a lock."""

        def refusing(path: str, *args: Any) -> Any:
            if path.endswith("store"):
                raise OSError(errno.ENOSPC, "No space left on device")
            return really(path, *args)

        return refusing

    def test_closed(self) -> None:
        """Nothing may be asked of it; to close it once more is harmless."""
        store = Database(None, Wall(), self.path)
        for _ in range(2):
            for asked in (store.counts(), store.submit([]), store.delivered(1)):
                self.assertIn("not open", str(self.failureResultOf(asked, StoreError).value))
            self.successResultOf(store.close())
            self.successResultOf(store.close())
            self.successResultOf(store.open())
            self.failureResultOf(store.open(), StoreError)
            self.successResultOf(store.counts())
            self.successResultOf(store.close())

    def test_one_process_has_it(self) -> None:
        """The second is told which process the first is; after that one closes, it may."""
        first = self.successResultOf(open_store(None, Wall(), self.path))
        second = Database(None, Wall(), self.path)
        reason = str(self.failureResultOf(second.open(), StoreLocked).value)
        self.assertIn(f"(pid {os.getpid()})", reason)
        self.assertIn(self.path, reason)
        self.successResultOf(first.close())
        self.successResultOf(second.open())
        self.successResultOf(second.close())

    def test_a_failed_opening_leaves_nothing(self) -> None:
        descriptors = os.listdir("/proc/self/fd")
        with open(self.path, "wb") as file:
            file.write(b"?" * 100)
        for _ in range(3):
            self.failureResultOf(open_store(None, Wall(), self.path), StoreCorrupt)
        self.assertEqual(os.listdir("/proc/self/fd"), descriptors)

    def test_no_folder(self) -> None:
        path = os.path.join(self.path, "nowhere", "store.sqlite")
        reason = str(self.failureResultOf(open_store(None, Wall(), path), StoreError).value)
        self.assertIn("must be there", reason)

    def test_an_old_sqlite(self) -> None:
        self.patch(sqlite3, "sqlite_version_info", (3, 31, 1))
        reason = str(self.failureResultOf(open_store(None, Wall(), self.path), StoreError).value)
        self.assertIn("3.35", reason)


class PlaceTests(SynchronousTestCase):
    def test_paths_and_urls(self) -> None:
        for given, path in (
            ("/a/b c?%.sqlite", "/a/b c?%.sqlite"),
            ("x.sqlite", os.path.abspath("x.sqlite")),
            ("sqlite:////a/b.sqlite", "/a/b.sqlite"),
            ("sqlite:///b.sqlite", os.path.abspath("b.sqlite")),
            ("sqlite://", None),
            ("postgresql+psycopg://me:secret@host/db", None),
        ):
            self.assertEqual(Place(given).path, path, given)
        self.assertEqual(Place("/a\n.sqlite").title, "/a\\x0a.sqlite")

    def test_passwords_are_not_told(self) -> None:
        place = Place("postgresql+psycopg://me:secret@host/db")
        self.assertEqual(place.title, "postgresql+psycopg://me:***@host/db")
        self.assertIsNone(place.lock())

    def test_nonsense(self) -> None:
        for url in ("1://", "postgresql://host:port/db", "mysql://host/db", "nosuch://host/db"):
            with self.assertRaises(UsageError, msg=url):
                Place(url)

    def test_a_database_without_its_package(self) -> None:
        for driver in ("pg8000", "nosuch"):
            with self.assertRaises(StoreError) as caught:
                Place(f"postgresql+{driver}://me@host/db").connect(1)
            self.assertIn("package", str(caught.exception))

    def test_the_driver_of_postgresql(self) -> None:
        self.assertEqual(Place("postgresql://host/db").url.drivername, "postgresql+psycopg")
        self.assertEqual(Place("postgresql+pg8000://host/db").url.drivername, "postgresql+pg8000")


class LockTests(SynchronousTestCase):
    def test_full_disk(self) -> None:
        """The lock holds, even where its file cannot say whose it is."""
        path = self.mktemp()

        def pwrite(*_args: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(os, "pwrite", pwrite)
        first, second = FileLock(path), FileLock(path)
        first.take()
        with self.assertRaises(StoreLocked) as caught:
            second.take()
        self.assertIn("another process has", str(caught.exception))
        first.drop()
        first.drop()
        second.take()
        second.drop()

    def test_a_file_system_without_locks(self) -> None:
        def flock(*_args: Any) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        self.patch(fcntl, "flock", flock)
        with self.assertRaises(StoreError) as caught:
            FileLock(self.mktemp()).take()
        self.assertIn("No locks available", str(caught.exception))


class WordTests(SynchronousTestCase):
    """Errors of databases, by their codes, as sentences."""

    def sqlite(self, code: int) -> StoreError:
        error = sqlite3.OperationalError("said by SQLite")
        error.sqlite_errorcode = code
        error.sqlite_errorname = "SQLITE_X"
        return store_error(OperationalError("SELECT secret", {}, error), "/data/store")

    def server(self, state: str | None) -> StoreError:
        error = Exception("said by the server")
        if state is not None:
            error.sqlstate = state  # type: ignore[attr-defined]
        return store_error(OperationalError("SELECT secret", {}, error), "postgresql://h/d")

    def test_sqlite(self) -> None:
        for code, kind, words in (
            (13, StoreFull, "no space"),
            (5, StoreLocked, "another process"),
            (261, StoreLocked, "another process"),
            (6, StoreLocked, "another process"),
            (11, StoreCorrupt, "damaged"),
            (26, StoreCorrupt, "no store"),
            (8, StoreError, "read-only"),
            (14, StoreError, "cannot be opened"),
            (778, StoreError, "SQLITE_X"),
        ):
            error = self.sqlite(code)
            self.assertIs(type(error), kind, code)
            self.assertIn(words, str(error))
            self.assertIn("/data/store", str(error))
            self.assertNotIn("secret", str(error))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_postgresql(self) -> None:
        for state, kind in (
            ("53100", StoreFull),
            ("55P03", StoreLocked),
            ("XX001", StoreCorrupt),
            ("25006", StoreError),
            ("57P01", StoreError),
            ("28P01", StoreError),
            (None, StoreError),
        ):
            error = self.server(state)
            self.assertIs(type(error), kind, state)
            self.assertNotIn("secret", str(error))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_bugs(self) -> None:
        """They are logged, and told without what they hold."""
        for error in (self.sqlite(1), self.server("42601")):
            self.assertIs(type(error), StoreError)
            self.assertNotIn("secret", str(error))
        self.assertEqual(len(self.flushLoggedErrors()), 2)

    def test_ours(self) -> None:
        ours = StoreFull("x")
        self.assertIs(store_error(ours, "here"), ours)
        self.assertIn("Too many", str(store_error(OSError(errno.EMFILE, "Too many open files"), "here")))
