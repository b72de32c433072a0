"""The sockets of local service discovery: both groups, joined on each of our interfaces.

One socket for each family listens, bound to the group's address, so that nothing sent to this machine alone
reaches it, and shared with other programs on this machine (SO_REUSEADDR); another one sends. Twisted's own
multicast transports tell neither the interface a datagram came in by nor the scope of its source.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from functorrent.limits import Limits
from functorrent.rates import Bucket
from functorrent.sources.lsd.links import Link
from functorrent.wire.lsd import GROUP4, GROUP6, MAX_RECEIVED, PORT

#: Datagrams read in one turn of the reactor.
_AT_ONCE = 32
#: Room for the interface's number and address beside a datagram.
_ANCILLARY = 128
#: A datagram's way is one hop: it must not leave the subnet, whatever routers there are. (BEP 14 lets it go
#: further; libtorrent says 32, Transmission 1.) Those from further away are dropped here, too.
_HOPS = 1
_INDEX = struct.Struct("@I")
_LINK_LOCAL = "fe80:"
#: Seconds that a group with more datagrams than its rate is not read.
_REST = 0.1
_FLAGS = getattr(socket, "SOCK_CLOEXEC", 0)

#: IP_PKTINFO tells the interface: the option and the message's type, which Python does not name everywhere.
_PKTINFO4 = {"linux": (8, 8), "darwin": (26, 26)}.get(sys.platform)
#: IP_MULTICAST_ALL, IPV6_MULTICAST_ALL: off, a socket gets what it joined itself and nothing else (Linux).
_ALL = {socket.AF_INET: (socket.IPPROTO_IP, 49), socket.AF_INET6: (socket.IPPROTO_IPV6, 29)}

#: Gets a datagram, the source's address without its scope, and the interface's number, 0 if not known.
Received = Callable[[bytes, str, int], None]


class Multicast:
    """Both groups. Opens nothing before `join`. `reactor`: IReactorFDSet, IReactorTime."""

    log = Logger()

    def __init__(self, reactor: Any, clock: Any, limits: Limits, received: Received) -> None:
        self._reactor = reactor
        self._bucket = Bucket(clock, limits.lsd_reads, limits.lsd_reads)
        self._clock = clock
        self._received = received
        self._groups: dict[bool, _Group] = {}
        #: By which links datagrams go out, by family.
        self._ways: dict[bool, list[Link]] = {}

    def join(self, links: Iterable[Link]) -> set[str]:
        """Be in the groups on these links alone. Returns the names of the interfaces where we are.

        What cannot be joined is passed over: not every interface, and not every machine, has multicast.
        """
        links = tuple(links)
        # One into each of our subnets, from the first address there, so that each sees one it can reach; over
        # IPv6 the system chooses the best one of the interface.
        ways: dict[bool, dict[Any, Link]] = {False: {}, True: {}}
        for link in links:
            ways[link.v6].setdefault(link.number if link.v6 else link.subnet, link)
        self._ways = {v6: list(each.values()) for v6, each in ways.items()}
        joined: set[str] = set()
        if not IReactorFDSet.providedBy(self._reactor):
            return joined
        for v6 in (False, True):
            wanted = {link.number: link for link in links if link.v6 == v6}
            group = self._groups.get(v6)
            if group is not None and not group.open:
                group = None
            if group is None and wanted:
                try:
                    group = _Group(self._reactor, self._clock, self._bucket, self._received, v6)
                except OSError as error:
                    family = "IPv6" if v6 else "IPv4"
                    self.log.debug("no multicast over {family}: {error}", family=family, error=error)
                    continue
                self._groups[v6] = group
            if group is not None:
                joined.update(wanted[index].name for index in group.join(wanted))
                if not group.joined:
                    self._groups.pop(v6).close()
        return joined

    def send(self, datagrams: dict[bool, bytes]) -> int:
        """Send to the groups on each link; `datagrams`: by family, True for IPv6. Returns how many went."""
        sent = 0
        for v6, data in datagrams.items():
            group = self._groups.get(v6)
            if group is None or not group.open:
                continue
            for link in self._ways[v6]:
                sent += group.send(data, link)
        return sent

    def close(self) -> None:
        """Leave the groups."""
        groups, self._groups = self._groups, {}
        for group in groups.values():
            group.close()


@implementer(IReadDescriptor)
class _Group:
    """One family's group: two sockets."""

    log = Logger()

    def __init__(self, reactor: Any, clock: Any, bucket: Bucket, received: Received, v6: bool) -> None:
        self._reactor = reactor
        self._clock = clock
        self._bucket = bucket
        self._received = received
        self._v6 = v6
        #: Numbers of the interfaces.
        self.joined: set[int] = set()
        self.open = True
        self._resting: Any = None
        family = socket.AF_INET6 if v6 else socket.AF_INET
        self._level = socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP
        self._socket = socket.socket(family, socket.SOCK_DGRAM | _FLAGS)
        self._sender: socket.socket = self._socket
        try:
            self._sender = socket.socket(family, socket.SOCK_DGRAM | _FLAGS)
            self._prepare_sender()
            self._prepare()
        except OSError:
            self._socket.close()
            self._sender.close()
            raise
        reactor.addReader(self)

    def _prepare(self) -> None:
        sock = self._socket
        sock.setblocking(False)
        # Either is enough for other programs on Linux; BSD and macOS want both.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            _try(sock, socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if sys.platform.startswith("linux"):
            _try(sock, *_ALL[sock.family], 0)
        if self._v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _try(sock, socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        elif _PKTINFO4 is not None:
            _try(sock, socket.IPPROTO_IP, _PKTINFO4[0], 1)
        sock.bind((GROUP6 if self._v6 else GROUP4, PORT))

    def _prepare_sender(self) -> None:
        sock = self._sender
        sock.setblocking(False)
        if self._v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOPS)
            # Other programs on this machine are peers, too.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, _HOPS)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)

    # -- the group -----------------------------------------------------------------------------

    def join(self, wanted: dict[int, Link]) -> set[int]:
        """Be in the group on these interfaces alone. Returns those where we are."""
        add, drop = (
            (socket.IPV6_JOIN_GROUP, socket.IPV6_LEAVE_GROUP)
            if self._v6
            else (socket.IP_ADD_MEMBERSHIP, socket.IP_DROP_MEMBERSHIP)
        )
        for index in self.joined - wanted.keys():
            # Mostly the interface is gone, and the membership with it.
            _try(self._socket, self._level, drop, self._membership(index, "0.0.0.0"))
            self.joined.discard(index)
        for index in wanted.keys() - self.joined:
            if _try(self._socket, self._level, add, self._membership(index, wanted[index].address)):
                self.joined.add(index)
        return self.joined

    def _membership(self, index: int, address: str) -> bytes:
        if self._v6:
            return socket.inet_pton(socket.AF_INET6, GROUP6) + _INDEX.pack(index)
        group = socket.inet_aton(GROUP4)
        # The number is what counts where the system takes it (struct ip_mreqn).
        if sys.platform.startswith("linux"):
            return group + socket.inet_aton(address) + _INDEX.pack(index)
        return group + socket.inet_aton(address)

    def send(self, data: bytes, link: Link) -> bool:
        """Send to the group on one link; whether it went out."""
        try:
            if self._v6:
                option, value = socket.IPV6_MULTICAST_IF, _INDEX.pack(link.number)
            else:
                option, value = socket.IP_MULTICAST_IF, socket.inet_aton(link.address)
            self._sender.setsockopt(self._level, option, value)
            self._sender.sendto(data, (GROUP6 if self._v6 else GROUP4, PORT))
        except OSError:
            # An interface that is down, or without multicast; the next look at our links may tell.
            return False
        return True

    # -- IReadDescriptor -----------------------------------------------------------------------

    def fileno(self) -> int:
        """The listening socket's descriptor; -1 when closed."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """For log lines written meanwhile."""
        return "lsd"

    def doRead(self) -> Any:
        """Take the datagrams that are there, as many as the rate lets us."""
        for _ in range(_AT_ONCE):
            if not self._bucket.ready():
                # The rest waits in the kernel, which drops what does not fit: so a flood costs what the rate
                # allows, and no more.
                self._reactor.removeReader(self)
                self._resting = self._clock.callLater(_REST, self._rested)
                return None
            try:
                data, ancillary, _, source = self._socket.recvmsg(MAX_RECEIVED + 1, _ANCILLARY)
            except (BlockingIOError, InterruptedError):
                return None
            except OSError:
                return CONNECTION_LOST
            self._bucket.take()
            if len(data) > MAX_RECEIVED:
                continue
            try:
                self._received(data, source[0], self._index(ancillary, source))
            except Exception:
                # Everybody's datagrams come this way.
                self.log.failure("a datagram could not be taken in")
            if not self.open:
                return None
        return None

    def _index(self, ancillary: Any, source: tuple[Any, ...]) -> int:
        """The number of the interface that a datagram came in by, 0 where it is not told."""
        for level, kind, data in ancillary:
            if self._v6:
                if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO and len(data) >= 20:
                    # struct in6_pktinfo: the address, then the number.
                    return int(_INDEX.unpack_from(data, 16)[0])
            elif _PKTINFO4 is not None and level == socket.IPPROTO_IP and kind == _PKTINFO4[1]:
                return int(_INDEX.unpack_from(data)[0]) if len(data) >= _INDEX.size else 0
        return int(source[3]) if self._v6 and source[0].startswith(_LINK_LOCAL) else 0

    def _rested(self) -> None:
        self._resting = None
        self._reactor.addReader(self)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is going down, or the socket is broken: the next `Multicast.join` opens another."""
        self.close()

    def close(self) -> None:
        """Leave the group."""
        if not self.open:
            return
        self.open = False
        self.joined.clear()
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        else:
            self._reactor.removeReader(self)
        self._socket.close()
        self._sender.close()


def _try(sock: socket.socket, level: int, option: int, value: int | bytes) -> bool:
    """Set an option that may not be had; whether it was."""
    try:
        sock.setsockopt(level, option, value)
    except OSError:
        return False
    return True
