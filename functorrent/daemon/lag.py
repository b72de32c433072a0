"""How late the reactor is: a timer that is due every 100 ms, and how much later it comes.

A stall of 3 s would count as one late sample, and hide in a percentile. So the samples that it
swallowed are counted, too: a lag of 350 ms stands for what anybody saw who came in that time, that is
350, 250, 150 and 50 ms late.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import ceil
from typing import Any

#: Seconds from one sample to the next.
TICK = 0.1
#: Seconds that percentiles look back.
WINDOW = 60.0
#: Samples that one stall stands for at most.
_MOST = int(WINDOW / TICK)


class ReactorLag:
    """Measures while started. `clock`: IReactorTime, monotonic; `observe(seconds)` gets each sample."""

    def __init__(self, clock: Any, observe: Callable[[float], None] = lambda lag: None) -> None:
        self._clock = clock
        self._observe = observe
        #: (when, seconds late), the oldest first.
        self._samples: deque[tuple[float, float]] = deque(maxlen=2 * _MOST)
        self._timer: Any = None
        self._due = 0.0

    def start(self) -> None:
        """Begin."""
        self._again()

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def percentile(self, fraction: float) -> float | None:
        """The lag in seconds that this fraction of the last minute's samples did not exceed (0.99; 1 is
        the worst); None without samples."""
        since = self._clock.seconds() - WINDOW
        while self._samples and self._samples[0][0] < since:
            self._samples.popleft()
        if not self._samples:
            return None
        lags = sorted(lag for _, lag in self._samples)
        return lags[max(0, ceil(fraction * len(lags)) - 1)]

    def _again(self) -> None:
        self._due = self._clock.seconds() + TICK
        self._timer = self._clock.callLater(TICK, self._tick)

    def _tick(self) -> None:
        now = self._clock.seconds()
        lag = max(0.0, now - self._due)
        for missed in range(_MOST):
            late = lag - missed * TICK
            if late <= 0 and missed:
                break
            self._samples.append((now, late))
            self._observe(late)
        self._again()
