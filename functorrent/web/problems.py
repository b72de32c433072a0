"""`Problem`: every error the HTTP API tells, as application/problem+json with a sentence (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

PROBLEM_JSON = b"application/problem+json"


class Problem(Exception):
    """An answer that is an error.

    `status`: the HTTP status; `detail`: a sentence for whoever sent the request; `extra`: further members
    of the JSON object; `headers`: further headers. `retry_after`: seconds, rounded up.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[bytes, bytes] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers[b"Retry-After"] = b"%d" % max(1, -int(-retry_after // 1))

    def to_json(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "type": "about:blank",
            "title": title_of(self.status),
            "status": self.status,
            "detail": self.detail,
            **self.extra,
        }


def title_of(status: int) -> str:
    """The name of a status, as ``Not Found``."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def not_found() -> Problem:
    """There is nothing at this path."""
    return Problem(404, "There is nothing here; /openapi.json lists what there is.")


def internal() -> Problem:
    """A bug of ours: its traceback is in the log, and nowhere else."""
    return Problem(500, "Something went wrong in metafetch itself; its log has the details.")
