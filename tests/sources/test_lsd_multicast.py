"""The sockets of local service discovery, against sockets that do what the test says.

Real multicast, between two network namespaces, is tests/integration/test_lsd.py's.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from typing import Any

from twisted.internet.main import CONNECTION_LOST
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from functorrent.limits import Limits
from functorrent.sources.lsd import multicast as module
from functorrent.sources.lsd.multicast import Multicast
from functorrent.wire.lsd import GROUP4, GROUP6, PORT
from tests.peer.hand_driven import HandReactor
from tests.sources.lsd_bed import DOCKER, ETH, ETH6, LINK, LINKS

JOIN4, JOIN6 = socket.IP_ADD_MEMBERSHIP, socket.IPV6_JOIN_GROUP
LEAVE4 = socket.IP_DROP_MEMBERSHIP
IF4, IF6 = socket.IP_MULTICAST_IF, socket.IPV6_MULTICAST_IF


class FakeSocket:
    """A UDP socket; `refuses(level, option, value)` and `unreachable` say what it fails at."""

    def __init__(self, net: Net, family: int) -> None:
        self.net = net
        self.family = family
        self.options: list[tuple[int, int, Any]] = []
        self.bound: Any = None
        self.waiting: list[Any] = []
        self.closed = False
        net.sockets.append(self)

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        if self.net.refuses(level, option, value):
            raise OSError(errno.ENODEV, "no")
        self.options.append((level, option, value))

    def setblocking(self, flag: bool) -> None:
        assert flag is False

    def bind(self, address: Any) -> None:
        if self.net.taken:
            raise OSError(errno.EADDRINUSE, "taken")
        self.bound = address

    def sendto(self, data: bytes, address: Any) -> None:
        if self.net.unreachable:
            raise OSError(errno.ENETUNREACH, "no route")
        # By which interface: what was set last.
        by = [value for _, option, value in self.options if option in (IF4, IF6)][-1]
        self.net.sent.append((address[0], by, data))

    def recvmsg(self, size: int, ancillary: int) -> Any:
        if not self.waiting:
            raise BlockingIOError
        each = self.waiting.pop(0)
        if isinstance(each, Exception):
            raise each
        data, control, source = each
        return data[:size], control, 0, source

    def fileno(self) -> int:
        return -1 if self.closed else 99

    def close(self) -> None:
        self.closed = True

    def values(self, option: int) -> list[Any]:
        return [value for _, each, value in self.options if each == option]


class Net:
    """All sockets of a test."""

    def __init__(self) -> None:
        self.sockets: list[FakeSocket] = []
        self.sent: list[tuple[str, bytes, bytes]] = []
        self.refuses: Callable[[int, int, Any], bool] = lambda *_: False
        self.taken = False
        self.unreachable = False
        self.none_left = False

    def socket(self, family: int, kind: int) -> FakeSocket:
        if self.none_left:
            raise OSError(errno.EMFILE, "x")
        return FakeSocket(self, family)

    def listening(self, group: str) -> FakeSocket:
        (found,) = [
            each for each in self.sockets if each.bound and each.bound[0] == group and not each.closed
        ]
        return found


def pktinfo4(index: int) -> list[Any]:
    assert module._PKTINFO4 is not None
    return [(socket.IPPROTO_IP, module._PKTINFO4[1], struct.pack("@I8x", index))]


def pktinfo6(index: int) -> list[Any]:
    return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, bytes(16) + struct.pack("@I", index))]


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net()
        self.patch(module, "_PKTINFO4", (8, 8))
        self.patch(socket, "socket", self.net.socket)
        self.reactor = HandReactor()
        self.heard: list[tuple[bytes, str, int]] = []
        self.multicast = self.make()
        self.addCleanup(self.multicast.close)

    def make(self, **limits: Any) -> Multicast:
        return Multicast(self.reactor, self.reactor, Limits(**limits), self.received)

    def received(self, data: bytes, host: str, index: int) -> None:
        if data == b"bug":
            raise ZeroDivisionError
        self.heard.append((data, host, index))

    def read(self, group: str) -> Any:
        """As the reactor does when it finds the socket readable."""
        (reader,) = [each for each in self.reactor.readers if each._socket is self.net.listening(group)]
        return reader.doRead()


class Joining(Case):
    def test_each_interface_and_family(self) -> None:
        self.assertEqual(self.multicast.join(LINKS), {"eth0", "docker0"})
        v4, v6 = self.net.listening(GROUP4), self.net.listening(GROUP6)
        self.assertEqual((v4.bound, v6.bound), ((GROUP4, PORT), (GROUP6, PORT)))
        self.assertEqual(len(v4.values(JOIN4)), 2)
        self.assertTrue(all(each.startswith(socket.inet_aton(GROUP4)) for each in v4.values(JOIN4)))
        self.assertEqual(v6.values(JOIN6), [socket.inet_pton(socket.AF_INET6, GROUP6) + struct.pack("@I", 2)])

    def test_others_may_listen_too(self) -> None:
        self.multicast.join(LINKS)
        for group in (GROUP4, GROUP6):
            self.assertEqual(self.net.listening(group).values(socket.SO_REUSEADDR)[0], 1)

    def test_one_hop_and_back_to_this_machine(self) -> None:
        self.multicast.join(LINKS)
        senders = {each.family: each for each in self.net.sockets if each.bound is None}
        v4, v6 = senders[socket.AF_INET], senders[socket.AF_INET6]
        self.assertEqual(
            (v4.values(socket.IP_MULTICAST_TTL), v4.values(socket.IP_MULTICAST_LOOP)), ([1], [1])
        )
        self.assertIn((socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1), v6.options)
        self.assertIn((socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1), v6.options)

    def test_nothing_where_there_is_no_interface(self) -> None:
        self.assertEqual(self.multicast.join(()), set())
        self.assertEqual(self.net.sockets, [])
        self.assertEqual(self.multicast.send({False: b"x", True: b"x"}), 0)

    def test_one_family_alone(self) -> None:
        self.assertEqual(self.multicast.join([ETH]), {"eth0"})
        self.assertEqual({each.family for each in self.net.sockets}, {socket.AF_INET})

    def test_link_local_addresses_alone(self) -> None:
        self.assertEqual(self.multicast.join([LINK]), {"eth0"})
        self.assertEqual({each.family for each in self.net.sockets}, {socket.AF_INET6})

    def test_an_interface_without_multicast(self) -> None:
        self.net.refuses = lambda level, option, value: option == JOIN4 and value[-4:] == struct.pack("@I", 3)
        self.assertEqual(self.multicast.join([ETH, DOCKER]), {"eth0"})

    def test_no_multicast_at_all(self) -> None:
        """No descriptor and no reader is left of the try."""
        self.net.refuses = lambda level, option, value: option in (JOIN4, JOIN6)
        self.assertEqual(self.multicast.join(LINKS), set())
        self.assertTrue(all(each.closed for each in self.net.sockets))
        self.assertEqual(self.reactor.readers, set())

    def test_no_socket_to_be_had(self) -> None:
        self.net.none_left = True
        self.assertEqual(self.multicast.join(LINKS), set())
        self.net.none_left, self.net.taken = False, True
        self.assertEqual(self.multicast.join(LINKS), set())
        self.assertTrue(all(each.closed for each in self.net.sockets))

    def test_options_that_a_system_lacks(self) -> None:
        lacking = {8, 49, 29, socket.IPV6_RECVPKTINFO, getattr(socket, "SO_REUSEPORT", -1)}
        self.net.refuses = lambda level, option, value: option in lacking and value in (0, 1)
        self.assertEqual(self.multicast.join(LINKS), {"eth0", "docker0"})

    def test_interfaces_come_and_go(self) -> None:
        self.multicast.join([ETH])
        v4 = self.net.listening(GROUP4)
        self.multicast.join([ETH])
        self.assertEqual(len(v4.values(JOIN4)), 1)
        self.assertEqual(self.multicast.join([ETH, DOCKER]), {"eth0", "docker0"})
        self.assertEqual(len(v4.values(JOIN4)), 2)
        self.assertEqual(self.multicast.join([DOCKER]), {"docker0"})
        self.assertEqual(len(v4.values(LEAVE4)), 1)
        # The last one goes, and the socket with it.
        self.assertEqual(self.multicast.join([]), set())
        self.assertTrue(v4.closed)
        self.assertEqual(self.multicast.join([ETH]), {"eth0"})

    def test_a_reactor_without_descriptors(self) -> None:
        multicast = Multicast(Clock(), Clock(), Limits(), self.received)
        self.assertEqual(multicast.join(LINKS), set())
        self.assertEqual(self.net.sockets, [])


class Sending(Case):
    def test_from_each_of_our_addresses(self) -> None:
        """Over IPv4 the address that an announce comes from is the one we are called at."""
        self.multicast.join(LINKS)
        self.assertEqual(self.multicast.send({False: b"4", True: b"6"}), 3)
        self.assertEqual(
            self.net.sent,
            [
                (GROUP4, socket.inet_aton(ETH.address), b"4"),
                (GROUP4, socket.inet_aton(DOCKER.address), b"4"),
                (GROUP6, struct.pack("@I", ETH6.number), b"6"),
            ],
        )

    def test_once_into_each_subnet(self) -> None:
        """A server has hundreds of addresses in one subnet, and a laptop some in two."""
        aliases = [ETH._replace(address=f"192.168.1.{last}") for last in range(20, 200)]
        other = ETH._replace(address="10.0.0.5")
        self.multicast.join([ETH, *aliases, other, ETH6, LINK])
        self.assertEqual(self.multicast.send({False: b"4", True: b"6"}), 3)
        ways = [socket.inet_aton(ETH.address), socket.inet_aton(other.address), struct.pack("@I", 2)]
        self.assertEqual([by for _, by, _ in self.net.sent], ways)

    def test_where_it_cannot_go(self) -> None:
        self.multicast.join(LINKS)
        self.net.unreachable = True
        self.assertEqual(self.multicast.send({False: b"4", True: b"6"}), 0)
        self.net.unreachable = False
        self.net.refuses = lambda level, option, value: value == socket.inet_aton(ETH.address)
        self.assertEqual(self.multicast.send({False: b"4"}), 1)


class Receiving(Case):
    def setUp(self) -> None:
        super().setUp()
        self.multicast.join(LINKS)

    def wait(self, group: str, *datagrams: Any) -> None:
        self.net.listening(group).waiting += datagrams

    def test_by_which_interface(self) -> None:
        self.wait(GROUP4, (b"a", pktinfo4(3), ("172.17.0.9", 6771)))
        self.wait(GROUP6, (b"b", pktinfo6(2), ("fd00::9", 6771, 0, 0)))
        self.assertIsNone(self.read(GROUP4))
        self.assertIsNone(self.read(GROUP6))
        self.assertEqual(self.heard, [(b"a", "172.17.0.9", 3), (b"b", "fd00::9", 2)])

    def test_not_told(self) -> None:
        self.wait(GROUP4, (b"a", [], ("192.168.1.9", 6771)), (b"b", [(0, 8, b"")], ("192.168.1.9", 6771)))
        self.wait(GROUP6, (b"c", [], ("fe80::9", 6771, 0, 2)), (b"d", [], ("fd00::9", 6771, 0, 0)))
        self.read(GROUP4)
        self.read(GROUP6)
        self.assertEqual([index for _, _, index in self.heard], [0, 0, 2, 0])

    def test_giants(self) -> None:
        self.wait(GROUP4, (b"x" * 60_000, pktinfo4(2), ("192.168.1.9", 6771)))
        self.wait(GROUP4, (b"x" * 1500, pktinfo4(2), ("192.168.1.9", 6771)))
        self.read(GROUP4)
        self.assertEqual([len(data) for data, _, _ in self.heard], [1500])

    def test_a_bug_of_ours_ends_nothing(self) -> None:
        for data in (b"bug", b"good"):
            self.wait(GROUP4, (data, pktinfo4(2), ("192.168.1.9", 6771)))
        self.read(GROUP4)
        self.assertEqual([data for data, _, _ in self.heard], [b"good"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_turn_is_short(self) -> None:
        for _ in range(1000):
            self.wait(GROUP4, (b"a", pktinfo4(2), ("192.168.1.9", 6771)))
        self.read(GROUP4)
        self.assertEqual(len(self.heard), 32)

    def test_a_flood_is_left_to_the_kernel(self) -> None:
        """Over the rate the socket is not looked at for a while; then it is read again."""
        self.multicast.close()
        self.multicast = self.make(lsd_reads=40.0)
        self.multicast.join([ETH])
        for _ in range(1000):
            self.wait(GROUP4, (b"a", pktinfo4(2), ("192.168.1.9", 6771)))
        self.read(GROUP4)
        self.read(GROUP4)
        self.assertEqual(len(self.heard), 40)
        self.assertEqual(self.reactor.readers, set())
        self.reactor.advance(0.1)
        self.read(GROUP4)
        self.assertEqual(len(self.heard), 44)

    def test_closed_while_it_rests(self) -> None:
        self.multicast.close()
        self.multicast = self.make(lsd_reads=1.0)
        self.multicast.join([ETH])
        self.wait(GROUP4, *[(b"a", pktinfo4(2), ("192.168.1.9", 6771))] * 3)
        self.read(GROUP4)
        self.multicast.close()
        self.assertEqual((self.reactor.readers, self.reactor.getDelayedCalls()), (set(), []))
        self.assertTrue(all(each.closed for each in self.net.sockets))

    def test_closed_by_what_was_heard(self) -> None:
        self.multicast.close()
        self.multicast = Multicast(self.reactor, self.reactor, Limits(), lambda *_: self.multicast.close())
        self.multicast.join([ETH])
        self.wait(GROUP4, *[(b"a", pktinfo4(2), ("192.168.1.9", 6771))] * 3)
        self.assertIsNone(self.read(GROUP4))
        self.assertEqual(self.reactor.readers, set())

    def test_a_broken_socket(self) -> None:
        """The reactor drops it; the next look at our links opens another."""
        self.wait(GROUP4, OSError(errno.EBADF, "x"))
        v4 = self.net.listening(GROUP4)
        (reader,) = [each for each in self.reactor.readers if each._socket is v4]
        self.assertIs(reader.doRead(), CONNECTION_LOST)
        reader.connectionLost(Failure(CONNECTION_LOST))
        self.assertTrue(v4.closed)
        self.assertEqual(self.multicast.send({False: b"x"}), 0)
        self.assertEqual(self.multicast.join(LINKS), {"eth0", "docker0"})
        self.assertIsNot(self.net.listening(GROUP4), v4)
        self.assertEqual(len(self.reactor.readers), 2)

    def test_it_has_a_name_in_logs(self) -> None:
        self.assertEqual({each.logPrefix() for each in self.reactor.readers}, {"lsd"})
