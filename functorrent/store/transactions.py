"""Transactions: operations done together, each of which fails alone, and told of together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, func, select, update
from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.store.failures import store_error
from functorrent.store.jobs import STATES, Job
from functorrent.store.pipeline import Operation
from functorrent.store.rows import jobs_of
from functorrent.store.schema import counts, jobs
from functorrent.store.work import Work, upsert

_log = Logger()
Observer = Callable[[Sequence[Job]], None]


class Transactions:
    """Does operations on an engine. Called by threads; `observers` in the reactor.

    `where`: the store, for people.
    """

    def __init__(self, engine: Engine, where: str, observers: Sequence[Observer]) -> None:
        self._writer = engine
        self._reader = engine.execution_options(reads=True)
        self._where = where
        self._observers = observers

    def commit(self, operations: Sequence[Operation]) -> Callable[[], None]:
        """Do these in one transaction; returns what tells the observers of it.

        An operation that fails takes back what it did, and no other's. When the commit itself fails
        nothing was done, and all of them fail.
        """
        try:
            with self._writer.begin() as connection:
                changed = self._do(connection, operations)
        except Exception as error:
            failed = Failure(store_error(error, self._where))
            for operation in operations:
                operation.result = failed
            return lambda: None
        return lambda: self._tell(changed)

    def _do(self, connection: Connection, operations: Sequence[Operation]) -> list[Job]:
        changed: dict[int, None] = {}
        moved: Counter[str] = Counter()
        for operation in operations:
            work = Work(connection, operation.now)
            try:
                with connection.begin_nested():
                    operation.result = operation.function(work)
            except Exception as error:
                if not connection.in_transaction() or not _in_transaction(connection):
                    raise  # a full disk, and the like: SQLite has taken back everything
                operation.result = Failure(store_error(error, self._where))
                continue
            for number in work.changed:
                changed.pop(number, None)
                changed[number] = None
            moved.update(work.moved)
        for state, number in sorted(moved.items()):
            if number:
                connection.execute(
                    update(counts).where(counts.c.state == state).values(jobs=counts.c.jobs + number)
                )
        return list(jobs_of(connection, changed)) if changed and self._observers else []

    def _tell(self, changed: Sequence[Job]) -> None:
        if not changed:
            return
        for observer in tuple(self._observers):
            try:
                observer(changed)
            except Exception:
                _log.failure("An observer of the store failed")

    def answer(self, operation: Operation) -> None:
        """Do an operation that only reads."""
        try:
            with self._reader.begin() as connection:
                operation.result = operation.function(connection)
        except Exception as error:
            operation.result = Failure(store_error(error, self._where))


def _in_transaction(connection: Connection) -> bool:
    """What the driver says: it knows when a database has ended the transaction by itself."""
    driver: Any = connection.connection.dbapi_connection
    return bool(getattr(driver, "in_transaction", True))


def recount(connection: Connection) -> None:
    """Count the jobs of each state afresh."""
    found: dict[str, int] = dict.fromkeys(STATES, 0)
    for state, number in connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state)):
        found[state] = number
    insert = upsert(connection, counts)
    connection.execute(
        insert.on_conflict_do_update(index_elements=[counts.c.state], set_={"jobs": insert.excluded.jobs}),
        [{"state": state, "jobs": number} for state, number in found.items()],
    )
