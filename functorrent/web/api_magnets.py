"""`/api/v1/magnets`: magnets posted, and listed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from klein import Klein
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from functorrent.lines import Line, LineSplitter
from functorrent.store.jobs import STATES, JobQuery, Page
from functorrent.web.answers import problem_of
from functorrent.web.cooperate import Slices, shielded
from functorrent.web.json_magnets import JSONMagnets
from functorrent.web.problems import Problem, internal
from functorrent.web.queries import arguments, bad, make_cursor, read_cursor, whole
from functorrent.web.request import WebRequest
from functorrent.web.submission import Submission
from functorrent.web.writing import write_pieces

if TYPE_CHECKING:
    from functorrent.web.context import WebContext

_log = Logger()
#: Bytes cut into lines in one go: 65,000 empty lines take 8 ms.
_SLICE = 16 * 1024
_HEX = re.compile(r"[0-9a-fA-F]{1,64}", re.ASCII)
#: Hex digits that nobody's name has.
_SURELY_HEX = 16
_SHORTEST_NAME = 3


def magnet_routes(app: Klein, context: WebContext) -> None:
    """Add them to `app`."""
    limits = context.limits
    large_posts = _Places(limits.web_large_posts)

    @app.route("/api/v1/magnets", methods=["POST"])
    async def post(request: WebRequest) -> None:
        arguments(request, ())
        read = _READERS.get(_media_type(request))
        if read is None:
            raise Problem(
                415,
                "Post magnets as text/plain, one a line, or as application/json "
                "(curl: -H 'Content-Type: text/plain' --data-binary @FILE).",
                headers={b"Accept-Post": b"text/plain, application/json"},
            )
        request.body.open(limits.web_text_body if read is _read_text else limits.web_json_body)
        large = request.body.declared is None or request.body.declared > limits.web_large_post
        with large_posts if large else _NO_PLACE:
            slices = Slices(context.clock, limits.web_slice)
            submission = Submission(context, slices)
            try:
                await read(request, submission, slices)
                await submission.flush()
            except CancelledError:
                raise
            except Exception as error:
                raise _in_mid_stream(error, submission) from error
            if not submission.accepted:
                raise _nothing_accepted(submission)
            request.setResponseCode(202)
            request.setHeader(b"Content-Type", b"application/json")
            await write_pieces(request, submission.answer(), slices)

    @app.route("/api/v1/magnets", methods=["GET"])
    async def listing(request: WebRequest) -> None:
        query = _query(arguments(request, ("status", "q", "limit", "cursor")))
        page: Page = await shielded(context.store.jobs(query))
        request.send_json(
            {
                "magnets": [job.to_json(report=False) for job in page.jobs],
                "next": None if page.next is None else make_cursor(page.next),
            }
        )


# -- posting -----------------------------------------------------------------------------------


async def _read_text(request: WebRequest, submission: Submission, slices: Slices) -> None:
    splitter = LineSplitter(request.limits.max_magnet)
    while data := await request.body.read():
        for at in range(0, len(data), _SLICE):
            await submission.add(splitter.feed(data[at : at + _SLICE]))
            await slices.breathe()
    await submission.add(splitter.finish())


async def _read_json(request: WebRequest, submission: Submission, slices: Slices) -> None:
    body = JSONMagnets(await request.body.read_all(request.limits.web_json_body))
    for _ in body:
        await slices.breathe()
    submission.priority = body.priority
    await submission.add(_line(number, text, request) for number, text in enumerate(body.magnets, 1))


def _line(number: int, text: str, request: WebRequest) -> Line:
    too_long = len(text) > request.limits.max_magnet
    return Line(number, text[: request.limits.web_input_shown] if too_long else text, too_long)


_READERS = {b"text/plain": _read_text, b"application/json": _read_json}


def _media_type(request: WebRequest) -> bytes:
    """The body's type; b"" where it is none that we read."""
    if request.getHeader(b"Content-Encoding") not in (None, b"identity"):
        return b""
    kind, *parameters = (request.getHeader(b"Content-Type") or b"").lower().split(b";")
    for parameter in parameters:
        name, _, value = parameter.strip().partition(b"=")
        if name == b"charset" and value.strip(b'"') not in (b"utf-8", b"utf8", b"us-ascii"):
            return b""
    return kind.strip()


def _in_mid_stream(error: Exception, submission: Submission) -> Problem:
    """What to raise, with how many lines are in the store and need not be posted again."""
    problem = problem_of(error)
    if problem is None:
        _log.failure("a post could not be taken to its end", Failure(error))
        problem = internal()
    problem.extra["accepted_lines"] = submission.accepted_lines
    return problem


def _nothing_accepted(submission: Submission) -> Problem:
    detail = (
        "No line is a magnet or an infohash." if submission.invalid else "There is no magnet in the body."
    )
    return Problem(
        400,
        detail,
        extra={
            "invalid": submission.invalid,
            "invalid_omitted": submission.invalid_omitted,
            "accepted_lines": 0,
        },
    )


class _Places:
    """How many large posts may be on at once: `with` takes one, or raises a Problem (429)."""

    def __init__(self, most: int | None) -> None:
        self._left = most

    def __enter__(self) -> None:
        if self._left is not None:
            if not self._left:
                raise Problem(429, "Too many large posts are being read already.", retry_after=10)
            self._left -= 1

    def __exit__(self, *_: object) -> None:
        if self._left is not None:
            self._left += 1


_NO_PLACE = _Places(None)


# -- listing -----------------------------------------------------------------------------------


def _query(asked: dict[str, str]) -> JobQuery:
    status = asked.get("status")
    if status is not None and status not in STATES:
        raise bad(f"status must be one of {', '.join(STATES)}.")
    infohash, text = _search(asked.get("q"))
    return JobQuery(
        status,
        infohash,
        text,
        read_cursor(asked.get("cursor")),
        whole(asked.get("limit"), "limit", 1, 500, 100),
    )


def _search(q: str | None) -> tuple[str | None, str | None]:
    """The infohash prefix and the part of a name that `q` may be: hex digits may be either."""
    q = (q or "").strip()
    if not q:
        return None, None
    infohash = q.lower() if _HEX.fullmatch(q) else None
    if infohash is None and len(q) < _SHORTEST_NAME:
        raise bad(
            f"q must be the beginning of an infohash, or {_SHORTEST_NAME} characters or more of a name."
        )
    text = q if infohash is None or _SHORTEST_NAME <= len(q) < _SURELY_HEX else None
    return infohash, text
