"""`functorrent demo`, as its user runs it."""

from __future__ import annotations

import re
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
