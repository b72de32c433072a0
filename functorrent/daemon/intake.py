"""What intakes share: a submission that is repeated until it is durable; and the command line's magnets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from functorrent.daemon.health import Backoff, Health
from functorrent.daemon.interfaces import IIntake, IQueue
from functorrent.errors import QueueClosed, StoreError
from functorrent.magnet import Magnet
from functorrent.store.jobs import NewJob, Submitted
from functorrent.text import plural


async def accept(
    clock: Any, health: Health, part: str, queue: IQueue, jobs: Sequence[NewJob]
) -> list[Submitted]:
    """Submit, and where the store fails submit again, until it is accepted. Raises QueueClosed.

    `part`: the intake's word for what is ill meanwhile. Repeating does no harm: what was accepted
    without our hearing of it is there already.
    """
    backoff = Backoff()
    while True:
        try:
            answers = await queue.submit(jobs)
        except StoreError as error:
            health.ill(part, f"magnets of the {part} wait to be accepted: {error}")
            await deferLater(clock, backoff.next())
        else:
            health.well(part)
            return answers


@implementer(IIntake)
class GivenMagnets:
    """The magnets of the command line."""

    name = "command line"
    log = Logger()

    def __init__(self, clock: Any, health: Health, magnets: Sequence[str]) -> None:
        """`magnets`: each is valid. Raises InvalidMagnet."""
        self._clock = clock
        self._health = health
        self._jobs = [
            NewJob(Magnet.parse(text), source=self.name, line=number)
            for number, text in enumerate(magnets, 1)
        ]
        self._accepting: Deferred[None] | None = None

    def start(self, queue: IQueue) -> None:
        """Submit them."""
        if self._jobs:
            accepting = accept(self._clock, self._health, self.name, queue, self._jobs)
            submitting = Deferred.fromCoroutine(accepting)
            self._accepting = submitting.addCallbacks(self._accepted, self._not_accepted)

    def _accepted(self, answers: Sequence[Submitted]) -> None:
        self.log.info("{name}: {magnets} accepted", name=self.name, magnets=plural(len(answers), "magnet"))

    def _not_accepted(self, failure: Failure) -> None:
        if not failure.check(CancelledError, QueueClosed):
            self.log.failure("the magnets of the command line could not be submitted", failure)

    def stop(self) -> None:
        """Try no more."""
        if self._accepting is not None:
            self._accepting.cancel()
