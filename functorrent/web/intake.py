"""HTTP as a way in for magnets: an intake, whose site serves the queue that it is started with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from functorrent.daemon.interfaces import IIntake, IQueue
from functorrent.web.service import HttpService


@implementer(IIntake)
class HttpIntake:
    """`make` gives the service for a queue; it is called once, by `start`."""

    name = "http"

    def __init__(self, make: Callable[[IQueue], HttpService]) -> None:
        self._make = make
        self._service: HttpService | None = None

    def start(self, queue: IQueue) -> Deferred[Any]:
        """Listen. The Deferred fires when it does."""
        self._service = service = self._make(queue)
        service.startService()
        return service.ready

    def stop(self) -> Deferred[None] | None:
        """Take no more connections; answer what is under way."""
        return None if self._service is None else self._service.stopService()
