"""treq as `HttpClient` uses it: a guarded agent, no cookies, no URL parsed twice.

The guard sits where a connection is made: the name goes through the guarded resolver and each address
through the guard, so redirects and DNS rebinding meet it (FIELD.md 3.14). A GET through treq costs 300 us
of CPU as it comes; sent as here, about 180. A plain HTTP server that is known to hang up after each
response is asked without treq (`http_once`): a third of that.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from hyperlink import EncodedURL
from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectionRefusedError, DNSLookupError, TimeoutError
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, GzipDecoder, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from functorrent import __version__
from functorrent.addresses import AddressGuard
from functorrent.errors import AddressNotAllowed, TrackerProtocolError
from functorrent.interfaces import IResolver
from functorrent.limits import Limits
from functorrent.sources.http import Endpoint, HttpFailed, HttpTimedOut, HttpUnreachable
from functorrent.sources.http_once import NotPlain, Once

#: Bytes of response headers (and framing) beside the body; twisted.web bounds a line, not their number.
_HEADERS = 64 * 1024
#: A persistent connection that is not used is closed after this long.
_IDLE = 60.0
#: A server that hangs up within so many seconds of its response does not keep connections.
_AT_ONCE = 1.0
#: Servers remembered as closing.
_CLOSING = 1000


class _ExactUrl(EncodedURL):
    """A URL that goes out as it is: what treq asks of a URL object, without parsing and quoting again."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def to_uri(self) -> _ExactUrl:
        return self

    def to_text(self, with_password: bool = False) -> str:
        return self._text


class _NoCookies(IndexableCookieJar):
    """Neither sends nor keeps any: trackers need none, and each costs as much as a parsed URL."""

    def add_cookie_header(self, request: Any) -> None:
        pass

    def extract_cookies(self, response: Any, request: Any) -> None:
        pass


class _Capped(ProtocolWrapper):
    """Hangs up on a server that sends more than one response may have (endless headers, too).

    And notes a server that itself hangs up right after a response, as opentracker does without saying
    so: twisted.web keeps such a connection for the next request, which then is sent in vain and has to
    be sent again, at twice the cost.
    """

    transport: Any
    _received = 0
    _requests = 0
    _last = 0.0

    def writeSequence(self, data: Any) -> None:
        self._received = 0
        self._requests += 1
        self.transport.writeSequence(data)

    def dataReceived(self, data: bytes) -> None:
        self._received += len(data)
        self._last = self.factory.now()
        if self._received > self.factory.cap:
            self.loseConnection()
            return
        super().dataReceived(data)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if (
            self._last
            and not self.disconnecting
            and self._requests <= 2
            and self.factory.now() - self._last < _AT_ONCE
        ):
            self.factory.closes()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def loseConnection(self) -> None:
        # A GET has nothing left to flush, and a TLS close may wait for a server that never answers it.
        self.disconnecting = 1
        self.transport.abortConnection()

    stopProducing = loseConnection


class _CappingFactory(WrappingFactory):
    protocol = _Capped
    noisy = False

    def __init__(
        self, wrapped: IProtocolFactory, cap: int, now: Callable[[], float], closes: Callable[[], None]
    ) -> None:
        super().__init__(wrapped)  # type: ignore[no-untyped-call]
        self.cap = cap
        self.now = now
        self.closes = closes

    def doStart(self) -> None:
        """Not passed on: twisted.web's factory would log a line for each connection."""

    doStop = doStart


@implementer(IHostnameResolver, IHostResolution)
class _Addresses:
    """Gives HostnameEndpoint (happy eyeballs) the addresses that were resolved and checked."""

    def __init__(self, name: str, addresses: list[str]) -> None:
        self.name = name
        self._addresses = addresses

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        resolutionReceiver.resolutionBegan(self)
        for address in self._addresses:
            kind = IPv6Address if ":" in address else IPv4Address
            resolutionReceiver.addressResolved(kind("TCP", address, portNumber))
        resolutionReceiver.resolutionComplete()
        return self

    def cancel(self) -> None:
        """Nothing to cancel (IHostResolution)."""


@implementer(IReactorTime, IReactorTCP, IReactorPluggableNameResolver)
class _Reactor:
    """A reactor as HostnameEndpoint sees it, whose names are `_Addresses`."""

    def __init__(self, reactor: Any, addresses: _Addresses) -> None:
        self._reactor = reactor
        self.nameResolver = addresses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


@implementer(IStreamClientEndpoint)
class _GuardedEndpoint:
    """Resolves, checks, dials, at each connect."""

    def __init__(self, stack: Stack, uri: URI) -> None:
        self._stack = stack
        self._host = uri.host.decode("ascii")
        self._port: int = uri.port
        self.tls = uri.scheme == b"https"
        self._server = f"{uri.scheme.decode()}://{uri.netloc.decode()}"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        stack = self._stack
        capped = _CappingFactory(protocolFactory, stack.most, stack.reactor.seconds, self._closes)
        connected: Deferred[Any] = self.reach(capped)
        return connected.addCallback(lambda capped: capped.wrappedProtocol)

    def reach(self, factory: IProtocolFactory) -> Deferred[Any]:
        """The same, without a cap: that is up to the protocol."""
        found = self._stack.resolver.resolve(self._host, trusted=self._stack.trusted)
        return found.addCallback(self._dial, factory)

    def _dial(self, addresses: list[str], factory: IProtocolFactory) -> Deferred[IProtocol]:
        stack = self._stack
        allowed = []
        for address in addresses:
            try:
                stack.guard.check(address, self._port, trusted=stack.trusted)
            except AddressNotAllowed as error:
                refused = error
            else:
                allowed.append(address)
        if not allowed:
            raise refused
        reactor, limit = stack.reactor, stack.limits.connect_timeout
        endpoint: IStreamClientEndpoint
        if len(allowed) == 1:  # HostnameEndpoint reports a refusal only at its next tick
            endpoint = stack.endpoint(allowed[0], self._port, limit)
        else:
            guarded: Any = _Reactor(reactor, _Addresses(self._host, allowed))
            endpoint = HostnameEndpoint(guarded, self._host, self._port, timeout=limit)
        if self.tls:
            from twisted.internet.ssl import optionsForClientTLS

            endpoint = wrapClientTLS(optionsForClientTLS(self._host), endpoint)
        return endpoint.connect(factory)

    def _closes(self) -> None:
        self._stack.note_closing(self._server, self)


@implementer(IAgentEndpointFactory)
class Stack:
    """treq's client over a guarded agent; `trusted` says whether its URLs may be local.

    `max_body`: bytes of the largest body that is taken (`Limits.http_body` for announces).
    """

    def __init__(
        self,
        reactor: Any,
        resolver: IResolver,
        guard: AddressGuard,
        limits: Limits,
        endpoint: Endpoint | None,
        trusted: bool,
        max_body: int,
    ) -> None:
        self.reactor = reactor
        self.endpoint = endpoint or self._endpoint
        self.resolver = resolver
        self.guard = guard
        self.limits = limits
        self.trusted = trusted
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = limits.http_in_flight
        self._pool.cachedConnectionTimeout = _IDLE  # type: ignore[assignment]
        self._cookies = _NoCookies()
        self._client = HTTPClient(Agent.usingEndpointFactory(reactor, self, self._pool), self._cookies)
        once = HTTPConnectionPool(reactor, persistent=False)
        self._once = HTTPClient(Agent.usingEndpointFactory(reactor, self, once), self._cookies)
        #: Bytes of one response, its headers and all.
        self.most = max_body + _HEADERS
        #: Servers that close after each response: URLs up to the path. With those that are to be asked
        #: without treq, how to reach them.
        self._closing: OrderedDict[str, _GuardedEndpoint | None] = OrderedDict()
        agent = f"functorrent/{__version__}".encode()
        self._headers = Headers({b"User-Agent": [agent]})
        self._words = b"\r\nUser-Agent: %b\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n" % agent

    def _endpoint(self, host: str, port: int, timeout: float) -> IStreamClientEndpoint:
        kind = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
        made: IStreamClientEndpoint = kind(self.reactor, host, port, timeout=timeout)
        return made

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return _GuardedEndpoint(self, uri)

    def get(self, url: str, keep: bool = True) -> Deferred[Any]:
        """One request, no redirects; the response's body is still to be delivered.

        `keep`: its connection is kept for the next.
        """
        scheme, _, place, *path = url.split("/", 3)
        server = f"{scheme}//{place}"
        if server not in self._closing:
            return self._through(self._client if keep else self._once, url)
        endpoint = self._closing[server]
        if endpoint is None or not path or "#" in path[0]:
            return self._through(self._once, url)
        words = f"GET /{path[0]} HTTP/1.0\r\nHost: {place.removesuffix(':80')}".encode("ascii")
        once = Once(words + self._words, self.most).start(endpoint.reach)
        return once.addErrback(self._not_plain, server, url)

    def _not_plain(self, failure: Failure, server: str, url: str) -> Deferred[Any]:
        failure.trap(NotPlain)
        self._closing[server] = None
        return self._through(self._once, url)

    def _through(self, client: HTTPClient, url: str) -> Deferred[Any]:
        return client.get(
            _ExactUrl(url),
            headers=self._headers,
            cookies=self._cookies,
            allow_redirects=False,
            unbuffered=True,
            reactor=self.reactor,
        )

    def note_closing(self, server: str, endpoint: _GuardedEndpoint) -> None:
        """This server (a URL up to its path) closes after each response: send it one request each."""
        self._closing.setdefault(server, None if endpoint.tls else endpoint)
        if len(self._closing) > _CLOSING:
            self._closing.popitem(last=False)

    def close(self) -> Deferred[None]:
        return self._pool.closeCachedConnections()  # type: ignore[no-any-return]


def unwrap(response: Any) -> tuple[Any, bool | None]:
    """The response below treq's decoders, and whether its body is gzip (None: in what we cannot read).

    treq's own decoder unpacks a whole chunk at once, a thousandfold if it is a bomb.
    """
    if isinstance(response, Once):
        return response, response.gzip
    layers = 0
    response = response.original
    while isinstance(response, GzipDecoder):
        response = response.original
        layers += 1
    left = response.headers.getRawHeaders(b"content-encoding", [])
    if left not in ([], [b""], [b"identity"], [b"x-gzip"]):
        return response, None
    layers += left == [b"x-gzip"]
    return response, bool(layers) if layers < 2 else None


def explain(failure: Failure) -> HttpFailed:
    """A connection's failure as words that a user understands."""
    error = failure.value
    reasons = getattr(error, "reasons", None)
    if reasons:
        return explain(reasons[0])
    if isinstance(error, ConnectionRefusedError):
        return HttpUnreachable("connection refused")
    if isinstance(error, TimeoutError):
        return HttpTimedOut("no answer")
    if isinstance(error, ConnectError | DNSLookupError):
        return HttpUnreachable("no connection")
    module = type(error).__module__
    if module.startswith(("OpenSSL", "service_identity")):
        return HttpUnreachable("its TLS certificate or handshake is not valid")
    if isinstance(error, ValueError | TrackerProtocolError) or "ParseError" in type(error).__name__:
        return HttpFailed("the response is not HTTP")
    return HttpUnreachable("the server hung up without a response")
