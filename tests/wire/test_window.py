"""Tests of functorrent.wire.window."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.limits import DEFAULT_LIMITS
from functorrent.wire.window import RequestWindow
from tests.wire.helpers import quick

#: A round trip long enough to gain by a wider window, and short enough to be quick.
FAR = 0.1


class WindowTests(SynchronousTestCase):
    """RequestWindow."""

    def test_start(self) -> None:
        """8 at first: more makes a libtorrent seeder wait for its tick."""
        window = RequestWindow()
        self.assertEqual((window.size, window.most), (8, 64))

    def test_reqq(self) -> None:
        """Never above what the peer answers at once, nor above our own limit; at least 1."""
        for reqq, size, most in (
            (500, 8, 64),
            (64, 8, 64),
            (20, 8, 20),
            (8, 8, 8),
            (3, 3, 3),
            (1, 1, 1),
            (0, 1, 1),
        ):
            window = RequestWindow(reqq)
            self.assertEqual((window.size, window.most), (size, most))

    def test_grows(self) -> None:
        """By one for each windowful of quick answers."""
        window = RequestWindow()
        for _ in range(7):
            window.answered(FAR)
        self.assertEqual(window.size, 8)
        window.answered(FAR)
        self.assertEqual(window.size, 9)
        for _ in range(9):
            window.answered(FAR)
        self.assertEqual(window.size, 10)

    def test_grows_up_to_its_limit(self) -> None:
        """However many answers come."""
        for reqq, most in ((None, 64), (12, 12), (3, 3)):
            window = RequestWindow(reqq)
            for _ in range(5000):
                window.answered(FAR)
            self.assertEqual(window.size, most)

    def test_near_peers_gain_nothing(self) -> None:
        """Where the round trip is short the window stays."""
        window = RequestWindow()
        for _ in range(1000):
            window.answered(0.001)
        self.assertEqual(window.size, 8)

    def test_shortest_round_trip_counts(self) -> None:
        """One quick answer shows how near the peer is; later ones wait in its queue."""
        window = RequestWindow()
        window.answered(0.001)
        for _ in range(1000):
            window.answered(FAR)
        self.assertEqual(window.size, 8)

    def test_shrinks(self) -> None:
        """A slow answer takes the growth back, and the count of quick ones."""
        window = RequestWindow()
        for _ in range(8 + 9 + 9):
            window.answered(FAR)
        self.assertEqual(window.size, 10)
        window.answered(0.31)
        self.assertEqual(window.size, 8)
        for _ in range(7):
            window.answered(FAR)
        self.assertEqual(window.size, 8)

    def test_what_is_slow(self) -> None:
        """Over a quarter of a second, and over three round trips of that peer."""
        for near, slow, shrinks in (
            (0.05, 0.24, False),  # five round trips, but quick
            (0.05, 0.26, True),
            (0.2, 0.59, False),  # a distant peer: within three round trips
            (0.2, 0.61, True),
        ):
            window = RequestWindow()
            for _ in range(8):
                window.answered(near)
            self.assertEqual(window.size, 9)
            window.answered(slow)
            self.assertEqual(window.size == 8, shrinks, (near, slow))

    def test_slow_peer_keeps_its_start(self) -> None:
        """Slow answers never take it below where it began."""
        for reqq, size in ((None, 8), (3, 3)):
            window = RequestWindow(reqq)
            for seconds in (0.01, 5.0, 5.0, 5.0):
                window.answered(seconds)
            self.assertEqual(window.size, size)

    def test_limits(self) -> None:
        """The figures come from the limits."""
        limits = replace(DEFAULT_LIMITS, window_start=2, window_max=3, quick_answer=1.0, window_gain=0.5)
        window = RequestWindow(None, limits)
        for _ in range(10):
            window.answered(0.6)
        self.assertEqual(window.size, 3)
        window.answered(1.9)
        self.assertEqual(window.size, 2)

    @given(st.none() | st.integers(0, 1000), st.lists(st.floats(0, 100), max_size=200))
    @quick
    def test_bounds(self, reqq: int | None, answers: list[float]) -> None:
        """Any answers leave it between where it began and its limit."""
        window = RequestWindow(reqq)
        least = window.size
        for seconds in answers:
            before = window.size
            window.answered(seconds)
            self.assertTrue(least <= window.size <= window.most)
            self.assertLessEqual(window.size, before + 1)
