"""The query of a request's target, read strictly: what is unknown, doubled or wrong is told, not guessed."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable

from functorrent.text import printable
from functorrent.web.problems import Problem
from functorrent.web.request import WebRequest

_WHOLE = re.compile(r"[0-9]{1,6}", re.ASCII)
#: Far within what a database counts to.
_CURSOR = re.compile(r"[0-9a-f]{1,12}", re.ASCII)


def bad(detail: str) -> Problem:
    """400."""
    return Problem(400, detail)


def arguments(request: WebRequest, known: Iterable[str]) -> dict[str, str]:
    """The query's values by name. Raises a Problem (400)."""
    known = set(known)
    found: dict[str, str] = {}
    for raw, values in request.args.items():
        try:
            name, value = raw.decode("utf-8"), values[0].decode("utf-8")
        except UnicodeDecodeError:
            raise bad("The query is not UTF-8.") from None
        if name not in known:
            raise bad(
                f"The query's {printable(name, 50)} is unknown here; known: {', '.join(sorted(known))}."
            )
        if len(values) > 1:
            raise bad(f"The query has {name} more than once.")
        found[name] = value
    return found


def whole(text: str | None, name: str, low: int, high: int, default: int) -> int:
    """A whole number within bounds. Raises a Problem (400)."""
    if text is None:
        return default
    if _WHOLE.fullmatch(text) is None or not low <= int(text) <= high:
        raise bad(f"{name} must be a whole number from {low} to {high}.")
    return int(text)


def make_cursor(number: int) -> str:
    """An opaque word for where the next page begins."""
    return f"{number:x}"


def read_cursor(text: str | None) -> int | None:
    """The number in a cursor of ours. Raises a Problem (400)."""
    if text is None:
        return None
    if _CURSOR.fullmatch(text) is None:
        raise bad("cursor must be the next of a page before.")
    return int(text, 16)


def infohash_of(text: str) -> bytes:
    """The key that a path names: 40 hex digits, or 64. Raises a Problem (404)."""
    try:
        if len(text) in (40, 64):
            return binascii.unhexlify(text)
    except ValueError:
        pass
    raise Problem(404, "An infohash has 40 hex digits, or 64 where it is v2; this path has something else.")


def no_job() -> Problem:
    """Nobody has submitted it."""
    return Problem(404, "No magnet with this infohash was submitted.")
