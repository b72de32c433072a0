"""`Submission`: the lines of one post, accepted in batches as they come, and its answer.

An answer to a million lines is long: rows are kept in about 25 bytes each, and become JSON while the
client reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from functorrent.errors import InvalidMagnet
from functorrent.lines import Line
from functorrent.magnet import Magnet
from functorrent.seen import Seen
from functorrent.store.jobs import STATES, NewJob
from functorrent.text import printable
from functorrent.web.cooperate import Slices, shielded
from functorrent.web.request import to_json

if TYPE_CHECKING:
    from functorrent.web.context import WebContext

_STATE_NUMBERS = {state: number for number, state in enumerate(STATES)}
#: Rows of one piece of the answer.
_ROWS = 200
#: Lines between two looks at the clock.
_LOOK = 50


class Submission:
    """Takes lines, and hands their magnets to the queue `limits.web_batch` at a time."""

    def __init__(self, context: WebContext, slices: Slices) -> None:
        self._queue = context.queue
        self._limits = context.limits
        self._slices = slices
        #: Of the magnets that are added from now on.
        self.priority = 0
        self._batch: list[NewJob] = []
        self._seen = Seen()
        #: For each torrent: the length of its key, the key, and the number of its state.
        self._rows = bytearray()
        #: Lines whose magnets are in the store: each is there for good.
        self.accepted_lines = 0
        #: Torrents among them.
        self.accepted = 0
        self.invalid: list[dict[str, Any]] = []
        #: Invalid lines beyond those in `invalid`.
        self.invalid_omitted = 0

    async def add(self, lines: Iterable[Line]) -> None:
        """Take some lines. Raises StoreError and QueueClosed, where a batch could not be accepted."""
        for count, line in enumerate(lines, 1):
            if not count % _LOOK:
                await self._slices.breathe()
            if line.too_long:
                self._refuse(
                    line, f"too long for a magnet link (over {self._limits.max_magnet:,} characters)"
                )
                continue
            try:
                magnet = Magnet.parse(line.text)
            except InvalidMagnet as error:
                self._refuse(line, str(error))
                continue
            self._batch.append(NewJob(magnet, self.priority, None, line.number))
            if len(self._batch) >= self._limits.web_batch:
                await self.flush()

    async def flush(self) -> None:
        """Hand on what is left. Raises StoreError and QueueClosed."""
        batch, self._batch = self._batch, []
        if not batch:
            return
        answers = await self._slices.waited(shielded(self._queue.submit(batch)))
        self.accepted_lines += len(batch)
        rows, add = self._rows, self._seen.add
        for answer in answers:
            key = answer.key
            if add(key):
                rows.append(len(key))
                rows += key
                rows.append(_STATE_NUMBERS[answer.status])
                self.accepted += 1
        await self._slices.breathe()

    def _refuse(self, line: Line, why: str) -> None:
        if len(self.invalid) >= self._limits.web_invalid_rows:
            self.invalid_omitted += 1
            return
        shown = printable(line.text, self._limits.web_input_shown)
        self.invalid.append({"line": line.number, "input": shown, "error": why})

    def answer(self) -> Iterator[bytes]:
        """The JSON of the 202 answer, in pieces."""
        separator = b'{"accepted":['
        for rows in self._accepted():
            yield separator + rows
            separator = b","
        if not self.accepted:
            yield separator
        separator = b'],"invalid":['
        for at in range(0, len(self.invalid), _ROWS):
            yield separator + to_json(self.invalid[at : at + _ROWS])[1:-1]
            separator = b","
        if not self.invalid:
            yield separator
        yield b'],"invalid_omitted":%d}' % self.invalid_omitted

    def _accepted(self) -> Iterator[bytes]:
        rows, at, end = self._rows, 0, len(self._rows)
        while at < end:
            told: list[str] = []
            while at < end and len(told) < _ROWS:
                length = rows[at]
                digits = rows[at + 1 : at + 1 + length].hex()
                state = STATES[rows[at + 1 + length]]
                at += length + 2
                told.append(f'{{"infohash":"{digits}","status":"{state}","url":"/api/v1/magnets/{digits}"}}')
            yield ",".join(told).encode("ascii")
