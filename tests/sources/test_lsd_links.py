"""Our own subnets, out of what ifaddr tells, and whether an address is on one of them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.limits import DEFAULT_LIMITS
from functorrent.sources.lsd.links import Link, Neighbourhood, links_of, read_links
from tests.sources.lsd_bed import DOCKER, ETH, ETH6, LINK, LINKS


@dataclass
class Address:
    """As ifaddr's IP: over IPv6 `ip` has flow and scope, too."""

    ip: Any
    network_prefix: int


@dataclass
class Adapter:
    name: str
    index: int | None
    ips: list[Address]


ADAPTERS = [
    Adapter("lo", 1, [Address("127.0.0.1", 8), Address(("::1", 0, 0), 128)]),
    Adapter(
        "eth0",
        2,
        [Address("192.168.1.5", 24), Address(("fd00::5", 0, 0), 64), Address(("fe80::5", 0, 2), 64)],
    ),
    Adapter("docker0", 3, [Address("172.17.0.1", 16)]),
]


class Reading(SynchronousTestCase):
    def test_of_each_interface(self) -> None:
        self.assertEqual(links_of(ADAPTERS, 16), LINKS)

    def test_what_is_no_subnet(self) -> None:
        """Tunnels to one other host, a whole Internet, and interfaces without a number."""
        for index, ip, prefix in (
            (9, "10.0.0.1", 32),
            (9, "10.0.0.1", 0),
            (9, "10.0.0.1", 7),
            (9, ("fd00::1", 0, 0), 128),
            (9, ("2000::1", 0, 0), 3),
            (9, "0.0.0.0", 8),
            (9, ("::", 0, 0), 64),
            (None, "10.0.0.1", 24),
            (0, "10.0.0.1", 24),
        ):
            self.assertEqual(links_of([Adapter("x", index, [Address(ip, prefix)])], 16), ())
        self.assertEqual(len(links_of([Adapter("x", 9, [Address("10.0.0.1", 31)])], 16)), 1)

    def test_no_more_than_are_wanted(self) -> None:
        """A host of a hundred containers has as many interfaces."""
        many = [Adapter(f"veth{n}", n, [Address((f"fe80::{n}", 0, n), 64)]) for n in range(1, 200)]
        self.assertEqual([link.number for link in links_of(many, 4)], [1, 2, 3, 4])

    def test_this_machine(self) -> None:
        """Whatever it has: no loopback, and each address on its own subnet."""
        links = read_links(DEFAULT_LIMITS.lsd_interfaces)
        around = Neighbourhood(links)
        for link in links:
            self.assertFalse(ipaddress.ip_address(link.address).is_loopback)
            self.assertTrue(around.has(link.address, link.number))


class Membership(SynchronousTestCase):
    def test_edges(self) -> None:
        around = Neighbourhood(LINKS)
        for host, number, expected in (
            ("192.168.1.0", 2, True),
            ("192.168.1.255", 2, True),
            ("192.168.0.255", 2, False),
            ("192.168.2.0", 2, False),
            ("172.17.255.255", 3, True),
            ("172.18.0.0", 3, False),
            ("fd00::ffff:ffff:ffff:ffff", 2, True),
            ("fd00:0:0:1::", 2, False),
            ("fe80::1", 2, True),
            ("fe80:0:0:1::1", 2, False),
            ("fe80::1%eth0", 2, False),
            ("", 2, False),
        ):
            self.assertIs(around.has(host, number), expected, host)
            # As remembered, too.
            self.assertIs(around.has(host, number), expected, host)

    def test_without_links(self) -> None:
        around = Neighbourhood()
        self.assertFalse(around.has("192.168.1.1", 0))
        self.assertEqual(around.links, ())

    def test_ours(self) -> None:
        around = Neighbourhood(LINKS)
        self.assertEqual(around.ours, {link.address for link in (ETH, ETH6, LINK, DOCKER)})
        self.assertEqual((around.name(2), around.name(3), around.name(9)), ("eth0", "docker0", "9"))

    def test_what_is_remembered_is_bounded(self) -> None:
        around = Neighbourhood(LINKS)
        for number in range(10_000):
            around.has(f"fd00::{number:x}", 2)
        self.assertLessEqual(len(around._known), 4096)

    @settings(deadline=None, derandomize=True, max_examples=200)
    @given(st.ip_addresses(), st.integers(8, 31), st.ip_addresses(), st.integers(32, 127))
    def test_as_ipaddress_says(self, ours: Any, prefix4: int, theirs: Any, prefix6: int) -> None:
        prefix = prefix4 if ours.version == 4 else prefix6
        network = ipaddress.ip_network((ours, prefix), strict=False)
        around = Neighbourhood([Link("eth0", 2, str(ours), prefix)])
        near = network[min(int(theirs) % network.num_addresses, network.num_addresses - 1)]
        self.assertTrue(around.has(str(near), 2))
        self.assertIs(around.has(str(theirs), 2), theirs.version == ours.version and theirs in network)
        self.assertFalse(around.has(str(near), 3))
