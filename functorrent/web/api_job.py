"""`/api/v1/magnets/{infohash}`: one job: read, waited for, cancelled, tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klein import Klein

from functorrent.store.jobs import Job
from functorrent.web.cooperate import shielded
from functorrent.web.queries import arguments, infohash_of, no_job, whole
from functorrent.web.request import WebRequest
from functorrent.web.waiters import Waiters

if TYPE_CHECKING:
    from functorrent.web.context import WebContext


def job_routes(app: Klein, context: WebContext, waiters: Waiters) -> None:
    """Add them to `app`."""

    @app.route("/api/v1/magnets/<infohash>", methods=["GET"])
    async def job(request: WebRequest, infohash: str) -> None:
        wait = whole(arguments(request, ("wait",)).get("wait"), "wait", 0, context.limits.web_wait, 0)
        _tell(request, await waiters.job(infohash_of(infohash), wait))

    @app.route("/api/v1/magnets/<infohash>", methods=["DELETE"])
    async def cancel(request: WebRequest, infohash: str) -> None:
        arguments(request, ())
        key = await _key(infohash)
        _tell(request, await shielded(context.queue.cancel(key)))

    @app.route("/api/v1/magnets/<infohash>/retry", methods=["POST"])
    async def retry(request: WebRequest, infohash: str) -> None:
        arguments(request, ())
        key = await _key(infohash)
        _tell(request, await shielded(context.queue.retry(key)))

    async def _key(infohash: str) -> bytes:
        """The job's own key: a hybrid is found by its v2 infohash, too."""
        found: Job | None = await shielded(context.store.job(infohash_of(infohash)))
        if found is None:
            raise no_job()
        return found.key


def _tell(request: WebRequest, job: Job | None) -> None:
    if job is None:
        raise no_job()
    request.send_json(job.to_json())
