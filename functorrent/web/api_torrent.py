"""`/api/v1/magnets/{infohash}/torrent` and `/files`: what a fetched magnet holds."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote

from klein import Klein
from twisted.internet.defer import DeferredSemaphore

from functorrent.errors import InvalidTorrent
from functorrent.store.jobs import CANCELLED, FETCHED, FETCHING, GAVE_UP, QUEUED, WAITING, Job
from functorrent.text import printable
from functorrent.web.cooperate import Slices, shielded
from functorrent.web.file_list import FilePage, read_files
from functorrent.web.problems import Problem
from functorrent.web.queries import arguments, infohash_of, make_cursor, no_job, read_cursor, whole
from functorrent.web.request import WebRequest

if TYPE_CHECKING:
    from functorrent.web.context import WebContext

TORRENT = b"application/x-bittorrent"
_UNSAFE = re.compile(r"[^A-Za-z0-9 ._()\[\]+,=@-]")
#: Characters of a name in Content-Disposition.
_NAME = 150

_WHY = {
    QUEUED: "it waits for its turn",
    FETCHING: "it is being fetched",
    WAITING: "it could not be fetched yet, and is tried again",
    GAVE_UP: "it could not be fetched, and is not tried any more",
    CANCELLED: "it was cancelled",
}


def torrent_routes(app: Klein, context: WebContext) -> None:
    """Add them to `app`."""
    readers = DeferredSemaphore(context.limits.web_file_readers)

    @app.route("/api/v1/magnets/<infohash>/torrent", methods=["GET"])
    async def torrent(request: WebRequest, infohash: str) -> None:
        arguments(request, ())
        job = await _fetched(infohash)
        data: bytes | None = await shielded(context.store.torrent(job.key))
        if data is None:
            raise _none_yet(job)
        # Trackers that were learned later are in it, too: the infohash alone would not tell.
        tag = b'"%s-%s"' % (job.key.hex().encode(), sha256(data).hexdigest()[:16].encode())
        request.setHeader(b"ETag", tag)
        request.setHeader(b"Cache-Control", b"private, no-cache")
        if _matches(request, tag):
            request.send_nothing(304)
            return
        request.setHeader(b"Content-Disposition", disposition(job))
        request.send(data, TORRENT)

    @app.route("/api/v1/magnets/<infohash>/files", methods=["GET"])
    async def files(request: WebRequest, infohash: str) -> None:
        asked = arguments(request, ("limit", "cursor"))
        limit = whole(asked.get("limit"), "limit", 1, 500, 100)
        start = read_cursor(asked.get("cursor")) or 0
        job = await _fetched(infohash)
        await readers.acquire()
        try:
            page = await _page(job, start, limit)
        finally:
            readers.release()
        request.send_json(
            {
                "files": [{"path": list(path), "size": size} for path, size in page.files],
                "total": page.total,
                "next": make_cursor(start + limit) if start + limit < page.total else None,
            }
        )

    async def _page(job: Job, start: int, limit: int) -> FilePage:
        info: bytes | None = await shielded(context.store.info_bytes(job.key))
        if info is None:
            raise _none_yet(job)
        try:
            return await read_files(info, start, limit, Slices(context.clock, context.limits.web_slice))
        except InvalidTorrent as error:
            raise Problem(404, f"There is no list of files: {error}.") from None

    async def _fetched(infohash: str) -> Job:
        job: Job | None = await shielded(context.store.job(infohash_of(infohash)))
        if job is None:
            raise no_job()
        if job.status != FETCHED:
            raise _none_yet(job)
        return job


def _none_yet(job: Job) -> Problem:
    why = _WHY.get(job.status, "its metadata is not in the store")
    reason = (job.report or {}).get("reason")
    last = f" The last try: {printable(str(reason), 500)}" if reason else ""
    return Problem(
        404, f"There is no .torrent file of this magnet: {why}.{last}", extra={"state": job.status}
    )


def _matches(request: WebRequest, tag: bytes) -> bool:
    header = request.getHeader(b"If-None-Match")
    if header is None:
        return False
    given = [part.strip().removeprefix(b"W/") for part in header.split(b",")]
    return tag in given or b"*" in given


def disposition(job: Job) -> bytes:
    """A Content-Disposition with the torrent's name, safe in a header and in a folder (RFC 6266, 8187)."""
    name = printable(job.name or "", _NAME).replace("/", "_").replace("\\", "_").strip(" .")
    name = name or job.key.hex()
    plain = _UNSAFE.sub("_", name)
    header = f'attachment; filename="{plain}.torrent"'
    if plain != name:
        header += f"; filename*=UTF-8''{quote(name + '.torrent', safe='', errors='replace')}"
    return header.encode("ascii")
