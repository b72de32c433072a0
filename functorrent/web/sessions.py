"""`Sessions`: logins of the page, as cookies that are signed with a key made of the token.

A cookie holds neither the token nor anything to guess it by, and outlives a restart, so that the page
asks once. A new token ends every session.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from hashlib import sha256

from functorrent.interfaces import IWallClock

#: Sessions that were logged out of are remembered, so many of them.
_REMEMBERED = 10_000


class Sessions:
    """Makes and checks session values: ``<end>.<nonce>.<signature>``, the end in seconds since the epoch."""

    def __init__(self, wall: IWallClock, token: str, life: float) -> None:
        self._wall = wall
        self._key = sha256(b"functorrent session\0" + token.encode()).digest()
        self._life = life
        self._ended: OrderedDict[bytes, None] = OrderedDict()

    def begin(self) -> bytes:
        """A new session's value."""
        text = b"%d.%s" % (self._wall.now() + self._life, secrets.token_urlsafe(16).encode())
        return text + b"." + self._sign(text)

    def valid(self, value: bytes) -> bool:
        """Whether `value` is a session that we began, and that has not ended."""
        text, _, signature = value.rpartition(b".")
        if not hmac.compare_digest(self._sign(text), signature):
            return False
        # Signed by us: it has its shape.
        return value not in self._ended and int(text.partition(b".")[0]) > self._wall.now()

    def end(self, value: bytes) -> None:
        """Log out."""
        if self.valid(value):
            self._ended[value] = None
            if len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)

    def _sign(self, text: bytes) -> bytes:
        return hmac.new(self._key, text, sha256).hexdigest().encode()
