"""schemathesis against the real server: nothing is answered that the OpenAPI document does not say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest_twisted
from twisted.logger import LogLevel, globalLogPublisher

from functorrent.magnet import Magnet
from functorrent.store.jobs import NewJob
from functorrent.testing.samples import sample_info, sample_magnet
from tests.integration.harness.command import Command
from tests.integration.harness.web import WebServer
from tests.web.fakes import report, result_of

TOKEN = "a-token-of-the-tests"

CONFIG = """
[[operations]]
include-name = "POST /api/v1/magnets"
# A string that is no magnet is valid JSON, or a valid text.
checks.positive_data_acceptance.expected-statuses = ["2xx", 400]

[[operations]]
include-name = "POST /api/v1/session"
# The token is made up.
checks.positive_data_acceptance.expected-statuses = [401]

[dictionaries.known]
values = {known}

[parameters]
"path.infohash" = {{ dictionary = "known", probability = 0.7 }}
# Or the run takes as long as is asked for here, again and again.
"query.wait" = 0
"""


async def _fill(server: WebServer) -> list[str]:
    """A fetched job, a failed one, one that is queued, and one that is v2 alone."""
    info = sample_info(3000, "fetched")
    texts = [sample_magnet(info), "aa" * 20, "bb" * 20, "cc" * 32]
    magnets = [Magnet.parse(text) for text in texts]
    await server.store.submit([NewJob(magnet) for magnet in magnets])
    claim = await server.store.claim_one("w", magnets[0].infohash or b"", 600)
    assert claim is not None
    await server.store.fetched("w", result_of(claim, info))
    await server.store.claim_one("w", b"\xaa" * 20, 600)
    await server.store.failed("w", b"\xaa" * 20, report("nobody answered"), 5.0, None)
    return [(magnet.infohash or magnet.infohash_v2 or b"").hex() for magnet in magnets]


@pytest_twisted.ensureDeferred
async def test_schemathesis(reactor: Any, tmp_path: Path) -> None:
    failures: list[Any] = []

    def watch(event: Any) -> None:
        if event["log_level"] >= LogLevel.error:
            failures.append(event)

    globalLogPublisher.addObserver(watch)
    # Each wrong token and each request of the run comes from this one address.
    limits = {"web_wrong_tokens": 100_000, "web_burst": 1_000_000}
    server = await WebServer(reactor, tmp_path).start(limits, token=TOKEN, metrics=lambda: b"up 1\n")
    try:
        known = await _fill(server)
        (tmp_path / "schemathesis.toml").write_text(CONFIG.format(known=json.dumps(known)))
        arguments = ["-m", "schemathesis.cli", f"--config-file={tmp_path / 'schemathesis.toml'}", "run"]
        arguments += [f"http://127.0.0.1:{server.port}/openapi.json", "-H", f"Authorization: Bearer {TOKEN}"]
        # DELETE cancels a magnet; it does not unmake it.
        arguments += ["--exclude-checks=use_after_free"]
        # A stream has no end. A log that the process keeps is of no use here.
        arguments += ["--exclude-path=/api/v1/events", "--checks=all", "--max-examples=40", "--seed=1"]
        arguments += [
            "--phases=examples,coverage,fuzzing,stateful",
            "--generation-database=none",
            "--no-color",
        ]
        run = Command(reactor, arguments, 120, path=str(tmp_path))
        outcome = await run.ended
        # pytest cuts what an assertion shows.
        print(outcome.out)
        assert outcome.status == 0, outcome.err
        assert "14 passed" in outcome.out, outcome.out
        assert "Traceback" not in outcome.out
        assert not failures, failures
    finally:
        globalLogPublisher.removeObserver(watch)
        await server.stop()
