"""Who we are to trackers and peers."""

from __future__ import annotations

import secrets
from binascii import b2a_base64
from hashlib import blake2b

from zope.interface import implementer

from functorrent.interfaces import IIdentity


@implementer(IIdentity)
class Identity:
    """Our peer ids, key and port.

    A peer id is ``-FT`` + 4 digits of version + ``-`` + 12 characters, one for each torrent: derived
    from the infohash with a secret of this process, so that nothing need be kept and no stranger can
    tell that two torrents' ids are the same program's. `version`: as ``0.1.0``.
    """

    def __init__(self, version: str) -> None:
        digits = "".join(part[:1] for part in (version.split(".") + ["0"] * 4)[:4])
        self._prefix = f"-FT{digits}-".encode()
        self._keyed = blake2b(key=secrets.token_bytes(32), digest_size=9)
        #: The last one asked for: a fetch and its trackers ask one after the other.
        self._last: tuple[bytes, bytes] = (b"", b"")
        self.key = secrets.randbits(32)
        self.port: int | None = None
        self.interface = ""

    def peer_id(self, infohash: bytes) -> bytes:
        """Our peer id for this torrent (bytes of 20), the same each time within a process."""
        if infohash == self._last[0]:
            return self._last[1]
        keyed = self._keyed.copy()
        keyed.update(infohash)
        peer_id = self._prefix + b2a_base64(keyed.digest(), newline=False)
        self._last = (infohash, peer_id)
        return peer_id
