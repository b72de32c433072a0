"""`/api/v1/session`: the page's login, a cookie for the token."""

from __future__ import annotations

import json

from klein import Klein

from functorrent.web.doors import COOKIE, Doors, cookies_of
from functorrent.web.problems import Problem
from functorrent.web.queries import arguments
from functorrent.web.request import WebRequest


def session_routes(app: Klein, doors: Doors) -> None:
    """Add it to `app`."""

    @app.route("/api/v1/session", methods=["GET"])
    def session(request: WebRequest) -> None:
        arguments(request, ())
        valid = doors.logged_in(request.requestHeaders, request.client_host)
        request.send_json({"required": doors.required, "valid": valid})

    @app.route("/api/v1/session", methods=["POST"])
    async def login(request: WebRequest) -> None:
        arguments(request, ())
        data = await request.body.read_all(request.limits.web_small_body)
        doors.check_secret(_token_in(data), request.client_host)
        if doors.sessions is not None:
            _set_cookie(request, doors.sessions.begin(), int(doors.session_life))
        request.send_nothing()

    @app.route("/api/v1/session", methods=["DELETE"])
    def logout(request: WebRequest) -> None:
        arguments(request, ())
        if doors.sessions is not None:
            for value in cookies_of(request.requestHeaders):
                doors.sessions.end(value)
        _set_cookie(request, b"", 0)
        request.send_nothing()


def _token_in(data: bytes) -> bytes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise Problem(400, "The body is not JSON.") from None
    if not isinstance(value, dict) or set(value) != {"token"} or not isinstance(value["token"], str):
        raise Problem(400, 'The body must be {"token": "..."}.')
    token: str = value["token"]
    return token.encode("utf-8", "surrogatepass")


def _set_cookie(request: WebRequest, value: bytes, life: int) -> None:
    cookie = b"%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict" % (COOKIE, value, life)
    # Whoever sets the header falsely hurts only his own cookie.
    if request.isSecure() or request.getHeader(b"X-Forwarded-Proto") == b"https":
        cookie += b"; Secure"
    request.responseHeaders.addRawHeader(b"Set-Cookie", cookie)
