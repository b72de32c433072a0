"""`page_routes`: the page's places in the daemon's HTTP site.

Nothing here needs a token: the page holds no data, it asks the API for that. Nothing is read from a
path that a request names: names are looked up among those that were there at the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from functorrent.web.page.assets import Asset, load_assets, load_shell

if TYPE_CHECKING:
    from klein import Klein
    from twisted.web.server import Request

#: Everything from here, nothing inline, in nobody's frame. Trusted types: a browser that knows them
#: refuses to make markup of a string, should a script ever try.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Kept, but asked for again each time: after an upgrade, script and page are of one version.
    "Cache-Control": "no-cache",
}


class PageContext(Protocol):
    """What the page needs of the site's context."""

    @property
    def version(self) -> str:
        """The program's version."""


def page_routes(app: Klein, context: PageContext) -> None:
    """Add `/` and `/page/...` to `app`. Reads the files now, once."""
    assets = load_assets()
    shell = load_shell(context.version, assets)

    @app.route("/", methods=["GET"])
    def page(request: Request) -> bytes:
        return _serve(request, shell)

    @app.route("/page/<name>", methods=["GET"])
    def asset(request: Request, name: str) -> bytes:
        found = assets.get(name)
        if found is None:
            request.setResponseCode(404)
            request.setHeader("Content-Type", "text/plain; charset=utf-8")
            request.setHeader("X-Content-Type-Options", "nosniff")
            return b"There is no such file.\n"
        return _serve(request, found)


def _serve(request: Request, asset: Asset) -> bytes:
    for name, value in _HEADERS.items():
        request.setHeader(name, value)
    request.setHeader("Content-Type", asset.content_type)
    # Answers 304 by itself, and an empty body then, when the browser has this one.
    if request.setETag(asset.etag.encode()):
        return b""
    # Klein would send it in chunks.
    request.setHeader("Content-Length", str(len(asset.body)))
    return asset.body
