"""The daemon's seams: ways in (`IIntake`), the queue they fill (`IQueue`), ways out (`IOutlet`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from functorrent.store.jobs import Job, NewJob, Submitted


class IQueue(Interface):
    """Takes magnets and orders about them. Each Deferred fires when the answer is durable.

    They fail with StoreError; with QueueClosed while the daemon stops.
    """

    def submit(jobs: Sequence[NewJob]) -> Deferred[list[Submitted]]:
        """Accept magnets in one transaction; what is being fetched gets their trackers and peers now."""

    def cancel(key: bytes) -> Deferred[Job | None]:
        """Stop wanting it; a fetch that is on ends. The job, or None where there is none."""

    def retry(key: bytes) -> Deferred[Job | None]:
        """Try it now. The job, or None where there is none."""


class IIntake(Interface):
    """A way by which magnets come in: the watch folder, HTTP."""

    name: str = Attribute("A word for logs.")

    def start(queue: IQueue) -> Deferred[Any] | None:
        """The queue is open. A Deferred fires when magnets can come in; the daemon is not ready before."""

    def stop() -> Deferred[None] | None:
        """Take nothing more."""


class IOutlet(Interface):
    """A plugin: where results go beside the .torrent file, at least once each, across restarts."""

    name: str = Attribute("A word that stays the same, by which the store remembers what is due.")

    def deliver(job: Job, torrent: bytes) -> Deferred[None]:
        """Hand over one result. A failure means: again later; DeliveryRefused: never. It has its own
        time limit."""
