"""`functorrent dht`, with a node that the tests hold in hand."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from functorrent.commands import dht
from functorrent.commands.dht import Asking
from functorrent.errors import DhtSilent, InvalidMagnet, NameNotResolved, UsageError
from functorrent.interfaces import PeerAddress
from functorrent.wire.krpc import NodeInfo
from tests.commands_bed import Screen, infohash, magnet
from tests.test_cli_peers import Bag

NODES = [NodeInfo(bytes([number]) * 20, PeerAddress(f"93.184.216.{number}", 6881)) for number in range(1, 4)]
PEERS = [PeerAddress("93.184.216.9", 1), PeerAddress("2606:4700::1111", 2)]


def report(**changed: Any) -> Any:
    known = {
        "asked": 31, "answered": 28, "peers": 2, "announced": 0, "hops": 4, "packets": 59, "seconds": 1.25,
        "closest": tuple(NODES),
    }  # fmt: skip
    return Bag(**{**known, **changed})


class Node:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.ready: Deferred[None] = Deferred()
        self.tables: Any = ([NODES[0]], None)
        self.so_far = report(asked=3, answered=0, peers=0, closest=())

    def get_peers(self, infohash: bytes, found: Any, announce_port: int | None = None) -> Deferred[Any]:
        assert announce_port is None, "who only looks does not announce"
        self.target, self.found = infohash, found
        self.lookup: Deferred[Any] = Deferred(lambda lookup: lookup.callback(self.so_far))
        return self.lookup

    def ping(self, address: PeerAddress) -> Deferred[Any]:
        self.pinged = address
        self.pong: Deferred[Any] = Deferred()
        return self.pong

    def find_node(self, target: bytes) -> Deferred[list[NodeInfo]]:
        self.target = target
        self.near: Deferred[list[NodeInfo]] = Deferred(lambda near: near.callback(NODES[:2]))
        return self.near


class Resolver:
    def resolve(self, host: str, *, trusted: bool = False) -> Deferred[list[str]]:
        assert trusted, "the user typed it"
        if host == "nowhere":
            return fail(NameNotResolved("nowhere: no such name"))
        return succeed(["93.184.216.1"])


class DhtTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.node = Node()
        self.screen = Screen()

    def ask(self, word: str, *what: Any, as_json: bool = False) -> Deferred[int]:
        core = Bag(clock=self.clock, resolver=Resolver())
        asking = Asking(core, self.node, self.screen.console, {"json": as_json, "timeout": 10.0})
        return Deferred.fromCoroutine(getattr(asking, word)(*what))

    def told(self) -> Any:
        [line] = self.screen.out
        return json.loads(line)


class GetPeersTests(DhtTestCase):
    def test_peers_as_they_come(self) -> None:
        running = self.ask("get_peers", infohash(1))
        self.assertEqual(self.node.target, infohash(1))
        self.node.found(PEERS[:1])
        self.assertEqual(self.screen.out, ["93.184.216.9:1"])
        self.node.found(PEERS)
        self.node.lookup.callback(report())
        self.assertEqual(self.successResultOf(running), 0)
        self.assertEqual(self.screen.out, ["93.184.216.9:1", "[2606:4700::1111]:2"])
        self.assertEqual(
            self.screen.err,
            ["functorrent: 2 peers; 31 nodes asked, 28 answered; 4 hops, 59 packets, 1.25 s"],
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_json(self) -> None:
        running = self.ask("get_peers", infohash(1), as_json=True)
        self.node.found(PEERS)
        self.node.lookup.callback(report())
        self.assertEqual(self.successResultOf(running), 0)
        told = self.told()
        self.assertEqual(told.pop("nodes")[0], {"id": "01" * 20, "host": "93.184.216.1", "port": 6881})
        self.assertEqual(told.pop("peers")[1], {"host": "2606:4700::1111", "port": 2})
        self.assertEqual(
            told,
            {
                "infohash": infohash(1).hex(), "asked": 31, "answered": 28, "hops": 4, "packets": 59,
                "seconds": 1.25,
            },
        )  # fmt: skip
        self.assertEqual(self.screen.err, [])

    def test_in_time_and_none(self) -> None:
        running = self.ask("get_peers", infohash(1))
        self.clock.advance(10)
        self.assertEqual(self.successResultOf(running), 1)
        self.assertIn("0 peers; 3 nodes asked, 0 answered", self.screen.err[0])


class PingTests(DhtTestCase):
    PONG = {"node_id": b"\x01" * 20, "seconds": 0.0432, "version": b"LT\x1b\x02", "external": PEERS[0]}

    def test_an_answer(self) -> None:
        running = self.ask("ping", "router.example", 6881)
        self.assertEqual(self.node.pinged, PeerAddress("93.184.216.1", 6881))
        self.node.pong.callback(Bag(**self.PONG))
        self.assertEqual(self.successResultOf(running), 0)
        self.assertEqual(self.screen.out, ["93.184.216.1:6881\t" + "01" * 20 + "\t43.2 ms\tLT\\x1b\\x02"])
        self.assertEqual(
            self.screen.err,
            [
                "functorrent: its id is not one of its address (BEP 42)",
                "functorrent: it sees us at 93.184.216.9:1",
            ],
        )

    def test_json(self) -> None:
        running = self.ask("ping", "router.example", 6881, as_json=True)
        self.node.pong.callback(Bag(**{**self.PONG, "version": None, "external": None}))
        self.assertEqual(self.successResultOf(running), 0)
        self.assertEqual(
            self.told(),
            {
                "host": "93.184.216.1", "port": 6881, "id": "01" * 20, "complies": False, "seconds": 0.0432,
                "version": None, "external": None, "error": None,
            },
        )  # fmt: skip

    def test_a_lost_datagram_is_not_the_end(self) -> None:
        running = self.ask("ping", "router.example", 6881)
        self.clock.advance(4)
        self.node.pong.errback(DhtSilent("93.184.216.1:6881 does not answer"))
        self.node.pong.callback(Bag(**self.PONG))
        self.assertEqual(self.successResultOf(running), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        # All of them together have the time that the user gave.
        running = self.ask("ping", "router.example", 6881)
        self.clock.advance(4)
        self.node.pong.errback(DhtSilent("93.184.216.1:6881 does not answer"))
        self.clock.advance(6)
        self.assertEqual(self.successResultOf(running), 1)

    def test_none(self) -> None:
        """Each way not to get an answer is one line, and one status."""
        running = self.ask("ping", "router.example", 6881)
        self.clock.advance(10)
        self.assertEqual(self.successResultOf(running), 1)
        self.assertEqual(self.screen.err, ["functorrent: router.example:6881: no answer within 10 s"])
        running = self.ask("ping", "router.example", 6881)
        for _ in range(3):
            self.assertNoResult(running)
            self.node.pong.errback(DhtSilent("93.184.216.1:6881 does not answer"))
        self.assertEqual(self.successResultOf(running), 1)
        self.assertEqual(self.screen.err[1], "functorrent: router.example:6881: it does not answer")
        self.assertEqual(self.successResultOf(self.ask("ping", "nowhere", 1)), 1)
        self.assertIn("functorrent: nowhere:1: ", self.screen.err[2])
        self.assertEqual(self.screen.out, [])
        self.assertEqual(self.successResultOf(self.ask("ping", "nowhere", 1, as_json=True)), 1)
        told = self.told()
        self.assertEqual((told["host"], told["port"], told["id"]), ("nowhere", 1, None))
        self.assertIn("nowhere", told["error"])

    def test_interrupted(self) -> None:
        running = self.ask("ping", "router.example", 6881)
        running.cancel()
        self.failureResultOf(running, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class NodesTests(DhtTestCase):
    def test_of_the_tables(self) -> None:
        """... when the node knows others."""
        running = self.ask("nodes", None)
        self.assertEqual(self.screen.out, [])
        self.node.tables = (NODES[:2], NODES[2:])
        self.node.ready.callback(None)
        self.assertEqual(self.successResultOf(running), 0)
        self.assertEqual(self.screen.out[2], "03" * 20 + "\t93.184.216.3:6881")
        self.assertEqual(self.screen.err, ["functorrent: 3 nodes"])

    def test_of_the_tables_so_far(self) -> None:
        running = self.ask("nodes", None, as_json=True)
        self.clock.advance(10)
        self.assertEqual(self.successResultOf(running), 0)
        self.assertEqual(
            self.told(),
            {"target": None, "nodes": [{"id": "01" * 20, "host": "93.184.216.1", "port": 6881}]},
        )

    def test_closest(self) -> None:
        running = self.ask("nodes", infohash(1))
        self.node.ready.callback(None)
        self.assertEqual(self.node.target, infohash(1))
        self.node.near.callback(NODES)
        self.assertEqual(self.successResultOf(running), 0)
        self.assertEqual(len(self.screen.out), 3)

    def test_closest_so_far(self) -> None:
        running = self.ask("nodes", infohash(1))
        self.node.ready.callback(None)
        self.clock.advance(10)
        self.assertEqual(self.successResultOf(running), 0)
        self.assertEqual(len(self.screen.out), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_none(self) -> None:
        running = self.ask("nodes", infohash(1), as_json=True)
        self.node.ready.callback(None)
        self.node.near.callback([])
        self.assertEqual(self.successResultOf(running), 1)
        self.assertEqual(self.told(), {"target": infohash(1).hex(), "nodes": []})


class UsageTests(SynchronousTestCase):
    def wrong(self, *arguments: str, error: type[Exception] = UsageError) -> str:
        def load_reactor() -> Any:
            raise AssertionError("nothing is begun")

        words = str(self.assertRaises(error, dht.dht, list(arguments), load_reactor))
        self.assertNotIn("\n", words)
        return words

    def test_wrong_usage(self) -> None:
        for arguments, hint in (
            ((), "dht get-peers MAGNET"),
            (("find",), "dht get-peers MAGNET"),
            (("get-peers",), "functorrent dht get-peers --help"),
            (("ping", "x"), "is no HOST:PORT"),
            (("ping", "x:1", "y:1"), "one argument too many"),
            (("nodes", "--timeout", "0"), "0.1 to 3600"),
            (("nodes", "--jobs", "3"), "there is no option --jobs"),
        ):
            self.assertIn(hint, self.wrong(*arguments), arguments)
        self.wrong("nodes", "zz", error=InvalidMagnet)
        self.wrong("get-peers", "magnet:?dn=x", error=InvalidMagnet)

    def test_what_is_looked_for(self) -> None:
        """A magnet goes by its v1 infohash, or by the first bytes of the v2 one (BEP 52)."""
        self.assertEqual(dht._infohash(magnet(1)), infohash(1))
        self.assertEqual(dht._infohash("ab" * 32), b"\xab" * 20)
