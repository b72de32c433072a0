"""What a node does beside lookups: pings, refreshed buckets, its id, its saved table (BEP 5, BEP 42)."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from functorrent.errors import OutputError
from functorrent.sources.dht.core import DhtCore
from functorrent.sources.dht.joining import Joining
from functorrent.sources.dht.lookup import Candidate
from functorrent.sources.dht.pings import Pings
from functorrent.sources.dht.saved import SavedTable, save
from functorrent.sources.dht.storage import PeerStorage
from functorrent.sources.dht.walk import Walk
from functorrent.wire.krpc import Response

#: Seconds between two looks, and pings sent at each: a table of 200 nodes needs one each 4 s.
_PAUSE = 5.0
_PINGS = 8
_SAVE = 900.0
_EXPIRE = 300.0


class Upkeep:
    """Looks after one node every few seconds. `table_file`: where the table is saved, None for nowhere."""

    log = Logger()

    def __init__(
        self,
        core: DhtCore,
        pings: Pings,
        storage: PeerStorage,
        table_file: str | None,
        joining: Joining,
    ) -> None:
        self._core = core
        self._pings = pings
        self._storage = storage
        self._file = table_file
        self._joining = joining
        self._walk: Walk | None = None
        self._targets: list[tuple[bool, bytes]] = []
        self._timer: Any = None
        self._saved = self._expired = 0.0

    def start(self) -> None:
        """Begin."""
        self._saved = self._expired = float(self._core.clock.seconds())
        self._timer = self._core.clock.callLater(_PAUSE, self._look)

    def stop(self) -> None:
        """End, and save the table."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.save()
        if self._walk is not None:
            self._walk.cancel()

    def _look(self) -> None:
        core = self._core
        self._timer = core.clock.callLater(_PAUSE, self._look)
        now = float(core.clock.seconds())
        for v6, table in core.tables.items():
            for node in table.questionable(now, _PINGS):
                self._pings.add(node.address, node.id)
            for node in table.candidates(_PINGS):
                self._pings.add(node.address, node.id)
            if core.known:
                self._targets += [(v6, target) for target in table.stale(now)]
        self._refresh()
        if core.known:
            self._joining.look()
        if now - self._expired >= _EXPIRE:
            self._expired = now
            self._storage.expire(now)
        if now - self._saved >= _SAVE:
            self._saved = now
            self.save()

    def look_for(self, v6: bool, target: bytes) -> None:
        """Look for the nodes closest to `target` some time soon."""
        self._targets.insert(0, (v6, target))

    # -- buckets -------------------------------------------------------------------------------

    def _refresh(self) -> None:
        """One bucket at a time: nothing waits for it."""
        if self._walk is None and self._targets:
            v6, target = self._targets.pop(0)
            self._walk = Walk(self._core, target, v6, "find_node", self, self._joining.more)
            self._walk.start()

    def walk_answered(self, walk: Walk, candidate: Candidate, response: Response) -> None:
        """The table has been told."""

    def walk_ended(self, walk: Walk) -> None:
        """The next one comes with the next look."""
        self._walk = None

    # -- the file ------------------------------------------------------------------------------

    def save(self) -> None:
        """Keep the good nodes for the next run; a table without any is not kept."""
        core = self._core
        if self._file is None:
            return
        now, most = float(core.clock.seconds()), core.limits.dht_saved_nodes
        nodes = {v6: tuple(table.good(now, most)) for v6, table in core.tables.items()}
        if not any(nodes.values()):
            return
        ids = core.ids
        own = next(iter(ids.values()))
        table = SavedTable(ids.get(False, own), ids.get(True, own), nodes.get(False, ()), nodes.get(True, ()))
        try:
            save(self._file, table)
        except OutputError as error:
            self.log.warn("{error}", error=str(error))
