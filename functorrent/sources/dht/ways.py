"""Whether IPv4 and IPv6 lead anywhere from here.

Many a machine has a socket for IPv6 and no way to send by it; with others what is sent is never answered.
Without this, half of the rate of queries would go there, for nothing.
"""

from __future__ import annotations

#: Datagrams in a row that could not be sent, until a family counts as closed.
_REFUSED = 3
#: Queries in a row without an answer, while the other family is answered.
_SILENT = 40
#: Seconds until it is tried again; and for which an answer shows that a family is open.
_PAUSE_REFUSED = 10.0
_PAUSE_SILENT = 60.0
_FRESH = 60.0


class _Way:
    __slots__ = ("answered", "refused", "retry", "silent")

    def __init__(self) -> None:
        self.refused = 0
        self.silent = 0
        self.answered = float("-inf")
        self.retry = 0.0


class Ways:
    """Both families; True is IPv6. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._ways = {False: _Way(), True: _Way()}

    def open(self, v6: bool, now: float) -> bool:
        """Whether it is worth sending by this family."""
        way = self._ways[v6]
        if way.refused < _REFUSED and way.silent < _SILENT:
            return True
        if now >= way.retry:
            return True
        # Where nothing is answered at all, it may be whom we ask.
        return way.refused < _REFUSED and self._ways[not v6].answered < now - _FRESH

    def sent(self, v6: bool) -> None:
        """A datagram went out."""
        self._ways[v6].refused = 0

    def refused(self, v6: bool, now: float) -> None:
        """One could not be sent."""
        way = self._ways[v6]
        way.refused += 1
        way.retry = now + _PAUSE_REFUSED

    def answered(self, v6: bool, now: float) -> None:
        """A query was answered."""
        way = self._ways[v6]
        way.silent = 0
        way.answered = now

    def lost(self, v6: bool, now: float) -> None:
        """A query was not."""
        way = self._ways[v6]
        way.silent += 1
        if way.silent >= _SILENT:
            way.retry = now + _PAUSE_SILENT
