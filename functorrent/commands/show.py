"""`functorrent show`: what a .torrent file or a magnet holds, for people or as one JSON object."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from functorrent.commands.console import Console
from functorrent.commands.parser import Parser
from functorrent.errors import InputError, InvalidMagnet, InvalidTorrent, OutputError, UsageError
from functorrent.magnet import Magnet
from functorrent.text import printable

if TYPE_CHECKING:
    from functorrent.metainfo import FileEntry, Metainfo

#: Characters of a stranger's string shown: all of an honest one.
_SHOWN = 4096
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def show(arguments: list[str]) -> int:
    """Run the command and return its exit status. Raises FunctorrentError, BrokenPipeError."""
    parser = Parser("show", "Print what a .torrent file or a magnet link holds.")
    parser.add_argument("what", metavar="FILE.torrent|MAGNET", help="a file ('-': stdin), or a magnet link")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    values = parser.parse_intermixed_args(arguments)
    console = Console.standard()
    console.failed = _raise
    lines = _lines(values.what, values.json)
    for line in lines:
        console.result(line)
    console.flush()
    return 0


def _raise(error: OSError) -> NoReturn:
    if isinstance(error, BrokenPipeError):
        raise error
    raise OutputError(f"cannot write to stdout: {error.strerror}")


def _lines(what: str, as_json: bool) -> Iterator[str]:
    if what[:7].lower() == "magnet:" or not (what == "-" or os.path.lexists(what)):
        try:
            magnet = Magnet.parse(os.fsencode(what).decode("utf-8", "replace"))
        except InvalidMagnet as error:
            if what[:7].lower() == "magnet:":
                raise
            raise InputError(f"{printable(what)}: no such file, and {error}") from None
        return iter([json.dumps(_magnet_json(magnet))]) if as_json else _magnet_lines(magnet)
    from functorrent.metainfo import Metainfo

    try:
        metainfo = Metainfo.parse(_read(what))
    except InvalidTorrent as error:
        raise InvalidTorrent(f"{printable(what)}: {error}") from None
    return _metainfo_json(metainfo) if as_json else _metainfo_lines(metainfo)


def _read(path: str) -> bytes:
    from functorrent.metainfo.torrent import MAX_TORRENT

    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            return file.read(MAX_TORRENT + 1)
    except OSError as error:
        raise UsageError(f"{printable(path)}: cannot be read: {error.strerror}") from None


def _magnet_json(magnet: Magnet) -> dict[str, Any]:
    return {
        "infohash": _hex(magnet.infohash),
        "infohash_v2": _hex(magnet.infohash_v2),
        "name": magnet.name,
        "size": magnet.length,
        "trackers": magnet.trackers,
        "web_seeds": magnet.web_seeds,
        "exact_sources": magnet.exact_sources,
        "acceptable_sources": magnet.acceptable_sources,
        "peers": magnet.peers,
        "select_only": magnet.select_only,
    }


def _metainfo_json(metainfo: Metainfo) -> Iterator[str]:
    """One object, in pieces: a torrent may have 100,000 files. The pieces are lines within the object."""
    summary = metainfo.summary
    head = {
        "infohash": _hex(metainfo.infohash),
        "infohash_v2": _hex(metainfo.infohash_v2),
        "name": summary.name,
        "size": summary.size,
        "private": summary.private,
        "piece_length": summary.piece_length,
        "version": summary.version,
        "trackers": metainfo.trackers,
        "web_seeds": metainfo.web_seeds,
        "nodes": metainfo.nodes,
        "warnings": metainfo.warnings,
    }
    yield json.dumps(head)[:-1] + ', "files": ['
    before: str | None = None
    for entry in _files(metainfo):
        if before is not None:
            yield before + ","
        before = json.dumps({"path": entry.path, "size": entry.size})
    yield (before or "") + "]}"


def _magnet_lines(magnet: Magnet) -> Iterator[str]:
    yield from _head(magnet.infohash, magnet.infohash_v2, magnet.name)
    if magnet.length is not None:
        yield f"size         {_bytes(magnet.length)}"
    yield from _urls(magnet.trackers, magnet.web_seeds)
    for words, sources in (
        ("exact source", magnet.exact_sources),
        ("other source", magnet.acceptable_sources),
    ):
        for source in sources:
            yield f"{words:<13}{printable(source, _SHOWN)}"
    for host, port in magnet.peers:
        yield f"peer         {_address(host, port)}"
    if magnet.select_only:
        ranges = (str(a) if a == b else f"{a}-{b}" for a, b in magnet.select_only)
        yield f"only files   {', '.join(ranges)}"


def _metainfo_lines(metainfo: Metainfo) -> Iterator[str]:
    summary = metainfo.summary
    yield from _head(metainfo.infohash, metainfo.infohash_v2, summary.name)
    yield f"size         {_bytes(summary.size)} in {summary.files:,} file{'s' * (summary.files != 1)}"
    yield f"piece length {_bytes(summary.piece_length)}"
    yield f"private      {'yes' if summary.private else 'no'}"
    yield from _urls(metainfo.trackers, metainfo.web_seeds)
    for host, port in metainfo.nodes:
        yield f"DHT node     {_address(host, port)}"
    for warning in metainfo.warnings:
        yield f"warning      {printable(warning)}"
    yield "files"
    for entry in _files(metainfo):
        yield f"  {entry.size:>16,}  {printable('/'.join(entry.path), _SHOWN)}"


def _files(metainfo: Metainfo) -> Iterator[FileEntry]:
    from functorrent.metainfo import list_files

    return (entry for entry in list_files(metainfo.info_bytes) if not entry.padding)


def _head(infohash: bytes | None, infohash_v2: bytes | None, name: str | None) -> Iterator[str]:
    if name:
        yield f"name         {printable(name, _SHOWN)}"
    if infohash is not None:
        yield f"infohash     {infohash.hex()}"
    if infohash_v2 is not None:
        yield f"infohash v2  {infohash_v2.hex()}"


def _urls(trackers: tuple[tuple[str, ...], ...], web_seeds: tuple[str, ...]) -> Iterator[str]:
    for number, tier in enumerate(trackers, 1):
        for url in tier:
            yield f"tracker      {printable(url, _SHOWN)} (tier {number})"
    for url in web_seeds:
        yield f"web seed     {printable(url, _SHOWN)}"


def _address(host: str, port: int) -> str:
    shown = printable(host)
    return f"{f'[{shown}]' if ':' in shown else shown}:{port}"


def _bytes(number: int) -> str:
    """``5 bytes``, ``1,536 bytes (1.5 KiB)``."""
    exact = f"{number:,} byte{'s' * (number != 1)}"
    if number < 1024:
        return exact
    steps = min((number.bit_length() - 1) // 10, len(_UNITS))
    return f"{exact} ({number / 1024**steps:.1f} {_UNITS[steps - 1]})"


def _hex(infohash: bytes | None) -> str | None:
    return infohash.hex() if infohash is not None else None
