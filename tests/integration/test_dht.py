"""The DHT (BEP 5) among real nodes: 60 of libtorrent and bittorrent-dht, each on an address of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from functorrent.testing import sample_info, sample_magnet
from tests.integration.harness.dht_network import DHTNetwork, until


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DHTNetwork]:
    """The 60 nodes, for all of the module."""
    network = DHTNetwork(tmp_path_factory.mktemp("dht"))
    yield network
    network.kill()


@pytest_twisted.ensureDeferred
async def test_the_network_itself(reactor: Any, tmp_path: Path, network: DHTNetwork) -> None:
    """libtorrent finds libtorrent in it: what the other tests stand on."""
    info = sample_info(20_000, "the network itself")
    seeder, client = network.clients[0][0], network.clients[1][0]
    infohash = network.seed(seeder, info)
    await until(reactor, "the announce", lambda: network.announces(infohash) >= 4)
    network.libtorrent("fetch", host=client, magnets=[sample_magnet(info)], folder=str(tmp_path))
    await until(reactor, "the fetch", lambda: infohash.hex() in network.libtorrent("fetched", host=client))
