"""The .torrent file: written around an info dictionary, read, and checked (BEP 3, 12, 19).

The bytes of an info dictionary go into the file as they hashed right, whatever they look like
(bittorrent.org#55): they are never decoded and encoded again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha1, sha256
from typing import TYPE_CHECKING, Any

from functorrent.errors import BencodeError, InvalidTorrent
from functorrent.infohash import matches
from functorrent.limits import DEFAULT_LIMITS
from functorrent.metainfo.summary import InfoSummary, summarize
from functorrent.wire.bencode import decode
from functorrent.wire.lenient import raw_span, scan_info

if TYPE_CHECKING:
    from functorrent.magnet import Magnet

#: Bytes of a .torrent file read: the largest info dictionary, and as much of piece layers.
MAX_TORRENT = 2 * DEFAULT_LIMITS.max_metadata

_TRACKER = re.compile(r"(?:https?|udp|wss?)://[^\s\x00-\x20\x7f/?#]+(?:[/?#][^\s\x00-\x20\x7f]*)?", re.I)
_WEB_SEED = re.compile(r"(?:https?|ftp)://[^\s\x00-\x20\x7f/?#]+(?:[/?#][^\s\x00-\x20\x7f]*)?", re.I)
#: Characters of a magnet whose trackers are remembered; those of longer ones would fill memory.
_SHORT = 2000
#: The keys that may stand behind ``info`` in our files.
_BEHIND_INFO = (b"5:nodes", b"12:piece layers", b"8:url-list")


def torrent_bytes(
    info_bytes: bytes,
    magnet: Magnet,
    *,
    trackers: Iterable[str] = (),
    nodes: Sequence[tuple[str, int]] = (),
    piece_layers: bytes | None = None,
) -> bytes:
    """A .torrent file around the raw bytes of an info dictionary.

    The magnet's tiers come first, each of `trackers` as a further tier; ``wss:`` ones are kept, what is
    no tracker's URL is not. Web seeds become ``url-list``. `nodes`: DHT nodes; `piece_layers`: of a v2
    torrent, bencoded. No dates, so the same magnet gives the same file.
    """
    tiers = magnet.trackers
    if trackers:
        tiers = (*tiers, *((url,) for url in trackers))
    parts = [_announce(tiers) if len(magnet.text) <= _SHORT else _announce_anew(tiers), b"4:info", info_bytes]
    if nodes:
        parts += b"5:nodesl", *(b"l%bi%dee" % (_coded(host), port) for host, port in nodes), b"e"
    if piece_layers is not None:
        parts += b"12:piece layers", piece_layers
    if magnet.web_seeds:
        seeds = [_coded(url) for url in magnet.web_seeds if _WEB_SEED.fullmatch(url)]
        if seeds:
            parts += b"8:url-listl", *seeds, b"e"
    parts.append(b"e")
    return b"".join(parts)


def _announce_anew(trackers: tuple[tuple[str, ...], ...]) -> bytes:
    """What stands before ``info``: the beginning of the file, ``announce``, and ``announce-list``."""
    seen: set[str] = set()
    tiers = []
    urls = []
    for tier in trackers:
        kept = b""
        for url in tier:
            if url not in seen and _TRACKER.fullmatch(url):
                seen.add(url)
                urls.append(coded := _coded(url))
                kept += coded
        if kept:
            tiers.append(b"l%be" % kept)
    parts = [b"d"]
    if urls:
        parts += b"8:announce", urls[0]
        if len(urls) > 1:
            parts += b"13:announce-listl", *tiers, b"e"
    return b"".join(parts)


#: Magnets of one list mostly name the same trackers.
_announce = lru_cache(maxsize=256)(_announce_anew)


def _coded(text: str) -> bytes:
    # A lone surrogate, from an argument that was not UTF-8, has no bytes.
    data = text.encode("utf-8", "replace")
    return b"%d:%b" % (len(data), data)


def holds(torrent: bytes, infohash: bytes) -> bool:
    """Whether `torrent` is a whole .torrent file whose info dictionary has this infohash (20 or 32 bytes).

    Quick for files written here, of any size: the hash tells where the info dictionary ends.
    """
    start = torrent.find(b"4:info") + 6
    if start >= 6:
        ends = [len(torrent) - 1, *(torrent.rfind(key, start) for key in _BEHIND_INFO)]
        for end in ends:
            if end > start and torrent[start] == 0x64 and matches(infohash, torrent[start:end]):
                try:
                    # All of it but the info dictionary must make sense, too.
                    around = decode(b"%bde%b" % (torrent[:start], torrent[end:]))
                except BencodeError:
                    break
                return isinstance(around, dict) and around.get(b"info") == {}
    try:
        start, end = raw_span(torrent, b"info")
    except BencodeError:
        return False
    return torrent[start : start + 1] == b"d" and matches(infohash, torrent[start:end])


@dataclass(frozen=True, slots=True)
class Metainfo:
    """A .torrent file that was read.

    `infohash`: bytes of 20, None where it is v2 only; `infohash_v2`: bytes of 32 or None.
    `trackers`: tiers of URLs; `web_seeds`: URLs; `info_bytes`: the raw info dictionary; `summary`: what
    it says; `warnings`: sentences on what a strict reader would refuse. `nodes`: (host, port) of DHT nodes
    (BEP 5); the host, a stranger's words, may be a name.
    """

    infohash: bytes | None
    infohash_v2: bytes | None
    trackers: tuple[tuple[str, ...], ...]
    web_seeds: tuple[str, ...]
    info_bytes: bytes
    summary: InfoSummary
    warnings: tuple[str, ...]
    nodes: tuple[tuple[str, int], ...] = ()

    @classmethod
    def parse(cls, data: bytes) -> Metainfo:
        """Read the bytes of a .torrent file. Raises InvalidTorrent."""
        if len(data) > MAX_TORRENT:
            raise InvalidTorrent(f"this .torrent file is too large ({len(data):,} bytes)")
        try:
            scan = scan_info(data, reduce=_urls_only, more=True)
        except BencodeError as error:
            raise InvalidTorrent(f"this is not a .torrent file: {error}") from None
        if b"info" not in scan.spans:
            raise InvalidTorrent("this is not a .torrent file: it has no info dictionary")
        if b"info" in scan.repeated:
            raise InvalidTorrent("this .torrent file has two info dictionaries")
        start, end = scan.spans[b"info"]
        info_bytes = data[start:end]
        summary = summarize(info_bytes)
        warnings = dict.fromkeys(scan.warnings + summary.warnings)
        if scan.end != len(data):
            warnings["bytes follow the end"] = None
        return cls(
            infohash=None if summary.version == "v2" else sha1(info_bytes).digest(),
            infohash_v2=None if summary.version == "v1" else sha256(info_bytes).digest(),
            trackers=_tiers(scan.value),
            web_seeds=_texts(scan.value.get(b"url-list")),
            info_bytes=info_bytes,
            summary=summary,
            warnings=tuple(warnings),
            nodes=_nodes(scan.value.get(b"nodes")),
        )


def _urls_only(level: int, key: bytes | None, box: Any) -> Any:
    """Keeps what lists of URLs are made of; the rest is read from the raw bytes."""
    return box if type(box) is list and (level == 1 or (level == 2 and key is None)) else None


def _texts(value: Any) -> tuple[str, ...]:
    """The byte strings in `value`, or that it is, as text; empty and repeated ones left out."""
    items = value if isinstance(value, list) else [value]
    texts = (item.decode("utf-8", "replace").strip() for item in items if isinstance(item, bytes))
    return tuple(text for text in dict.fromkeys(texts) if text)


def _nodes(value: Any) -> tuple[tuple[str, int], ...]:
    """The DHT nodes of ``nodes``: [[host, port], ...], what is none left out."""
    nodes: dict[tuple[str, int], None] = {}
    for item in value if isinstance(value, list) else ():
        if isinstance(item, list) and len(item) == 2 and isinstance(item[0], bytes):
            host, port = item[0].decode("utf-8", "replace").strip(), item[1]
            if host and len(host) <= 253 and isinstance(port, int) and 0 < port < 65536:
                nodes[host, port] = None
    return tuple(nodes)


def _tiers(value: dict[bytes, Any]) -> tuple[tuple[str, ...], ...]:
    """The trackers: of ``announce-list`` where it names any, else of ``announce`` (BEP 12)."""
    tiers = value.get(b"announce-list")
    texts = [_texts(tier) for tier in tiers] if isinstance(tiers, list) else []
    return tuple(tier for tier in texts if tier) or tuple(
        tier for tier in [_texts(value.get(b"announce"))] if tier
    )
