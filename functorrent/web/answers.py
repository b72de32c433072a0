"""From exceptions of handlers to answers: whatever is raised, the client gets a Problem."""

from __future__ import annotations

from typing import Any

from klein import Klein
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from functorrent.errors import QueueClosed, StoreError
from functorrent.text import printable
from functorrent.web.problems import Problem, internal, not_found

_log = Logger()


def problem_of(error: BaseException) -> Problem | None:
    """What to answer to an exception; None for a bug of ours."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, QueueClosed):
        return Problem(503, "The daemon is stopping, and takes nothing more.", retry_after=10)
    if isinstance(error, StoreError):
        return Problem(503, f"The store does not answer: {printable(str(error), 500)}", retry_after=30)
    if isinstance(error, MethodNotAllowed):
        allowed = sorted(error.valid_methods or ())
        return Problem(
            405,
            f"This path takes {', '.join(allowed)} only.",
            headers={b"Allow": ", ".join(allowed).encode()},
        )
    if isinstance(error, HTTPException):
        # Also a redirect: nothing here is somewhere else.
        return not_found()
    if isinstance(error, CancelledError):
        return Problem(503, "The daemon did not finish this request.")
    return None


def handle_failures(app: Klein) -> None:
    """Answer every exception of a handler."""

    @app.handle_errors(Exception)
    def failed(request: Any, failure: Failure) -> None:
        problem = None if failure.value is None else problem_of(failure.value)
        if problem is None:
            _log.failure("a request could not be answered", failure)
            problem = internal()
        request.send_problem(problem)
