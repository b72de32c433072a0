"""The webhook: what is sent, and what its receiver's answers mean. No socket: the agent is a stand-in."""

from __future__ import annotations

import json
import os
from base64 import b64decode
from hashlib import sha256
from hmac import new as hmac
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface.verify import verifyObject

from functorrent.daemon.interfaces import IOutlet
from functorrent.daemon.webhook import Webhook, delivery_id, payload, read_secret, signature
from functorrent.errors import DeliveryFailed, DeliveryRefused, UsageError
from functorrent.limits import DEFAULT_LIMITS
from functorrent.store.jobs import Job
from tests.commands_bed import FolderTestCase
from tests.daemon.fakes import Wall

SECRET = b"0123456789abcdef"
JOB = Job(
    key=b"k" * 20, infohash=b"k" * 20, infohash_v2=None, magnet="magnet:?xt=urn:btih:" + "6b" * 20,
    source=None, line=None, status="fetched", priority=0, attempts=1, added=1.0, updated=2.0,
    next_attempt=None, name="\u202en\n", size=5, files=1, private=False, file="/x.torrent", seconds=0.5,
    report={"reason": None},
)  # fmt: skip


class Transport:
    closed = False

    def loseConnection(self) -> None:
        self.closed = True


class Response:
    """An answer: `say` sends some of its body, `end` ends it."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.transport = Transport()
        self.protocol: Any = None

    def deliverBody(self, protocol: Any) -> None:
        self.protocol = protocol
        protocol.makeConnection(self.transport)

    def say(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def end(self) -> None:
        self.protocol.connectionLost(Failure(ResponseDone()))


class Agent:
    """Keeps what it is asked to send."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bytes, Headers, bytes]] = []
        self.answer: Deferred[Any] = Deferred()
        self.cancelled = 0

    def request(self, method: bytes, url: bytes, headers: Headers, producer: Any) -> Deferred[Any]:
        verifyObject(IBodyProducer, producer)
        body: list[bytes] = []

        class Consumer:
            write = body.append

        producer.startProducing(Consumer)
        assert producer.length == len(b"".join(body))
        self.sent.append((method, url, headers, b"".join(body)))

        def cancel(_: object) -> None:
            self.cancelled += 1

        self.answer = Deferred(cancel)
        return self.answer


class WebhookTests(FolderTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.agent = Agent()
        self.webhook = self.make(SECRET)

    def make(self, secret: bytes | None) -> Webhook:
        url = "https://r.example/hook?a=b"
        return Webhook(self.clock, Wall(self.clock), url, secret, "1.2.3", agent=self.agent)

    def deliver(self, torrent: bytes = b"de") -> Deferred[None]:
        return self.webhook.deliver(JOB, torrent)

    def answered(self, code: int, body: bytes = b"") -> Deferred[None]:
        result = self.deliver()
        response = Response(code)
        self.agent.answer.callback(response)
        response.say(body)
        response.end()
        return result

    def header(self, name: str) -> str | None:
        values: Any = self.agent.sent[-1][2].getRawHeaders(name)
        return values[0] if values else None

    def test_it_is_an_outlet(self) -> None:
        verifyObject(IOutlet, self.webhook)

    def test_what_is_sent(self) -> None:
        self.clock.advance(0.9)
        self.successResultOf(self.answered(200, b"thanks"))
        method, url, _, body = self.agent.sent[0]
        self.assertEqual((method, url), (b"POST", b"https://r.example/hook?a=b"))
        self.assertEqual(self.header("Content-Type"), "application/json")
        self.assertEqual(self.header("User-Agent"), "metafetch/1.2.3")
        self.assertEqual(self.header("X-Metafetch-Timestamp"), "1700000000")
        expected = hmac(SECRET, b"1700000000." + body, sha256).hexdigest()
        self.assertEqual(self.header("X-Metafetch-Signature"), f"sha256={expected}")
        self.assertEqual(self.header("X-Metafetch-Delivery"), delivery_id(JOB))
        told = json.loads(body)
        self.assertEqual(told["job"], json.loads(json.dumps(JOB.to_json())))
        self.assertEqual(b64decode(told["torrent_base64"]), b"de")
        self.assertEqual(told["torrent"], f"/api/v1/magnets/{'6b' * 20}/torrent")
        self.assertEqual(told["event"], "fetched")
        self.assertTrue(body.isascii())

    def test_each_try_has_the_same_id_and_a_new_timestamp(self) -> None:
        self.failureResultOf(self.answered(500), DeliveryFailed)
        first = [self.header(f"X-Metafetch-{name}") for name in ("Delivery", "Timestamp", "Signature")]
        self.clock.advance(60)
        self.successResultOf(self.answered(200))
        second = [self.header(f"X-Metafetch-{name}") for name in ("Delivery", "Timestamp", "Signature")]
        self.assertEqual(first[0], second[0])
        self.assertEqual(second[1], "1700000060")
        self.assertNotEqual(first[2], second[2])

    def test_without_a_secret(self) -> None:
        self.webhook = self.make(None)
        self.successResultOf(self.answered(204))
        self.assertIsNone(self.header("X-Metafetch-Signature"))

    def test_a_large_torrent_stays_here(self) -> None:
        largest = DEFAULT_LIMITS.webhook_torrent
        self.assertIsNotNone(json.loads(payload(JOB, b"x" * largest, largest))["torrent_base64"])
        self.assertIsNone(json.loads(payload(JOB, b"x" * (largest + 1), largest))["torrent_base64"])

    def test_answers(self) -> None:
        for code in (200, 201, 202, 204, 299):
            self.successResultOf(self.answered(code))
        for code in (199, 300, 301, 302, 400, 404, 429, 500, 503):
            failure = self.failureResultOf(self.answered(code, b"no\x1b[31m"), DeliveryFailed)
            self.assertNotIsInstance(failure.value, DeliveryRefused)
            self.assertEqual(str(failure.value), f"it answered {code}: no\\x1b[31m")
        failure = self.failureResultOf(self.answered(410), DeliveryRefused)
        self.assertEqual(str(failure.value), "it answered 410")

    def test_an_answer_without_end(self) -> None:
        result = self.deliver()
        response = Response(500)
        self.agent.answer.callback(response)
        for _ in range(100):
            if not response.transport.closed:
                response.say(b"x" * 1000)
        failure = self.failureResultOf(result, DeliveryFailed)
        self.assertLess(len(str(failure.value)), 200)
        self.assertTrue(response.transport.closed)
        response.end()

    def test_an_answer_that_trickles_after_its_status(self) -> None:
        result = self.deliver()
        response = Response(200)
        self.agent.answer.callback(response)
        self.clock.advance(5)
        self.successResultOf(result)
        self.assertTrue(response.transport.closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_answer(self) -> None:
        result = self.deliver()
        self.clock.advance(DEFAULT_LIMITS.webhook_timeout)
        failure = self.failureResultOf(result, DeliveryFailed)
        self.assertEqual(str(failure.value), "no answer within 30 s")
        self.assertEqual(self.agent.cancelled, 1)

    def test_no_connection(self) -> None:
        result = self.deliver()
        self.agent.answer.errback(Refused())
        failure = self.failureResultOf(result, DeliveryFailed)
        self.assertIn("refused", str(failure.value))

    def test_a_certificate_that_is_not_valid(self) -> None:
        from OpenSSL.SSL import Error
        from twisted.web.client import ResponseNeverReceived

        result = self.deliver()
        self.agent.answer.errback(ResponseNeverReceived([Failure(Error([("SSL routines", "", "bad")]))]))
        failure = self.failureResultOf(result, DeliveryFailed)
        self.assertEqual(str(failure.value), "its TLS certificate or handshake is not valid")

    def test_cancelled_in_the_words_of_twisted_web(self) -> None:
        from twisted.web.client import ResponseNeverReceived

        wrapped = ResponseNeverReceived([Failure(CancelledError())])
        for late in (False, True):
            answer: Deferred[Any] = Deferred(lambda waiting: waiting.errback(wrapped))
            result = self.webhook_of(answer).deliver(JOB, b"de")
            if late:
                self.clock.advance(DEFAULT_LIMITS.webhook_timeout)
                self.assertIn("no answer", str(self.failureResultOf(result, DeliveryFailed).value))
            else:
                result.cancel()
                self.failureResultOf(result, CancelledError)

    def webhook_of(self, answer: Deferred[Any]) -> Webhook:
        """One whose agent gives this answer."""

        class Given:
            def request(self, *_: Any) -> Deferred[Any]:
                return answer

        return Webhook(self.clock, Wall(self.clock), "http://r.example/", None, "0", agent=Given())

    def test_cancelled(self) -> None:
        result = self.deliver()
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assertEqual((self.agent.cancelled, self.clock.getDelayedCalls()), (1, []))


class SecretTests(FolderTestCase):
    def test_read(self) -> None:
        path = os.path.join(self.folder(), "secret")
        self.assertIn(
            f"{path}: cannot be read: No such", str(self.assertRaises(UsageError, read_secret, path))
        )
        Path(path).write_bytes(b"short\n")
        self.assertIn("holds 5 bytes", str(self.assertRaises(UsageError, read_secret, path)))
        Path(path).write_bytes(SECRET + b"\r\n")
        self.assertEqual(read_secret(path), SECRET)

    def test_signature(self) -> None:
        """Against OpenSSL: echo -n '1700000000.{"a":1}' | openssl dgst -sha256 -hmac Jefe"""
        self.assertEqual(
            signature(b"Jefe", "1700000000", b'{"a":1}'),
            "sha256=fa5f6481efc59da48b19c9dc10196c9953e5651f8304b3a318b6b87d70272e0a",
        )
