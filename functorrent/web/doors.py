"""`Doors`: what a request must have before anything is done for it, or a byte of its body is kept."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from functorrent.limits import Limits
from functorrent.text import printable
from functorrent.web.hosts import HostGuard, same_origin, split_host
from functorrent.web.problems import Problem
from functorrent.web.ratelimit import TokenBuckets
from functorrent.web.sessions import Sessions

if TYPE_CHECKING:
    from twisted.web.http_headers import Headers

    from functorrent.interfaces import IWallClock

COOKIE = b"metafetch"
SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))
#: These need no token: they tell nothing of anybody's torrents.
OPEN_PATHS = frozenset((b"/", b"/favicon.ico", b"/healthz", b"/readyz", b"/api/v1/session"))
#: The page's script and style.
OPEN_FOLDER = b"/page/"
_DAY = 86_400.0


class Doors:
    """Checks each request's headers. `token`: None where everybody who reaches us may do everything."""

    def __init__(
        self, clock: Any, wall: IWallClock, limits: Limits, token: str | None, hosts: HostGuard
    ) -> None:
        self._token = None if token is None else token.encode("ascii")
        self._hosts = hosts
        self.session_life = limits.web_session_days * _DAY
        self.sessions = None if token is None else Sessions(wall, token, self.session_life)
        self._requests = TokenBuckets(clock, limits.web_rate, limits.web_burst, limits.web_addresses)
        self._wrong = TokenBuckets(
            clock, 1 / limits.web_wrong_token_refill, limits.web_wrong_tokens, limits.web_addresses
        )

    @property
    def required(self) -> bool:
        """Whether there is a token."""
        return self._token is not None

    def check(self, method: bytes, path: bytes, headers: Headers, client: str, address: str) -> None:
        """Raise the Problem that keeps a request out.

        `client`: who calls; `address`: of ours, at which the connection came in.
        """
        host = self._check_host(headers, address)
        wait = self._requests.take(network_of(client))
        if wait:
            raise Problem(429, "Too many requests from this address; try again later.", retry_after=wait)
        if method not in SAFE:
            _check_site(headers, host)
        if not self.is_open(path):
            self._check_token(headers, client)

    @staticmethod
    def is_open(path: bytes) -> bool:
        """Whether a path needs no token."""
        return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)

    def logged_in(self, headers: Headers, client: str) -> bool:
        """Whether this request has the token or a session, for what is open to everybody."""
        try:
            self._check_token(headers, client)
        except Problem:
            return False
        return True

    def check_secret(self, given: bytes, client: str) -> None:
        """Whether `given` is the token. Raises the Problem of a wrong one: 401, or 429 after too many."""
        network = network_of(client)
        # Before comparing: whoever guesses learns nothing more from now on, not even by a lucky guess.
        wait = self._wrong.wait(network)
        if wait:
            raise Problem(429, "Too many wrong tokens from this address; try again later.", retry_after=wait)
        if self._token is not None and not hmac.compare_digest(self._token, given):
            self._wrong.take(network)
            raise unauthorized("This is not the token of this daemon.")

    def _check_host(self, headers: Headers, address: str) -> bytes:
        values = headers.getRawHeaders(b"Host") or []
        host = split_host(values[0]) if len(values) == 1 else None
        if host is None:
            raise Problem(400, "The request has no Host header that can be read, or more than one.")
        if not self._hosts.allows(host[0], address):
            raise Problem(
                421,
                f"This daemon does not answer to the name {printable(host[0], 100)}; "
                "if it should, start it with --http-host and that name.",
            )
        return values[0]

    def _check_token(self, headers: Headers, client: str) -> None:
        if self._token is None:
            return
        given = headers.getRawHeaders(b"Authorization") or []
        if given:
            scheme, _, secret = given[0].partition(b" ")
            if len(given) > 1 or scheme.lower() != b"bearer":
                raise unauthorized("The Authorization header must be: Bearer, and the token.")
            self.check_secret(secret.strip(), client)
        elif not any(map(self._has_session, cookies_of(headers))):
            raise unauthorized("This needs the daemon's token: Authorization: Bearer TOKEN.")

    def _has_session(self, cookie: bytes) -> bool:
        return self.sessions is not None and self.sessions.valid(cookie)


def cookies_of(headers: Headers) -> list[bytes]:
    """The values of our cookie that a request has."""
    found = []
    for header in headers.getRawHeaders(b"Cookie") or []:
        for pair in header.split(b";"):
            name, _, value = pair.strip().partition(b"=")
            if name == COOKIE:
                found.append(value)
    # A signature is computed for each.
    return found[:4]


def unauthorized(detail: str) -> Problem:
    """401, with the header that it must have."""
    return Problem(401, detail, headers={b"WWW-Authenticate": b'Bearer realm="metafetch"'})


def network_of(client: str) -> str:
    """Who is counted as one: an IPv4 address, or an IPv6 /64, of which a household has at least one."""
    if ":" not in client or "." in client:
        return client.removeprefix("::ffff:")
    head, gap, tail = client.partition("%")[0].partition("::")
    groups = head.split(":") if head else []
    if gap:
        rest = tail.split(":") if tail else []
        groups += ["0"] * (8 - len(groups) - len(rest)) + rest
    return ":".join(groups[:4]) + "::"


def _check_site(headers: Headers, host: bytes) -> None:
    """Keep other sites' pages out (CSRF)."""
    origins = headers.getRawHeaders(b"Origin") or []
    fetched_by = headers.getRawHeaders(b"Sec-Fetch-Site") or []
    if any(not same_origin(origin, host) for origin in origins) or any(
        site.lower() not in (b"same-origin", b"none") for site in fetched_by
    ):
        raise Problem(403, "A page of another site may not do this (its Origin is not this Host).")
