"""What is wrong with the daemon now, in sentences: for the log when it begins and ends, and for /readyz."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger


class Health:
    """One for the process. `part` is a word for what is ill, as "store"; it has one sentence at a time."""

    log = Logger()

    def __init__(self) -> None:
        self._troubles: dict[str, str] = {}

    def ill(self, part: str, words: str) -> None:
        """Something is wrong with `part`. Said again and again, in whatever words, it is logged once."""
        new = part not in self._troubles
        self._troubles[part] = words
        if new:
            self.log.warn("{words}", words=words)

    def well(self, part: str) -> None:
        """Nothing is wrong with it, or no longer."""
        if self._troubles.pop(part, None) is not None:
            self.log.info("{part}: all is well again", part=part)

    def sentences(self) -> list[str]:
        """What is wrong now; empty where nothing is."""
        return list(self._troubles.values())


class Passing:
    """A trouble that nobody tries again by himself: told until it goes well, or `seconds` have passed.

    Who is refused may stay away while /readyz says no, and then nothing would ever show that all is well.
    """

    def __init__(self, clock: Any, health: Health, part: str, seconds: float = 60.0) -> None:
        self._clock = clock
        self._health = health
        self._part = part
        self._seconds = seconds
        self._timer: Any = None

    def ill(self, words: str) -> None:
        """It has failed."""
        self._cancel()
        self._health.ill(self._part, words)
        self._timer = self._clock.callLater(self._seconds, self.well)

    def well(self) -> None:
        """It went well, or long ago it did not."""
        self._cancel()
        self._health.well(self._part)

    def _cancel(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


class Backoff:
    """Seconds to wait before the next try of something that failed: 1, 2, 4, ... and 60 at most."""

    def __init__(self, most: float = 60.0) -> None:
        self._most = most
        self._next = 1.0

    def next(self) -> float:
        """It has failed once more."""
        seconds = self._next
        self._next = min(2 * seconds, self._most)
        return seconds

    def reset(self) -> None:
        """It went well."""
        self._next = 1.0
