"""A page of an info dictionary's file list, read in slices, keeping no more than the page (BEP 3, 47, 52).

A hostile dictionary of 32 MiB holds a million files; all of them at once would cost a gigabyte.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from functorrent.errors import BencodeError, InvalidTorrent
from functorrent.limits import DEFAULT_LIMITS
from functorrent.metainfo.summary import text_of
from functorrent.web.cooperate import Slices
from functorrent.wire.lenient import ScanSteps

File = tuple[tuple[str, ...], int]
_MAX_SIZE = 2**63 - 1
#: No key is None.
_END: tuple[Any, Any] = (None, None)


class FilePage(NamedTuple):
    """Some files, each its path and bytes, and how many there are; padding files are left out."""

    files: list[File]
    total: int


async def read_files(info_bytes: bytes, start: int, limit: int, slices: Slices) -> FilePage:
    """The files from `start` on, at most `limit`, in the dictionary's order. Raises InvalidTorrent.

    v1's list where there is one, else v2's tree.
    """
    reader = _Reader(start, start + limit)
    steps = ScanSteps(info_bytes, items=DEFAULT_LIMITS.info_tokens, reduce=reader, pause=500)
    try:
        for _ in steps:
            await slices.breathe()
        value = steps.result().value
    except BencodeError as error:
        raise InvalidTorrent(f"this is not an info dictionary: {error}") from None
    if reader.listed is not None:
        return reader.listed
    if b"length" in value or reader.tree is None:
        single: list[File] = []
        if b"length" in value:
            single.append(((text_of(value, b"name"),), _size(value)))
        return FilePage(single[start : start + limit], len(single))
    return await _page_of_tree(reader.tree, start, start + limit, slices)


class _Reader:
    """Takes files out of the dictionary while it is read. A `functorrent.wire.lenient.Reduce`."""

    def __init__(self, start: int, end: int) -> None:
        self._start = start
        self._end = end
        self.listed: FilePage | None = None
        #: v2's: folders are dictionaries, files are their sizes, padding is None.
        self.tree: dict[bytes, Any] | None = None
        self._page: list[File] = []
        self._total = 0

    def __call__(self, level: int, key: bytes | None, box: Any) -> Any:
        if level == 1:
            # Only here is it known whose entries these were.
            if key == b"files" and type(box) is list and self.listed is None:
                self.listed = FilePage(self._page, self._total)
                self.tree = None
            elif key == b"file tree" and type(box) is dict and self.tree is None and self.listed is None:
                self.tree = box
            self._page, self._total = [], 0
            return None
        if level == 2 and key is None:
            if type(box) is dict and not _is_padding(box):
                if self._start <= self._total < self._end:
                    self._page.append((_path(box), _size(box)))
                self._total += 1
            return None
        if key == b"" and type(box) is dict:
            return None if _is_padding(box) else _size(box)
        return box if type(box) is dict or key in (b"path", b"path.utf-8") else None


async def _page_of_tree(tree: dict[bytes, Any], start: int, end: int, slices: Slices) -> FilePage:
    page: list[File] = []
    total = seen = 0
    # Where the walk is in each folder from the top down: a folder may have 100,000 entries.
    path: list[bytes] = []
    folders: list[Iterator[tuple[bytes, Any]]] = [iter(tree.items())]
    while folders:
        seen += 1
        if not seen % 500:
            await slices.breathe()
        key, box = next(folders[-1], _END)
        if type(box) is dict and key:
            path.append(key)
            folders.append(iter(box.items()))
            if type(box.get(b"")) is int:
                if start <= total < end:
                    page.append((tuple(part.decode("utf-8", "replace") for part in path), box[b""]))
                total += 1
        elif key is None:
            folders.pop()
            if path:
                path.pop()
    return FilePage(page, total)


def _size(box: dict[bytes, Any]) -> int:
    length = box.get(b"length")
    return length if type(length) is int and 0 <= length <= _MAX_SIZE else 0


def _is_padding(box: dict[bytes, Any]) -> bool:
    attr = box.get(b"attr")
    return type(attr) is bytes and b"p" in attr


def _path(box: dict[bytes, Any]) -> tuple[str, ...]:
    parts = box.get(b"path.utf-8") or box.get(b"path")
    if type(parts) is not list:
        return ()
    return tuple(part.decode("utf-8", "replace") for part in parts if type(part) is bytes)
