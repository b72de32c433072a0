"""`/api/v1/stats`, `/healthz`, `/readyz` and `/metrics`: how the daemon is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klein import Klein

from functorrent.errors import StoreError
from functorrent.text import printable
from functorrent.web.cooperate import shielded
from functorrent.web.doors import Doors
from functorrent.web.problems import Problem, not_found
from functorrent.web.queries import arguments
from functorrent.web.request import WebRequest
from functorrent.web.stats import stats_of

if TYPE_CHECKING:
    from functorrent.web.context import WebContext


def stats_routes(app: Klein, context: WebContext, doors: Doors) -> None:
    """Add them to `app`."""

    @app.route("/api/v1/stats", methods=["GET"])
    async def stats(request: WebRequest) -> None:
        arguments(request, ())
        request.send_json(await stats_of(context, minutes=True))

    @app.route("/healthz", methods=["GET"])
    def healthz(request: WebRequest) -> None:
        # That the reactor turns is all it says: whoever restarts what is not healthy must not do so
        # because a disk is full.
        arguments(request, ())
        request.send_json({"status": "ok"})

    @app.route("/readyz", methods=["GET"])
    async def readyz(request: WebRequest) -> None:
        arguments(request, ())
        wrong = list(context.health())
        try:
            await shielded(context.store.counts())
        except StoreError as error:
            wrong.append(f"The store does not answer: {printable(str(error), 500)}")
        if wrong and not doors.logged_in(request.requestHeaders, request.client_host):
            # The sentences name folders and databases.
            wrong = ["metafetch is not ready; with its token, /readyz says why."]
        if wrong:
            raise Problem(503, " ".join(wrong), retry_after=10)
        request.send_json({"status": "ready"})

    @app.route("/metrics", methods=["GET"])
    def metrics(request: WebRequest) -> None:
        if context.metrics is None:
            raise not_found()
        request.send(context.metrics(), context.metrics_type.encode("ascii"))
