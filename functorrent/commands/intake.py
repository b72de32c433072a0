"""From lines to magnets that must be fetched: parsed, each infohash once, not there already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from functorrent.errors import InvalidMagnet
from functorrent.magnet import Magnet
from functorrent.seen import Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from functorrent.commands.inputs import Inputs
    from functorrent.commands.results import Place, Results
    from functorrent.metainfo import InfoSummary

#: Lines that need no fetch, after which the reactor gets its turn (some 10 ms of work).
_AT_ONCE = 500


class Intake:
    """Gives out magnets that need a fetch, and tells the outcome of lines that need none.

    `folder.existing` finds files that are there; `cached_summary` makes the summary of one, for JSON.
    """

    def __init__(
        self,
        inputs: Inputs,
        results: Results,
        folder: Any,
        cached_summary: Callable[[str], InfoSummary | None],
        max_line: int,
    ) -> None:
        self._inputs = inputs
        self._results = results
        self._existing: Callable[[bytes, str | None], str | None] = folder.existing
        self._cached_summary = cached_summary
        self._max_line = max_line
        self._seen = Seen()
        #: Takes a magnet whose infohash came before: its trackers and peers may help.
        self.again: Callable[[Magnet], object] = lambda magnet: None
        #: Whether `next` stopped for the reactor's sake: there may be more at once.
        self.busy = False
        self.streams = inputs.streams

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._inputs.ended

    def close(self) -> None:
        """Nothing more is wanted."""
        self.busy = False
        self._inputs.close()

    def next(self) -> tuple[Magnet, Place] | None:
        """The next magnet to fetch and where it came from; None: none now (see `busy`, `ended`)."""
        inputs = self._inputs
        self.busy = False
        for _ in range(_AT_ONCE):
            line = inputs.next()
            if line is None:
                return None
            number, text, too_long = line
            place = (inputs.source, number or None)
            if too_long:
                self._results.is_invalid(text, place, f"a line of more than {self._max_line} characters")
                continue
            try:
                magnet = Magnet.parse(text)
            except InvalidMagnet as error:
                self._results.is_invalid(text, place, str(error))
                continue
            infohash = magnet.infohash
            if not self._seen.add(infohash or magnet.infohash_v2 or b""):
                self.again(magnet)
                continue
            path = self._existing(infohash, magnet.name) if infohash is not None else None
            if path is None:
                return magnet, place
            summary = self._cached_summary(path) if self._results.as_json else None
            self._results.was_cached(magnet, place, path, summary)
        self.busy = True
        return None
