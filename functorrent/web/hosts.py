"""Which names the daemon answers to: the Host header and the Origin header, against other sites.

A page of a stranger's site can make its visitor's browser call us: under a name that the stranger lets
point at 127.0.0.1 (DNS rebinding), or as itself (CSRF). The first names itself in Host, the second in
Origin or Sec-Fetch-Site.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: What a browser on the same machine may call us by.
LOCAL = frozenset(("localhost", "127.0.0.1", "::1"))
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]{1,253}))(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"https?://([^/?#@]+)")


def split_host(header: bytes) -> tuple[str, str] | None:
    """Host (in small letters, an IPv6 literal without brackets) and port ("" for none or the schemes' own).

    None where `header` is no host.
    """
    match = _AUTHORITY.fullmatch(header.decode("latin-1"))
    if match is None:
        return None
    port = match[3] or ""
    return (match[1] or match[2]).lower().rstrip("."), "" if port in ("80", "443") else port


class HostGuard:
    """Knows our names: the local ones, the address that a connection came in at, and `names`."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = LOCAL | {name.lower().rstrip(".").strip("[]") for name in names}

    def allows(self, host: str, address: str) -> bool:
        """Whether `host` is ours; `address`: what the connection came in at, of our own."""
        return host in self._names or host == address.lower().removeprefix("::ffff:")


def same_origin(origin: bytes, host: bytes) -> bool:
    """Whether an Origin header names the site that the Host header does.

    The scheme is left out: a reverse proxy may speak HTTPS for us.
    """
    match = _ORIGIN.fullmatch(origin.decode("latin-1"))
    site = None if match is None else split_host(match[1].encode("latin-1"))
    return site is not None and site == split_host(host)
