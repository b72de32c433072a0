"""Magnet links: what BEP 9, 12, 52 and 53 and the field put into them.

One unusable value never costs the rest: unimportant ones are ignored, unusable tracker URLs are kept
(the tracker source reports them), and only a link without any usable infohash is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from socket import AF_INET6, inet_ntop, inet_pton
from typing import TypeVar
from urllib.parse import unquote, unquote_plus

from functorrent import infohash as hashes
from functorrent.errors import InvalidMagnet
from functorrent.limits import DEFAULT_LIMITS
from functorrent.text import plural, printable

_T = TypeVar("_T")

_PREFIX = "magnet:?"
_MAX_VALUES = DEFAULT_LIMITS.max_magnet_values
#: Characters of a tracker that is remembered; longer ones would fill memory.
_USUAL = 300
_HINT = "an infohash has 40 hex digits, or 32 characters of base32 (64 hex digits for v2)"
#: A host name or IPv4 literal with a port, or an IPv6 literal in brackets with one.
_PEER = re.compile(
    r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([^\s\x00-\x20\x7f:/?#@\[\]\\]{1,253})):([0-9]{1,5})", re.ASCII
)
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Magnet:
    """A magnet link, or a bare infohash.

    `infohash`: bytes of 20 (v1) or None; `infohash_v2`: bytes of 32 or None; one of them is there.
    `name`: what the link calls it (``dn``: a stranger's words) or None. `trackers`: tiers of URLs, each
    URL once. `peers`: (host, port) of ``x.pe``; the host may be a name. `web_seeds` (``ws``),
    `exact_sources` (``xs``), `acceptable_sources` (``as``): URLs. `length`: bytes (``xl``) or None.
    `select_only`: inclusive ranges of file numbers (``so``, BEP 53). `text`: as given.
    """

    infohash: bytes | None
    infohash_v2: bytes | None
    name: str | None
    trackers: tuple[tuple[str, ...], ...]
    peers: tuple[tuple[str, int], ...]
    web_seeds: tuple[str, ...]
    exact_sources: tuple[str, ...]
    acceptable_sources: tuple[str, ...]
    length: int | None
    select_only: tuple[tuple[int, int], ...]
    text: str

    @property
    def wire_infohash(self) -> bytes:
        """The infohash by which peers, trackers and DHT nodes know it (bytes of 20): of v2 alone, the first
        20 bytes of the v2 infohash (BEP 52)."""
        return self.infohash or (self.infohash_v2 or b"")[: hashes.V1_LENGTH]

    @classmethod
    def parse(cls, text: str) -> Magnet:
        """Read a magnet link, or an infohash of 40 hex digits, 32 of base32, or 64 hex digits (v2).

        Raises InvalidMagnet, with words for whoever wrote it.
        """
        link = text.strip()
        if len(link) > DEFAULT_LIMITS.max_magnet:
            raise InvalidMagnet(f"too long for a magnet link ({len(link):,} characters)")
        if link[:8].lower() != _PREFIX:
            return cls(*_bare(link), None, (), (), (), (), (), None, (), text)
        query = link[8:]
        if "&amp;" in query:
            # Copied out of a web page's source.
            query = query.replace("&amp;", "&")
        v1 = v2 = name = None
        problem = "the magnet link has no infohash (xt=urn:btih:...)"
        tiers: list[tuple[str, ...] | int] = []
        numbered: dict[int, list[str]] = {}
        seen: set[str] = set()
        others: dict[str, list[str]] = {}
        for part in query.split("&"):
            key, _, value = part.partition("=")
            if not value:
                continue
            if key not in _KNOWN:
                key, number = _plain_key(key)
                if key not in _KNOWN:
                    continue
            else:
                number = -1
            if key == "tr":
                value = _tracker(value) if len(value) <= _USUAL else _tracker_anew(value)
                if not value or value in seen or len(seen) >= _MAX_VALUES:
                    continue
                seen.add(value)
                if number < 0:
                    tiers.append((value,))
                elif number in numbered:
                    numbered[number].append(value)
                else:
                    tiers.append(number)
                    numbered[number] = [value]
            elif key == "xt":
                if "%" in value:
                    value = unquote(value)
                try:
                    if v1 is None and (digits := _after("urn:btih:", value)) is not None:
                        v1 = _v1(digits)
                    elif v2 is None and (digits := _after("urn:btmh:", value)) is not None:
                        v2 = _v2(digits)
                except ValueError as error:
                    problem = str(error)
            elif key == "dn":
                name = name or unquote_plus(value)
            else:
                values = others.setdefault(key, [])
                if len(values) < _MAX_VALUES:
                    values.append(unquote(value).strip())
        if v1 is None and v2 is None:
            raise InvalidMagnet(problem)
        trackers = tuple([tuple(numbered[tier]) if isinstance(tier, int) else tier for tier in tiers])
        if not others:
            return cls(v1, v2, name, trackers, (), (), (), (), None, (), text)
        get = others.get
        return cls(
            v1,
            v2,
            name,
            trackers,
            _once(_peers(get("x.pe", ()))),
            _once(get("ws", ())),
            _once(get("xs", ())),
            _once(get("as", ())),
            _length(get("xl", ())),
            _select_only(get("so", ())),
            text,
        )

    def all_trackers(self) -> list[str]:
        """The trackers of all tiers, in order, each once."""
        return list(dict.fromkeys(url for tier in self.trackers for url in tier))

    def merged(self, other: Magnet) -> Magnet:
        """This magnet with what `other`, a magnet of the same torrent, knows beyond it."""
        seen = set(self.all_trackers())
        further = [tuple(url for url in tier if url not in seen) for tier in other.trackers]
        return replace(
            self,
            infohash=self.infohash or other.infohash,
            infohash_v2=self.infohash_v2 or other.infohash_v2,
            name=self.name or other.name,
            trackers=self.trackers + tuple(tier for tier in further if tier),
            peers=_once(self.peers + other.peers),
            web_seeds=_once(self.web_seeds + other.web_seeds),
            exact_sources=_once(self.exact_sources + other.exact_sources),
            acceptable_sources=_once(self.acceptable_sources + other.acceptable_sources),
            length=other.length if self.length is None else self.length,
            select_only=self.select_only or other.select_only,
        )


_KNOWN = frozenset(("xt", "dn", "tr", "x.pe", "ws", "xs", "as", "xl", "so"))


def _plain_key(key: str) -> tuple[str, int]:
    """A key in small letters, and the number behind it (``tr.1``) or -1."""
    key = (unquote(key) if "%" in key else key).strip().lower()
    plain, dot, digits = key.rpartition(".")
    if dot and digits.isascii() and digits.isdigit() and len(digits) < 10:
        return plain, int(digits)
    return key, -1


def _tracker_anew(value: str) -> str:
    """A tracker's URL as it was before it was put into the link."""
    if "%" in value:
        # Nearly every escape of nearly every tracker.
        value = value.replace("%3A", ":").replace("%2F", "/")
        if "%" in value:
            value = unquote(value)
    return value.strip()


#: Magnets of one list mostly name the same trackers.
_tracker = lru_cache(maxsize=1024)(_tracker_anew)


def _after(prefix: str, text: str) -> str | None:
    """The rest of `text` behind `prefix`, whose letters may be of any size."""
    text = text.strip()
    return text[len(prefix) :] if text[: len(prefix)].lower() == prefix else None


def _v1(digits: str) -> bytes:
    digits = digits.strip()
    if digits.isascii():
        try:
            infohash = hashes.from_text(digits)
        except ValueError:
            pass
        else:
            # Base32 with padding would be shorter.
            if len(infohash) == hashes.V1_LENGTH:
                return infohash
    raise ValueError(_wrong_infohash("the infohash in the magnet link", digits))


def _v2(digits: str) -> bytes:
    digits = digits.strip()
    if digits[:4] != "1220":
        raise ValueError("the v2 infohash in the magnet link (xt=urn:btmh:) is not 1220 and 64 hex digits")
    try:
        return hashes.v2_from_text(digits[4:])
    except ValueError:
        raise ValueError(
            f"the v2 infohash in the magnet link has {plural(len(digits) - 4, 'character')} behind 1220; "
            "it needs 64 hex digits"
        ) from None


def _wrong_infohash(which: str, digits: str) -> str:
    if len(digits) in (32, 40):
        return f"{which} has characters that do not belong there: {_HINT}"
    return f"{which} has {plural(len(digits), 'character')}: {_HINT}"


def _bare(text: str) -> tuple[bytes | None, bytes | None]:
    """The v1 or the v2 infohash that `text` is."""
    try:
        if len(text) == 64:
            return None, hashes.v2_from_text(text)
        return _v1(text), None
    except ValueError:
        pass
    if not text:
        raise InvalidMagnet("nothing there; a magnet link (magnet:?xt=urn:btih:...) or an infohash is needed")
    if text[:7].lower() == "magnet:":
        raise InvalidMagnet("a magnet link begins with magnet:?xt=urn:btih: and the infohash")
    if text.isascii() and text.isalnum() and 30 <= len(text) <= 70:
        raise InvalidMagnet(_wrong_infohash("this", text) if len(text) != 64 else f"this is not hex: {_HINT}")
    raise InvalidMagnet(f"not a magnet link or an infohash: {printable(text, 60)}")


def _once(values: Iterable[_T]) -> tuple[_T, ...]:
    return tuple(value for value in dict.fromkeys(values) if value)


def _peers(values: Iterable[str]) -> Iterator[tuple[str, int]]:
    """The usable addresses among the values of ``x.pe``."""
    for value in values:
        match = _PEER.fullmatch(value)
        if match is None or not 0 < int(match[3]) < 65536:
            continue
        host = match[2]
        if host is None:
            try:
                host = inet_ntop(AF_INET6, inet_pton(AF_INET6, match[1]))
            except OSError:
                continue
        yield host, int(match[3])


def _length(values: Iterable[str]) -> int | None:
    for value in values:
        # 2**63 has 19 digits; no content is longer.
        if value.isascii() and value.isdigit() and len(value) <= 19:
            return int(value)
    return None


def _select_only(values: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Ranges of ``so``: ``0,2,4-6``. What is no range, or goes over the limit of files, is left out."""
    ranges = []
    left = DEFAULT_LIMITS.max_select
    for value in values:
        for item in value.split(","):
            match = _RANGE.fullmatch(item)
            if match is None:
                continue
            first = int(match[1])
            last = int(match[2] or first)
            if first <= last < first + left:
                left -= last - first + 1
                ranges.append((first, last))
    return tuple(ranges)
