"""The query of a request's target, read strictly: what is unknown, doubled or wrong is told, not guessed."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable

from functorrent.text import printable
from functorrent.web.problems import Problem
from functorrent.web.request import WebRequest

_WHOLE = re.compile(r"[0-9]{1,6}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,15}", re.ASCII)


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


def seconds(text: str | None, name: str, high: float) -> float:
    """A duration; 0 where there is none. Raises a Problem (400)."""
    if text is None:
        return 0.0
    if _SECONDS.fullmatch(text) is None or float(text) > high:
        raise bad(f"{name} must be seconds, from 0 to {high:g}.")
    return float(text)


def make_cursor(number: int) -> str:
    """An opaque word for where the next page begins."""
    return binascii.b2a_base64(b"%d" % number, newline=False).decode().rstrip("=").translate(_TO_URL)


def read_cursor(text: str | None) -> int | None:
    """The number in a cursor of ours. Raises a Problem (400)."""
    if text is None:
        return None
    try:
        digits = binascii.a2b_base64(text.translate(_FROM_URL) + "=" * (-len(text) % 4)).decode("ascii")
    except ValueError:
        digits = ""
    # One cursor for one place, and none that overflows the store's integers.
    if _DIGITS.fullmatch(digits) is None or make_cursor(int(digits)) != text:
        raise bad("cursor must be the next of a page before.")
    return int(digits)


_TO_URL = str.maketrans("+/", "-_")
_FROM_URL = str.maketrans("-_", "+/")


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
