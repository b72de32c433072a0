"""How long a magnet that nobody answers for keeps its slot (DESIGN section 4).

At most `Limits.slot_patience`; less where peers are seen to answer at once (a LAN, a seedbox): there
is no reason then to let dead magnets hold live ones up for so long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

#: Seconds between two looks at who waits.
_GRAIN = 0.01
#: The shortest patience, seconds; and how many times the usual answer a peer may take.
_LEAST = 0.02
_TIMES = 8


class Patience:
    """Who holds a slot and waits for an answer, the longest first. `most`: seconds."""

    log = Logger()

    def __init__(self, clock: Any, most: float) -> None:
        self._clock = clock
        self._most = most
        self._usual: float | None = None
        #: What to call when patience is over, with since when it waits.
        self._since: dict[Callable[[], None], float] = {}
        self._timer: Any = None

    @property
    def seconds(self) -> float:
        """What is granted now."""
        if self._usual is None:
            return self._most
        return min(self._most, max(_LEAST, _TIMES * self._usual))

    def answered(self, seconds: float) -> None:
        """A peer's handshake came so long after its dial."""
        usual = self._usual
        self._usual = seconds if usual is None else usual + (seconds - usual) / 8

    def wait(self, call: Callable[[], None]) -> None:
        """Call `call` when patience is over, counted from now."""
        self._since[call] = self._clock.seconds()
        if self._timer is None:
            self._timer = self._clock.callLater(_GRAIN, self._look)

    def clear(self, call: Callable[[], None]) -> None:
        """It waits no more."""
        self._since.pop(call, None)

    def stop(self) -> None:
        """Forget everybody."""
        self._since.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        latest = self._clock.seconds() - self.seconds
        over = []
        for call, since in self._since.items():
            if since > latest:
                break
            over.append(call)
        for call in over:
            # One of those before it may have cleared it.
            if self._since.pop(call, None) is None:
                continue
            try:
                call()
            except Exception:
                self.log.failure("a slot was not given up as it should")
        if self._since and self._timer is None:
            self._timer = self._clock.callLater(_GRAIN, self._look)
