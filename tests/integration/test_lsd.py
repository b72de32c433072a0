"""Local service discovery over real multicast, between two hosts: see harness/lsd_network.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from functorrent.limits import DEFAULT_LIMITS
from tests.integration.harness.lsd_network import KINDS, THEY4, THEY6
from tests.integration.harness.programs import require, require_libtorrent


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the scenes gave."""
    require_libtorrent()
    for program in ("unshare", "nsenter", "ip"):
        require(program)
    network = ["unshare", "--net"]
    probe = [*network, "ip", "link", "add", "x", "type", "veth", "peer", "name", "y"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("needs network namespaces and veth pairs of its own (root)")
    module = "tests.integration.harness.lsd_network"
    run = subprocess.run(
        [*network, sys.executable, "-m", module, str(tmp_path_factory.mktemp("lsd"))],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        cwd=Path(__file__).parents[2],
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_they_announce_and_we_find_them(told: dict[str, Any]) -> None:
    """Over IPv4, IPv6 and a link-local address with its interface; local addresses are allowed for once."""
    assert set(told["heard"]) == {THEY4, THEY6, told["link"]}
    for kind in KINDS:
        got = told["found"][kind]
        assert got["fetched"], got
        assert got["detail"] == "1 peer on the local network"


def test_nothing_is_announced_where_nobody_can_call(told: dict[str, Any]) -> None:
    assert told["sent"] == 0


def test_we_announce_and_they_call_us(told: dict[str, Any]) -> None:
    """Nobody is heard: libtorrent hears us, over either family."""
    assert len(told["called"]) == 2
    for got in told["called"].values():
        assert got["fetched"] and got["given"] == 0, got
        assert got["seconds"] < 5, got


def test_other_programs_of_this_host(told: dict[str, Any]) -> None:
    """They hear us on the port that we share (and we hear them, or there would be nothing told)."""
    assert told["other_heard"].count(told["port"]) == 2


def test_strangers_giants_and_a_flood(told: dict[str, Any]) -> None:
    """None of them is believed or read beyond the rate, and who announces meanwhile is heard."""
    hostile = told["hostile"]
    assert hostile["strangers"] == 1
    limits = DEFAULT_LIMITS
    assert hostile["read"] <= limits.lsd_reads * (1 + hostile["seconds"]), hostile
    assert hostile["sent"] > hostile["read"], hostile
    # The flood's own announces, the neighbour's, and libtorrent's.
    most = limits.lsd_burst_each + limits.lsd_rate_each * hostile["seconds"]
    assert hostile["heard"] <= 2 * most + 10, hostile
    assert hostile["cpu"] < 0.5 * hostile["seconds"], hostile
