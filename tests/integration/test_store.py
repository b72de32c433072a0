"""The store on real disks, with real threads and processes: full, read-only, damaged, locked, killed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater

from functorrent.errors import StoreCorrupt, StoreError, StoreFull, StoreLocked
from functorrent.store import engine
from functorrent.store.database import Database, open_store
from functorrent.store.jobs import JobQuery, NewJob
from tests.integration.harness.store_writer import Clock
from tests.store.bed import hash_of, info_of, link, magnet_of, result_of

ROOT = Path(__file__).parent.parent.parent


def descriptors() -> list[str]:
    """What this process has open in files."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            pass
    return found


def new(*numbers: int) -> list[NewJob]:
    return [NewJob(magnet_of(number, f"&dn=Name+of+{number}")) for number in numbers]


@pytest_twisted.ensureDeferred
async def test_many_at_once(reactor: Any, tmp_path: Path) -> None:
    """Everything is done, in order, by threads that are gone after; observers hear it in the reactor."""
    before = threading.enumerate()
    store = await open_store(reactor, Clock(), str(tmp_path / "store"))
    heard: list[bytes] = []
    threads = set()

    def observe(jobs: Any) -> None:
        threads.add(threading.current_thread())
        heard.extend(job.key for job in jobs)

    store.watch(observe)
    asked = [store.submit(new(*range(at, at + 30))) for at in range(0, 900, 30)]
    pages = [store.jobs(JobQuery(limit=10)) for _ in range(50)]
    # Closing finishes what was asked for before it.
    claimed = store.claim("w", 10, 60.0)
    closed = store.close()
    closed_too = store.close()
    answers = await gatherResults(asked)
    assert [answer.key for each in answers for answer in each] == [hash_of(number) for number in range(900)]
    assert [claim.key for claim in await claimed] == [hash_of(number) for number in range(10)]
    for page in await gatherResults(pages):
        assert len(page.jobs) in (0, 10)
    await closed
    await closed_too
    assert heard == [hash_of(number) for number in [*range(900), *range(10)]]
    assert threads == {threading.current_thread()}
    assert threading.enumerate() == before
    assert not [path for path in descriptors() if str(tmp_path) in path]
    assert sorted(os.listdir(tmp_path)) == ["store", "store.lock"]


@pytest_twisted.ensureDeferred
async def test_reads_go_on_while_something_is_written(reactor: Any, tmp_path: Path) -> None:
    """A reader waits for no writer: a long transaction of another process holds up writes alone."""
    store = await open_store(reactor, Clock(), str(tmp_path / "store"))
    await store.submit(new(1))
    other = sqlite3.connect(tmp_path / "store", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    submitted = store.submit(new(2))
    for _ in range(5):
        assert (await store.job(hash_of(1))) is not None
    assert not submitted.called
    other.execute("COMMIT")
    other.close()
    assert (await submitted)[0].created
    await store.close()


@pytest_twisted.ensureDeferred
async def test_another_process_writes(reactor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that holds the file for longer than we wait: a sentence, and on it goes when that one ends."""
    monkeypatch.setattr(engine, "_PRAGMAS", (*engine._PRAGMAS, "PRAGMA busy_timeout = 50"))
    store = await open_store(reactor, Clock(), str(tmp_path / "store"))
    other = sqlite3.connect(tmp_path / "store", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreLocked, match="locked by another process"):
        await store.submit(new(1))
    other.execute("COMMIT")
    other.close()
    assert (await store.submit(new(1)))[0].created
    await store.close()


class Writer:
    """A process of store_writer.py, and the lines it has written."""

    def __init__(self, path: Path, first: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.harness.store_writer", str(path), str(first)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def kill(self) -> list[list[str]]:
        """Kill it with SIGKILL; returns the words of each whole line that was not read yet."""
        self.process.kill()
        assert self.process.stdout is not None
        # Not communicate: it would pass by what readline has buffered.
        rest = self.process.stdout.read()
        self.process.stdout.close()
        self.process.wait()
        return [line.split() for line in rest.splitlines(keepends=True) if line.endswith("\n")]


@pytest_twisted.ensureDeferred
async def test_a_second_daemon(reactor: Any, tmp_path: Path) -> None:
    """It is told whose the store is; when that one is killed the store is free."""
    writer = Writer(tmp_path / "store", 0)
    try:
        assert writer.line() == "open 0\n"
        with pytest.raises(StoreLocked, match=rf"another process \(pid {writer.process.pid}\) has the store"):
            await open_store(reactor, Clock(), str(tmp_path / "store"))
    finally:
        writer.kill()
    store = await open_store(reactor, Clock(), str(tmp_path / "store"))
    await store.close()


@pytest_twisted.ensureDeferred
async def test_killed_again_and_again(reactor: Any, tmp_path: Path) -> None:
    """What was acknowledged is there, whole, and nothing is fetched twice after it was said."""
    path = tmp_path / "store"
    accepted: set[int] = set()
    fetched: list[int] = []
    for turn in range(5):
        writer = Writer(path, turn * 5000)
        try:
            assert writer.line() == f"open {turn * 5000}\n"
            await deferLater(reactor, 0.05 + 0.07 * turn)
        finally:
            lines = writer.kill()
        accepted.update(int(number) for word, number in lines if word == "accepted")
        fetched += [int(number) for word, number in lines if word == "fetched"]
    assert len(accepted) > 100
    assert len(fetched) > 100
    assert len(set(fetched)) == len(fetched)

    store = await open_store(reactor, Clock(), str(path))
    for number in accepted:
        assert await store.job(hash_of(number)) is not None, number
    for number in fetched:
        job = await store.job(hash_of(number))
        assert job is not None and job.status == "fetched", number
        assert await store.info_bytes(hash_of(number)) == info_of(number)
    counts = await store.counts()
    # What was committed and not yet said may be there besides.
    assert counts["fetched"] >= len(fetched)
    assert len(await store.deliveries("hook", 1_000_000)) == counts["fetched"]
    assert sum(number for _, number in await store.minutes(0)) == counts["fetched"]
    assert await store.release_others("new") == counts["fetching"]
    assert (await store.counts())["fetching"] == 0
    await store.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


# -- disks ---------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a small file system of its own, or mounts it otherwise: `disk("size=2m")`."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        kind = ["-o", f"remount,{options}"] if mounted else ["-t", "tmpfs", "-o", options, "tmpfs"]
        done = subprocess.run(["mount", *kind, str(place)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"needs root, to mount a small disk: {done.stderr.strip()}")
        mounted = True
        return place

    yield mount
    if mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest_twisted.ensureDeferred
async def test_full_disk(reactor: Any, disk: Callable[..., Path]) -> None:
    """A sentence; nothing of the call is there, all that was accepted is, and it goes on with more room."""
    path = disk("size=2m") / "store"
    store = await open_store(reactor, Clock(), str(path))
    large = b"d6:lengthi1e4:name1:a7:padding4000000:" + bytes(4_000_000) + b"e"
    await store.submit([NewJob(link(sha1(large).digest(), None), priority=1), *new(*range(499))])
    accepted = 500
    [claim] = await store.claim("w", 1, 60.0)
    assert claim.priority == 1
    with pytest.raises(StoreFull, match=f"no space is left for the store \\({path}\\)"):
        for at in range(500, 100_000, 500):
            await store.submit(new(*range(at, at + 500)))
            accepted += 500
    assert accepted > 500
    assert (await store.counts())["queued"] == accepted - 1
    assert await store.job(hash_of(accepted)) is None
    # A result that does not fit fails, too, and is taken later.
    with pytest.raises(StoreFull):
        await store.fetched("w", result_of(0, large))
    disk("size=50m")
    assert await store.fetched("w", result_of(0, large))
    assert len(await store.submit(new(*range(200_000, 200_500)))) == 500
    await store.close()
    store = await open_store(reactor, Clock(), str(path))
    assert (await store.counts())["queued"] == accepted + 499
    assert (await store.counts())["fetched"] == 1
    await store.close()


@pytest_twisted.ensureDeferred
async def test_no_room_for_a_new_store(reactor: Any, disk: Callable[..., Path]) -> None:
    path = disk("size=40k") / "store"
    with pytest.raises(StoreFull, match="no space is left"):
        await open_store(reactor, Clock(), str(path))
    disk("size=2m")
    await (await open_store(reactor, Clock(), str(path))).close()


@pytest_twisted.ensureDeferred
async def test_read_only(reactor: Any, disk: Callable[..., Path]) -> None:
    path = disk("size=4m") / "store"
    store = await open_store(reactor, Clock(), str(path))
    await store.submit(new(1))
    await store.close()
    disk("ro")
    with pytest.raises(StoreError, match="Read-only file system; the folder must be there"):
        await open_store(reactor, Clock(), str(path))
    disk("rw")
    store = await open_store(reactor, Clock(), str(path))
    assert await store.job(hash_of(1)) is not None
    await store.close()


@pytest_twisted.ensureDeferred
async def test_a_limit_of_file_sizes(reactor: Any, tmp_path: Path) -> None:
    """``ulimit -f`` lets nothing grow: a sentence that names it."""
    script = (
        "import resource, sys\n"
        "from twisted.internet.defer import Deferred\n"
        "from twisted.internet.task import react\n"
        "from functorrent.store.database import open_store\n"
        "from tests.integration.harness.store_writer import Clock\n"
        "from tests.integration.test_store import new\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))\n"
        "async def main(reactor):\n"
        "    store = await open_store(reactor, Clock(), sys.argv[1])\n"
        "    try:\n"
        "        for at in range(0, 100_000, 500):\n"
        "            await store.submit(new(*range(at, at + 500)))\n"
        "    except Exception as error:\n"
        "        print(at, type(error).__name__, error)\n"
        "    await store.close()\n"
        "react(lambda reactor: Deferred.fromCoroutine(main(reactor)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "store")], cwd=ROOT, capture_output=True, text=True
    )
    at, name, words = done.stdout.split(maxsplit=2)
    assert (name, done.stderr) in (("StoreError", ""), ("StoreFull", "")), done
    assert "ulimit -f" in words or "no space" in words
    store = await open_store(reactor, Clock(), str(tmp_path / "store"))
    assert (await store.counts())["queued"] == int(at)
    await store.close()


@pytest_twisted.ensureDeferred
async def test_damaged(reactor: Any, tmp_path: Path) -> None:
    """Cut off anywhere: refused when it is opened. Overwritten within: told when it is met."""
    path = tmp_path / "store"
    store = await open_store(reactor, Clock(), str(path))
    await store.submit(new(*range(3000)))
    await store.close()
    content = path.read_bytes()
    for part in (1, 50, 90, 99):
        path.write_bytes(content[: len(content) * part // 100 // 4096 * 4096 or 4096])
        with pytest.raises(StoreCorrupt, match="put a backup in its place"):
            await open_store(reactor, Clock(), str(path))
    path.write_bytes(
        content[: len(content) // 4] + b"\xa5" * (len(content) // 2) + content[len(content) * 3 // 4 :]
    )
    with pytest.raises(StoreCorrupt, match="damaged"):
        store = await open_store(reactor, Clock(), str(path))
        try:
            for number in range(3000):
                await store.job(hash_of(number))
        finally:
            await store.close()
    path.write_bytes(content)
    store = await open_store(reactor, Clock(), str(path))
    assert (await store.counts())["queued"] == 3000
    await store.close()


@pytest_twisted.ensureDeferred
async def test_backup_while_it_runs(reactor: Any, tmp_path: Path) -> None:
    """As docs/operating.md has it: SQLite's own copy of a store in use is a whole store."""
    store = await open_store(reactor, Clock(), str(tmp_path / "store"))
    await store.submit(new(*range(1000)))
    submitting = [store.submit(new(*range(at, at + 100))) for at in range(1000, 5000, 100)]
    other = sqlite3.connect(tmp_path / "store")
    other.execute("VACUUM INTO ?", (str(tmp_path / "copy"),))
    with sqlite3.connect(tmp_path / "copy2") as copy:
        other.backup(copy)
    copy.close()
    other.close()
    await gatherResults(submitting)
    await store.close()
    for name in ("copy", "copy2"):
        backup: Database = await open_store(reactor, Clock(), str(tmp_path / name))
        assert 1000 <= (await backup.counts())["queued"] <= 5000
        assert await backup.job(hash_of(999)) is not None
        await backup.close()


@pytest_twisted.ensureDeferred
async def test_pages_come_quickly_while_much_is_submitted(reactor: Any, tmp_path: Path) -> None:
    """Bounds that a busy machine keeps; bench/store.py measures."""
    store = await open_store(reactor, Clock(), str(tmp_path / "store"))
    start = time.monotonic()
    submitting = [store.submit(new(*range(at, at + 2000))) for at in range(0, 20_000, 2000)]
    took = []
    while not all(each.called for each in submitting):
        asked = time.monotonic()
        await store.jobs(JobQuery())
        took.append(time.monotonic() - asked)
        await deferLater(reactor, 0.005)
    await gatherResults(submitting)
    assert time.monotonic() - start < 20
    assert sorted(took)[len(took) * 9 // 10] < 0.5
    await store.close()
