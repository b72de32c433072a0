"""Which servers do not answer: known once, so that not every magnet waits for them again."""

from __future__ import annotations

#: Seconds for which a server that did not answer is taken for dead.
REMEMBERED = 60.0
#: Meanwhile it is tried again at most once in this many seconds.
PROBE_EVERY = 5.0


class Health:
    """What is known of one server.

    Up until it fails without ever answering meanwhile; while it is down, one announce in every
    `PROBE_EVERY` seconds is let through, and whatever comes back brings it up again.
    """

    __slots__ = ("_down_until", "_next_probe", "answered", "why")

    def __init__(self) -> None:
        self._down_until = 0.0
        self._next_probe = 0.0
        self.answered = float("-inf")
        self.why = ""

    def is_down(self, now: float) -> bool:
        return self._down_until > now

    def may_probe(self, now: float) -> bool:
        """Whether the caller may try a server that is down; if so it is the only one for a while."""
        if now < self._next_probe:
            return False
        self._next_probe = now + PROBE_EVERY
        return True

    def alive(self, now: float) -> None:
        self.answered = now
        self._down_until = 0.0

    def failed(self, now: float, asked: float, why: str) -> None:
        """It did not answer what was `asked` then; no news if it has answered something since."""
        if self.answered < asked:
            self._down_until = now + REMEMBERED
            self._next_probe = now + PROBE_EVERY
            self.why = why
