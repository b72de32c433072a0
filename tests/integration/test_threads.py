"""FileThreads with real threads."""

from __future__ import annotations

import threading
from typing import Any

import pytest_twisted
from twisted.internet.task import deferLater

from functorrent.daemon.threads import FileThreads


@pytest_twisted.ensureDeferred
async def test_run_and_stop(reactor: Any) -> None:
    threads = FileThreads(reactor, "functorrent test")
    names = [await threads.run(lambda: threading.current_thread().name) for _ in range(3)]
    assert all("functorrent test" in name for name in names), names
    gate = threading.Event()
    waiting = [threads.run(gate.wait, 10) for _ in range(3)]
    stopped = threads.stop()
    await deferLater(reactor, 0.05)
    assert not stopped.called
    gate.set()
    assert [await each for each in waiting] == [True] * 3
    await stopped
    assert not [each for each in threading.enumerate() if "functorrent test" in each.name]


@pytest_twisted.ensureDeferred
async def test_what_is_raised_arrives_and_unused_ones_cost_nothing(reactor: Any) -> None:
    threads = FileThreads(reactor, "functorrent test")
    before = threading.active_count()
    await threads.stop()
    assert threading.active_count() == before
    threads = FileThreads(reactor, "functorrent test")
    try:
        await threads.run(int, "x")
    except ValueError as error:
        assert "invalid literal" in str(error)
    else:
        raise AssertionError("nothing was raised")
    finally:
        await threads.stop()
