"""How many metadata requests one peer is asked at once (BEP 9; figures from DESIGN section 3)."""

from __future__ import annotations

from functorrent.limits import DEFAULT_LIMITS, Limits


class RequestWindow:
    """The request window of one peer.

    It starts at 8 because a libtorrent seeder answers about ten requests at once and leaves the rest
    for its one-second tick. It grows by one for each windowful of quick answers, and only where the
    round trip is long enough for a wider window to gain anything; a slow answer takes it back.
    `reqq`: what the peer says it answers at once, None where it does not say.
    """

    __slots__ = ("_limits", "_quick", "_round_trip", "most", "size")

    def __init__(self, reqq: int | None = None, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        most = limits.window_max if reqq is None else min(limits.window_max, reqq)
        self.most = max(1, most)
        self.size = min(limits.window_start, self.most)
        self._quick = 0
        self._round_trip = float("inf")

    def answered(self, seconds: float) -> None:
        """A request was answered after so long."""
        self._round_trip = min(self._round_trip, seconds)
        limits = self._limits
        if seconds > max(limits.quick_answer, 3 * self._round_trip):
            self.size = min(limits.window_start, self.most)
            self._quick = 0
            return
        if self._round_trip < limits.window_gain:
            return
        self._quick += 1
        if self._quick >= self.size and self.size < self.most:
            self.size += 1
            self._quick = 0
