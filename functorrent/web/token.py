"""The token that opens the HTTP API: a file of the operator's, made with a secret where it is missing."""

from __future__ import annotations

import os
import secrets
import stat

from functorrent.errors import UsageError

#: Characters: what is shorter could be guessed, 429s or not.
SHORTEST = 16
LONGEST = 1024


def load_token(path: str) -> str:
    """The token in the file `path`, its first line; a missing file is created (0600) with a new one.

    Raises UsageError, with a sentence, where the file cannot be used.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return _read(path)
    except OSError as error:
        raise UsageError(f"--token-file {path}: cannot be made: {error.strerror}") from None
    token = secrets.token_urlsafe(32)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(token.encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # An empty file would be refused at each start from now on.
        os.unlink(path)
        raise UsageError(f"--token-file {path}: cannot be written: {error.strerror}") from None
    return token


def _read(path: str) -> str:
    try:
        # A pipe that nobody writes to must not hold the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            mode = os.fstat(descriptor).st_mode
            data = os.read(descriptor, LONGEST + 2) if stat.S_ISREG(mode) else b""
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UsageError(f"--token-file {path}: cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise UsageError(f"--token-file {path}: this is no file")
    if mode & 0o007:
        raise UsageError(f"--token-file {path}: everybody can read or write it; chmod 600 it")
    token = data.split(b"\n", 1)[0].strip()
    if not SHORTEST <= len(token) <= LONGEST:
        raise UsageError(
            f"--token-file {path}: its first line must be a token of {SHORTEST} to {LONGEST:,} characters"
        )
    # What a header can carry (RFC 6750 has even fewer).
    if not all(0x21 <= byte <= 0x7E for byte in token):
        raise UsageError(f"--token-file {path}: a token has letters, digits and signs of ASCII, no blanks")
    return token.decode("ascii")
