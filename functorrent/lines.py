"""Lines of magnets out of slices of bytes: what the command and the watch folder read.

A line is numbered from 1; blank lines and lines that begin with ``#`` are skipped but counted. A
line over the limit is never kept whole. Byte order marks, CRLF and bad UTF-8 are put up with.
"""

from __future__ import annotations

import os
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from codecs import IncrementalDecoder

SLICE = 64 * 1024
#: Bytes of an overlong line that are kept to show which one it was.
_SHOWN = 80


class Line(NamedTuple):
    """One line that is neither blank nor a comment.

    `number` counts from 1. `too_long`: the line was over the limit, `text` is only its beginning.
    """

    number: int
    text: str
    too_long: bool = False


class LineSplitter:
    """Cuts slices of a file into lines. Keeps at most `max_line` bytes of an unfinished line."""

    def __init__(self, max_line: int) -> None:
        self._max = max_line
        self._rest = b""
        self._number = 0
        self._dropping = False
        self._started = False
        self._decoder: IncrementalDecoder | None = None

    def feed(self, data: bytes) -> list[Line]:
        """The lines that end within `data`."""
        if not self._started:
            data = self._rest + data
            if len(data) < len(BOM_UTF8):
                self._rest = data
                return []
            data = self._begin(data)
        elif self._decoder is not None:
            data = self._decoder.decode(data).encode("utf-8", "replace")
        return self._split(data)

    def finish(self) -> list[Line]:
        """The last line, where no line end follows it."""
        lines = [] if self._started else self._split(self._begin(self._rest))
        rest, self._rest = self._rest, b""
        return lines + self._lines([rest]) if rest else lines

    def _begin(self, data: bytes) -> bytes:
        self._started = True
        self._rest = b""
        if data.startswith(BOM_UTF8):
            return data[len(BOM_UTF8) :]
        if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
            # What `>` writes in Windows PowerShell.
            self._decoder = getincrementaldecoder("utf-16")("replace")
            return self._decoder.decode(data).encode("utf-8", "replace")
        return data

    def _split(self, data: bytes) -> list[Line]:
        pieces = (self._rest + data).split(b"\n")
        self._rest = pieces.pop()
        lines = self._lines(pieces)
        if len(self._rest) > self._max:
            if not self._dropping:
                self._dropping = True
                lines.append(_overlong(self._number + 1, self._rest))
            self._rest = b""
        return lines

    def _lines(self, pieces: list[bytes]) -> list[Line]:
        lines = []
        number = self._number
        for piece in pieces:
            number += 1
            if self._dropping:
                self._dropping = False
                continue
            piece = piece.strip()
            if not piece or piece[0] == 0x23:
                continue
            if len(piece) > self._max:
                lines.append(_overlong(number, piece))
            else:
                lines.append(Line(number, piece.decode("utf-8", "replace")))
        self._number = number
        return lines


def _overlong(number: int, piece: bytes) -> Line:
    return Line(number, piece[:_SHOWN].decode("utf-8", "replace"), True)


class LineReader:
    """The lines of an open file, read a slice at a time.

    Reading blocks, so it is for regular files. Takes over the descriptor and closes it at the end.
    """

    def __init__(self, descriptor: int, max_line: int) -> None:
        self._descriptor = descriptor
        self._splitter = LineSplitter(max_line)
        self._ready: deque[Line] = deque()
        #: Bytes read so far.
        self.consumed = 0

    def next(self) -> Line | None:
        """The next line; None at the end. Raises OSError where reading fails."""
        while not self._ready:
            if self._descriptor < 0:
                return None
            data = os.read(self._descriptor, SLICE)
            self.consumed += len(data)
            self._ready.extend(self._splitter.feed(data) if data else self._splitter.finish())
            if not data:
                self.close()
        return self._ready.popleft()

    def close(self) -> None:
        """Let go of the file; what was read already is still given out."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
