"""What a `ScriptedTracker` does otherwise than an honest one: one small class each, to be combined."""

from __future__ import annotations

import gzip
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.http import Request as HTTPRequest
from twisted.web.server import NOT_DONE_YET

from functorrent.interfaces import PeerAddress
from functorrent.wire import udp_tracker
from functorrent.wire.bencode import encode

Request = udp_tracker.ConnectRequest | udp_tracker.AnnounceRequest


class HTTPLie:
    """An honest HTTP tracker's steps. Derive, and change one."""

    def respond(self, request: HTTPRequest) -> bytes | int | None:
        """Answer in another way altogether: a body or NOT_DONE_YET; None goes on."""
        return None

    def items(self, items: dict[str, Any], peers: list[PeerAddress]) -> dict[str, Any]:
        """The answer, as a dictionary."""
        return items

    def body(self, request: HTTPRequest, body: bytes) -> bytes | int:
        """The answer, encoded; NOT_DONE_YET where it is sent later."""
        return body


class FailureReason(HTTPLie):
    """Refuses, with these words."""

    def __init__(self, words: str = "torrent not registered with this tracker") -> None:
        self.words = words

    def respond(self, request: HTTPRequest) -> bytes:
        return encode({"failure reason": self.words})


class WarningMessage(HTTPLie):
    """Answers honestly, with a warning."""

    def __init__(self, words: str = "announce less often") -> None:
        self.words = words

    def items(self, items: dict[str, Any], peers: list[PeerAddress]) -> dict[str, Any]:
        return {**items, "warning message": self.words}


class DictionaryPeers(HTTPLie):
    """Names peers as dictionaries (BEP 3 before BEP 23), IPv6 ones among them. Honest, but rare."""

    def items(self, items: dict[str, Any], peers: list[PeerAddress]) -> dict[str, Any]:
        items = {key: value for key, value in items.items() if key != "peers6"}
        named = [{"ip": peer.host, "port": peer.port, "peer id": b"-XX0000-dictionaryxx"} for peer in peers]
        return {**items, "peers": named}


class StrayBytes(HTTPLie):
    """Sends `count` bytes too many after the compact peers. Nobody in the field passes this."""

    def __init__(self, count: int = 3) -> None:
        self.count = count

    def items(self, items: dict[str, Any], peers: list[PeerAddress]) -> dict[str, Any]:
        return {**items, "peers": items["peers"] + bytes(self.count)}


class Body(HTTPLie):
    """Answers with this body, whatever it is."""

    def __init__(self, body: bytes = b"<html>404</html>", code: int = 200) -> None:
        self.text = body
        self.code = code

    def respond(self, request: HTTPRequest) -> bytes:
        request.setResponseCode(self.code)
        return self.text


class GzipBomb(HTTPLie):
    """Answers with a small body that unpacks to `megabytes` of zeros."""

    def __init__(self, megabytes: int = 200) -> None:
        # Members one after the other are one gzip file (RFC 1952, 2.2).
        self.bomb = gzip.compress(bytes(1_000_000)) * megabytes

    def respond(self, request: HTTPRequest) -> bytes:
        request.setHeader(b"Content-Encoding", b"gzip")
        return self.bomb


class RedirectLoop(HTTPLie):
    """Redirects to itself for ever."""

    def respond(self, request: HTTPRequest) -> bytes:
        return _redirect(request, request.uri)


class RedirectTo(HTTPLie):
    """Redirects elsewhere: to a server on the client's own network, for one."""

    def __init__(self, url: str) -> None:
        self.url = url

    def respond(self, request: HTTPRequest) -> bytes:
        return _redirect(request, self.url.encode("ascii"))


class EndlessBody(HTTPLie):
    """Sends a body that never ends, as fast as it is taken."""

    def __init__(self, chunk: bytes = b"0" * 16_384) -> None:
        self.chunk = chunk

    def respond(self, request: HTTPRequest) -> int:
        request.registerProducer(_Flood(request, self.chunk), False)
        return NOT_DONE_YET


class SlowBody(HTTPLie):
    """Sends its honest answer a byte every `seconds`, on the clock given."""

    def __init__(self, clock: IReactorTime, seconds: float = 1.0) -> None:
        self.clock = clock
        self.seconds = seconds

    def respond(self, request: HTTPRequest) -> int:
        gone: list[bool] = []
        request.notifyFinish().addErrback(lambda _failure: gone.append(True))

        def step(rest: bytes) -> None:
            if not gone:
                request.write(rest[:1] or b"0")
                self.clock.callLater(self.seconds, step, rest[1:])

        step(b"d8:intervali1800e5:peers6:")
        return NOT_DONE_YET


class LateAnswer(HTTPLie):
    """Answers honestly, `seconds` late on the clock given."""

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self.clock = clock
        self.seconds = seconds

    def body(self, request: HTTPRequest, body: bytes) -> int:
        def answer() -> None:
            request.write(body)
            request.finish()

        timer = self.clock.callLater(self.seconds, answer)
        request.notifyFinish().addErrback(lambda _failure: timer.cancel())
        return NOT_DONE_YET


class NeverAnswers(HTTPLie):
    """Takes the request and says nothing."""

    def respond(self, request: HTTPRequest) -> int:
        request.notifyFinish().addErrback(_ignore)
        return NOT_DONE_YET


class _Flood:
    """A pull producer (IPullProducer) that never finishes."""

    def __init__(self, request: HTTPRequest, chunk: bytes) -> None:
        self.request = request
        self.chunk = chunk
        request.notifyFinish().addErrback(_ignore)

    def resumeProducing(self) -> None:
        self.request.write(self.chunk)

    def stopProducing(self) -> None:
        """The client is gone."""


def _redirect(request: HTTPRequest, location: bytes) -> bytes:
    request.setResponseCode(302)
    request.setHeader(b"Location", location)
    return b""


def _ignore(_failure: Failure) -> None:
    """The client hung up, as it should."""


class UDPLie:
    """An honest UDP tracker's one step. Derive, and change it."""

    def answers(self, request: Request, answers: list[bytes]) -> list[bytes]:
        """The datagrams to send back, in order."""
        return answers


class ErrorAction(UDPLie):
    """Refuses announces with these words."""

    def __init__(self, words: bytes = b"not registered") -> None:
        self.words = words

    def answers(self, request: Request, answers: list[bytes]) -> list[bytes]:
        if isinstance(request, udp_tracker.ConnectRequest):
            return answers
        return [udp_tracker.encode_answer(udp_tracker.ErrorAnswer(request.transaction_id, self.words))]


class ShortAnswer(UDPLie):
    """Answers announces with their first `length` bytes; 8 is how opentracker refuses."""

    def __init__(self, length: int = 8) -> None:
        self.length = length

    def answers(self, request: Request, answers: list[bytes]) -> list[bytes]:
        if isinstance(request, udp_tracker.ConnectRequest):
            return answers
        return [answer[: self.length] for answer in answers]


class WrongTransactionFirst(UDPLie):
    """Sends each answer twice: with another's transaction id (as one who guesses would), then rightly."""

    def answers(self, request: Request, answers: list[bytes]) -> list[bytes]:
        wrong = udp_tracker.encode_answer(
            udp_tracker.ErrorAnswer(request.transaction_id ^ 1, b"not for this request")
        )
        return [wrong, *answers]


class LosesFirst(UDPLie):
    """Loses the first `count` datagrams, as a full socket buffer does."""

    def __init__(self, count: int = 1) -> None:
        self.left = count

    def answers(self, request: Request, answers: list[bytes]) -> list[bytes]:
        if self.left:
            self.left -= 1
            return []
        return answers


class Silent(UDPLie):
    """Answers nothing."""

    def answers(self, request: Request, answers: list[bytes]) -> list[bytes]:
        return []
