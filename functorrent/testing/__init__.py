"""Fakes to test with, as fine as treq.testing: for functorrent's own tests and for those of plugins.

- `ScriptedSeeder`: a peer that shares an info dictionary, with `behaviours` that lie, dawdle or are odd;
- `ScriptedTracker`: a tracker over HTTP and UDP, with `tracker_lies`;
- `ScriptedNode`: a node of the DHT, with `dht_lies`;
- `connect_in_memory`: joins a client's and a server's factory without a socket;
- `sample_info`, `sample_magnet`: what to ask for;
- in functorrent.testing.store, `memory_store`: the daemon's store in memory (that module imports SQLAlchemy).

None of them needs a reactor of its own: listen with them on a real one, or use no sockets at all.
"""

from __future__ import annotations

from functorrent.testing import behaviours, dht_lies, tracker_lies
from functorrent.testing.behaviours import Behaviour
from functorrent.testing.dht import NodeQuery, ScriptedNode
from functorrent.testing.dht_lies import NodeLie
from functorrent.testing.memory import InMemoryConnection, connect_in_memory
from functorrent.testing.samples import sample_info, sample_magnet
from functorrent.testing.seeder import ScriptedSeeder, SeederProtocol
from functorrent.testing.tracker import Announce, ScriptedTracker, TrackerDatagrams, TrackerResource
from functorrent.testing.tracker_lies import HTTPLie, UDPLie

__all__ = [
    "Announce",
    "Behaviour",
    "HTTPLie",
    "InMemoryConnection",
    "NodeLie",
    "NodeQuery",
    "ScriptedNode",
    "ScriptedSeeder",
    "ScriptedTracker",
    "SeederProtocol",
    "TrackerDatagrams",
    "TrackerResource",
    "UDPLie",
    "behaviours",
    "connect_in_memory",
    "dht_lies",
    "sample_info",
    "sample_magnet",
    "tracker_lies",
]
