"""The HTTP side without sockets: a site on a store in memory, and connections that are strings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha1
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from functorrent.limits import DEFAULT_LIMITS
from functorrent.magnet import Magnet
from functorrent.store.jobs import NewJob
from functorrent.testing.samples import sample_info
from functorrent.testing.store import memory_store
from functorrent.web.channel import Channel
from functorrent.web.context import WebContext
from functorrent.web.site import WebSite, make_site
from tests.web.fakes import FollowingWall, StoreQueue, report, result_of

WORKER = "tests"


@dataclass(frozen=True)
class Answer:
    """One answer: names of `headers` in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@implementer(IHalfCloseableDescriptor)
class WebTransport(StringTransport):
    """A transport that tells a half-close from a close, and remembers both."""

    half_closed = False
    aborted = False

    def loseWriteConnection(self) -> None:
        """End our side."""
        self.half_closed = True

    def abortConnection(self) -> None:
        """Hang up."""
        self.aborted = True
        StringTransport.abortConnection(self)


def read_answers(data: bytes, heads: int = 0) -> list[Answer]:
    """The answers in `data`; the first `heads` of them are to HEAD and have no body."""
    answers = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = b""
        if heads:
            heads -= 1
        elif status == 100:
            pass
        elif headers.get("transfer-encoding") == "chunked":
            body, data = _chunks(data)
        elif "content-length" in headers:
            length = int(headers["content-length"])
            body, data = data[:length], data[length:]
        elif status not in (204, 304):
            body, data = data, b""
        answers.append(Answer(status, headers, body))
    return answers


def _chunks(data: bytes) -> tuple[bytes, bytes]:
    """A chunked body, as far as it has come, and what is behind it."""
    body = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size, 16)
        body += rest[:length]
        data = rest[length + 2 :]
        if not length:
            break
    return body, data


class Connection:
    """A client's end of one connection."""

    def __init__(self, site: WebSite, client: str = "192.0.2.7", address: str = "127.0.0.1") -> None:
        peer, host = IPv4Address("TCP", client, 4567), IPv4Address("TCP", address, 9667)
        self.transport = WebTransport(hostAddress=host, peerAddress=peer)
        self.channel: Channel | None = site.buildProtocol(peer)
        if self.channel is not None:
            self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Bytes to the server."""
        assert self.channel is not None
        self.channel.dataReceived(data)

    def hang_up(self) -> None:
        """The client is gone."""
        assert self.channel is not None
        self.channel.connectionLost(Failure(ConnectionDone()))

    @property
    def received(self) -> bytes:
        """All that the server has sent."""
        return self.transport.value()

    def answers(self, heads: int = 0) -> list[Answer]:
        """All of it as answers."""
        return read_answers(self.received, heads)

    @property
    def closed(self) -> bool:
        """Whether the server has ended the connection, or its side of it."""
        return self.transport.disconnecting or self.transport.half_closed or self.transport.aborted


def request_bytes(
    method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """A request, with a Host and, where there is a body, its length."""
    told = {"Host": "localhost:9667", **(headers or {})}
    if body is not None and "Transfer-Encoding" not in told:
        told.setdefault("Content-Length", str(len(body)))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + (body or b"")


TEXT = {"Content-Type": "text/plain"}
JSON = {"Content-Type": "application/json"}


class WebTestCase(SynchronousTestCase):
    """`clock`, `store` and `queue`; `site()` makes the site anew with other limits or context."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.wall = FollowingWall(self.clock)
        self.store = memory_store(self.wall)
        self.queue: Any = StoreQueue(self.store)
        self.site = self.make_site()

    def make_site(self, limits: Mapping[str, Any] | None = None, **more: Any) -> WebSite:
        """A site with some limits or parts of its context changed; `self.site` from now on."""
        changed = replace(DEFAULT_LIMITS, **(limits or {}))
        context = {"boot": "b007", "version": "1.2.3", "limits": changed, **more}
        store = context.pop("store", self.store)
        self.context = WebContext(self.clock, self.wall, store, self.queue, **context)
        self.site = make_site(self.context)
        return self.site

    def connect(self, **more: Any) -> Connection:
        """A new connection."""
        return Connection(self.site, **more)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Answer:
        """One request on a connection of its own, and its answer."""
        connection = self.connect(**more)
        connection.send(request_bytes(method, path, body, headers))
        [answer] = connection.answers(heads=int(method == "HEAD"))
        return answer

    def problem(self, answer: Answer, status: int, part: str = "") -> dict[str, Any]:
        """Check that an answer is a problem with this status, and these words in its sentence."""
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        told: dict[str, Any] = answer.json
        self.assertEqual(told["status"], status)
        self.assertIn(part, told["detail"])
        self.assertNotIn("Traceback", answer.body.decode())
        return told

    # -- jobs ----------------------------------------------------------------------------------

    def submit(self, *texts: str) -> list[str]:
        """Submit magnets; their keys in hex."""
        answers = self.successResultOf(self.store.submit([NewJob(Magnet.parse(text)) for text in texts]))
        return [answer.key.hex() for answer in answers]

    def fetch(self, info: bytes | None = None) -> str:
        """A fetched job; its key in hex."""
        info = sample_info() if info is None else info
        [key] = self.submit(sha1(info).hexdigest())
        claim = self.claim(key)
        assert self.successResultOf(self.store.fetched(WORKER, result_of(claim, info)))
        return key

    def claim(self, key: str) -> Any:
        """Claim a job."""
        return self.successResultOf(self.store.claim_one(WORKER, bytes.fromhex(key), 60.0))

    def fail_try(self, key: str, reason: str = "nobody answered", again: float | None = 60.0) -> None:
        """A try of a job fails."""
        self.claim(key)
        next_attempt = None if again is None else self.wall.now() + again
        self.successResultOf(self.store.failed(WORKER, bytes.fromhex(key), report(reason), 5.0, next_attempt))


def infohash(number: int) -> str:
    """The 40 hex digits of a made-up infohash."""
    return sha1(b"%d" % number).hexdigest()
