"""URLs of .torrent files as magnets name them, read once each: what to send, what to show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from functorrent.text import printable

if TYPE_CHECKING:
    from functorrent.magnet import Magnet

#: A longer URL does not go into a request line of every server.
MAX_URL = 2048
#: Characters of a host that are shown.
_SHOWN = 80
_SAFE = "!$%&'()*+,/:;=?@[]~-._"
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_DEFAULT = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a .torrent file is said to be.

    `url` can be sent as it is; `server` is the URL up to its path, which those share that are one server
    to us; `host` is for people, and all that is shown: paths and queries may hold a passkey.
    """

    url: str
    server: str
    host: str


def parse_place(url: str) -> Place | None:
    """Read an http or https URL; None for what is none, or has a name and password in it."""
    if len(url) > MAX_URL:
        return None
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
        if scheme not in _DEFAULT or "@" in parts.netloc:
            return None
        host = host if host.isascii() else host.encode("idna").decode("ascii")
        path, query = quote(parts.path, safe=_SAFE), quote(parts.query, safe=_SAFE)
    except ValueError:  # of what urllib cannot parse, ports over 65535, lone surrogates, and idna
        return None
    if not _HOST.fullmatch(host):
        return None
    place = f"[{host}]" if ":" in host else host
    server = f"{scheme}://{place}" if port in (None, _DEFAULT[scheme]) else f"{scheme}://{place}:{port}"
    return Place(f"{server}{path or '/'}{'?' if query else ''}{query}", server, printable(place, _SHOWN))


def places(magnet: Magnet) -> Iterator[Place]:
    """The places that a magnet names, each once: ``xs`` first, then ``as``, then ``ws`` of a .torrent.

    What else they may name (``urn:``, ``magnet:``, folders of content) is passed over.
    """
    seen: set[str] = set()
    for urls, whole in (
        (magnet.exact_sources, False),
        (magnet.acceptable_sources, False),
        (magnet.web_seeds, True),
    ):
        for url in urls:
            # A web seed is the content, or a folder of it, unless it says otherwise.
            if whole and ".torrent" not in url.lower():
                continue
            place = parse_place(url)
            if place is None or place.url in seen:
                continue
            if not whole or place.url.partition("?")[0].lower().endswith(".torrent"):
                seen.add(place.url)
                yield place
