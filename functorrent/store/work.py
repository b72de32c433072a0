"""What one operation sees of its transaction, and what it notes for the end of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

_T = TypeVar("_T")
#: Values of one IN: few texts of statements to remember, and under every database's limit.
CHUNK = 500


class Work:
    """One operation within a transaction: `connection`, and `now` (seconds since the epoch).

    `changed`: the ids of jobs it has changed, in order. `moved`: how many jobs more (or fewer) each
    state has.
    """

    __slots__ = ("changed", "connection", "moved", "now")

    def __init__(self, connection: Connection, now: float) -> None:
        self.connection = connection
        self.now = now
        self.changed: dict[int, None] = {}
        self.moved: Counter[str] = Counter()

    def change(self, job: int) -> None:
        """A job is not what it was: observers are told, of the last change last."""
        self.changed.pop(job, None)
        self.changed[job] = None

    def add(self, other: Work) -> None:
        """Take over what `other`, a later one, has noted."""
        for job in other.changed:
            self.change(job)
        self.moved.update(other.moved)

    def move(self, job: int, before: str | None, after: str) -> None:
        """A job has gone from one state (None: it is new) to another."""
        self.change(job)
        if before != after:
            if before is not None:
                self.moved[before] -= 1
            self.moved[after] += 1


def upsert(connection: Connection, table: Table) -> Any:
    """An INSERT that has ``on_conflict_do_update`` and ``on_conflict_do_nothing``."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def chunks(values: Iterable[_T], size: int = CHUNK) -> Iterator[Sequence[_T]]:
    """The values, `size` at a time."""
    iterator = iter(values)
    while chunk := list(islice(iterator, size)):
        yield chunk
