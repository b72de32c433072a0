"""`Channel`: one HTTP connection, with deadlines for each part of a request, and errors in JSON.

Twisted's own channel has one idle time for all parts, and hangs up on what it cannot read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.protocol import connectionDone
from twisted.web.http import HTTPChannel

from functorrent.errors import QueueClosed
from functorrent.web.problems import PROBLEM_JSON, Problem
from functorrent.web.request import SECURITY_HEADERS, to_json

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from functorrent.web.request import WebRequest
    from functorrent.web.site import WebSite

#: What the connection waits for.
IDLE, HEADERS, BODY, ANSWER, CLOSING = "idle", "headers", "body", "answer", "closing"


class Channel(HTTPChannel):
    """A connection. `phase`: what it waits for."""

    site: WebSite
    requests: list[WebRequest]

    def __init__(self, site: WebSite) -> None:
        HTTPChannel.__init__(self)
        self.site = site
        self.factory = site
        self.phase = IDLE
        self._heard = 0.0
        self._body_until = 0.0
        self._paused_at = 0.0

    # -- from the transport --------------------------------------------------------------------

    def connectionMade(self) -> None:
        """A client has connected."""
        self.site.connected(self)
        HTTPChannel.connectionMade(self)
        self._expect(HEADERS, self.site.limits.web_header_timeout)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of requests."""
        if self.phase is CLOSING:
            return
        if self.phase is IDLE:
            self._expect(HEADERS, self.site.limits.web_header_timeout)
        elif self.phase is BODY:
            self._heard = self.site.clock.seconds()
        HTTPChannel.dataReceived(self, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone, or we hung up."""
        self.phase = CLOSING
        self._deadline(self._late, None)
        self._deadline(self._unread, None)
        self.site.disconnected(self)
        HTTPChannel.connectionLost(self, reason)

    def pauseProducing(self) -> None:
        """The client does not take what we send."""
        self._deadline(self._unread, self.site.limits.web_write_timeout)
        HTTPChannel.pauseProducing(self)

    def resumeProducing(self) -> None:
        """It does again."""
        self.site.deadlines.clear(self._unread)
        HTTPChannel.resumeProducing(self)

    # -- from Twisted's parser -----------------------------------------------------------------

    def lineReceived(self, line: bytes) -> None:
        """A line of headers."""
        if self.phase is not CLOSING:
            HTTPChannel.lineReceived(self, line)

    def rawDataReceived(self, data: bytes) -> None:
        """Part of a body, or of a next request while one is answered."""
        if self.phase is not CLOSING:
            HTTPChannel.rawDataReceived(self, data)

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line of headers without an end."""
        self._refuse(Problem(431, "A line of the request's headers is too long."))

    def allHeadersReceived(self) -> None:
        """The request's body comes next, if it has one."""
        if self.length == 0:
            self._expect(ANSWER, None)
        else:
            self._heard = self.site.clock.seconds()
            self._body_until = self._heard + self.site.limits.web_body_time
            self._expect(BODY, self.site.limits.web_body_timeout)
        HTTPChannel.allHeadersReceived(self)

    def allContentReceived(self) -> None:
        """The request is whole."""
        if self.phase is CLOSING:
            # Answered at its last bytes, before it was known that they are the last.
            return
        self._expect(ANSWER, None)
        HTTPChannel.allContentReceived(self)

    def requestDone(self, request: WebRequest) -> None:
        """Its answer is written."""
        if not request.body.complete:
            request.body.drop()
            self.persistent = 0
        if self.persistent:
            # Before: Twisted reads the next request at once, where it is here already.
            self._expect(IDLE, self.site.limits.web_idle_timeout)
            if self.site.closing:
                self.persistent = 0
        HTTPChannel.requestDone(self, request)

    def loseConnection(self) -> None:
        """Close, when what was written is sent."""
        if self.phase is CLOSING:
            return
        unread = self.phase in (BODY, HEADERS)
        self._expect(CLOSING, self.site.limits.web_write_timeout)
        transport: Any = self.transport
        half: Any = IHalfCloseableDescriptor(transport, None)
        if unread and half is not None and not self.isSecure():
            # A socket that is closed with bytes unread is reset, and the client may lose our answer with
            # it. So: end our side, and read and drop the other for a moment.
            transport.unregisterProducer()
            transport.resumeProducing()
            half.loseWriteConnection()
            self._expect(CLOSING, self.site.limits.web_linger)
        else:
            HTTPChannel.loseConnection(self)

    def timeoutConnection(self) -> None:
        """Twisted's own idle time is off."""

    def _respondToBadRequestAndDisconnect(self) -> None:
        # Twisted's, for what it cannot parse.
        request = self.requests[-1] if self.requests else None
        if request is not None and request.begun and not request.body.complete:
            request.body.fail(Problem(400, "The request's body is not well-formed (chunked encoding)."))
        else:
            self._refuse(Problem(400, "This is not an HTTP request that can be read."))

    # -- for its requests and its site ---------------------------------------------------------

    def request_line(self) -> tuple[bytes, bytes, bytes]:
        """Method, target and version of the request whose headers have just come."""
        return self._command, self._path, self._version

    def flow(self, on: bool) -> None:
        """Let the socket be read, or pause it."""
        if self.phase in (BODY, ANSWER):
            self._heard = now = self.site.clock.seconds()
            if on:
                # The client's time does not run while it is we who do not read.
                self._body_until += now - self._paused_at
                self._networkProducer.resumeProducing()
            else:
                self._paused_at = now
                self._networkProducer.pauseProducing()

    def wind_up(self) -> None:
        """The site closes: hang up where no request has begun, and read no more of a body."""
        if self.phase is IDLE or (self.phase is HEADERS and self._silent):
            self.abort()
        elif self.phase is BODY:
            # Its answer says how much of it was accepted.
            self.requests[-1].body.fail(QueueClosed("the daemon is stopping"))

    def abort(self) -> None:
        """Hang up, whatever is under way."""
        self.phase = CLOSING
        transport: Any = self.transport
        transport.abortConnection()

    @property
    def _silent(self) -> bool:
        """Whether nothing of a next request has come."""
        return not (self._receivedHeaderSize or self._buffer)

    # -- deadlines -----------------------------------------------------------------------------

    def _expect(self, phase: str, seconds: float | None) -> None:
        self.phase = phase
        self._deadline(self._late, seconds)

    def _deadline(self, call: Any, seconds: float | None) -> None:
        if seconds is None:
            self.site.deadlines.clear(call)
        else:
            self.site.deadlines.set(call, self.site.clock.seconds() + seconds)

    def _unread(self) -> None:
        self.abort()

    def _late(self) -> None:
        """What the connection waits for has not come in time."""
        if self.phase is IDLE:
            self.loseConnection()
        elif self.phase is HEADERS:
            if not self._silent:
                self._refuse(Problem(408, "The request's headers did not come in time."))
            else:
                self.loseConnection()
        elif self.phase is BODY:
            self._late_body()
        elif self.phase is CLOSING:
            self.abort()

    def _late_body(self) -> None:
        request, now = self.requests[-1], self.site.clock.seconds()
        quiet = self.site.limits.web_body_timeout
        if request.body.paused:
            # It is we who do not read.
            self._deadline(self._late, quiet)
        elif now < self._heard + quiet and now < self._body_until:
            self._deadline(self._late, self._heard + quiet - now)
        else:
            request.body.fail(Problem(408, "The request's body did not come in time."))

    def _refuse(self, problem: Problem) -> None:
        """Answer what never became a request, and close."""
        if self.phase is CLOSING:
            return
        body = to_json(problem.to_json())
        head = [b"HTTP/1.1 %d %s" % (problem.status, problem.to_json()["title"].encode())]
        head += [b"%s: %s" % header for header in SECURITY_HEADERS]
        head += [b"Content-Type: " + PROBLEM_JSON, b"Content-Length: %d" % len(body), b"Connection: close"]
        transport: Any = self.transport
        transport.writeSequence([b"\r\n".join(head), b"\r\n\r\n", body])
        self.loseConnection()
