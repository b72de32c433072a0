"""Strangers' strings for people to read: escaped, cut, and without their secrets (FIELD 3.13).

Names, client versions and tracker messages may hold terminal escapes, line breaks or characters that
turn the direction of writing; tracker URLs may hold the user's passkey. Whatever is shown or logged
goes through here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from unicodedata import category

#: Characters of a stranger's string that are shown.
SHOWN = 200
_CUT = "…"
#: Zero-width joiner and non-joiner: parts of honest Persian, Indic and emoji text.
_JOINERS = "\u200c\u200d"
#: Controls (C0, C1), formats (bidi, tags, byte order mark), lone surrogates, line and paragraph ends.
_ESCAPED = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))

#: Names whose values are secrets: passkey, torrent_pass, authkey, auth, token, secret, uid, pid, sid ...
_SECRET_NAME = re.compile(r"pass|pwd|auth|key|tok|secret|sig|cred|hash|user|^([upst]?id|uk|pk|u|p)$", re.I)
_PART = re.compile(r"[^&;/?#]+")
#: A run as long as a key is, or a shorter one of hex digits.
_SECRET = re.compile(
    r"[A-Za-z0-9_~+%-]{16,}=*|(?<![A-Za-z0-9])(?=[A-Fa-f]*[0-9])[0-9A-Fa-f]{8,}(?![A-Za-z0-9])"
)
_HIDDEN = "***"


def printable(text: str | bytes, limit: int = SHOWN) -> str:
    """`text` in at most about `limit` characters, what could trick a reader made visible.

    Bytes are read as UTF-8, bad ones replaced. Control, C1, bidi and other invisible characters and
    line ends become ``\\x1b`` or ``\\u202e``; what is cut off becomes an ellipsis.
    """
    if isinstance(text, bytes):
        # Enough bytes for `limit` characters and one more, so that a cut is seen.
        text = text[: 4 * limit + 4].decode("utf-8", "replace")
    if len(text) > limit:
        text = text[:limit] + _CUT
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character in _JOINERS or category(character) not in _ESCAPED:
        return character
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def redact_url(url: str) -> str:
    """A tracker's URL for logs, reports and pages: printable, with ``***`` for what may be a passkey.

    Scheme, host, port and ordinary paths (``/announce``) stay. User names and passwords, values of
    key-like names, and runs of characters that look like a key do not.
    """
    # Long URLs are a stranger's, and would fill the cache.
    return _redact_cached(url) if len(url) <= 500 else _redact(url)


def _redact(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme.isalnum():
        scheme, separator, rest = "", "", url
    cut = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    authority, rest = rest[:cut], rest[cut:]
    if not separator:
        authority, rest = "", authority + rest
    _, at, host = authority.rpartition("@")
    authority = f"{_HIDDEN}@{host}" if at else host
    rest = _PART.sub(_redact_part, rest)
    return printable(scheme + separator + authority + rest, limit=500)


_redact_cached = lru_cache(maxsize=4096)(_redact)


def _redact_part(match: re.Match[str]) -> str:
    """A component of the path, or a name and its value."""
    _, at, part = match.group().rpartition("@")
    lead = f"{_HIDDEN}@" if at else ""
    name, _, value = part.partition("=")
    if not value.strip("="):
        return lead + _SECRET.sub(_HIDDEN, part)
    if any(map(str.isdigit, name)):
        name = _SECRET.sub(_HIDDEN, name)
    return f"{lead}{name}={_HIDDEN if _SECRET_NAME.search(name) else _SECRET.sub(_HIDDEN, value)}"


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """``1 peer``, ``2 peers``, ``12,000 peers``, ``0 peers``; `nouns` where an s does not do."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"
