"""What a database says of its trouble, in words for whoever runs the daemon."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.errors import StoreCorrupt, StoreError, StoreFull, StoreLocked
from functorrent.text import printable

_log = Logger()

#: SQLite's primary result codes (https://sqlite.org/rescode.html).
_BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _NOTADB = 5, 6, 8, 10, 11, 13, 14, 26

_RESTORE = "stop the daemon, and put a backup in its place (docs/operating.md, Backup and restore)"


def store_error(error: Exception, where: str) -> StoreError:
    """The StoreError for what was raised; `where`: the store, for people.

    What is none of the ways in which stores fail is a bug, and is logged as one.
    """
    if isinstance(error, StoreError):
        return error
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, sqlite3.Error):
        known = _of_sqlite(original, where)
        if known is not None:
            return known
    elif isinstance(error, DBAPIError):
        known = _of_server(error, where)
        if known is not None:
            return known
    elif isinstance(original, OSError):
        return StoreError(f"the store ({where}) cannot be used: {original.strerror or original}")
    _log.failure("The store failed in an unexpected way", failure=Failure(error))
    said = printable(str(original)) if isinstance(error, SQLAlchemyError) else type(error).__name__
    return StoreError(f"the store ({where}) failed: {said}")


def _of_sqlite(error: sqlite3.Error, where: str) -> StoreError | None:
    # Errors of the Python module itself have no code.
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    if primary == _FULL:
        return StoreFull(f"no space is left for the store ({where}): make room, and it goes on by itself")
    if primary in (_BUSY, _LOCKED):
        return StoreLocked(f"the store ({where}) is locked by another process: end that one")
    if primary == _NOTADB:
        return StoreCorrupt(f"the store ({where}) is damaged, or is no store: {_RESTORE}")
    if primary == _CORRUPT:
        return StoreCorrupt(f"the store ({where}) is damaged ({printable(str(error))}): {_RESTORE}")
    if primary == _READONLY:
        return StoreError(
            f"the store ({where}) is read-only: let the daemon's user write to the file and to its folder"
        )
    if primary == _CANTOPEN:
        return StoreError(
            f"the store ({where}) cannot be opened: its folder must be there, and the daemon's user must "
            "be allowed to write to it"
        )
    if primary == _IOERR:
        name = getattr(error, "sqlite_errorname", "SQLITE_IOERR")
        return StoreError(
            f"the store ({where}) cannot be read or written ({name}): look at the disk, its quota and the "
            "limit of file sizes (ulimit -f)"
        )
    return None


def _of_server(error: DBAPIError, where: str) -> StoreError | None:
    """PostgreSQL's, by SQLSTATE (its manual, appendix A)."""
    state = getattr(error.orig, "sqlstate", None) or ""
    if state in ("53100", "53200"):
        return StoreFull(f"no space is left for the store ({where})")
    if state in ("55P03", "40P01"):
        return StoreLocked(f"the store ({where}) is locked by another process")
    if state[:2] == "XX":
        return StoreCorrupt(f"the store ({where}) is damaged: {printable(str(error.orig))}")
    if state == "25006":
        return StoreError(f"the store ({where}) is read-only")
    if error.connection_invalidated or state[:2] in ("08", "28", "3D", "57") or not state:
        return StoreError(f"the store ({where}) cannot be reached: {printable(str(error.orig))}")
    return None
