"""The HTTP side through real sockets: clients that dawdle, hang up, say too much, and many at once."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, globalLogPublisher

from functorrent.testing.samples import sample_info, sample_magnet
from tests.integration.harness.web import WebServer
from tests.integration.test_https import make_certificate
from tests.web.bed import Answer, infohash, read_answers, request_bytes
from tests.web.fakes import result_of

TEXT = {"Content-Type": "text/plain"}
MAGNETS = "/api/v1/magnets"


@pytest_twisted.async_yield_fixture
async def server(reactor: Any, tmp_path: Path) -> Any:
    """A WebServer that is not started yet; nothing may be logged as an error while it runs."""
    failures: list[Any] = []

    def watch(event: Any) -> None:
        if event["log_level"] >= LogLevel.error:
            failures.append(event)

    globalLogPublisher.addObserver(watch)
    it = WebServer(reactor, tmp_path)
    yield it
    await it.stop()
    globalLogPublisher.removeObserver(watch)
    assert not failures, failures


def talk(port: int, *pieces: bytes, half: bool = False) -> list[Answer]:
    """Send these, then read to the end: the answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        for piece in pieces:
            try:
                client.sendall(piece)
            except OSError:
                break
        if half:
            client.shutdown(socket.SHUT_WR)
        return read_answers(read_all(client))


def read_all(client: socket.socket) -> bytes:
    """Everything until the other side ends. A reset raises: an answer may be lost with it."""
    data = b""
    while piece := client.recv(65536):
        data += piece
    return data


def ask(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    """One request by an ordinary client: status and JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, names)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, json.loads(data) if data else None


@pytest_twisted.ensureDeferred
async def test_slow_clients_hold_nobody_up(reactor: Any, server: WebServer) -> None:
    await server.start({"web_header_timeout": 1.0, "web_connections": 60, "web_linger": 0.5})
    clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
    try:
        for client in clients:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
        for _ in range(4):
            began = time.monotonic()
            assert (await server.call(ask, server.port, "GET", "/healthz"))[0] == 200
            assert time.monotonic() - began < 1
            for client in clients:
                client.sendall(b"y")
            await deferLater(reactor, 0.2)
        await deferLater(reactor, 1.5)
        for client in clients:
            answers = read_answers(await server.call(_rest, client))
            assert [answer.status for answer in answers] == [408]
    finally:
        for client in clients:
            client.close()


def _rest(client: socket.socket) -> bytes:
    client.settimeout(5)
    data = b""
    try:
        while piece := client.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


@pytest_twisted.ensureDeferred
async def test_who_hangs_up(reactor: Any, server: WebServer) -> None:
    await server.start({"web_batch": 50})
    body = b"".join(infohash(number).encode() + b"\n" for number in range(1000))
    whole = request_bytes("POST", MAGNETS, body, TEXT)
    for at in range(0, len(whole), len(whole) // 20):
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(whole[:at])
        if at % 2:
            # A reset.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        client.close()
    status, told = await server.call(ask, server.port, "POST", MAGNETS, body, Content_Type="text/plain")
    assert (status, len(told["accepted"])) == (202, 1000)
    counts = await server.store.counts()
    assert counts["queued"] == 1000


@pytest.mark.parametrize("tls", [False, True])
@pytest_twisted.ensureDeferred
async def test_the_answer_to_a_body_that_is_too_large_arrives(
    server: WebServer, tmp_path: Path, tls: bool
) -> None:
    endpoint = "tcp:0:interface=127.0.0.1"
    if tls:
        certificate, key = make_certificate(tmp_path, "localhost")
        endpoint = f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    await server.start({"web_text_body": 2_000_000}, endpoint)
    declared = request_bytes("POST", MAGNETS, None, {**TEXT, "Content-Length": "8000000"})
    chunked = request_bytes("POST", MAGNETS, b"", {**TEXT, "Transfer-Encoding": "chunked"})
    chunk = b"10000\r\n" + b"#" * 65535 + b"\n\r\n"

    def post(head: bytes, piece: bytes) -> list[Answer]:
        client: socket.socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            client = context.wrap_socket(client)
        with client:
            client.sendall(head)
            try:
                for _ in range(60):
                    client.sendall(piece)
            except OSError:
                pass
            try:
                return read_answers(read_all(client))
            except (ConnectionResetError, ssl.SSLError):
                return []

    for head, piece in ((declared, b"#" * 65536), (chunked, chunk)):
        answers = await server.call(post, head, piece)
        # With TLS there is no half-close to linger in: the client may get a reset instead.
        assert tls or [answer.status for answer in answers] == [413]
    status = await server.call(_ask_tls if tls else ask, server.port, "GET", "/healthz")
    assert status[0] == 200


def _ask_tls(port: int, method: str, path: str) -> tuple[int, Any]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context)
    connection.request(method, path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, None


@pytest_twisted.ensureDeferred
async def test_pipelines_and_long_headers(server: WebServer) -> None:
    await server.start()
    requests = [request_bytes("GET", "/healthz") for _ in range(200)]
    requests.append(request_bytes("GET", "/healthz", headers={"Connection": "close"}))
    answers = await server.call(talk, server.port, b"".join(requests))
    assert [answer.status for answer in answers] == [200] * 201
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    [answer] = await server.call(talk, server.port, head + b"X: " + b"y" * 1_000_000)
    assert answer.status == 431
    [answer] = await server.call(talk, server.port, head, *[b"X: y\r\n"] * 100_000)
    assert answer.status == 400
    assert await server.call(talk, server.port, b"\x16\x03\x01" + bytes(100_000), half=True)


@pytest_twisted.ensureDeferred
async def test_a_long_post_while_others_ask(server: WebServer) -> None:
    await server.start()
    lines = [infohash(number) for number in range(20_000)]
    body = "\n".join(lines).encode()
    post = server.call(ask, server.port, "POST", MAGNETS, body, Content_Type="text/plain")
    slowest = 0.0
    while not post.called:
        began = time.monotonic()
        status, _ = await server.call(ask, server.port, "GET", f"{MAGNETS}?limit=100")
        slowest = max(slowest, time.monotonic() - began)
        assert status == 200
    status, told = await post
    assert (status, [row["infohash"] for row in told["accepted"]]) == (202, lines)
    # Generous: other programs share this machine. bench.http measures.
    assert slowest < 2.0


@pytest_twisted.ensureDeferred
async def test_a_client_that_reads_slowly(server: WebServer) -> None:
    await server.start()
    body = "\n".join(infohash(number) for number in range(30_000)).encode()

    def post() -> list[Answer]:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            client.sendall(request_bytes("POST", MAGNETS, body, {**TEXT, "Connection": "close"}))
            data = client.recv(1000)
            time.sleep(1)
            return read_answers(data + read_all(client))

    [answer] = await server.call(post)
    assert (answer.status, len(answer.json["accepted"])) == (202, 30_000)


@pytest_twisted.ensureDeferred
async def test_waiting_and_events(reactor: Any, server: WebServer) -> None:
    await server.start()
    info = sample_info(3000, "waited for")
    key = sha1(info).hexdigest()
    path = f"{MAGNETS}/{key}"
    line = sample_magnet(info).encode()

    def listen() -> bytes:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            client.sendall(request_bytes("GET", "/api/v1/events"))
            data = b""
            while b'"fetched","file"' not in data:
                data += client.recv(65536)
            return data

    events = server.call(listen)
    await deferLater(reactor, 0.3)
    await server.call(ask, server.port, "POST", MAGNETS, line, Content_Type="text/plain")
    waiting = server.call(ask, server.port, "GET", f"{path}?wait=20")
    claim = await server.store.claim_one("w", bytes.fromhex(key), 60)
    assert claim is not None
    await deferLater(reactor, 0.3)
    assert not waiting.called
    await server.store.fetched("w", result_of(claim, info))
    status, job = await waiting
    assert (status, job["status"]) == (200, "fetched")
    states = [
        state for state in (b"queued", b"fetching", b"fetched") if b'"status":"%s"' % state in await events
    ]
    assert states == [b"queued", b"fetching", b"fetched"]
    [answer] = await server.call(
        talk, server.port, request_bytes("GET", f"{path}/torrent", headers={"Connection": "close"})
    )
    assert info in answer.body


@pytest_twisted.ensureDeferred
async def test_it_stops_in_time(reactor: Any, server: WebServer) -> None:
    await server.start()
    clients = []
    for _ in range(3):
        client = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        client.sendall(request_bytes("GET", "/api/v1/events"))
        clients.append(client)
    idle = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    idle.sendall(request_bytes("GET", "/healthz"))
    half = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    half.sendall(request_bytes("POST", MAGNETS, b"x", {**TEXT, "Content-Length": "100"}))
    await deferLater(reactor, 0.3)
    reading = DeferredList([server.call(_rest, client) for client in (*clients, idle, half)])
    began = time.monotonic()
    await server.service.stopService()
    assert time.monotonic() - began < 4
    results = [data for _, data in await reading]
    assert all(data.endswith(b"0\r\n\r\n") for data in results[:3])
    for client in (*clients, idle, half):
        client.close()
    with pytest.raises(ConnectionRefusedError):
        await server.call(ask, server.port, "GET", "/healthz")


@pytest_twisted.ensureDeferred
async def test_a_port_that_is_taken(reactor: Any, server: WebServer, tmp_path: Path) -> None:
    await server.start()
    (tmp_path / "second").mkdir()
    second = WebServer(reactor, tmp_path / "second")
    endpoint = f"tcp:{server.port}:interface=127.0.0.1"
    waiting = Deferred.fromCoroutine(second.start(endpoint=endpoint))
    for _ in range(100):
        if second.gave_up:
            break
        await deferLater(reactor, 0.05)
    assert second.gave_up == [f"--http {endpoint}: Address already in use"]
    waiting.addErrback(lambda _: None)
    waiting.cancel()
    await second.stop()
