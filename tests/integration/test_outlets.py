"""The webhook over real sockets, with a real store that is closed and opened again."""

from __future__ import annotations

import json
import re
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from functorrent.daemon import outlets as module
from functorrent.daemon.outlets import Outlets
from functorrent.daemon.webhook import Webhook
from functorrent.magnet import Magnet
from functorrent.store.database import Database
from functorrent.store.jobs import NewJob, Result
from functorrent.testing import sample_info, sample_magnet
from tests.integration.harness.command import Command
from tests.integration.harness.libtorrent_seeder import LibtorrentSeeder
from tests.integration.test_https import make_certificate

SECRET = b"a secret of the operator's"
_DOCS = Path(__file__).parents[2] / "docs"


def documented_verify() -> Callable[..., bool]:
    """`verify` as the manual has it."""
    text = (_DOCS / "webhook.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- file: verify_metafetch.py -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found, "the manual has no verify()"
    names: dict[str, Any] = {}
    exec(found[1], names)
    return names["verify"]  # type: ignore[no-any-return]


class Receiver(Resource):
    """Checks what comes as the manual says, and answers with the next of `answers` (None: not at all), then
    with 200."""

    isLeaf = True

    def __init__(self, *answers: int | None) -> None:
        super().__init__()
        self.answers = list(answers)
        #: (delivery id, infohash) of each POST, and the .torrent files.
        self.got: list[tuple[str, str]] = []
        self.torrents: dict[str, bytes] = {}
        self.verify = documented_verify()

    def render_POST(self, request: Any) -> Any:
        body = request.content.read()
        headers = {
            name: request.getHeader(name)
            for name in ("X-Metafetch-Timestamp", "X-Metafetch-Signature", "X-Metafetch-Delivery")
        }
        assert self.verify(SECRET, headers, body)
        told = json.loads(body)
        self.got.append((headers["X-Metafetch-Delivery"], told["job"]["infohash"]))
        self.torrents[told["job"]["infohash"]] = b64decode(told["torrent_base64"])
        answer = self.answers.pop(0) if self.answers else 200
        if answer is None:
            return NOT_DONE_YET
        request.setResponseCode(answer)
        if answer == 302:
            request.setHeader("Location", "/elsewhere")
        return b"thank you"


class Wall:
    def now(self) -> float:
        return time.time()


class Run:
    """One life of the daemon's store and outlets."""

    def __init__(self, reactor: Any, path: Path, url: str, give_up_after: float = 3600.0) -> None:
        self.store = Database(reactor, Wall(), str(path))  # type: ignore[arg-type]
        self.told: list[str] = []
        webhook = Webhook(reactor, Wall(), url, SECRET, "0")  # type: ignore[arg-type]
        self.outlets = Outlets(
            reactor,
            Wall(),
            self.store,
            [webhook],
            give_up_after,
            lambda _, outcome: self.told.append(outcome),  # type: ignore[arg-type]
        )

    async def start(self) -> None:
        await self.store.open()
        self.outlets.startService()

    async def stop(self) -> None:
        await self.outlets.stopService()
        await self.store.close()

    async def fetched(self, *numbers: int) -> list[str]:
        hashes = []
        for number in numbers:
            info = sample_info(200, f"result {number}")
            key = sha1(info).digest()
            await self.store.submit([NewJob(Magnet.parse(key.hex()))])
            await self.store.claim("worker", 1, 60.0)
            result = Result(key, info, f"result {number}", 1, 1, False, 0.1, {})
            assert await self.store.fetched("worker", result, self.outlets.names)
            hashes.append(key.hex())
        return hashes


async def until(reactor: Any, true: Callable[[], bool], seconds: float = 10.0) -> None:
    for _ in range(int(seconds * 50)):
        if true():
            return
        await deferLater(reactor, 0.02)
    raise AssertionError("it did not come true")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries come again within a second, not within hours."""
    monkeypatch.setattr(module, "DELAYS", (0.2, 0.2, 0.2))
    monkeypatch.setattr(module, "DAILY", 0.2)
    monkeypatch.setattr(module, "LOOK", 0.1)
    monkeypatch.setattr(module, "RESTS", (0.2,))


@contextmanager
def serving(reactor: Any, receiver: Receiver) -> Iterator[str]:
    port = reactor.listenTCP(0, Site(receiver), interface="127.0.0.1")
    try:
        yield f"http://127.0.0.1:{port.getHost().port}/hook"
    finally:
        port.stopListening()


@pytest_twisted.ensureDeferred
async def test_taken_after_failures(reactor: Any, tmp_path: Path) -> None:
    receiver = Receiver(500, 302, 503)
    with serving(reactor, receiver) as url:
        run = Run(reactor, tmp_path / "store.sqlite", url)
        await run.start()
        try:
            hashes = await run.fetched(1, 2, 3)
            await until(reactor, lambda: run.told.count("taken") == 3)
            assert run.told.count("failed") == 3
            assert {infohash for _, infohash in receiver.got} == set(hashes)
            assert len(receiver.got) == 6
            # The id is the result's own, the same at each try.
            assert len({delivery for delivery, _ in receiver.got}) == 3
            assert receiver.torrents[hashes[0]] == await run.store.torrent(bytes.fromhex(hashes[0]))
            await deferLater(reactor, 0.5)
            assert len(receiver.got) == 6
        finally:
            await run.stop()


@pytest_twisted.ensureDeferred
async def test_at_least_once_across_restarts(reactor: Any, tmp_path: Path) -> None:
    """The receiver has it, and we are gone before it says so: it comes again, with the same id."""
    receiver = Receiver(None, None, 500)
    path = tmp_path / "store.sqlite"
    with serving(reactor, receiver) as url:
        run = Run(reactor, path, url)
        await run.start()
        first = await run.fetched(1, 2)
        await until(reactor, lambda: len(receiver.got) == 2)
        await run.stop()
        assert run.told == []
        before = {infohash: delivery for delivery, infohash in receiver.got}

        run = Run(reactor, path, url)
        await run.start()
        try:
            second = await run.fetched(3)
            await until(reactor, lambda: run.told.count("taken") == 3)
            after = [(infohash, delivery) for delivery, infohash in receiver.got[2:]]
            assert {infohash for infohash, _ in after} == set(first + second)
            for infohash, delivery in before.items():
                assert (infohash, delivery) in after
        finally:
            await run.stop()
        # Crossed off for good.
        run = Run(reactor, path, url)
        await run.start()
        try:
            count = len(receiver.got)
            await deferLater(reactor, 0.5)
            assert (len(receiver.got), run.told) == (count, [])
        finally:
            await run.stop()


@pytest_twisted.ensureDeferred
async def test_a_daemon_that_is_killed(reactor: Any, tmp_path: Path, honest: LibtorrentSeeder) -> None:
    """The whole daemon: killed while the receiver has the result, and started again."""
    receiver = Receiver(None)
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET + b"\n")
    info = sample_info(3_000, "for the hook")
    magnet = sample_magnet(info, peers=[("127.0.0.1", honest.port)])
    honest.add(info)
    with serving(reactor, receiver) as url:
        for life, magnets in enumerate(([magnet], [])):
            twistd = ["-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=", "metafetch"]
            options = ["--data", str(tmp_path / "data"), "--http=off", "--listen=off", "--allow-local"]
            hook = ["--on-fetched", url, "--on-fetched-secret-file", str(secret)]
            daemon = Command(reactor, [*twistd, *options, *hook, *magnets], 60, path=str(tmp_path))
            try:
                await until(reactor, lambda life=life: len(receiver.got) > life, 30)  # type: ignore[misc]
            finally:
                daemon.kill()
                outcome = await daemon.ended
            assert "Traceback" not in outcome.out + outcome.err, outcome
    assert receiver.got[0] == receiver.got[1]
    assert receiver.got[0][1] == sha1(info).hexdigest()
    assert receiver.torrents[receiver.got[0][1]].endswith(b"4:info" + info + b"e")


@pytest_twisted.ensureDeferred
async def test_a_receiver_that_is_down_for_a_while(reactor: Any, tmp_path: Path) -> None:
    receiver = Receiver()
    with serving(reactor, receiver) as url:
        pass
    run = Run(reactor, tmp_path / "store.sqlite", url)
    await run.start()
    try:
        await run.fetched(*range(10))
        await until(reactor, lambda: run.told.count("failed") >= 5)
        port = reactor.listenTCP(
            int(url.rsplit(":")[-1].partition("/")[0]), Site(receiver), interface="127.0.0.1"
        )
        try:
            await until(reactor, lambda: run.told.count("taken") == 10)
            assert len({infohash for _, infohash in receiver.got}) == 10
        finally:
            await port.stopListening()
    finally:
        await run.stop()


@pytest_twisted.ensureDeferred
async def test_gone(reactor: Any, tmp_path: Path) -> None:
    receiver = Receiver(410)
    with serving(reactor, receiver) as url:
        run = Run(reactor, tmp_path / "store.sqlite", url)
        await run.start()
        try:
            await run.fetched(1)
            await until(reactor, lambda: run.told == ["refused"])
            await deferLater(reactor, 0.5)
            assert len(receiver.got) == 1
        finally:
            await run.stop()


@pytest_twisted.ensureDeferred
async def test_certificates_are_verified(
    reactor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    certificate, key = make_certificate(tmp_path, "localhost")
    receiver = Receiver()
    endpoint = serverFromString(reactor, f"ssl:0:privateKey={key}:certKey={certificate}:interface=127.0.0.1")
    port = await endpoint.listen(Site(receiver))
    try:
        url = f"https://localhost:{port.getHost().port}/hook"
        run = Run(reactor, tmp_path / "store.sqlite", url)
        await run.start()
        await run.fetched(1)
        await until(reactor, lambda: run.told.count("failed") >= 2)
        await run.stop()
        assert receiver.got == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        run = Run(reactor, tmp_path / "store.sqlite", url)
        await run.start()
        await until(reactor, lambda: run.told == ["taken"])
        await run.stop()
        assert len(receiver.got) == 1
    finally:
        await port.stopListening()
