"""Python's garbage collector in a process that lives for years and must not stand still."""

from __future__ import annotations

import gc

#: See gc.set_threshold. The store and the web leave some objects for each magnet, few of them in cycles.
#: A walk over the middle generation, 20,000 objects, takes some 20 ms; with 100,000 it took 110, the longest
#: stalls of all (bench.lag). Full walks come after a million.
_COLLECT = (5_000, 4, 50)


def calm_collector() -> None:
    """Let it walk no more what is there now, and come less often.

    Call it when everything is imported and started. SQLAlchemy, Alembic, Klein and Twisted are 400,000
    objects: each of the collector's full walks over them stops the reactor and every thread for 70 ms,
    and a post of 100,000 magnets brings it some thirty times.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT)
