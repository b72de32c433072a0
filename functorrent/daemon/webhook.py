"""The built-in outlet: POSTs each result as JSON to one URL (``--on-fetched``), signed where it has a secret.

The format is a contract: docs/webhook.md. The URL is the operator's own, so the address guard has no say;
certificates are verified, redirects are not followed.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from functorrent.daemon.interfaces import IOutlet
from functorrent.errors import DeliveryFailed, DeliveryRefused, UsageError
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.text import printable

if TYPE_CHECKING:
    from functorrent.interfaces import IWallClock
    from functorrent.store.jobs import Job

#: Bytes of a secret, at least: who can guess it can forge results.
_SHORTEST_SECRET = 16
#: Seconds for the rest of an answer whose status is known.
_REST = 5.0
#: "Gone": the one status that says never again.
_GONE = 410


def read_secret(path: str) -> bytes:
    """The secret of a file: its bytes without the line end. Raises UsageError."""
    try:
        with open(path, "rb") as file:
            secret = file.read(64 * 1024).rstrip(b"\r\n")
    except OSError as error:
        raise UsageError(f"--on-fetched-secret-file {path}: cannot be read: {error.strerror}") from None
    if len(secret) < _SHORTEST_SECRET:
        raise UsageError(
            f"--on-fetched-secret-file {path}: holds {len(secret)} bytes: give {_SHORTEST_SECRET} or more, "
            "as `openssl rand -hex 32` makes them"
        )
    return secret


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """The value of X-Metafetch-Signature."""
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, sha256).hexdigest()


def delivery_id(job: Job) -> str:
    """The value of X-Metafetch-Delivery: the same each time that this result is sent."""
    return sha256(b"metafetch webhook\0" + job.key).hexdigest()[:32]


def payload(job: Job, torrent: bytes, largest: int) -> bytes:
    """The body: ``event``, ``job`` (as the API tells it), ``torrent`` (its path in the API) and
    ``torrent_base64`` (null where the file is over `largest` bytes)."""
    told = {
        "event": "fetched",
        "job": job.to_json(),
        "torrent": f"/api/v1/magnets/{job.key.hex()}/torrent",
        "torrent_base64": b64encode(torrent).decode() if len(torrent) <= largest else None,
    }
    return json.dumps(told, ensure_ascii=True, separators=(",", ":")).encode()


@implementer(IOutlet)
class Webhook:
    """Sends results to `url`. `secret`: bytes to sign with, or None.

    `reactor`: IReactorTime and what an Agent needs; `wall`: the time of day, for the timestamp. `agent`: an
    IAgent; one of our own where it is None.
    """

    name = "webhook"

    def __init__(
        self,
        reactor: Any,
        wall: IWallClock,
        url: str,
        secret: bytes | None,
        version: str,
        limits: Limits = DEFAULT_LIMITS,
        agent: Any = None,
    ) -> None:
        self._reactor = reactor
        self._wall = wall
        self._url = url.encode("ascii")
        self._secret = secret
        self._user_agent = f"metafetch/{version}"
        self._limits = limits
        self._agent = agent

    def deliver(self, job: Job, torrent: bytes) -> Deferred[None]:
        """Send it. Fails with DeliveryFailed, or with DeliveryRefused where the answer is 410."""
        sending = Deferred.fromCoroutine(self._deliver(job, torrent))
        seconds = self._limits.webhook_timeout

        def too_late(result: Any, _: float) -> Any:
            if isinstance(result, Failure):
                raise DeliveryFailed(f"no answer within {seconds:g} s")
            return result

        return sending.addTimeout(seconds, self._reactor, too_late)

    async def _deliver(self, job: Job, torrent: bytes) -> None:
        from twisted.web.http_headers import Headers

        body = payload(job, torrent, self._limits.webhook_torrent)
        # Of each try: a receiver refuses what is old, so that nothing caught on its way can be sent again.
        timestamp = str(int(self._wall.now()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": self._user_agent,
            "X-Metafetch-Delivery": delivery_id(job),
            "X-Metafetch-Timestamp": timestamp,
        }
        if self._secret is not None:
            headers["X-Metafetch-Signature"] = signature(self._secret, timestamp, body)
        sent = Headers({name: [value] for name, value in headers.items()})
        try:
            response = await self._post(sent, body)
        except CancelledError:
            raise
        except Exception as error:
            if _reason(error).check(CancelledError):
                raise CancelledError from error
            raise DeliveryFailed(_explained(error)) from error
        said = await self._rest(response)
        if 200 <= response.code < 300:
            return
        words = f"it answered {response.code}" + (f": {said}" if said else "")
        raise (DeliveryRefused if response.code == _GONE else DeliveryFailed)(words)

    def _post(self, headers: Any, body: bytes) -> Deferred[Any]:
        if self._agent is None:
            from twisted.web.client import Agent, HTTPConnectionPool

            # A connection that the receiver has just closed would fail a POST, which is not sent twice.
            pool = HTTPConnectionPool(self._reactor, persistent=False)
            self._agent = Agent(self._reactor, connectTimeout=self._limits.webhook_connect, pool=pool)
        sent: Deferred[Any] = self._agent.request(b"POST", self._url, headers, _body_producer(body))
        return sent

    async def _rest(self, response: Any) -> str:
        """The first words of the answer; the status is known, so nothing of this may fail."""
        reading = _Answer(self._limits.webhook_answer)
        response.deliverBody(reading)
        reading.ended.addTimeout(_REST, self._reactor)
        try:
            await reading.ended
        except TimeoutError:
            pass
        except CancelledError:
            # The daemon stops, or time is up; what the status says stands.
            pass
        finally:
            reading.hang_up()
        return printable(bytes(reading.first), 100)


class _Answer(Protocol):
    """Reads so many bytes, keeps the first few, and hangs up. `ended` fires at the end."""

    def __init__(self, limit: int) -> None:
        self.first = bytearray()
        self.ended: Deferred[None] = Deferred()
        self._left = limit

    def dataReceived(self, data: bytes) -> None:
        self.first += data[: max(0, 400 - len(self.first))]
        self._left -= len(data)
        if self._left <= 0:
            self.hang_up()

    def hang_up(self) -> None:
        """No more of it."""
        if self.transport is not None:
            transport, self.transport = self.transport, None
            transport.loseConnection()
        self._end()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.transport = None
        self._end()

    def _end(self) -> None:
        if not self.ended.called:
            self.ended.callback(None)


def _body_producer(body: bytes) -> Any:
    from twisted.web.iweb import IBodyProducer

    @implementer(IBodyProducer)
    class Body:
        """Writes all of it at once."""

        length = len(body)

        def startProducing(self, consumer: Any) -> Deferred[None]:
            consumer.write(body)
            return succeed(None)

        def pauseProducing(self) -> None:
            pass

        def resumeProducing(self) -> None:
            pass

        def stopProducing(self) -> None:
            pass

    return Body()


def _reason(error: BaseException) -> Failure:
    """What is behind an error of twisted.web, which wraps up what has ended a request."""
    reasons = getattr(error, "reasons", None)
    first = reasons[0] if reasons else None
    if isinstance(first, Failure) and first.value is not None:
        return _reason(first.value)
    return Failure(error)


def _explained(error: BaseException) -> str:
    """Why there was no answer, in a few words."""
    reason = _reason(error).value
    if type(reason).__module__.partition(".")[0] in ("OpenSSL", "service_identity"):
        return "its TLS certificate or handshake is not valid"
    return printable(str(reason) or type(reason).__name__)
