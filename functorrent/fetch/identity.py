"""Who we are to trackers and peers."""

from __future__ import annotations

import base64
import secrets
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
        self._secret = secrets.token_bytes(32)
        self.key = secrets.randbits(32)
        self.port: int | None = None

    def peer_id(self, infohash: bytes) -> bytes:
        """Our peer id for this torrent (bytes of 20), the same each time within a process."""
        digest = blake2b(infohash, key=self._secret, digest_size=9).digest()
        return self._prefix + base64.urlsafe_b64encode(digest)
