"""The progress display of a terminal: one line on stderr, redrawn at most ten times a second."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds between two drawings, and over which the rate is taken.
INTERVAL = 0.1
_RATE_OVER = 5.0
_BAR = 20


class Snapshot(NamedTuple):
    """What is drawn. `fraction` of the work that is done, or None where the whole is unknown."""

    fetched: int
    failed: int
    in_flight: int
    peers_tried: int
    rate: float
    fraction: float | None = None


def batch_line(now: Snapshot, width: int) -> str:
    """Many magnets: a bar where the whole is known, and counts; what does not fit is left out."""
    parts = [f"{now.fetched:,} fetched", f"{now.failed:,} failed", f"{now.in_flight:,} in flight"]
    parts.append(f"{now.rate:,.0f}/s" if now.rate >= 10 else f"{now.rate:.1f}/s")
    parts.append(f"{now.peers_tried:,} peers tried")
    if now.fraction is not None:
        fraction = min(max(now.fraction, 0.0), 1.0)
        full = int(fraction * _BAR)
        lead = f"{int(fraction * 100):3d} %"
        bar = f"[{'#' * full}{'.' * (_BAR - full)}] {lead}"
        parts.insert(0, bar if width >= 60 else lead)
    return _fit(parts, width)


def single_line(stage: str, seconds: float, width: int) -> str:
    """One magnet: what is going on, in words."""
    return _fit([stage, f"{seconds:.0f} s"], width)


def _fit(parts: list[str], width: int) -> str:
    line = parts[0]
    for part in parts[1:]:
        if len(line) + 2 + len(part) > width:
            break
        line += f"  {part}"
    return line[: max(width, 0)]


def stage(found: int, tried: int, connected: int, blocks: int) -> str:
    """What one magnet is at, in words. Counts of peers, and of metadata blocks that came."""
    if blocks:
        return f"receiving from {_peers(min(found, connected))}"
    if not found:
        return "looking for peers"
    # A peer that is tried again is the same peer.
    tried, connected = min(found, tried), min(found, connected)
    words = f"{_peers(found)} found, {tried:,} tried"
    return f"{words}, {connected:,} connected" if connected else words


def _peers(number: int) -> str:
    return "1 peer" if number == 1 else f"{number:,} peers"


class Rate:
    """How many a second, over the last seconds."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def update(self, seconds: float, count: int) -> float:
        """Take in the count at a time; returns the rate."""
        points = self._points
        points.append((seconds, count))
        while len(points) > 2 and seconds - points[0][0] > _RATE_OVER:
            points.popleft()
        first = points[0]
        return (count - first[1]) / (seconds - first[0]) if seconds > first[0] else 0.0


class Progress:
    """Draws `line(width)` while it runs, and takes it away when it ends.

    `write` takes bytes for the terminal, `width` gives its columns; `clock` is IReactorTime.
    """

    def __init__(
        self,
        clock: Any,
        write: Callable[[bytes], object],
        line: Callable[[int], str],
        width: Callable[[], int],
    ) -> None:
        self._clock = clock
        self._write = write
        self._line = line
        self._width = width
        self._drawn = ""
        self._timer: Any = None

    def start(self) -> None:
        """Draw from now on."""
        self._timer = self._clock.callLater(INTERVAL, self._tick)

    def stop(self) -> None:
        """Draw no more, and leave nothing behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.clear()

    def clear(self) -> None:
        """Make room for another line; the next drawing comes with the next tick."""
        if self._drawn:
            self._drawn = ""
            self._put(b"\r\x1b[K")

    def _tick(self) -> None:
        self._timer = self._clock.callLater(INTERVAL, self._tick)
        # The last column stays free: some terminals wrap when it is written.
        line = self._line(self._width() - 1)
        if line != self._drawn:
            self._drawn = line
            self._put(b"\r" + line.encode("ascii", "replace") + b"\x1b[K")

    def _put(self, data: bytes) -> None:
        try:
            self._write(data)
        except OSError:
            # The terminal is gone.
            pass


def terminal_width(descriptor: int) -> int:
    """Columns of a terminal."""
    try:
        return os.get_terminal_size(descriptor).columns or 80
    except OSError:
        return 80


def is_wanted(descriptor: int, environment: dict[str, str] | os._Environ[str]) -> bool:
    """Whether this is a terminal that can redraw a line."""
    return os.isatty(descriptor) and environment.get("TERM", "dumb") != "dumb"
