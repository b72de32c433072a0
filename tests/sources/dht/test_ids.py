"""Tests of functorrent.sources.dht.ids and places."""

from __future__ import annotations

import ipaddress

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.interfaces import PeerAddress
from functorrent.sources.dht import ids
from functorrent.sources.dht.ids import AddressVotes, complies, distance, id_for, random_id
from functorrent.sources.dht.places import place, subnet

quick = settings(deadline=None, derandomize=True, max_examples=200)
twenty = st.binary(min_size=20, max_size=20)

#: The test vectors of BEP 42.
VECTORS = [
    ("124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"),
    ("21.75.31.124", "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"),
    ("65.23.51.170", "a5d43220bc8f112a3d426c84764f8c2a1150e616"),
    ("84.124.73.14", "1b0321dd1bb1fe518101ceef99462b947a01ff41"),
    ("43.213.53.83", "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"),
]


def bound_as_in_the_bep(host: str, salt: int) -> int:
    """The first 21 bits that BEP 42's own example code comes to, byte by byte and bit by bit."""
    packed = ipaddress.ip_address(host).packed
    masks = (3, 15, 63, 255) if len(packed) == 4 else (1, 3, 7, 15, 31, 63, 127, 255)
    octets = [octet & mask for octet, mask in zip(packed, masks, strict=False)]
    octets[0] |= (salt & 7) << 5
    crc = 0xFFFFFFFF
    for octet in octets:
        for bit in range(8):
            odd = (crc ^ octet >> bit) & 1
            crc = crc >> 1 ^ (0x82F63B78 if odd else 0)
    return (crc ^ 0xFFFFFFFF) >> 11


class Bound(SynchronousTestCase):
    """BEP 42: ids and addresses."""

    @quick
    @given(st.integers(0x01000000, 0xDFFFFFFF), st.integers(0, 2**125 - 1))
    def test_as_the_example_code(self, four: int, six: int) -> None:
        for host in (str(ipaddress.IPv4Address(four)), str(ipaddress.IPv6Address(1 << 125 | six))):
            node_id = id_for(host)
            if not complies(bytes(20), host) or not complies(b"\xff" * 20, host):
                expected = bound_as_in_the_bep(host, node_id[19])
                self.assertEqual(int.from_bytes(node_id[:3], "big") >> 3, expected, host)

    def test_crc32c(self) -> None:
        """The check value of CRC-32C, and a vector of RFC 3720 (B.4)."""
        self.assertEqual(ids._crc32c(b"123456789"), 0xE3069283)
        self.assertEqual(ids._crc32c(bytes(range(32))), 0x46DD794E)

    def test_vectors(self) -> None:
        for host, node_id in VECTORS:
            self.assertTrue(complies(bytes.fromhex(node_id), host), host)

    def test_each_bound_bit_counts(self) -> None:
        """Of the first 21 bits each, and the last three; no other."""
        for host, vector in VECTORS:
            number = int(vector, 16)
            for bit in range(160):
                changed = (number ^ 1 << 159 - bit).to_bytes(20, "big")
                self.assertEqual(complies(changed, host), 21 <= bit < 157, (host, bit))

    def test_another_address(self) -> None:
        """Ids are for one address, and for its near relatives: 131 of the vector's 255.x are."""
        node_id = bytes.fromhex(VECTORS[0][1])
        others = [f"{first}.31.75.21" for first in range(1, 120) if first & 3 != 124 & 3]
        self.assertFalse(any(complies(node_id, host) for host in others if host != "10.31.75.21"))

    @quick
    @given(st.integers(0x01000000, 0xDFFFFFFF))
    def test_made_for_any_v4(self, number: int) -> None:
        host = str(ipaddress.IPv4Address(number))
        self.assertTrue(complies(id_for(host), host))

    @quick
    @given(st.integers(0, 2**125 - 1))
    def test_made_for_any_v6(self, number: int) -> None:
        """The upper half of the address is what counts."""
        address = ipaddress.IPv6Address(1 << 125 | number)
        node_id = id_for(str(address))
        self.assertTrue(complies(node_id, str(address)))
        self.assertTrue(complies(node_id, str(ipaddress.IPv6Address(int(address) ^ 0xFFFF))))

    def test_v6_is_bound(self) -> None:
        """By all of the bits that the mask leaves, and by no lower one."""
        host = "2a02:1234:5678:9abc::1"
        node_id = id_for(host)
        self.assertFalse(complies(node_id, "2a02:1234:5678:9abd::1"))
        self.assertTrue(complies(node_id, "2a02:1234:5678:9abc:ffff::1"))

    def test_ids_differ(self) -> None:
        """Two nodes behind one address have two ids; all that is not bound is random."""
        for host in ("124.31.75.21", "2a02::1", "127.0.0.1", None):
            many = {id_for(host) for _ in range(300)}
            self.assertEqual(len(many), 300)
            # Bits 21 to 23 take all their values: with 50 ids one in 25 runs would miss one.
            self.assertEqual(len({each[2] & 7 for each in many}), 8)
        self.assertEqual(len(random_id()), 20)

    def test_local_addresses_are_exempt(self) -> None:
        for host in ("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "::1", "fd00::1"):
            self.assertTrue(complies(bytes(20), host), host)
        self.assertFalse(complies(bytes(20), "172.32.0.1"))

    @quick
    @given(twenty, twenty, twenty)
    def test_distance(self, one: bytes, two: bytes, three: bytes) -> None:
        """A metric: 0 to itself alone, the same both ways, the triangle's law."""
        self.assertEqual(distance(one, one), 0)
        self.assertEqual(distance(one, two) == 0, one == two)
        self.assertEqual(distance(one, two), distance(two, one))
        self.assertLessEqual(distance(one, three), distance(one, two) + distance(two, three))


class Votes(SynchronousTestCase):
    """What others say our address is."""

    OURS = "203.0.114.7"

    def setUp(self) -> None:
        self.votes = AddressVotes()

    def cast(self, count: int, host: str, start: int = 0) -> list[bool]:
        """Votes of `count` subnets."""
        return [self.votes.vote(f"8.{number}.1.1", host) for number in range(start, start + count)]

    def test_four_subnets_that_agree(self) -> None:
        self.assertEqual(self.cast(4, self.OURS), [False, False, False, True])
        self.assertEqual(self.votes.host, self.OURS)
        self.assertEqual(self.cast(3, self.OURS, 10), [False] * 3)

    def test_one_subnet_has_one_vote(self) -> None:
        for number in range(1, 255):
            self.assertFalse(self.votes.vote(f"8.8.8.{number}", self.OURS))
            self.assertFalse(self.votes.vote(f"2a02:1:2:3::{number:x}", self.OURS))
        self.assertIsNone(self.votes.host)

    def test_a_minority_changes_nothing(self) -> None:
        """Half of the voters is no majority."""
        self.cast(20, self.OURS)
        self.assertFalse(any(self.cast(20, "1.2.3.4", 100)))
        self.assertEqual(self.votes.host, self.OURS)

    def test_no_majority_at_first(self) -> None:
        for number in range(12):
            self.assertFalse(self.votes.vote(f"8.{number}.1.1", f"9.9.9.{number % 3 + 1}"))
        self.assertIsNone(self.votes.host)

    def test_our_address_changes(self) -> None:
        """The newest 40 subnets count, so a new address wins through."""
        self.cast(100, self.OURS)
        changed = self.cast(21, "1.2.3.4", 100)
        self.assertEqual(changed, [False] * 20 + [True])
        self.assertEqual(self.votes.host, "1.2.3.4")

    def test_a_subnet_votes_anew(self) -> None:
        self.cast(4, self.OURS)
        self.assertEqual(self.cast(4, "1.2.3.4"), [False] * 3 + [True])

    def test_what_is_no_address_of_ours(self) -> None:
        for host in ("127.0.0.1", "192.168.1.4", "224.0.0.1", "0.0.0.0", "fe80::1"):
            self.cast(10, host)
        self.assertIsNone(self.votes.host)

    def test_the_newest_votes_count(self) -> None:
        """Who votes again is as new as anybody: it is another's vote that is forgotten."""
        self.cast(21, self.OURS)
        self.cast(19, "1.2.3.4", 100)
        self.cast(20, self.OURS)
        # 19 of the new ones, 20 that came after them and one that is the oldest now.
        self.assertEqual(self.cast(2, "1.2.3.4", 200), [False, False])
        self.assertEqual(self.votes.host, self.OURS)
        self.assertIn("8.0.1", self.votes._votes)
        self.assertNotIn("8.20.1", self.votes._votes)

    def test_bounded(self) -> None:
        self.cast(250, self.OURS)
        self.assertEqual(len(self.votes._votes), 40)


class Places(SynchronousTestCase):
    """What nodes are counted by."""

    def test_global(self) -> None:
        self.assertEqual(place(PeerAddress("8.8.4.4", 1)), ("8.8.4.4", "8.8.4"))
        self.assertEqual(place(PeerAddress("8.8.4.4", 2)), place(PeerAddress("8.8.4.4", 1)))
        one, other = PeerAddress("2a02:1:2:3::1", 1), PeerAddress("2a02:1:2:3:ffff::9", 2)
        self.assertEqual(place(one), place(other))
        self.assertNotEqual(place(one), place(PeerAddress("2a02:1:2:4::1", 1)))

    def test_local_ones_stand_for_themselves(self) -> None:
        """A dozen nodes of a laboratory on 127.0.0.1 see each other."""
        for host in ("127.0.0.1", "192.168.1.4", "10.0.0.1", "::1", "fd00::1"):
            one, other = place(PeerAddress(host, 1)), place(PeerAddress(host, 2))
            self.assertNotEqual(one, other)
            self.assertEqual(one[0], one[1])
            self.assertEqual(place(PeerAddress(host, 1)), one)

    def test_subnet(self) -> None:
        self.assertEqual(subnet("8.8.4.4"), subnet("8.8.4.250"))
        self.assertNotEqual(subnet("8.8.4.4"), subnet("8.8.5.4"))
        self.assertEqual(subnet("2a02:1:2:3::1"), subnet("2a02:1:2:3:4::"))
