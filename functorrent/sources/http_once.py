"""One GET on a connection of its own: for plain HTTP servers known to hang up after each response (RFC 1945).

Nothing can be kept of such a connection, so nothing is prepared for it: a third of the CPU of a GET
through treq. What HTTP/1.0 has no words for (a chunked body), or nobody writes any more (a header in several
lines), fails with `NotPlain`: ask again through treq.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from zope.interface import implementer

from functorrent.errors import FunctorrentError
from functorrent.sources.http import HttpFailed, HttpUnreachable

_WHOLE = Failure(ResponseDone())
#: Encodings of a body, and whether it is gzip.
_ENCODINGS = {b"": False, b"identity": False, b"gzip": True, b"x-gzip": True}


class NotPlain(FunctorrentError):
    """The response is not one of HTTP/1.0."""


class Once(LineReceiver):
    """The response to `request` (bytes). More than `most` bytes of it are not taken, headers and all.

    `result` fires at the end of the headers, with this; `deliverBody` is to be called from there.
    """

    def __init__(self, request: bytes, most: int) -> None:
        self.code = 0
        self.headers = Headers()
        self.result: Deferred[Once] = Deferred(self._cancelled)
        self._request = request
        self._most = most
        self._dialing: Deferred[Any] | None = None
        self._body: Any = None
        #: Bytes of the body that are to come, where the server says how many.
        self._length: int | None = None
        self._over = False

    def start(self, reach: Callable[[IProtocolFactory], Deferred[Any]]) -> Deferred[Once]:
        """Dial with `reach`, and ask. Returns `result`."""
        self._dialing = dialing = reach(_Given(self))
        dialing.addCallbacks(self._dialed, self._fail)
        return self.result

    @property
    def gzip(self) -> bool | None:
        """Whether the body is gzip; None: in what we cannot read."""
        named = self.headers.getRawHeaders(b"content-encoding", [b""])
        return _ENCODINGS.get(named[0].strip().lower()) if len(named) == 1 else None

    @property
    def length(self) -> int | None:
        """Bytes of the body that are to come, where the server says how many."""
        return self._length

    def deliverBody(self, body: Any) -> None:
        """The body goes to this Protocol."""
        self._body = body
        body.makeConnection(self)

    def loseConnection(self) -> None:
        """The body is not wanted any further."""
        self._close()

    # -- what LineReceiver calls ---------------------------------------------------------------

    def lineReceived(self, line: bytes) -> None:
        if self._over:
            return
        try:
            if not self.code:
                self._status(line)
            elif line:
                self._header(line)
            else:
                self._end_of_headers()
        except ValueError:
            self._fail(Failure(HttpFailed("the response is not HTTP")))

    def lineLengthExceeded(self, line: bytes) -> None:
        self._fail(Failure(HttpFailed("the response is not HTTP")))

    def rawDataReceived(self, data: bytes) -> None:
        if self._over:
            return
        if self._length is not None:
            data = data[: self._length]
            self._length -= len(data)
        self._body.dataReceived(data)
        if self._length == 0:
            self._whole()

    def _status(self, line: bytes) -> None:
        version, _, rest = line.partition(b" ")
        code = rest.strip()[:4].rstrip()
        if not version.startswith(b"HTTP/1.") or not code.isdigit() or len(code) != 3:
            raise ValueError("no status line")
        self.code = int(code)
        if self.code < 200:
            self._fail(Failure(NotPlain("a response of HTTP/1.1")))

    def _header(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        name, value = name.lower(), value.strip()
        if line[0] in b" \t" or name == b"transfer-encoding":
            self._fail(Failure(NotPlain("a response of HTTP/1.1")))
            return
        if not colon:
            raise ValueError("no header")
        if name == b"content-length":
            if not value.isdigit() or (self._length is not None and int(value) != self._length):
                raise ValueError("no length")
            self._length = int(value)
        self.headers.addRawHeader(name, value)

    def _end_of_headers(self) -> None:
        self.setRawMode()  # type: ignore[no-untyped-call]
        self.result.callback(self)
        if self._body is None:
            self._close()
        elif self._length == 0:
            self._whole()

    def _whole(self) -> None:
        """The body is all here."""
        if not self._over:
            self._close()
            self._body.connectionLost(_WHOLE)

    # -- what the transport calls --------------------------------------------------------------

    def connectionMade(self) -> None:
        self.transport.writeSequence([self._request])  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        self._most -= len(data)
        if self._most < 0:
            self._fail(Failure(HttpUnreachable("the response has no end")))
            return
        super().dataReceived(data)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._over:
            return
        if self._body is None:
            self._fail(Failure(HttpUnreachable("the server hung up without a response")))
            return
        self._over = True
        # Without a length, the end of the connection is the end of the body.
        whole = self._length is None and reason.check(ConnectionDone) is not None
        self._body.connectionLost(_WHOLE if whole else reason)

    # -- the end -------------------------------------------------------------------------------

    def _dialed(self, _: object) -> None:
        self._dialing = None

    def _fail(self, failure: Failure) -> None:
        self._dialing = None
        self._close()
        if self._body is not None:
            self._body.connectionLost(failure)
        elif not self.result.called:
            self.result.errback(failure)

    def _cancelled(self, _: object) -> None:
        self._close()

    def _close(self) -> None:
        self._over = True
        dialing, self._dialing = self._dialing, None
        if dialing is not None:
            dialing.cancel()
        if self.transport is not None:
            # A GET has nothing left to flush, and a reset leaves no port behind.
            self.transport.abortConnection()  # type: ignore[attr-defined]


@implementer(IProtocolFactory)
class _Given:
    """The factory of one protocol that is there already."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: Once) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> IProtocol:
        return self._protocol

    def doStart(self) -> None:
        """Nothing to start."""

    doStop = doStart
