"""The page's files, read once from the package: bodies, types and ETags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template

#: Content types by the end of the name. A file of another kind is not served.
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HTML = "text/html; charset=utf-8"
#: The script that the shell starts; it imports the others.
_ENTRY = "app.js"


@dataclass(frozen=True, slots=True)
class Asset:
    """One thing to serve. `etag`: quoted, as in the header; another body has another."""

    content_type: str
    body: bytes = field(repr=False)
    etag: str


def load_assets() -> Mapping[str, Asset]:
    """Everything under ``/page/``, by name. No other names are ever looked up."""
    found: dict[str, Asset] = {}
    for entry in sorted(files(__package__).joinpath("static").iterdir(), key=lambda entry: entry.name):
        kind = _TYPES.get(entry.name[entry.name.rfind(".") :])
        if kind is not None:
            found[entry.name] = _asset(kind, entry.read_bytes())
    return found


def load_shell(version: str, assets: Mapping[str, Asset]) -> Asset:
    """The page itself. It names every module, so that the browser asks for all of them at once."""
    modules = "\n".join(
        f'<link rel="modulepreload" href="/page/{escape(name)}">'
        for name in assets
        if name.endswith(".js") and name != _ENTRY
    )
    shell = files(__package__).joinpath("shell.html").read_text(encoding="utf-8")
    text = Template(shell).substitute(version=escape(version), modules=modules, entry=_ENTRY)
    return _asset(_HTML, text.encode())


def _asset(content_type: str, body: bytes) -> Asset:
    return Asset(content_type, body, f'"{sha256(body).hexdigest()[:32]}"')
