"""`/openapi.json`: the HTTP API as an OpenAPI 3.1 document, written by hand and tried by schemathesis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klein import Klein

from functorrent.errors import PEER_OUTCOMES, TRACKER_STATUSES
from functorrent.store.jobs import HIGHEST, LOWEST, STATES
from functorrent.web.queries import arguments
from functorrent.web.request import WebRequest, to_json

if TYPE_CHECKING:
    from functorrent.web.context import WebContext

Schema = dict[str, Any]

DESCRIPTION = """\
Takes magnet links, fetches their metadata, and gives out .torrent files.

Every error is `application/problem+json` with a sentence in `detail`. Where the daemon has a token, send
`Authorization: Bearer TOKEN`. Requests with an `Origin` of another site are refused when they change
something. 429 and 503 come with `Retry-After`, in seconds. 421 is the answer to a `Host` that is none of
the daemon's names (`--http-host` adds one). Times are ISO 8601, UTC."""


def openapi_routes(app: Klein, context: WebContext) -> None:
    """Add it to `app`."""
    told = to_json(document(context.version))

    @app.route("/openapi.json", methods=["GET"])
    def openapi(request: WebRequest) -> None:
        arguments(request, ())
        request.send(told, b"application/json")


# -- schemas -----------------------------------------------------------------------------------


def _object(properties: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _or_null(kind: str, **more: Any) -> Schema:
    return {"type": [kind, "null"], **more}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_COUNT: Schema = {"type": "integer", "minimum": 0}
_STRING: Schema = {"type": "string"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_STATE: Schema = {"type": "string", "enum": list(STATES)}
_INFOHASH: Schema = {"type": "string", "pattern": "^([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$"}
_CURSOR: Schema = {"type": "string", "pattern": "^[0-9a-f]{1,12}$"}
_NEXT: Schema = _or_null("string", description="`cursor` of the next page; null at the end.")

_INVALID = _object({"line": {"type": "integer", "minimum": 1}, "input": _STRING, "error": _STRING})

_JOB: dict[str, Schema] = {
    "magnet": {"type": "string", "description": "As it was given first."},
    "source": _or_null("string", description="The file it was read from."),
    "line": _or_null("integer"),
    "infohash": _or_null("string", description="40 hex digits.", pattern="^[0-9a-f]{40}$"),
    "infohash_v2": _or_null("string", description="64 hex digits.", pattern="^[0-9a-f]{64}$"),
    "status": _ref("State"),
    "file": _or_null("string", description="Path of the .torrent file, once it is written."),
    "cached": {"type": "boolean"},
    "name": _or_null("string", description="A stranger's words: escape them."),
    "size": _or_null("integer", description="Bytes of content."),
    "files": _or_null("integer"),
    "private": _or_null("boolean"),
    "seconds": _or_null("number", description="The last try's duration."),
    "priority": {"type": "integer", "minimum": LOWEST, "maximum": HIGHEST},
    "attempts": {**_COUNT, "description": "Tries so far."},
    "added": _TIME,
    "updated": _TIME,
    "next_attempt": _or_null("string", format="date-time"),
}

_REPORT = _object(
    {
        "trackers": _array(
            _object(
                {
                    "url": {"type": "string", "description": "Its passkeys hidden."},
                    "status": {"type": "string", "enum": list(TRACKER_STATUSES)},
                    "peers": _COUNT,
                    "seeders": _or_null("integer"),
                    "leechers": _or_null("integer"),
                    "error": _or_null("string"),
                }
            )
        ),
        "peers": _object(dict.fromkeys(("found", *PEER_OUTCOMES), _COUNT)),
        "reason": _or_null("string", description="One sentence; null where it was fetched."),
        "sources": {
            **_array(_object({"source": _STRING, "peers": _COUNT, "detail": _or_null("string")})),
            "description": "Where else it was looked for (`dht`, `lsd`, ...), and in words what came of it.",
        },
    },
    # Reports of the first daemon have none.
    optional=("sources",),
)

_STATS: dict[str, Schema] = {
    "version": _STRING,
    "started": _TIME,
    "now": _TIME,
    "jobs": _object(dict.fromkeys(STATES, _COUNT)),
    "in_flight": {**_COUNT, "description": "Magnets being fetched now."},
    "dht": {
        "anyOf": [_object({"nodes": _COUNT}), {"type": "null"}],
        "description": "DHT nodes that are known; null without a DHT.",
    },
    "minutes": {
        **_array(_object({"at": _TIME, "fetched": _COUNT, "failed": _COUNT, "gave_up": _COUNT})),
        "description": "The last hour, oldest first; the last one is the running minute.",
    },
}

SCHEMAS: dict[str, Schema] = {
    "State": _STATE,
    "Job": _object(_JOB),
    "JobWithReport": _object({**_JOB, "report": {"anyOf": [_ref("Report"), {"type": "null"}]}}),
    "Report": _REPORT,
    "Jobs": _object({"magnets": _array(_ref("Job")), "next": _NEXT}),
    "Accepted": _object(
        {
            "accepted": _array(_object({"infohash": _INFOHASH, "status": _ref("State"), "url": _STRING})),
            "invalid": _array(_INVALID),
            "invalid_omitted": {**_COUNT, "description": "Invalid lines beyond those in `invalid`."},
        }
    ),
    "Files": _object(
        {
            "files": _array(_object({"path": _array(_STRING), "size": _COUNT})),
            "total": _COUNT,
            "next": _NEXT,
        }
    ),
    "Stats": _object(_STATS),
    "Problem": _object(
        {
            "type": _STRING,
            "title": _STRING,
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "A sentence."},
            "accepted_lines": {**_COUNT, "description": "Lines of a post that are accepted nevertheless."},
            "invalid": _array(_INVALID),
            "invalid_omitted": _COUNT,
            "state": _ref("State"),
        },
        optional=("accepted_lines", "invalid", "invalid_omitted", "state"),
    ),
}


# -- answers -----------------------------------------------------------------------------------

_RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds."}}


def _json(schema: Schema, description: str) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _problem(description: str, headers: Schema | None = None) -> Schema:
    told: Schema = {
        "description": description,
        "content": {"application/problem+json": {"schema": _ref("Problem")}},
    }
    return told if headers is None else {**told, "headers": headers}


_ERRORS: dict[int, Schema] = {
    400: _problem("The request is wrong; `detail` says how."),
    401: _problem(
        "The token is missing or wrong.", {"WWW-Authenticate": {"schema": _STRING, "required": True}}
    ),
    403: _problem("A page of another site may not do this."),
    404: _problem("There is no such magnet, or not what was asked of it."),
    408: _problem("The body did not come in time."),
    413: _problem("The body is too large."),
    415: _problem("The body is of a type that is not read here."),
    421: _problem("The daemon does not answer to this Host."),
    429: _problem("Too many at once, or too often.", _RETRY_AFTER),
    500: _problem("A mistake of the daemon's own."),
    503: _problem("The store does not answer, or the daemon is stopping.", _RETRY_AFTER),
}

_EVERYWHERE = (400, 421, 429, 500)
_OPEN: dict[str, Any] = {"security": []}


def _operation(
    name: str,
    summary: str,
    answers: dict[int, Schema],
    errors: tuple[int, ...] = (),
    *,
    open_: bool = False,
    changes: bool = False,
    **more: Any,
) -> Schema:
    """One operation; `errors` beyond those that all have. `open_`: without a token."""
    codes = {*_EVERYWHERE, *errors} | (set() if open_ else {401}) | ({403} if changes else set())
    responses = {**answers, **{code: _ERRORS[code] for code in codes if code not in answers}}
    return {
        "operationId": name,
        "summary": summary,
        **more,
        **(_OPEN if open_ else {}),
        "responses": {str(code): responses[code] for code in sorted(responses)},
    }


def _query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "schema": schema, "description": description}


_PAGING = [
    _query("limit", {"type": "integer", "minimum": 1, "maximum": 500, "default": 100}, "Rows of a page."),
    _query("cursor", _CURSOR, "`next` of the page before."),
]
_OF_JOB = {
    "name": "infohash",
    "in": "path",
    "required": True,
    "schema": _INFOHASH,
    "description": "40 hex digits; 64 of a magnet that is v2 alone (a hybrid is found by either).",
}


# -- paths -------------------------------------------------------------------------------------


def _magnets() -> Schema:
    text = {"schema": _STRING, "example": "magnet:?xt=urn:btih:" + "0123456789" * 4 + "\n"}
    priority = {"type": "integer", "minimum": LOWEST, "maximum": HIGHEST, "default": 0}
    body = _object(
        {"magnets": {**_array(_STRING), "minItems": 1}, "priority": priority}, optional=("priority",)
    )
    body["additionalProperties"] = False
    return {
        "post": _operation(
            "submit",
            "Submit magnets",
            {202: _json(_ref("Accepted"), "Accepted, durably; a row for each distinct torrent.")},
            (408, 413, 415, 503),
            changes=True,
            description=(
                "A magnet or infohash a line; blank lines and lines that begin with # are skipped. Text may "
                "have 64 MiB, JSON 4 MiB. Lines are accepted in batches while the body comes: an error in "
                "the middle tells `accepted_lines`. 400 when there is no valid line. What is known already "
                "is not fetched again; its new trackers and peers are remembered."
            ),
            requestBody={
                "required": True,
                "content": {"text/plain": text, "application/json": {"schema": body}},
            },
        ),
        "get": _operation(
            "list",
            "List magnets, newest first",
            {200: _json(_ref("Jobs"), "A page, which may be short before the end; reports are left out.")},
            (503,),
            parameters=[
                _query("status", _ref("State"), "Only those in this state."),
                _query(
                    "q",
                    {"type": "string", "pattern": r"^\s*(|[0-9A-Fa-f]{1,2}|\S[\s\S]+\S)\s*$"},
                    "The beginning of an infohash, or 3 characters or more of a name, of any letter size.",
                ),
                *_PAGING,
            ],
        ),
    }


def _job(name: str, summary: str, description: str, changes: bool, **more: Any) -> Schema:
    return _operation(
        name, summary, {200: _json(_ref("JobWithReport"), description)}, (404, 503), changes=changes, **more
    )


def _one_magnet() -> Schema:
    wait = {"type": "integer", "minimum": 0, "maximum": 60, "default": 0}
    return {
        "parameters": [_OF_JOB],
        "get": _job(
            "get",
            "One magnet, with the report of its last try",
            "The job.",
            False,
            parameters=[
                _query("wait", wait, "Seconds to wait for it to be neither `queued` nor `fetching` any more.")
            ],
        ),
        "delete": _job(
            "cancel",
            "Cancel a magnet",
            "The job; however often. What is fetched stays so, and files stay. Posting it queues it again.",
            True,
        ),
    }


def _torrent() -> Schema:
    file = {
        "description": "The .torrent file.",
        "headers": {"ETag": {"schema": _STRING}, "Content-Disposition": {"schema": _STRING}},
        "content": {"application/x-bittorrent": {"schema": {"type": "string", "format": "binary"}}},
    }
    unchanged = {"description": "It is what If-None-Match names.", "headers": {"ETag": {"schema": _STRING}}}
    return {
        "parameters": [_OF_JOB],
        "get": _operation("torrent", "The .torrent file", {200: file, 304: unchanged}, (404, 503)),
    }


def _files() -> Schema:
    return {
        "parameters": [_OF_JOB],
        "get": _operation(
            "files",
            "The files that it holds, without padding files",
            {200: _json(_ref("Files"), "A page.")},
            (404, 503),
            parameters=_PAGING,
        ),
    }


def _events() -> Schema:
    stream = {
        "description": (
            "`event: job`: a job without its report. `event: stats`: the totals without `minutes`, at most "
            "once a second. `event: reset`: too much has changed to tell; load the list again."
        ),
        "content": {"text/event-stream": {"schema": _STRING}},
    }
    header = {
        "name": "Last-Event-ID",
        "in": "header",
        "schema": {"type": "string", "pattern": "^[0-9a-f]+-[0-9]{1,15}$"},
        "description": "The id of the last event that was received: what came after it is sent first.",
    }
    return {"get": _operation("events", "Changes as they happen", {200: stream}, parameters=[header])}


def _session() -> Schema:
    state = _object({"required": {"type": "boolean"}, "valid": {"type": "boolean"}})
    body = _object({"token": _STRING})
    body["additionalProperties"] = False
    cookie = {"description": "The cookie is set.", "headers": {"Set-Cookie": {"schema": _STRING}}}
    return {
        "get": _operation(
            "session",
            "Whether a token is needed, and whether this request has it",
            {200: _json(state, "Both.")},
            open_=True,
        ),
        "post": _operation(
            "login",
            "Get the page's cookie for the token",
            {204: cookie},
            (401, 408, 413),
            open_=True,
            changes=True,
            requestBody={"required": True, "content": {"application/json": {"schema": body}}},
        ),
        "delete": _operation("logout", "End the session", {204: cookie}, open_=True, changes=True),
    }


def _status(name: str, summary: str, word: str, errors: tuple[int, ...] = ()) -> Schema:
    body = _object({"status": {"type": "string", "const": word}})
    return {"get": _operation(name, summary, {200: _json(body, "Yes.")}, errors, open_=True)}


def _others() -> dict[str, Schema]:
    stats = _operation("stats", "Totals, and the last hour", {200: _json(_ref("Stats"), "Now.")}, (503,))
    metrics = {"description": "Prometheus text format.", "content": {"text/plain": {"schema": _STRING}}}
    return {
        "/api/v1/stats": {"get": stats},
        "/healthz": _status("healthz", "Whether the daemon is alive", "ok"),
        "/readyz": _status("readyz", "Whether it can do its work", "ready", (503,)),
        "/metrics": {"get": _operation("metrics", "Metrics for Prometheus", {200: metrics}, (404,))},
        "/openapi.json": {
            "get": _operation("openapi", "This document", {200: _json({"type": "object"}, "It.")})
        },
    }


def document(version: str) -> Schema:
    """The OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "metafetch", "version": version, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"session": []}],
        "paths": {
            "/api/v1/magnets": _magnets(),
            "/api/v1/magnets/{infohash}": _one_magnet(),
            "/api/v1/magnets/{infohash}/retry": {
                "parameters": [_OF_JOB],
                "post": _job(
                    "retry",
                    "Try it now, its tries forgotten",
                    "The job. What is fetched, or being fetched, stays so.",
                    True,
                ),
            },
            "/api/v1/magnets/{infohash}/torrent": _torrent(),
            "/api/v1/magnets/{infohash}/files": _files(),
            "/api/v1/events": _events(),
            "/api/v1/session": _session(),
            **_others(),
        },
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "metafetch"},
            },
        },
    }
