"""Tests of functorrent.sources.dht.tokens."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.sources.dht.tokens import TOKEN_LENGTH, Tokens

quick = settings(deadline=None, derandomize=True, max_examples=200)


class TokensTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tokens = Tokens()

    def test_for_one_address(self) -> None:
        token = self.tokens.make("8.8.8.8", 0.0)
        self.assertEqual(len(token), TOKEN_LENGTH)
        self.assertTrue(self.tokens.good(token, "8.8.8.8", 0.0))
        self.assertFalse(self.tokens.good(token, "8.8.8.9", 0.0))
        self.assertFalse(self.tokens.good(token, "2a02::1", 0.0))

    def test_of_one_node(self) -> None:
        """Nobody else could have made it."""
        self.assertFalse(Tokens().good(self.tokens.make("8.8.8.8", 0.0), "8.8.8.8", 0.0))

    def test_the_same_for_a_while(self) -> None:
        """Whoever asks twice may use either."""
        self.assertEqual(self.tokens.make("8.8.8.8", 1000.0), self.tokens.make("8.8.8.8", 1299.0))

    def test_no_bytes_do(self) -> None:
        token = self.tokens.make("8.8.8.8", 0.0)
        for wrong in (b"", token[:-1], token + b"x", bytes(8), b"\xff" * 64):
            self.assertFalse(self.tokens.good(wrong, "8.8.8.8", 0.0))

    @quick
    @given(
        st.lists(st.floats(0.0, 400.0), max_size=12),
        st.floats(0.0, 299.9),
        st.floats(600.1, 5000.0),
    )
    def test_five_to_ten_minutes(self, pauses: list[float], short: float, long: float) -> None:
        """However it is used in between: good for 5 minutes at least, for 10 at most."""
        tokens = Tokens()
        now = 1000.0
        made: list[tuple[float, bytes]] = []
        for pause in pauses:
            now += pause
            made.append((now, tokens.make("8.8.8.8", now)))
            for when, token in made:
                good = tokens.good(token, "8.8.8.8", now)
                if now - when < 300.0:
                    self.assertTrue(good)
                if now - when >= 600.0:
                    self.assertFalse(good)
        token = tokens.make("8.8.8.8", now)
        self.assertTrue(tokens.good(token, "8.8.8.8", now + short))
        self.assertFalse(tokens.good(token, "8.8.8.8", now + long))
