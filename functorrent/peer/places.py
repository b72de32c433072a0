"""Places for connections, shared out so that no address has more than are left for all others."""

from __future__ import annotations

from functorrent.addresses import subscriber


class Places:
    """At most `most` connections, counted by who they come from.

    Somebody may take one more while fewer are theirs than are free. Alone they get half of all, and
    of N that take what they can each gets a share of N + 1: a place is left for whoever comes next.
    """

    __slots__ = ("_taken", "most", "used")

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self._taken: dict[str, int] = {}

    def take(self, host: str) -> bool:
        """Take a place for a connection from `host` (an IP literal); False where it gets none."""
        who = subscriber(host)
        theirs = self._taken.get(who, 0)
        if theirs >= self.most - self.used:
            return False
        self._taken[who] = theirs + 1
        self.used += 1
        return True

    def leave(self, host: str) -> None:
        """Give back a place that was taken."""
        who = subscriber(host)
        theirs = self._taken[who] - 1
        if theirs:
            self._taken[who] = theirs
        else:
            del self._taken[who]
        self.used -= 1
