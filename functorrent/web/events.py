"""`EventHub`: what changes in the store, told to every open stream, with the last changes kept.

A stream has no queue of its own: it has a place in the one log of events. Who falls far behind, or comes
back too late, is told to load the list again (`reset`), so that a post of 100,000 magnets costs a stream
one line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from functorrent.store.jobs import Job
from functorrent.web.request import to_json
from functorrent.web.stats import stats_of

if TYPE_CHECKING:
    from functorrent.web.context import WebContext

#: Seconds between a commit and its events: those of one moment go out together.
_GATHER = 0.05
_STATS_EVERY = 1.0
#: Events that one stream gets in one go.
_AT_ONCE = 50


class Stream:
    """One reader of events: `write(bytes)` sends, `ended()` is called when the hub closes.

    `place`: the number of the last event it has had. `ready`: whether its client takes more now.
    """

    def __init__(self, write: Callable[[bytes], None], ended: Callable[[], None], place: int) -> None:
        self.write = write
        self.ended = ended
        self.place = place
        self.ready = True
        self.stats_told = 0
        self.spoke = 0.0


class EventHub:
    """The log of events, and the streams that read it."""

    def __init__(self, context: WebContext) -> None:
        self._clock = context.clock
        self._context = context
        self._limits = context.limits
        self._boot = context.boot
        #: The jobs of the last events, and from first use their frames; the newest has the number `last`.
        self._log: deque[_Entry] = deque()
        self._text = 0
        #: Number of the newest event.
        self.last = 0
        #: The one that was told last stands at the end.
        self.streams: dict[Stream, None] = {}
        self._pump_call: Any = None
        self._beat_call: Any = None
        self._stats_call: Any = None
        self._stats_due = 0.0
        self._stats_stale = False
        self._stats_frame = b""
        self._stats_number = 0
        self._closed = False
        context.store.watch(self.changed)

    # -- from the store ------------------------------------------------------------------------

    def changed(self, jobs: Sequence[Job]) -> None:
        """These jobs have changed."""
        entries = self._log
        for job in jobs[-self._limits.web_events :]:
            entries.append(_Entry(job))
            self._text += _length(job)
        self.last += len(jobs)
        while len(entries) > self._limits.web_events or self._text > self._limits.web_event_text:
            self._text -= _length(entries.popleft().job)
        self._wake()
        self.stats_changed()

    def stats_changed(self) -> None:
        """Some total has changed: streams hear of it within a second."""
        self._stats_stale = True
        if self.streams and self._stats_call is None and not self._closed:
            wait = max(0.0, self._stats_due - self._clock.seconds())
            self._stats_call = self._clock.callLater(wait, self._tell_stats)

    # -- streams -------------------------------------------------------------------------------

    def place_of(self, last_event_id: str) -> int | None:
        """The place behind the event with this id; None where what followed is not known any more."""
        boot, _, digits = last_event_id.rpartition("-")
        if boot != self._boot or not (digits.isascii() and digits.isdigit() and len(digits) < 16):
            return None
        number = int(digits)
        return number if self._first - 1 <= number <= self.last else None

    @property
    def full(self) -> bool:
        """Whether no more streams may be opened."""
        return self._closed or len(self.streams) >= self._limits.web_streams

    def join(self, stream: Stream) -> None:
        """Tell this stream, from its place on; a place of -1 begins with `reset`."""
        self.streams[stream] = None
        stream.spoke = self._clock.seconds()
        if self._beat_call is None:
            self._beat_call = self._clock.callLater(self._limits.web_heartbeat / 2, self._beat)
        self._wake()
        self.stats_changed()

    def leave(self, stream: Stream) -> None:
        """This stream's client is gone."""
        self.streams.pop(stream, None)
        if not self.streams:
            self._stop_timers()

    def resumed(self, stream: Stream) -> None:
        """This stream's client takes more."""
        stream.ready = True
        if stream.place != self.last or stream.stats_told != self._stats_number:
            self._wake()

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        self._stop_timers()
        for stream in list(self.streams):
            stream.ended()
        self.streams.clear()

    def _stop_timers(self) -> None:
        for call in (self._pump_call, self._beat_call, self._stats_call):
            if call is not None and call.active():
                call.cancel()
        self._pump_call = self._beat_call = self._stats_call = None

    # -- telling -------------------------------------------------------------------------------

    @property
    def _first(self) -> int:
        return self.last - len(self._log) + 1

    def _wake(self, delay: float = _GATHER) -> None:
        if self.streams and self._pump_call is None and not self._closed:
            self._pump_call = self._clock.callLater(delay, self._pump)

    def _pump(self) -> None:
        """Tell each stream some of what it has not heard, for a few milliseconds in all."""
        self._pump_call = None
        until = self._clock.seconds() + self._limits.web_slice
        more = False
        for stream in list(self.streams):
            if stream.ready:
                more = self._tell(stream) or more
                if stream in self.streams:
                    del self.streams[stream]
                    self.streams[stream] = None
            if self._clock.seconds() >= until:
                more = True
                break
        if more:
            self._wake(0.0)

    def _tell(self, stream: Stream) -> bool:
        """Tell one stream; returns whether there is more for it."""
        pieces = []
        if self.last - stream.place > self._limits.web_stream_backlog or stream.place < self._first - 1:
            stream.place = self.last
            pieces.append(self._frame(stream.place, b"reset", b"{}"))
        # Indexing a deque near its end is quick; near its middle it is some microseconds.
        for number in range(stream.place + 1, min(self.last, stream.place + _AT_ONCE) + 1):
            entry = self._log[number - self._first]
            pieces.append(self._frame(number, b"job", entry.data()))
            stream.place = number
        if stream.stats_told != self._stats_number:
            stream.stats_told = self._stats_number
            pieces.append(self._frame(stream.place, b"stats", self._stats_frame))
        if pieces:
            stream.spoke = self._clock.seconds()
            stream.write(b"".join(pieces))
        return stream.ready and stream.place != self.last

    def _frame(self, number: int, event: bytes, data: bytes) -> bytes:
        return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (self._boot.encode(), number, event, data)

    def _tell_stats(self) -> None:
        # The call is not forgotten until the answer is here: one question at a time.
        self._stats_due = self._clock.seconds() + _STATS_EVERY
        self._stats_stale = False

        def told(stats: dict[str, Any]) -> None:
            self._stats_frame = to_json(stats)
            self._stats_number += 1
            self._wake(0.0)

        asked = Deferred.fromCoroutine(stats_of(self._context, minutes=False))
        asked.addCallback(told)
        # The store is away: /readyz says so, and the next change asks again.
        asked.addErrback(lambda _: None)
        asked.addBoth(self._stats_asked)

    def _stats_asked(self, _: object) -> None:
        self._stats_call = None
        if self._stats_stale:
            self.stats_changed()

    def _beat(self) -> None:
        """Keep silent streams open."""
        self._beat_call = self._clock.callLater(self._limits.web_heartbeat / 2, self._beat)
        now = self._clock.seconds()
        for stream in list(self.streams):
            if stream.ready and now - stream.spoke >= self._limits.web_heartbeat / 2:
                stream.spoke = now
                stream.write(b": still here\n\n")


def _length(job: Job) -> int:
    """Characters of strangers in it."""
    return len(job.magnet) + len(job.name or "")


class _Entry:
    """One event: a job, and its JSON from the first time that a stream wants it."""

    __slots__ = ("_data", "job")

    def __init__(self, job: Job) -> None:
        self.job = job
        self._data: bytes | None = None

    def data(self) -> bytes:
        if self._data is None:
            self._data = to_json(self.job.to_json(report=False))
        return self._data
