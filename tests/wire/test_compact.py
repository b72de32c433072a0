"""Tests of functorrent.wire.compact."""

from __future__ import annotations

import ipaddress

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.errors import LocalProtocolError
from functorrent.interfaces import PeerAddress
from functorrent.wire import compact

quick = settings(deadline=None, derandomize=True, max_examples=100)
ports = st.integers(0, 65535)


class CompactTests(SynchronousTestCase):
    """parse_v4, parse_v6 and pack."""

    def test_v4(self) -> None:
        """Six bytes each, in network order."""
        self.assertEqual(
            compact.parse_v4(b"\x7f\x00\x00\x01\x1a\xe1" + b"\xff\x08\x00\x0a\x00\x00"),
            [PeerAddress("127.0.0.1", 6881), PeerAddress("255.8.0.10", 0)],
        )

    def test_v6(self) -> None:
        """Eighteen bytes each, written as inet_ntop does."""
        data = bytes(15) + b"\x01\x1a\xe1" + b"\x20\x01\x0d\xb8" + bytes(11) + b"\x02\x00\x50"
        self.assertEqual(compact.parse_v6(data), [PeerAddress("::1", 6881), PeerAddress("2001:db8::2", 80)])

    def test_stray_bytes(self) -> None:
        """Bytes at the end that make no whole peer are dropped; the peers ahead of them count."""
        for extra in range(6):
            self.assertEqual(len(compact.parse_v4(b"abcdef" * 3 + b"x" * extra)), 3)
        for extra in range(18):
            self.assertEqual(len(compact.parse_v6(b"abcdefghijklmnopqr" * 2 + b"x" * extra)), 2)

    def test_pack_refuses(self) -> None:
        """Names, short forms and impossible ports are no compact peer."""
        hosts = [("host", 1), ("127.1", 1), ("1.2.3.4.5", 1), ("1.2.3.4", 65536), ("::1", -1), ("a:b", 1)]
        for host, port in hosts:
            with self.assertRaises(LocalProtocolError):
                compact.pack(PeerAddress(host, port))

    @given(st.lists(st.tuples(st.ip_addresses(v=4), ports), max_size=8))
    @quick
    def test_round_trip_v4(self, peers: list[tuple[ipaddress.IPv4Address, int]]) -> None:
        """What is packed is read back."""
        addresses = [PeerAddress(str(host), port) for host, port in peers]
        self.assertEqual(compact.parse_v4(b"".join(map(compact.pack, addresses))), addresses)

    @given(st.lists(st.tuples(st.ip_addresses(v=6), ports), max_size=8))
    @quick
    def test_round_trip_v6(self, peers: list[tuple[ipaddress.IPv6Address, int]]) -> None:
        """What is packed is read back as the same address."""
        data = b"".join(compact.pack(PeerAddress(str(host), port)) for host, port in peers)
        read = [(ipaddress.ip_address(host), port) for host, port in compact.parse_v6(data)]
        self.assertEqual(read, peers)
