"""Tests of functorrent.addresses: every odd literal by which a stranger might reach what it should not."""

from __future__ import annotations

import ipaddress

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from functorrent.addresses import AddressGuard, classify
from functorrent.errors import AddressNotAllowed

quick = settings(deadline=None, derandomize=True, max_examples=100)

GLOBAL = [
    "8.8.8.8",
    "1.0.0.1",
    "100.63.255.255",  # below CGNAT
    "100.128.0.1",  # above it
    "126.255.255.255",
    "128.0.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.167.255.255",
    "192.169.0.1",
    "223.255.255.255",
    "2000::1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:82a::200e",
    "::ffff:8.8.8.8",  # IPv4-mapped
    "64:ff9b::8.8.8.8",  # NAT64
    "2002:808:808::1",  # 6to4
]

LOCAL = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",  # cloud metadata services
    "100.64.0.1",
    "100.127.255.255",
    "::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fe80::1",
    "febf::1",
    "64:ff9b:1::7f00:1",  # NAT64 of a local network's own choice (RFC 8215)
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:a9fe:a9fe",
    "::ffff:192.168.0.1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2002:c0a8:101:1:2:3:4:5",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
]

NEVER = [
    "0.0.0.0",
    "0.0.0.1",
    "0.255.255.255",
    "192.0.0.1",
    "192.0.0.8",
    "192.0.0.9",
    "192.0.0.170",
    "192.0.2.1",  # documentation, as the next two
    "198.51.100.1",
    "203.0.113.1",
    "192.88.99.1",  # 6to4 relays, withdrawn
    "198.18.0.1",  # benchmarks
    "198.19.255.255",
    "224.0.0.1",  # global to is_global
    "239.255.255.250",
    "232.1.1.1",
    "240.0.0.1",
    "254.1.1.1",
    "255.255.255.254",
    "255.255.255.255",
    "::",
    "::2",
    "::127.0.0.1",  # IPv4-compatible
    "::8.8.8.8",
    "::ffff:0:127.0.0.1",  # IPv4-translated (RFC 2765)
    "::fffe:127.0.0.1",
    "100::1",
    "200::1",
    "400::1",
    "1fff::1",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "3fff::1",  # documentation (RFC 9637)
    "3fff:fff::1",
    "4000::1",
    "5f00::1",
    "8000::1",
    "c000::1",
    "e000::1",
    "fbff::1",
    "fe00::1",
    "fec0::1",  # site-local; global to is_global
    "feff::1",
    "ff02::1",
    "ff05::2",
    "ff0e::1",  # multicast of global scope; global to is_global
    "ff1e::1",
    "2606:4700:4700::1111%1",
    "fec0::1%eth0",
    "ff02::1%eth0",
    "::1%lo",
    "::ffff:127.0.0.1%lo",
    "::ffff:0.0.0.0",
    "::ffff:224.0.0.1",
    "::ffff:240.0.0.1",
    "::ffff:255.255.255.255",
    "2002:e000:1::",
    "2002::1",
    "2002:ffff:ffff::1",
    "2002:cb00:7101::1",
    "64:ff9b::",
    "64:ff9b::224.0.0.1",
    "64:ff9b::192.0.2.1",
]

#: Link-local addresses on one of our own interfaces.
SCOPED = ["fe80::1%eth0", "fe80::1%4", "FE80::1%wlp2s0", "febf:ffff::1%br-0a.1"]

#: Teredo: 2001:0, the server, flags, port, and the client, the last two with every bit flipped.
TEREDO_GLOBAL = "2001:0:808:808:0:ffff:f7f7:fbfb"
TEREDO_LOOPBACK_CLIENT = "2001:0:808:808:0:ffff:80ff:fffe"
TEREDO_LOOPBACK_SERVER = "2001:0:7f00:1:0:ffff:f7f7:fbfb"

NO_LITERAL = [
    "",
    " ",
    "localhost",
    "example.com",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.0.0.01",
    "127.0.0.1 ",
    " 127.0.0.1",
    "127.0.0.1\n",
    "127.0.0.1:80",
    "[::1]",
    "1.2.3.4/32",
    "127。0。0。1",
    "１２７.0.0.1",
    "①.0.0.1",
    "::1%",
    "1::2::3",
    "12345::1",
    "::ffff:127.1",
]


def allows(guard: AddressGuard, host: str, port: int = 6881, *, trusted: bool = False) -> bool:
    """Whether the guard lets this address pass."""
    try:
        guard.check(host, port, trusted=trusted)
    except AddressNotAllowed:
        return False
    return True


class ClassifyTests(SynchronousTestCase):
    """classify."""

    def test_global(self) -> None:
        """Addresses of the public network, those that carry an IPv4 one included."""
        self.assertEqual({host: classify(host) for host in GLOBAL}, dict.fromkeys(GLOBAL, "global"))

    def test_local(self) -> None:
        """What --allow-local lifts, in each way to write it."""
        self.assertEqual({host: classify(host) for host in LOCAL}, dict.fromkeys(LOCAL, "local"))

    def test_never(self) -> None:
        """Neither global nor local: the reason stands in words."""
        self.assertEqual([host for host in NEVER if classify(host) in ("global", "local")], [])

    def test_scoped(self) -> None:
        """A link-local address with its interface is a word of its own; no other address has a scope."""
        self.assertEqual({host: classify(host) for host in SCOPED}, dict.fromkeys(SCOPED, "scoped"))

    def test_teredo(self) -> None:
        """A Teredo address stands for two IPv4 addresses, and both have to be good."""
        self.assertEqual(classify(TEREDO_GLOBAL), "global")
        self.assertEqual(classify(TEREDO_LOOPBACK_CLIENT), "local")
        self.assertEqual(classify(TEREDO_LOOPBACK_SERVER), "local")
        self.assertNotIn(classify("2001::1"), ("global", "local"))
        self.assertNotIn(classify("2001:0:808:808:0:ffff:1fff:fffe"), ("global", "local"))  # 224.0.0.1

    def test_words(self) -> None:
        """The words say what is wrong, and where."""
        self.assertEqual(classify("ff0e::1"), "a multicast address")
        for host in ("0.0.0.0", "0.1.2.3", "::"):
            self.assertEqual(classify(host), "not an address of a host")
        self.assertEqual(classify("255.255.255.255"), "the broadcast address")
        self.assertEqual(classify("::ffff:224.0.0.1"), "a multicast address inside an IPv6 address")
        self.assertEqual(classify("fec0::1%eth0"), "an address with a scope")
        self.assertEqual(classify("2001:db8::1"), "a reserved address")

    def test_no_literal(self) -> None:
        """Names, and what inet_aton or a browser would read as an address, raise ValueError."""
        for host in NO_LITERAL:
            with self.assertRaises(ValueError):
                self.fail(f"{host!r} is {classify(host)}")

    def test_long(self) -> None:
        """A stranger's literal of any length costs nothing: a scope may be endless, and is cached."""
        for host in ("fe80::1%" + "a" * 60_000, "1" * 60_000, "0:" * 30_000):
            with self.assertRaises(ValueError):
                classify(host)

    @given(st.ip_addresses(v=4))
    @quick
    def test_wrapped(self, address: ipaddress.IPv4Address) -> None:
        """An IPv4 address wrapped in an IPv6 one is as good as by itself."""
        plain = classify(str(address))
        n = int(address)
        for prefix, shift in ((0xFFFF << 32, 0), (0x0064FF9B << 96, 0), (0x2002 << 112, 80)):
            wrapped = classify(str(ipaddress.IPv6Address(prefix | n << shift)))
            self.assertEqual(wrapped.removesuffix(" inside an IPv6 address"), plain)

    @given(st.ip_addresses())
    @quick
    def test_global_is_global(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
        """Nothing but a wrapped address is global that ipaddress does not call global."""
        if classify(str(address)) == "global" and not address.is_global:
            assert isinstance(address, ipaddress.IPv6Address)
            self.assertTrue(address.ipv4_mapped or address.teredo or address.sixtofour)

    @given(st.text(max_size=80))
    @quick
    def test_fuzz(self, host: str) -> None:
        """Any text is classified, or a ValueError."""
        try:
            self.assertTrue(classify(host))
        except ValueError:
            pass


class GuardTests(SynchronousTestCase):
    """AddressGuard."""

    def test_strict(self) -> None:
        """By default only global addresses pass."""
        guard = AddressGuard()
        self.assertEqual([host for host in GLOBAL if not allows(guard, host)], [])
        self.assertEqual([host for host in LOCAL + NEVER + NO_LITERAL if allows(guard, host)], [])

    def test_allow_local(self) -> None:
        """--allow-local lets local addresses pass, and nothing else."""
        guard = AddressGuard(allow_local=True)
        self.assertEqual([host for host in GLOBAL + LOCAL if not allows(guard, host)], [])
        self.assertEqual([host for host in NEVER + NO_LITERAL if allows(guard, host)], [])

    def test_trusted(self) -> None:
        """What the user typed may be local, but must still be an address of a host."""
        guard = AddressGuard()
        self.assertEqual([host for host in GLOBAL + LOCAL if not allows(guard, host, trusted=True)], [])
        self.assertEqual([host for host in NEVER + NO_LITERAL if allows(guard, host, trusted=True)], [])

    def test_scope(self) -> None:
        """A stranger does not choose our interface, --allow-local or not; who spoke to us there may."""
        for guard in (AddressGuard(), AddressGuard(allow_local=True)):
            self.assertEqual([host for host in SCOPED if allows(guard, host)], [])
            self.assertEqual([host for host in SCOPED if not allows(guard, host, trusted=True)], [])
            error = self.assertRaises(AddressNotAllowed, guard.check, "fe80::1%eth0", 6881)
            self.assertEqual(str(error), "fe80::1%eth0 is an address with a scope")
            self.assertFalse(allows(guard, "fe80::1%eth0", 0, trusted=True))

    def test_ports(self) -> None:
        """Port 0 and what is no port never pass, whoever asks."""
        guard = AddressGuard(allow_local=True)
        for port in (0, -1, 65536, 1 << 40):
            self.assertFalse(allows(guard, "8.8.8.8", port, trusted=True), port)
        for port in (1, 65535):
            self.assertTrue(allows(guard, "8.8.8.8", port), port)

    def test_own_listener(self) -> None:
        """Ourselves, by any spelling of any address of ours, on a port of ours; trusted or not."""
        guard = AddressGuard(allow_local=True)
        guard.set_own({6881, 6882}, frozenset({"127.0.0.1", "8.8.8.8", "2606:4700::1"}))
        ours = [
            "127.0.0.1",
            "8.8.8.8",
            "::ffff:8.8.8.8",
            "::FFFF:808:808",
            "64:ff9b::8.8.8.8",
            "2606:4700::1",
            "2606:4700:0:0:0:0:0:1",
            "2606:4700:0000::0001",
        ]
        self.assertEqual([host for host in ours if allows(guard, host, 6882)], [])
        self.assertEqual([host for host in ours if allows(guard, host, 6881, trusted=True)], [])
        self.assertEqual([host for host in ours if not allows(guard, host, 6883)], [])
        self.assertTrue(allows(guard, "8.8.4.4", 6881))
        self.assertTrue(allows(guard, "2606:4700::2", 6881))

    def test_own_listener_by_odd_name(self) -> None:
        """Our own addresses as the system writes them: scopes and spellings that are no literal."""
        guard = AddressGuard(allow_local=True)
        guard.set_own({6881}, frozenset({"fe80::1%eth0", "localhost", "::FFFF:10.0.0.1"}))
        self.assertFalse(allows(guard, "fe80::1", 6881))
        self.assertFalse(allows(guard, "fe80::1%eth1", 6881, trusted=True))
        self.assertFalse(allows(guard, "10.0.0.1", 6881))
        self.assertTrue(allows(guard, "10.0.0.2", 6881))

    def test_errors(self) -> None:
        """The error says which host, and why, in words; a stranger's endless host is cut."""
        error = self.assertRaises(AddressNotAllowed, AddressGuard().check, "192.168.0.1", 80)
        self.assertEqual(error.host, "192.168.0.1")
        self.assertIn("--allow-local", str(error))
        error = self.assertRaises(AddressNotAllowed, AddressGuard().check, "8.8.8.8", 0)
        self.assertEqual(str(error), "8.8.8.8 port 0 is without a usable port")
        error = self.assertRaises(AddressNotAllowed, AddressGuard().check_host, "x" * 100_000)
        self.assertLess(len(str(error)), 200)
