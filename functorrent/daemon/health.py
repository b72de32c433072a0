"""What is wrong with the daemon now, in sentences: for the log when it begins and ends, and for /readyz."""

from __future__ import annotations

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
