"""The HTTP side on a real port and a real SQLite store, in the test's reactor."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from zope.interface import implementer

from functorrent.interfaces import IWallClock
from functorrent.limits import DEFAULT_LIMITS
from functorrent.store.database import Database, open_store
from functorrent.web.context import WebContext
from functorrent.web.service import HttpService
from functorrent.web.site import make_site
from tests.web.fakes import StoreQueue


@implementer(IWallClock)
class Wall:
    """The time of day."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()


class WebServer:
    """Started by `start`. `port`: where it listens. `gave_up`: what it said when it could not."""

    def __init__(self, reactor: Any, folder: Path) -> None:
        self.reactor = reactor
        self._folder = folder
        self.gave_up: list[str] = []
        self.store: Database
        self.service: HttpService
        self.port = 0

    async def start(
        self, limits: dict[str, Any] | None = None, endpoint: str = "tcp:0:interface=127.0.0.1", **more: Any
    ) -> WebServer:
        """Listen, with some limits or parts of the context changed."""
        wall = Wall()
        self.store = await open_store(self.reactor, wall, str(self._folder / "store.sqlite"))
        changed = replace(DEFAULT_LIMITS, **(limits or {}))
        queue = StoreQueue(self.store)
        context = WebContext(self.reactor, wall, self.store, queue, "1.2.3", limits=changed, **more)
        self.service = HttpService(self.reactor, endpoint, make_site(context), self.gave_up.append)
        self.service.startService()
        self.port = (await self.service.ready).getHost().port
        return self

    async def stop(self) -> None:
        """Stop and let go of everything."""
        await self.service.stopService()
        await self.store.close()

    def call(self, function: Any, *arguments: Any, **more: Any) -> Deferred[Any]:
        """The result of a function that blocks, called in a thread."""
        return deferToThreadPool(self.reactor, self.reactor.getThreadPool(), function, *arguments, **more)
