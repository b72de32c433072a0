"""Tracker URLs, read once each: what to dial, what to send, what to show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from functorrent.errors import TrackerUnsupported
from functorrent.text import printable, redact_url
from functorrent.wire.udp_tracker import encode_options

#: A longer URL is nobody's tracker (udp:// options and request lines have room for less).
MAX_URL = 2048
_SAFE = "!$%&'()*+,/:;=?@[]~-._"
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")


@dataclass(frozen=True, slots=True, eq=False)
class Tracker:
    """A tracker as its URL names it; one object for each distinct URL, so it is its own key.

    `scheme` is udp, http or https; `host` ASCII without brackets; `options` what goes along in a UDP
    announce (BEP 41); `base` the URL of an HTTP announce, ready for our parameters; `given` their
    names that the URL has already; `shown` the URL without its secrets; `trusted`: the user typed it.
    """

    url: str
    shown: str
    scheme: str
    host: str
    port: int
    trusted: bool
    options: bytes = b""
    base: str = ""
    given: frozenset[str] = frozenset()

    @property
    def origin(self) -> tuple[str, str, int, bool]:
        """What trackers share that are one server to us."""
        return (self.scheme, self.host, self.port, self.trusted)


def parse_tracker(url: str, *, trusted: bool = False) -> Tracker:
    """Read a tracker's URL. Raises TrackerUnsupported, with words for a report."""
    if len(url) > MAX_URL:
        raise TrackerUnsupported(f"a URL of {len(url)} characters")
    try:
        parts = urlsplit(url.strip())
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        raise TrackerUnsupported("not a usable URL") from None
    if scheme in ("ws", "wss"):
        raise TrackerUnsupported("a WebTorrent tracker, which names no peers that we could reach")
    if scheme not in ("udp", "http", "https"):
        raise TrackerUnsupported(f"not a tracker's URL ({printable(scheme, 20)}:)" if scheme else "not a URL")
    try:
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        host = ""
    if not _HOST.fullmatch(host):
        raise TrackerUnsupported("a URL without a usable host")
    if port is None:
        if scheme == "udp":
            raise TrackerUnsupported("a UDP tracker's URL without a port")
        port = 80 if scheme == "http" else 443
    if port == 0:
        raise TrackerUnsupported("a URL with port 0")
    path, query = quote(parts.path, safe=_SAFE), quote(parts.query, safe=_SAFE)
    shown = redact_url(url)
    if scheme == "udp":
        options = encode_options(f"{path}?{query}" if query else path)
        return Tracker(url, shown, scheme, host, port, trusted, options)
    names = frozenset(part.partition("=")[0] for part in query.split("&"))
    place = f"[{host}]" if ":" in host else host
    base = f"{scheme}://{place}:{port}{path or '/'}?{query}{'&' if query else ''}"
    return Tracker(url, shown, scheme, host, port, trusted, b"", base, names)
