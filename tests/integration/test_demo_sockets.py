"""`functorrent demo`, as its user runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest_twisted

from tests.integration.harness.command import start, torrent


@pytest_twisted.ensureDeferred
async def test_demo(reactor: Any, tmp_path: Path) -> None:
    outcome = await start(reactor, "demo", path=str(tmp_path)).ended
    assert outcome.status == 0, outcome
    for words in ("tracker", "handshake", "block 2", "verified", "written to"):
        assert words in outcome.out, outcome
    found = re.search(r"written to (\S+\.torrent)", outcome.out)
    assert found is not None, outcome
    assert len(torrent(found[1])[0]) == 40_000
    assert outcome.seconds < 5, outcome


def test_a_reader_that_has_gone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "functorrent", "demo"],
            cwd=Path(__file__).parents[2],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (1, "")
