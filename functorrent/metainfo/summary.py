"""What an info dictionary says of its content: name, size, files (BEP 3, 27, 47, 52).

All of it is a stranger's words: names may hold anything, sizes may be negative or huge. Nothing here
refuses a dictionary that hashes right; oddities become warnings.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from functorrent.errors import BencodeError, InvalidTorrent
from functorrent.limits import DEFAULT_LIMITS
from functorrent.wire.lenient import Scan, ScanSteps, scan_info

#: No content is longer, and no database or JSON reader counts further.
_MAX_SIZE = 2**63 - 1
_MAX_PIECE = 2**40

BAD_SIZE = "a size that is no size"
BAD_PIECE_LENGTH = "a piece length that is no length"
NO_NAME = "no name"
NO_FILES = "no files"


class InfoSummary(NamedTuple):
    """What an info dictionary says.

    `name`: bad UTF-8 replaced, "" where there is none; `size`: bytes of content, padding files left
    out; `files`: how many, padding files left out; `private`: BEP 27; `piece_length`: bytes, 0 where
    it is unusable; `version`: ``v1``, ``v2`` or ``hybrid``; `warnings`: sentences.
    """

    name: str
    size: int
    files: int
    private: bool
    piece_length: int
    version: str
    warnings: tuple[str, ...]


class FileEntry(NamedTuple):
    """One file: the parts of its path (a stranger's; bad UTF-8 replaced), bytes, whether padding."""

    path: tuple[str, ...]
    size: int
    padding: bool


def summarize(info_bytes: bytes) -> InfoSummary:
    """Read an info dictionary at once: a microsecond for each value. Raises InvalidTorrent."""
    counter = _Counter()
    try:
        return _summary(scan_info(info_bytes, items=DEFAULT_LIMITS.info_tokens, reduce=counter), counter)
    except BencodeError as error:
        raise InvalidTorrent(f"this is not an info dictionary: {error}") from None


class SummarySteps:
    """Reads a long info dictionary in slices: iterate to the end, then ask for `result()`.

    For `twisted.internet.task.cooperate`. Iteration raises InvalidTorrent where it is none.
    """

    def __init__(self, info_bytes: bytes, pause: int = 5000) -> None:
        self._counter = _Counter()
        self._steps = ScanSteps(
            info_bytes, items=DEFAULT_LIMITS.info_tokens, reduce=self._counter, pause=pause
        )

    def __iter__(self) -> SummarySteps:
        return self

    def __next__(self) -> None:
        try:
            next(self._steps)
        except BencodeError as error:
            raise InvalidTorrent(f"this is not an info dictionary: {error}") from None

    def result(self) -> InfoSummary:
        """The summary, after the last step. Raises InvalidTorrent."""
        try:
            return _summary(self._steps.result(), self._counter)
        except BencodeError as error:
            raise InvalidTorrent(f"this is not an info dictionary: {error}") from None


class _Counter:
    """Counts files while they are read, and lets go of them: 100,000 files cost no memory.

    A `functorrent.wire.lenient.Reduce`. `v1` and `v2`: (files, bytes), None where there is no such list.
    """

    def __init__(self) -> None:
        self.v1: tuple[int, int] | None = None
        self.v2: tuple[int, int] | None = None
        self.bad_size = False
        self._listed = [0, 0]
        self._leaves = [0, 0]

    def __call__(self, level: int, key: bytes | None, box: Any) -> None:
        if level == 1:
            # Only here is it known whose entries these were.
            if key == b"files" and type(box) is list and self.v1 is None:
                self.v1 = (self._listed[0], self._listed[1])
            elif key == b"file tree" and type(box) is dict and self.v2 is None:
                self.v2 = (self._leaves[0], self._leaves[1])
            self._listed = [0, 0]
            self._leaves = [0, 0]
        elif type(box) is dict:
            if level == 2 and key is None:
                self._count(self._listed, box)
            elif key == b"" and level > 2:
                self._count(self._leaves, box)

    def _count(self, counts: list[int], box: dict[bytes, Any]) -> None:
        if b"attr" in box and _is_padding(box):
            return
        counts[0] += 1
        length = box.get(b"length")
        if type(length) is int and 0 <= length <= _MAX_SIZE:
            counts[1] += length
        else:
            self.bad_size = True


def _summary(scan: Scan, counter: _Counter) -> InfoSummary:
    value = scan.value
    get = value.get
    warnings = list(scan.warnings)
    name = text_of(value, b"name")
    if not name:
        warnings.append(NO_NAME)
    v1, bad_size = counter.v1, counter.bad_size
    if v1 is None and b"length" in value:
        length = get(b"length")
        if type(length) is int and 0 <= length <= _MAX_SIZE:
            v1 = (1, length)
        else:
            v1, bad_size = (1, 0), True
    if bad_size:
        warnings.append(BAD_SIZE)
    files, size = v1 or counter.v2 or (0, 0)
    if not files:
        warnings.append(NO_FILES)
    if size > _MAX_SIZE:
        size = _MAX_SIZE
    piece_length = get(b"piece length")
    if type(piece_length) is not int or not 0 < piece_length <= _MAX_PIECE:
        warnings.append(BAD_PIECE_LENGTH)
        piece_length = 0
    if get(b"meta version") == 2 and b"file tree" in value:
        version = "hybrid" if b"pieces" in value else "v2"
    else:
        version = "v1"
    return InfoSummary(name, size, files, get(b"private") == 1, piece_length, version, tuple(warnings))


def text_of(value: dict[bytes, Any], key: bytes) -> str:
    """The text of a key: of its ``.utf-8`` sibling where that is there, bad bytes replaced, else ""."""
    data = value.get(key + b".utf-8") or value.get(key)
    return data.decode("utf-8", "replace") if type(data) is bytes else ""


def _is_padding(box: dict[bytes, Any]) -> bool:
    attr = box.get(b"attr")
    return type(attr) is bytes and b"p" in attr


def list_files(info_bytes: bytes) -> Iterator[FileEntry]:
    """The files, padding files too, in the dictionary's order. Raises InvalidTorrent.

    v1's list where there is one, else v2's tree. All of the dictionary is read into memory first.
    """
    try:
        value = scan_info(info_bytes, items=DEFAULT_LIMITS.info_tokens).value
    except BencodeError as error:
        raise InvalidTorrent(f"this is not an info dictionary: {error}") from None
    files, tree = value.get(b"files"), value.get(b"file tree")
    if type(files) is list:
        return (_entry(_path(box), box) for box in files if type(box) is dict)
    if b"length" in value or type(tree) is not dict:
        return iter([_entry((text_of(value, b"name"),), value)] if b"length" in value else [])
    return _leaves(tree)


def _entry(path: tuple[str, ...], box: dict[bytes, Any]) -> FileEntry:
    length = box.get(b"length")
    size = length if type(length) is int and 0 <= length <= _MAX_SIZE else 0
    return FileEntry(path, size, _is_padding(box))


def _path(box: dict[bytes, Any]) -> tuple[str, ...]:
    parts = box.get(b"path.utf-8") or box.get(b"path")
    if type(parts) is not list:
        return ()
    return tuple(part.decode("utf-8", "replace") for part in parts if type(part) is bytes)


def _leaves(tree: dict[bytes, Any]) -> Iterator[FileEntry]:
    """The files of a v2 tree: each is a dictionary under the key "" (BEP 52, file tree)."""
    todo: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    while todo:
        path, box = todo.pop()
        if type(box) is not dict:
            continue
        leaf = box.get(b"")
        if path and type(leaf) is dict:
            yield _entry(path, leaf)
        # Backwards, since the last one in is the first one out.
        for key in reversed(box):
            if key:
                todo.append(((*path, key.decode("utf-8", "replace")), box[key]))
