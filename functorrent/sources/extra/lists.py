"""Lists of trackers as people keep and publish them: read, and kept as a file between runs."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from hashlib import sha256

from functorrent.errors import TrackerUnsupported
from functorrent.limits import Limits
from functorrent.sources.tracker.address import parse_tracker
from functorrent.text import plural

#: A line each, blank ones between; or several in a line, with blanks or commas between them. A comma within
#: a URL stays.
_BETWEEN = re.compile(r"\s+|,(?=\s|$|[A-Za-z]{2,5}://)")
#: ``#`` begins a comment at the beginning of a line, or behind a blank.
_COMMENT = re.compile(r"(?:^|\s)#.*", re.MULTILINE)


#: Unusable entries after which the rest is not read.
_MAX_SKIPPED = 2000


class ListTooLong(ValueError):
    """A list over `Limits.extra_list` bytes."""


@dataclass(frozen=True, slots=True)
class TrackerList:
    """A list that was read.

    `urls`: the usable trackers, each once, at most `Limits.extra_trackers`; `skipped`: how many entries are
    none that can be used; `left_out`: how many usable ones go over the limit.
    """

    urls: tuple[str, ...] = ()
    skipped: int = 0
    left_out: int = 0

    @classmethod
    def parse(cls, data: bytes, limits: Limits) -> TrackerList:
        """Read a list. Raises ListTooLong."""
        if len(data) > limits.extra_list:
            raise ListTooLong(f"more than {limits.extra_list} bytes")
        text = _COMMENT.sub("", data.decode("utf-8", "replace").removeprefix("\ufeff"))
        urls: dict[str, None] = {}
        seen: set[str] = set()
        skipped = left_out = 0
        for entry in _BETWEEN.split(text):
            if not entry or entry in seen:
                continue
            seen.add(entry)
            if len(urls) >= limits.extra_trackers:
                left_out += 1
                continue
            try:
                parse_tracker(entry)
            except TrackerUnsupported:
                skipped += 1
                if skipped >= _MAX_SKIPPED:
                    # Something else than a list; a megabyte of it would hold the reactor for 0.6 s.
                    break
            else:
                urls[entry] = None
        return cls(tuple(urls), skipped, left_out)

    def __str__(self) -> str:
        """What came of reading it, for a log."""
        words = [plural(len(self.urls), "tracker")]
        if self.skipped:
            words.append(f"{plural(self.skipped, 'entry', 'entries')} skipped that cannot be used")
        if self.left_out:
            words.append(f"{self.left_out:,} more left out")
        return ", ".join(words)


def read_file(path: str, limits: Limits) -> bytes:
    """The bytes of a list's file, a byte more than it may have at most. Raises OSError."""
    # Non-blocking: it may be a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a regular file")
        return file.read(limits.extra_list + 1)


# -- what is kept of a list from the web -------------------------------------------------------


def load(path: str, url: str, limits: Limits) -> tuple[TrackerList, float] | None:
    """The list that was kept of `url`, and when (seconds since the epoch); None where there is none."""
    try:
        data = read_file(path, limits)
        when = os.stat(path).st_mtime
    except OSError:
        return None
    head, _, rest = data.partition(b"\n")
    if head != _head(url) or len(data) > limits.extra_list:
        return None
    try:
        found = TrackerList.parse(rest, limits)
    except ListTooLong:
        return None
    return (found, when) if found.urls else None


def keep(path: str, url: str, urls: tuple[str, ...], when: float | None) -> None:
    """Keep what `load` gives, as of `when` (None: now); whole, or as it was. Raises OSError."""
    import secrets

    part = f"{path}.{secrets.token_hex(8)}.part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(b"\n".join([_head(url), *(each.encode("utf-8", "replace") for each in urls), b""]))
        if when is not None:
            os.utime(part, (when, when))
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise


def _head(url: str) -> bytes:
    # The URL itself may hold a key.
    return b"# trackers for functorrent, of the list " + sha256(url.encode()).hexdigest()[:32].encode()
