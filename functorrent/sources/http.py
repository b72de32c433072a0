"""Guarded, bounded HTTP GETs: few redirects, the address guard at each, a capped body, one deadline.

Importing this costs next to nothing: treq and OpenSSL come with the first GET (`http_stack`).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from functorrent.addresses import AddressGuard
from functorrent.errors import AddressNotAllowed, FunctorrentError, NameNotResolved
from functorrent.interfaces import IResolver
from functorrent.limits import Limits

if TYPE_CHECKING:
    from functorrent.sources.http_stack import Stack

Response = tuple[int, Any, bytes]
#: Makes an IStreamClientEndpoint for (IP literal, port, seconds to connect).
Endpoint = Callable[[str, int, float], Any]

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_SENDABLE = re.compile(r"https?://[!-~]+", re.IGNORECASE)
_GZIP = 16 + zlib.MAX_WBITS
#: A body may unpack to so much, and beyond it to so many times what was received: nothing honest packs
#: better, and a packet of a bomb (a thousandfold) would keep the reactor for a tenth of a second.
_UNPACKED = 1024 * 1024
_RATIO = 50
#: Pieces of a body that are put together before it is whole: a server may send it byte by byte, and each
#: piece costs forty more.
_PIECES = 1000


class HttpFailed(FunctorrentError):
    """A GET ended without a response we may use; the message says why."""


class HttpUnreachable(HttpFailed):
    """No connection, or one that was lost before the response was whole: a fault of server or path."""


class HttpTimedOut(HttpUnreachable):
    """The deadline passed."""


class HttpTooLong(HttpFailed):
    """The body is longer than we take, as sent or as unpacked."""


class _Body(Protocol):
    """Collects a body, and never holds more than `limit` bytes, neither as sent nor unpacked."""

    def __init__(
        self,
        limit: int,
        gzip: bool,
        done: Callable[[bytes | HttpFailed], None],
        take: Callable[[bytes], None] | None = None,
    ) -> None:
        self._limit = limit
        self._take = take
        self._received = 0
        self._chunks: list[bytes] = []
        self._size = 0
        self._unpacker = zlib.decompressobj(_GZIP) if gzip else None
        self._done = done

    def dataReceived(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > self._limit:
            self._refuse(_too_long(self._limit))
            return
        if self._unpacker is not None:
            most = min(self._limit, _UNPACKED + _RATIO * self._received)
            try:
                # Never more than one byte over the limit: a bomb is not unpacked to be measured.
                data = self._unpacker.decompress(data, most - self._size + 1)
            except zlib.error as error:
                self._refuse(HttpFailed(f"the response is no gzip: {error}"))
                return
            if self._size + len(data) > most:
                self._refuse(HttpTooLong(f"the response unpacks to more than {most} bytes"))
                return
        self._size += len(data)
        if self._take is not None:
            try:
                self._take(data)
            except HttpFailed as error:
                self._refuse(error)
            return
        self._chunks.append(data)
        if len(self._chunks) > _PIECES:
            self._chunks = [b"".join(self._chunks)]

    def _refuse(self, error: HttpFailed) -> None:
        self._done(error)
        self.abort()

    def abort(self) -> None:
        self._chunks.clear()
        self._limit = -1
        if self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        if not isinstance(reason.value, _whole()):
            self._done(HttpUnreachable("the server hung up before its response was whole"))
        elif self._unpacker is not None and self._received and not self._unpacker.eof:
            self._done(HttpFailed("the gzip of the response is cut short"))
        else:
            body = b"".join(self._chunks)
            self._chunks.clear()
            self._done(body)


def _too_long(limit: int) -> HttpTooLong:
    return HttpTooLong(f"the response is longer than {limit} bytes")


@cache
def _whole() -> tuple[type, ...]:
    """How the end of a whole body is told."""
    from twisted.web.client import ResponseDone
    from twisted.web.http import PotentialDataLoss

    return (ResponseDone, PotentialDataLoss)


@cache
def _http_stack() -> ModuleType:
    from functorrent.sources import http_stack

    return http_stack


def _discard(response: Any) -> None:
    """Hang up on a body nobody wants, unless all of it is here."""
    body = _Body(0, False, lambda _: None)
    response.deliverBody(body)
    body.abort()


class _Get:
    """One GET with its redirects. `result` fires once; nothing of it runs afterwards."""

    __slots__ = (
        "_body", "_client", "_done", "_keep", "_max_body", "_redirects", "_request", "_take", "_timer",
        "result",
    )  # fmt: skip

    def __init__(
        self,
        client: HttpClient,
        max_body: int,
        timeout: float,
        keep: bool,
        take: Callable[[bytes], None] | None,
    ) -> None:
        self._client = client
        self._max_body = max_body
        self._keep = keep
        self._take = take
        self._redirects = client.limits.http_redirects
        self._request: Deferred[Any] | None = None
        self._body: _Body | None = None
        self._done = False
        self._timer = client.clock.callLater(timeout, self._too_late, timeout)
        self.result: Deferred[Response] = Deferred(self._cancelled)

    def send(self, url: str, trusted: bool) -> None:
        if not _SENDABLE.fullmatch(url):
            self._finish(HttpFailed("not an http or https URL"))
            return
        try:
            request = self._client.stack(trusted, self._max_body).get(url, self._keep)
        except ValueError:  # of URLs that urllib or twisted.web cannot parse
            self._finish(HttpFailed("not a usable URL"))
            return
        self._request = request
        request.addCallbacks(self._response, self._failed, callbackArgs=(url,))
        request.addErrback(self._finish)

    def _response(self, response: Any, url: str) -> None:
        self._request = None
        response, gzip = self._client.unwrap(response)
        if response.code in _REDIRECTS:
            location = response.headers.getRawHeaders(b"location", [b""])[0]
            _discard(response)
            self._redirect(url, location.decode("latin-1"))
            return
        if self._take is not None and response.code != 200:
            self._finish((response.code, response.headers, b""))
            _discard(response)
            return
        if gzip is None:
            self._finish(HttpFailed("the response has an encoding we did not ask for"))
            _discard(response)
            return
        length = getattr(response, "length", None)
        if isinstance(length, int) and length > self._max_body:
            self._finish(_too_long(self._max_body))
            _discard(response)
            return

        def done(body: bytes | HttpFailed) -> None:
            self._body = None
            self._finish((response.code, response.headers, body) if isinstance(body, bytes) else body)

        self._body = _Body(self._max_body, gzip, done, self._take)
        response.deliverBody(self._body)

    def _redirect(self, url: str, location: str) -> None:
        if self._redirects == 0:
            self._finish(HttpFailed(f"more than {self._client.limits.http_redirects} redirects"))
            return
        self._redirects -= 1
        try:
            target = urljoin(url, quote(location, safe="!#$%&'()*+,/:;=?@[]~")).partition("#")[0]
            usable = urlsplit(target).scheme in ("http", "https") and bool(location)
        except ValueError:
            usable = False
        if not usable:
            self._finish(HttpFailed("a redirect to something that is not an http or https URL"))
            return
        # Whoever redirects is a stranger, even where the user typed the first URL.
        self.send(target, False)

    def _failed(self, failure: Failure) -> None:
        self._request = None
        if failure.check(AddressNotAllowed, NameNotResolved, HttpFailed) is not None:
            self._finish(failure)
        elif not self._done:
            self._finish(self._client.explain(failure))

    def _too_late(self, timeout: float) -> None:
        self._finish(HttpTimedOut(f"no whole response within {timeout:g} s"))

    def _cancelled(self, _: object) -> None:
        self._done = True
        self._clean()

    def _clean(self) -> None:
        if self._timer.active():
            self._timer.cancel()
        request, self._request = self._request, None
        body, self._body = self._body, None
        if request is not None:
            request.cancel()
        if body is not None:
            body.abort()

    def _finish(self, outcome: Response | HttpFailed | Failure) -> None:
        if self._done:
            return
        # First done, then the cleaning: what it tears down calls back here.
        self._done = True
        self._clean()
        if isinstance(outcome, tuple):
            self.result.callback(outcome)
        else:
            self.result.errback(outcome)


class HttpClient:
    """GETs for whoever deals with URLs of strangers. Opens and imports nothing before the first.

    `clock` (IReactorTime) is for deadlines. `endpoint(literal, port, seconds)` makes the endpoint for
    one address, where Twisted's own is not wanted.
    """

    def __init__(
        self,
        reactor: Any,
        clock: Any,
        resolver: IResolver,
        guard: AddressGuard,
        limits: Limits,
        *,
        endpoint: Endpoint | None = None,
    ) -> None:
        self.clock = clock
        self.limits = limits
        self._parts = (reactor, resolver, guard, limits, endpoint)
        # What the user typed may be local; its connections are never lent to strangers' URLs. And a
        # connection is capped by the largest body that those who share it take.
        self._stacks: dict[tuple[bool, int], Stack] = {}
        self._running: set[_Get] = set()

    def get(
        self,
        url: str,
        *,
        trusted: bool,
        timeout: float,
        max_body: int,
        keep: bool = True,
        take: Callable[[bytes], None] | None = None,
    ) -> Deferred[Response]:
        """GET `url` (ASCII, sent exactly as given): status, headers (twisted's Headers), body.

        `trusted`: the user typed it. Redirects are followed, at most `Limits.http_redirects`; any other
        status is a result. `timeout` is for all of it, in seconds; `max_body` in bytes, as sent and as
        unpacked: one constant for each kind of caller, for those over `Limits.http_body` have connections
        of their own. `keep`: the connection is kept for a while, as there is more to ask of this server.
        `take` gets each piece of a 200's body as it comes, unpacked, and may raise HttpFailed to end it; the
        result then has no body, and those of other statuses are not read. Cancellable, also from within
        `take`.

        Fails with HttpFailed, HttpTooLong, HttpUnreachable, HttpTimedOut, AddressNotAllowed or
        NameNotResolved.
        """
        get = _Get(self, max_body, timeout, keep, take)
        self._running.add(get)
        get.result.addBoth(self._ended, get)
        get.send(url, trusted)
        return get.result

    def stop(self) -> Deferred[None]:
        """Cancel what runs and close the persistent connections."""
        for get in list(self._running):
            get.result.cancel()
        stacks, self._stacks = self._stacks, {}
        closing: Deferred[Any] = DeferredList([stack.close() for stack in stacks.values()])
        return closing.addCallback(lambda _: None)

    # -- for _Get ------------------------------------------------------------------------------

    def stack(self, trusted: bool, max_body: int = 0) -> Stack:
        most = max(max_body, self.limits.http_body)
        stack = self._stacks.get((trusted, most))
        if stack is None:
            stack = self._stacks[trusted, most] = _http_stack().Stack(*self._parts, trusted, most)
        return stack

    def unwrap(self, response: Any) -> tuple[Any, bool | None]:
        found: tuple[Any, bool | None] = _http_stack().unwrap(response)
        return found

    def explain(self, failure: Failure) -> HttpFailed:
        error: HttpFailed = _http_stack().explain(failure)
        return error

    def _ended(self, result: Any, get: _Get) -> Any:
        self._running.discard(get)
        return result
