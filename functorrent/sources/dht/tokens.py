"""Tokens: who announces a peer must have asked us from the same address shortly before (BEP 5)."""

from __future__ import annotations

import secrets
from hashlib import blake2b
from hmac import compare_digest

#: Seconds for which one secret makes tokens; those of the secret before it are still taken (BEP 5).
_TURN = 300.0
#: Bytes of a token: guessed once in 2**64.
TOKEN_LENGTH = 8


class Tokens:
    """Makes and knows tokens, and remembers none: each is a keyed hash of an address.

    Times are seconds of one clock, whichever.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(16)
        self._before = secrets.token_bytes(16)
        self._since: float | None = None

    def make(self, host: str, now: float) -> bytes:
        """The token for `host` (an IP literal), good for 5 to 10 minutes."""
        self._turn(now)
        return blake2b(host.encode(), digest_size=TOKEN_LENGTH, key=self._secret).digest()

    def good(self, token: bytes, host: str, now: float) -> bool:
        """Whether this token was made for `host` in the last 5 to 10 minutes."""
        self._turn(now)
        name = host.encode()
        return any(
            compare_digest(token, blake2b(name, digest_size=TOKEN_LENGTH, key=secret).digest())
            for secret in (self._secret, self._before)
        )

    def _turn(self, now: float) -> None:
        if self._since is None:
            self._since = now
        age = now - self._since
        if age >= _TURN:
            # After a long silence the last secret is too old as well.
            self._before = self._secret if age < 2 * _TURN else secrets.token_bytes(16)
            self._secret = secrets.token_bytes(16)
            # In whole turns, or a node that is seldom asked would take tokens of over 10 minutes.
            self._since = now - age % _TURN
