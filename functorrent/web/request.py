"""`WebRequest`: a request that passes the doors before its body comes, and answers in JSON.

The handler runs as soon as the headers are there; the body reaches it as `body`.
"""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import parse_qs
from twisted.web.server import Request

from functorrent.web.body import Body
from functorrent.web.problems import PROBLEM_JSON, Problem, internal, not_found, title_of

if TYPE_CHECKING:
    from functorrent.web.channel import Channel

_CSP = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: Of every answer. Nothing is framed, sniffed, cached, or taken from another site.
SECURITY_HEADERS = (
    (b"Content-Security-Policy", _CSP),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cache-Control", b"no-store"),
    (b"Server", b"metafetch"),
)


class WebRequest(Request):
    """One request. `body` is there from the start; `client` is the address of whoever asks."""

    defaultContentType = None
    log = Logger()
    body: Body
    channel: Channel

    def __init__(self, channel: Channel, *args: Any, **more: Any) -> None:
        Request.__init__(self, channel, *args, **more)
        self.limits = channel.site.limits
        self.body = Body(0, self.limits.web_body_buffer, channel.flow)
        #: Whether its handler was called.
        self.begun = False

    @property
    def client_host(self) -> str:
        """The address of whoever asks; "" on a UNIX socket."""
        return str(getattr(self.client, "host", ""))

    # -- called by the channel -----------------------------------------------------------------

    def gotLength(self, length: int | None) -> None:
        """The headers are there. `length`: of the body, None where it comes in chunks."""
        # Twisted closes it at the end, and asks nothing else of it.
        self.content = BytesIO()
        if length == 0:
            return
        self.body = Body(length, self.limits.web_body_buffer, self.channel.flow)
        expects = self.requestHeaders.getRawHeaders(b"Expect")
        command, path, version = self.channel.request_line()
        self._begin(command, path, version)
        if expects and self.finished:
            # Refused: who waits for "100 Continue" must not get it after the answer.
            self.requestHeaders.removeHeader(b"Expect")

    def handleContentChunk(self, data: bytes) -> None:
        """Some of the body."""
        self.body.feed(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The body, if any, has ended."""
        self.body.end()
        if not self.begun:
            self._begin(command, path, version)

    def connectionLost(self, reason: Failure) -> None:
        """The client is gone."""
        self.body.drop()
        Request.connectionLost(self, reason)

    # -- the answer ----------------------------------------------------------------------------

    def _begin(self, command: bytes, path: bytes, version: bytes) -> None:
        self.begun = True
        self.method, self.uri, self.clientproto = command, path, version
        self.path, _, query = path.partition(b"?")
        self.args = parse_qs(query, keep_blank_values=True)
        self.process()

    def process(self) -> None:
        """Ask the doors, then the handler."""
        self.site = self.channel.site
        try:
            if not self.path.startswith(b"/"):
                raise Problem(400, "The request's target must be a path that begins with /.")
            self.site.doors.check(
                self.method,
                self.path,
                self.requestHeaders,
                self.client_host,
                str(getattr(self.host, "host", "")),
            )
            # What no route has, and what Klein would log as an error.
            if (
                self.path.startswith(b"//")
                or not (self.path.isascii() and self.method.isalpha())
                or not _is_utf8(self.path)
            ):
                raise not_found()
        except Problem as problem:
            self.send_problem(problem)
        except Exception:
            self.processingFailed(Failure())
        else:
            Request.process(self)

    def write(self, data: bytes) -> None:
        """Write some of the answer; the headers that all have go with the first."""
        if not self.startedWriting:
            for name, value in SECURITY_HEADERS:
                if not self.responseHeaders.hasHeader(name) or name == b"Server":
                    self.responseHeaders.setRawHeaders(name, [value])
            if not self.body.complete:
                # Who answers before the end of a body closes after it.
                self.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        Request.write(self, data)

    def unregisterProducer(self) -> None:
        """The handler writes no more; the client may be gone already."""
        if self._disconnected:
            self.producer = None
        else:
            Request.unregisterProducer(self)

    def finish(self) -> None:
        """The answer is whole. Klein says so once more, where a handler has said so."""
        if not (self.finished or self._disconnected):
            Request.finish(self)

    def send(self, data: bytes, content_type: bytes, status: int = 200) -> None:
        """The whole answer. Does nothing when the client is gone."""
        if self.finished or self._disconnected:
            return
        # Not every version of Twisted knows the name of every status.
        self.setResponseCode(status, title_of(status).encode("ascii"))
        self.setHeader(b"Content-Type", content_type)
        self.setHeader(b"Content-Length", b"%d" % len(data))
        self.write(data)
        self.finish()

    def send_json(self, value: Any, status: int = 200, content_type: bytes = b"application/json") -> None:
        """A JSON answer."""
        self.send(to_json(value), content_type, status)

    def send_nothing(self, status: int = 204) -> None:
        """An answer without a body."""
        if self.finished or self._disconnected:
            return
        self.setResponseCode(status)
        self.finish()

    def send_problem(self, problem: Problem) -> None:
        """An error. In the middle of an answer nothing can be told any more: the connection is cut."""
        if self.finished or self._disconnected:
            return
        if self.startedWriting:
            self.channel.abort()
            return
        for name, value in problem.headers.items():
            self.setHeader(name, value)
        self.send_json(problem.to_json(), problem.status, PROBLEM_JSON)

    def processingFailed(self, reason: Failure) -> None:
        """What Twisted or Klein does with an exception that nobody handled: a bug of ours."""
        if not reason.check(CancelledError):
            self.log.failure("a request could not be answered", reason)
        self.send_problem(internal())


def to_json(value: Any) -> bytes:
    """Compact JSON; what is no character by itself (half a surrogate pair) is escaped."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _is_utf8(path: bytes) -> bool:
    try:
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
