"""Tests of functorrent.sources.dht.storage: what it knows, and that it never grows beyond its bounds."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from functorrent.interfaces import PeerAddress
from functorrent.limits import DEFAULT_LIMITS
from functorrent.sources.dht.places import place
from functorrent.sources.dht.storage import PeerStorage
from functorrent.wire.compact import pack

A, B, C = (letter * 20 for letter in (b"a", b"b", b"c"))
LIFE = DEFAULT_LIMITS.dht_stored_life
#: Small enough for a model to reach them.
SMALL = replace(
    DEFAULT_LIMITS,
    dht_stored=12,
    dht_stored_infohashes=4,
    dht_stored_peers=5,
    dht_stored_neighbours=2,
    dht_stored_per_place=4,
)


def peer(number: int, port: int = 6881) -> PeerAddress:
    """A peer in a /24 of its own."""
    return PeerAddress(f"8.{number // 250}.{number % 250}.1", port)


class Storage(SynchronousTestCase):
    def setUp(self) -> None:
        self.storage = PeerStorage()

    def sample(self, infohash: bytes, family: int = 4, count: int = 50, now: float = 0.0) -> set[bytes]:
        found = self.storage.sample(infohash, family, count, now)
        self.assertEqual(len(found), len(set(found)))
        return set(found)

    def test_by_infohash_and_family(self) -> None:
        six = PeerAddress("2a02::1", 9)
        for infohash, who in ((A, peer(1)), (A, peer(2)), (A, six), (B, peer(3))):
            self.assertTrue(self.storage.announce(infohash, who, 0.0))
        self.assertEqual(self.sample(A), {pack(peer(1)), pack(peer(2))})
        self.assertEqual(self.sample(A, 6), {pack(six)})
        self.assertEqual(self.sample(B), {pack(peer(3))})
        self.assertEqual(self.sample(C), set())
        self.assertEqual((len(self.storage), self.storage.infohashes), (4, 2))

    def test_again_is_once(self) -> None:
        for _ in range(3):
            self.storage.announce(A, peer(1), 0.0)
        self.assertEqual(len(self.storage), 1)

    def test_forgotten_unless_announced_again(self) -> None:
        self.storage.announce(A, peer(1), 0.0)
        self.storage.announce(A, peer(2), 0.0)
        self.storage.announce(A, peer(1), 1000.0)
        self.assertEqual(self.sample(A, now=LIFE - 1), {pack(peer(1)), pack(peer(2))})
        self.assertEqual(self.sample(A, now=LIFE), {pack(peer(1))})
        self.assertEqual(self.sample(A, now=LIFE + 1000.0), set())
        self.assertEqual(len(self.storage), 0)

    def test_thirty_to_forty_five_minutes(self) -> None:
        self.assertTrue(30 * 60 <= LIFE <= 45 * 60)

    def test_expire_leaves_nothing_behind(self) -> None:
        for number in range(100):
            self.storage.announce(bytes([number]) * 20, peer(number), float(number))
        self.storage.expire(LIFE + 49.5)
        self.assertEqual((len(self.storage), self.storage.infohashes), (50, 50))
        self.storage.expire(LIFE + 100.0)
        self.assertEqual((len(self.storage), self.storage.infohashes), (0, 0))
        self.assertEqual(self.storage._places, {})

    def test_a_sample_is_another_each_time(self) -> None:
        """All of a hundred are named sooner or later, ten at a time."""
        for number in range(100):
            self.storage.announce(A, peer(number), 0.0)
        seen: set[bytes] = set()
        for _ in range(300):
            some = self.sample(A, count=10)
            self.assertEqual(len(some), 10)
            seen |= some
        self.assertEqual(len(seen), 100)

    def test_neighbours_do_not_crowd_out_others(self) -> None:
        """One /24, one /64 and one address with many ports have 8 peers of an infohash, the newest."""
        self.storage.announce(A, peer(1), 0.0)
        for number in range(1, 200):
            self.storage.announce(A, PeerAddress(f"9.9.9.{number}", 6881), 0.0)
            self.storage.announce(A, PeerAddress("11.0.0.1", number), 0.0)
            self.storage.announce(A, PeerAddress(f"2a02::{number:x}", 6881), 0.0)
        places = Counter(packed[:3] for packed in self.sample(A))
        self.assertEqual(places, {b"\x08\x00\x01": 1, b"\x09\x09\x09": 8, b"\x0b\x00\x00": 8})
        self.assertIn(pack(PeerAddress("9.9.9.199", 6881)), self.sample(A))
        self.assertNotIn(pack(PeerAddress("9.9.9.191", 6881)), self.sample(A))
        self.assertEqual(len(self.sample(A, 6)), 8)

    def test_one_place_does_not_fill_it(self) -> None:
        """One /24 may announce so many infohashes, and is refused then; others are not."""
        most = DEFAULT_LIMITS.dht_stored_per_place
        for number in range(most):
            self.assertTrue(self.storage.announce(number.to_bytes(20, "big"), peer(1, number + 1), 0.0))
        self.assertFalse(self.storage.announce(A, peer(1), 0.0))
        self.assertTrue(self.storage.announce(A, peer(2), 0.0))
        # What it has announced already it may announce again.
        self.assertTrue(self.storage.announce(bytes(20), peer(1, 1), 1.0))
        self.assertEqual(len(self.storage), most + 1)

    def test_an_announce_clears_what_is_old(self) -> None:
        """Of an infohash that somebody announces all the time, too."""
        for minute in range(0, 300, 10):
            self.storage.announce(A, peer(minute), 60.0 * minute)
        self.assertEqual(len(self.storage), LIFE / 600)

    def test_full_of_everything(self) -> None:
        """So many peers in all: the infohash goes that was announced longest ago."""
        storage = PeerStorage(replace(SMALL, dht_stored=6))
        for number in range(4):
            storage.announce(A, peer(number), 0.0)
        for number in range(2):
            storage.announce(B, peer(number), 1.0)
        storage.announce(C, peer(9), 2.0)
        self.assertEqual((len(storage), storage.infohashes), (3, 2))
        self.assertEqual(storage.sample(A, 4, 9, 2.0), [])

    def test_its_room_comes_back(self) -> None:
        most = DEFAULT_LIMITS.dht_stored_per_place
        for number in range(most):
            self.storage.announce(number.to_bytes(20, "big"), peer(1), 0.0)
        self.storage.expire(LIFE)
        self.assertTrue(self.storage.announce(A, peer(1), LIFE))

    def test_local_peers_are_not_neighbours(self) -> None:
        for port in range(1, 41):
            self.storage.announce(A, PeerAddress("127.0.0.1", port), 0.0)
        self.assertEqual(len(self.sample(A)), 40)

    def test_full_of_peers(self) -> None:
        """The one that was announced longest ago gives way."""
        most = DEFAULT_LIMITS.dht_stored_peers
        for number in range(most):
            self.storage.announce(A, peer(number), float(number))
        self.storage.announce(A, peer(0), 1000.0)
        self.storage.announce(A, peer(most), 1001.0)
        found = self.sample(A, count=10_000, now=1001.0)
        self.assertEqual(len(found), most)
        self.assertIn(pack(peer(0)), found)
        self.assertNotIn(pack(peer(1)), found)

    def test_full_of_infohashes(self) -> None:
        storage = PeerStorage(SMALL)
        for number, infohash in enumerate((A, B, C, b"d" * 20, A, b"e" * 20)):
            storage.announce(infohash, peer(number), 0.0)
        self.assertEqual(storage.infohashes, 4)
        self.assertEqual(storage.sample(B, 4, 9, 0.0), [])
        self.assertEqual(len(storage.sample(A, 4, 9, 0.0)), 2)


class Model(RuleBasedStateMachine):
    """Whatever is announced, and whenever: bounded, nothing invented, nothing kept too long."""

    def __init__(self) -> None:
        super().__init__()
        self.storage = PeerStorage(SMALL)
        self.now = 0.0
        self.announced: dict[tuple[bytes, bytes], float] = {}

    @rule(
        infohash=st.integers(0, 6),
        subnet=st.integers(0, 7),
        host=st.integers(1, 3),
        port=st.integers(1, 2),
        six=st.booleans(),
    )
    def announce(self, infohash: int, subnet: int, host: int, port: int, six: bool) -> None:
        name = bytes([infohash]) * 20
        who = PeerAddress(f"2a02:{subnet}::{host}" if six else f"8.8.{subnet}.{host}", port)
        if self.storage.announce(name, who, self.now):
            self.announced[name, pack(who)] = self.now
            assert pack(who) in self.storage.sample(name, 6 if six else 4, 1000, self.now)
        else:
            group = place(who)[1]
            assert self.storage._places[group] == SMALL.dht_stored_per_place

    @rule(seconds=st.sampled_from([1.0, 600.0, 1500.0, 5000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        self.storage.expire(self.now)

    @rule(infohash=st.integers(0, 6), count=st.integers(0, 6), family=st.sampled_from([4, 6]))
    def sample(self, infohash: int, count: int, family: int) -> None:
        name = bytes([infohash]) * 20
        found = self.storage.sample(name, family, count, self.now)
        assert len(found) == len(set(found)) <= count
        for packed in found:
            assert len(packed) == (6 if family == 4 else 18)
            assert self.now - self.announced[name, packed] < LIFE

    @invariant()
    def bounded(self) -> None:
        torrents = self.storage._torrents
        assert len(torrents) <= SMALL.dht_stored_infohashes
        every = [peers for torrent in torrents.values() for peers in (torrent.v4, torrent.v6)]
        for peers in every:
            assert len(peers) <= SMALL.dht_stored_peers
            groups = Counter(group for _, group in peers.values())
            assert max(groups.values(), default=0) <= SMALL.dht_stored_neighbours
        assert sum(map(len, every)) == len(self.storage) <= SMALL.dht_stored
        places = Counter(group for peers in every for _, group in peers.values())
        assert places == self.storage._places
        assert max(places.values(), default=0) <= SMALL.dht_stored_per_place


class ModelTests(SynchronousTestCase):
    def test_bounded_whatever_is_announced(self) -> None:
        run_state_machine_as_test(
            Model,
            settings=settings(
                deadline=None, derandomize=True, max_examples=40, stateful_step_count=40, database=None
            ),
        )
