"""Fixtures of the integration tests: the reactor, fakes that listen on it, and real programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from tests.integration.harness.browser import Browser, PageServer
from tests.integration.harness.libtorrent_seeder import LibtorrentSeeder
from tests.integration.harness.listening import Listening
from tests.integration.harness.opentracker import OpenTracker
from tests.integration.harness.programs import Program


@pytest.fixture(scope="session", autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Daemons ask neither the world's DHT nor the local network, and commands leave the user's cache alone.
    What a test wants of these it says on the command line or in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METAFETCH_NO_DHT", "1")
        patch.setenv("METAFETCH_NO_LSD", "1")
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def reactor() -> Any:
    """The one reactor, which pytest-twisted runs."""
    from twisted.internet import reactor

    return reactor


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibtorrentSeeder]:
    """A libtorrent seeder on 127.0.0.1, for the whole session: `honest.add(info)`."""
    seeder = LibtorrentSeeder(tmp_path_factory.mktemp("libtorrent"))
    yield seeder
    seeder.kill()


@pytest.fixture(scope="session")
def honest6(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibtorrentSeeder]:
    """A libtorrent seeder on ::1."""
    seeder = LibtorrentSeeder(tmp_path_factory.mktemp("libtorrent6"), "::1")
    yield seeder
    seeder.kill()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, for tests marked `in_browser`."""
    started = Browser()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def page_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """The HTTP side with the page, in a process of its own: `page_server.fresh()` is an empty one."""
    server = PageServer(tmp_path_factory.mktemp("page") / "log")
    yield server
    server.kill()


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    """Programs put in here are killed at the end."""
    running: list[Program] = []
    yield running
    for program in running:
        program.kill()


@pytest.fixture
def opentracker(tmp_path: Path, programs: list[Program]) -> Callable[..., OpenTracker]:
    """Starts a fresh opentracker for these infohashes."""

    def start(*infohashes: bytes) -> OpenTracker:
        tracker = OpenTracker(tmp_path / f"opentracker{len(programs)}", infohashes)
        programs.append(tracker)
        return tracker

    return start


@pytest_twisted.async_yield_fixture
async def listening(reactor: Any) -> Any:
    """See `Listening`."""
    fakes = Listening(reactor)
    yield fakes
    await fakes.stop()
