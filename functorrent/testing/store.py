"""A store in memory, for tests of what uses one: its Deferreds have fired when a method returns."""

from __future__ import annotations

from functorrent.interfaces import IWallClock
from functorrent.store.database import Database


def memory_store(wall: IWallClock) -> Database:
    """The real store, open, on an SQLite database in memory: no thread, no file, nothing to clean up.

    `wall` has the one method `now()`: seconds since the epoch. What a method answers is there at once::

        store = memory_store(wall)
        [submitted] = self.successResultOf(store.submit([NewJob(Magnet.parse(text))]))
        [claim] = self.successResultOf(store.claim("worker", 1, 60.0))

    SQLAlchemy and Alembic are imported with this module, and not with functorrent.testing.
    """
    store = Database(None, wall, "sqlite://")
    opened: list[object] = []
    store.open().addBoth(opened.append)
    if opened != [None]:
        raise RuntimeError(f"the store in memory does not open: {opened}")
    return store
