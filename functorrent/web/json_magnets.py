"""The JSON body of a post, ``{"magnets": [...], "priority": 0}``, read a magnet at a time.

json.loads would hold the reactor for as long as 4 MiB take, and make a hundred megabytes of objects out
of a body of empty lists. Nothing but this shape is read, so nothing else can cost anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from typing import Any

from functorrent.store.jobs import HIGHEST, LOWEST
from functorrent.web.problems import Problem

_BLANK = re.compile(r"[ \t\r\n]*")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,8})(?![0-9.eE])")
_decoder = json.JSONDecoder()
SHAPE = 'The body must be {"magnets": ["magnet:?...", ...], "priority": 0}; priority may be left out.'


class JSONMagnets:
    """Reads the body: iterate to the end, other work in between, then take `magnets` and `priority`.

    Raises a Problem (400) with a sentence that says where the body is wrong.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self._text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise Problem(400, "The body is not UTF-8.") from None
        self.magnets: list[str] = []
        self.priority = 0

    def __iter__(self) -> Iterator[None]:
        """Pauses after each few hundred magnets."""
        seen: set[str] = set()
        at = self._expect("{", 0)
        while True:
            name, at = self._string(at, "a name")
            if name in seen:
                raise _wrong(f"{name} stands there twice")
            if name not in ("magnets", "priority"):
                raise _wrong("is a name other than magnets and priority")
            seen.add(name)
            at = self._expect(":", at)
            if name == "magnets":
                at = yield from self._magnets(at)
            else:
                at = self._priority(at)
            at = self._skip(at)
            if self._text[at : at + 1] == "}":
                break
            at = self._expect(",", at)
        if self._skip(at + 1) != len(self._text):
            raise _wrong("something follows behind its end")
        if "magnets" not in seen:
            raise _wrong("are no magnets")

    def _magnets(self, at: int) -> Generator[None, None, int]:
        at = self._expect("[", at)
        at = self._skip(at)
        if self._text[at : at + 1] == "]":
            return at + 1
        magnets = self.magnets
        while True:
            magnet, at = self._string(at, f"magnet {len(magnets) + 1}")
            magnets.append(magnet)
            if not len(magnets) % 500:
                yield
            at = self._skip(at)
            if self._text[at : at + 1] == "]":
                return at + 1
            at = self._expect(",", at)

    def _priority(self, at: int) -> int:
        match = _INTEGER.match(self._text, self._skip(at))
        if match is None or not LOWEST <= int(match[0]) <= HIGHEST:
            raise _wrong(f"priority must be a whole number from {LOWEST} to {HIGHEST}")
        self.priority = int(match[0])
        return match.end()

    def _string(self, at: int, what: str) -> tuple[str, int]:
        at = self._skip(at)
        if self._text[at : at + 1] != '"':
            raise _wrong(f"{what} is not a string")
        try:
            value: Any
            value, at = _decoder.raw_decode(self._text, at)
        except ValueError:
            raise _wrong(f"{what} is not a string that JSON allows") from None
        return value, at

    def _expect(self, sign: str, at: int) -> int:
        at = self._skip(at)
        if self._text[at : at + 1] != sign:
            raise _wrong(f"there is no {sign} at character {at}")
        return at + 1

    def _skip(self, at: int) -> int:
        match = _BLANK.match(self._text, at)
        return at if match is None else match.end()


def _wrong(why: str) -> Problem:
    return Problem(400, f"{SHAPE} Here {why}.")
