"""A process that uses a store and says what was acknowledged; it runs until it is killed.

``python -m tests.integration.harness.store_writer PATH FIRST``: submits torrents from number FIRST on,
claims and fetches them, and writes a line for each once its Deferred has fired.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from functorrent.store.database import open_store
from functorrent.store.jobs import NewJob
from tests.store.bed import hash_of, magnet_of, result_of

CALL = 20


class Clock:
    """The time of day."""

    def now(self) -> float:
        return time.time()


def say(word: str, number: int) -> None:
    # One write for a line: what is cut off by the kill is a whole line, or the last one.
    sys.stdout.write(f"{word} {number}\n")
    sys.stdout.flush()


async def write(reactor: Any, path: str, first: int) -> None:
    """Submit, claim and fetch, for ever."""
    store = await open_store(reactor, Clock(), path)
    worker = f"from {first}"
    await store.release_others(worker)
    say("open", first)
    numbers = {hash_of(number): number for number in range(first)}
    while True:
        new = range(first, first + CALL)
        first += CALL
        numbers.update((hash_of(number), number) for number in new)
        await store.submit([NewJob(magnet_of(number)) for number in new])
        for number in new:
            say("accepted", number)
        claims = await store.claim(worker, CALL, 60.0)

        async def fetch(key: bytes) -> None:
            if await store.fetched(worker, result_of(numbers[key]), ["hook"]):
                say("fetched", numbers[key])

        fetches: list[Awaitable[None]] = [Deferred.fromCoroutine(fetch(claim.key)) for claim in claims]
        await gatherResults(fetches)  # type: ignore[arg-type]


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(write(reactor, sys.argv[1], int(sys.argv[2]))))
