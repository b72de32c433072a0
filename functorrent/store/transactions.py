"""Transactions: operations done together, each of which fails alone, and told of together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine, NestedTransaction, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.errors import StoreError
from functorrent.store.engine import keys_unchecked
from functorrent.store.failures import store_error
from functorrent.store.jobs import STATES, Job
from functorrent.store.pipeline import Operation
from functorrent.store.rows import jobs_of
from functorrent.store.schema import counts, jobs
from functorrent.store.upgrade import upgrade
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

    def prepare(self) -> None:
        """Make or upgrade the tables, and count the jobs. Raises StoreError."""
        try:
            with self._writer.connect() as connection, keys_unchecked(connection), connection.begin():
                upgrade(connection, self._where)
                recount(connection)
        except Exception as error:
            raise store_error(error, self._where) from None

    def commit(self, operations: Sequence[Operation]) -> Callable[[], None]:
        """Do these in one transaction; returns what tells the observers of it.

        An operation that fails takes back what it did, and no other's. When the commit itself fails
        nothing was done, and all of them fail.
        """
        try:
            with self._writer.begin() as connection:
                changed = self._do(connection, operations)
        except Exception as error:
            reason = store_error(error, self._where)
            for operation in operations:
                operation.result = _failure(reason)
            changed = []
        return lambda: self._tell(changed)

    def _do(self, connection: Connection, operations: Sequence[Operation]) -> list[Job]:
        noted = Work(connection, 0.0)
        waiting = deque(list(group) for _, group in groupby(operations, _kind))
        while waiting:
            group = waiting.popleft()
            work = Work(connection, group[-1].now)
            savepoint = connection.begin_nested()
            try:
                _call(work, group)
                savepoint.commit()
            except Exception as error:
                if not _take_back(connection, savepoint):
                    raise  # all is lost, not only this
                if len(group) > 1:
                    # One of them, and the others need not suffer.
                    waiting.extendleft([operation] for operation in reversed(group))
                else:
                    group[0].result = _failure(store_error(error, self._where))
            else:
                noted.add(work)
        for state, number in sorted(noted.moved.items()):
            if number:
                connection.execute(
                    update(counts).where(counts.c.state == state).values(jobs=counts.c.jobs + number)
                )
        return list(jobs_of(connection, noted.changed)) if self._observers else []

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
            operation.result = _failure(store_error(error, self._where))


def _kind(operation: Operation) -> object:
    """The same for operations that are done by one call."""
    return operation if operation.call is None else operation.function


def _call(work: Work, group: Sequence[Operation]) -> None:
    if group[0].call is None:
        group[0].result = group[0].function(work)
        return
    answers = group[0].function(work, [operation.call for operation in group])
    for operation, answer in zip(group, answers, strict=True):
        operation.result = _failure(answer) if isinstance(answer, StoreError) else answer


def _take_back(connection: Connection, savepoint: NestedTransaction) -> bool:
    """Undo one operation; False where the database has undone the whole transaction by itself.

    SQLite does so on some errors, as of a full disk (https://sqlite.org/lang_transaction.html, 3).
    """
    driver: Any = connection.connection.dbapi_connection
    if not getattr(driver, "in_transaction", True):
        return False
    try:
        savepoint.rollback()
    except SQLAlchemyError:
        return False
    return True


def _failure(reason: StoreError) -> Failure:
    """One of its own for each that waits, without frames: they would keep what they hold."""
    return Failure(type(reason)(*reason.args))


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
