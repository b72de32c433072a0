"""Infohashes: 20 bytes of SHA-1 (v1) or 32 of SHA-256 (v2) over an info dictionary (BEP 3, 52)."""

from __future__ import annotations

import base64
import binascii
from hashlib import sha1, sha256

V1_LENGTH = 20
V2_LENGTH = 32


def from_text(text: str) -> bytes:
    """The v1 infohash (bytes of 20) written as 40 hex digits or 32 of base32.

    Raises ValueError for anything else.
    """
    if len(text) == 40:
        return _from_hex(text)
    # isascii: upper() makes plain letters of some others (a dotless i, a long s).
    if len(text) == 32 and text.isascii():
        try:
            digest = base64.b32decode(text.upper())
        except ValueError:
            raise ValueError("not base32") from None
        # Padded base32 of 32 characters stands for fewer bytes.
        if len(digest) == V1_LENGTH:
            return digest
    raise ValueError("neither 40 hex digits nor 32 of base32")


def v2_from_text(text: str) -> bytes:
    """The v2 infohash (bytes of 32) written as 64 hex digits. Raises ValueError."""
    if len(text) != 64:
        raise ValueError("not 64 hex digits")
    return _from_hex(text)


def _from_hex(text: str) -> bytes:
    # bytes.fromhex skips blanks; unhexlify does not.
    try:
        return binascii.unhexlify(text)
    except ValueError:
        raise ValueError("not hex digits") from None


def matches(infohash: bytes, info_bytes: bytes | memoryview) -> bool:
    """Whether the raw bytes of an info dictionary have this infohash (of 20 or of 32 bytes)."""
    hasher = sha1 if len(infohash) == V1_LENGTH else sha256
    return hasher(info_bytes).digest() == infohash
