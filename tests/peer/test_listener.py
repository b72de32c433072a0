"""Peers that call us: bounded, handed to the fetch they name, served, or refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from functorrent.errors import PeerClosed
from functorrent.interfaces import IMetadataProvider, PeerAddress
from functorrent.limits import DEFAULT_LIMITS
from functorrent.peer.dispatch import ExtensionTable
from functorrent.peer.listener import ICalledFor, PeerListener
from functorrent.peer.protocol import IPeerOwner, PeerProtocol
from functorrent.peer.shelf import Shelf
from functorrent.peer.ut_metadata import UtMetadata
from functorrent.wire.handshake import Handshake
from functorrent.wire.metadata import MetadataData, MetadataRequest
from tests.peer.bed import GRAIN, OUR_ID, THEIR_ID, Owner, Remote, frame, offer_of

FETCHED, SERVED = b"F" * 20, b"S" * 20
SERVING_ID = b"-FT0100-ssssssssssss"
LIMITS = replace(DEFAULT_LIMITS, max_pending_inbound=3, max_inbound=5)


@implementer(ICalledFor)
class Fetch(Owner):
    """A fetch that takes `most` callers."""

    peer_id = OUR_ID

    def __init__(self, clock: Clock, most: int = 10) -> None:
        super().__init__(clock)
        self.most = most
        self.joined: list[PeerProtocol] = []

    def peer_joined(self, peer: PeerProtocol) -> None:
        if len(self.joined) >= self.most:
            raise PeerClosed("no more callers are taken")
        self.joined.append(peer)
        peer.owner = self


@implementer(IMetadataProvider)
class Provider:
    def __init__(self) -> None:
        self.broken = False

    def info_bytes(self, infohash: bytes) -> bytes | None:
        if self.broken:
            raise ZeroDivisionError
        return b"de" if infohash == SERVED else None


class ListenerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.fetch = Fetch(self.clock)
        self.provider = Provider()
        shelf = Shelf(self.clock, self.provider, LIMITS)
        table = ExtensionTable([UtMetadata(self.clock, provider=shelf)])
        self.listener = PeerListener(
            self.clock,
            self.fetch.deadlines,
            table,
            lambda infohash: self.fetch if infohash == FETCHED else None,
            lambda infohash: SERVING_ID,
            shelf,
            LIMITS,
        )
        self.stats = self.listener.stats
        self.callers = 0

    def caller(self, address: IAddress | None = None) -> Remote | None:
        self.callers += 1
        peer = self.listener.buildProtocol(address or IPv4Address("TCP", f"192.0.2.{self.callers}", 50_000))
        return Remote(peer) if peer is not None else None

    def call(self, infohash: bytes, **how: Any) -> Remote:
        remote = self.caller()
        assert remote is not None
        remote.greet(infohash, **how)
        return remote

    def wait(self, seconds: float) -> None:
        self.clock.pump([GRAIN] * round(seconds / GRAIN))

    def test_what_they_are(self) -> None:
        verifyObject(IPeerOwner, self.listener)
        verifyObject(ICalledFor, self.fetch)
        self.assertFalse(self.listener.noisy)

    def test_addresses(self) -> None:
        for address, expected in (
            (IPv4Address("TCP", "192.0.2.7", 5), ("192.0.2.7", 5)),
            (IPv6Address("TCP", "::ffff:192.0.2.7", 5), ("192.0.2.7", 5)),
            (IPv6Address("TCP", "2001:db8::1", 5), ("2001:db8::1", 5)),
            (UNIXAddress("/tmp/x"), ("", 0)),
        ):
            remote = self.caller(address)
            assert remote is not None
            self.assertEqual(remote.peer.address, PeerAddress(*expected))
            self.assertTrue(remote.peer.inbound)
            remote.peer.abort(None)

    def test_a_fetch_that_is_on(self) -> None:
        remote = self.call(FETCHED)
        self.assertEqual(self.fetch.joined, [remote.peer])
        self.assertEqual(self.fetch.ready, [remote.peer])
        self.assertEqual(remote.listen()[0], Handshake(FETCHED, OUR_ID))
        remote.peer.connectionLost()
        self.assertEqual(self.fetch.outcome, "closed")

    def test_a_fetch_that_takes_no_more(self) -> None:
        self.fetch.most = 0
        remote = self.call(FETCHED)
        self.assertTrue(remote.dropped)
        self.assertEqual(remote.transport.value(), b"")
        self.assertEqual(self.fetch.ended, [])

    def test_ourselves(self) -> None:
        """The end that dialed counts it, by our answer; this one is no peer more."""
        remote = self.call(FETCHED, peer_id=OUR_ID)
        self.assertEqual(remote.listen(), [Handshake(FETCHED, OUR_ID)])
        self.assertTrue(remote.dropped)
        self.assertEqual((self.fetch.joined, self.fetch.ended), ([], []))
        self.assertEqual(self.listener._serving, set())

    def test_ourselves_asking_for_what_we_serve(self) -> None:
        self.assertTrue(self.call(SERVED, peer_id=SERVING_ID).dropped)

    def test_served(self) -> None:
        remote = self.call(SERVED, more=offer_of())
        self.assertEqual(remote.listen()[0], Handshake(SERVED, SERVING_ID))
        remote.metadata(MetadataRequest(0))
        self.assertEqual(remote.messages(), [MetadataData(0, 2, b"de")])
        self.wait(LIMITS.progress_timeout + 1)
        self.assertTrue(remote.dropped)

    def test_slow_and_alone_is_no_excuse_for_one_that_is_served(self) -> None:
        remote = self.call(SERVED)
        remote.say(frame(1, bytes(60_000))[:6])
        for _ in range(7):
            if not remote.dropped:
                remote.say(b"\0")
                self.wait(1)
        self.assertTrue(remote.dropped)

    def test_neither(self) -> None:
        remote = self.call(b"N" * 20)
        self.assertTrue(remote.dropped)
        self.assertEqual(remote.transport.value(), b"")

    def test_without_a_provider(self) -> None:
        self.listener._shelf = Shelf(self.clock)
        self.assertTrue(self.call(SERVED).dropped)

    def test_a_provider_that_is_broken(self) -> None:
        self.provider.broken = True
        self.assertTrue(self.call(SERVED).dropped)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertFalse(self.call(FETCHED).dropped)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_silent_callers(self) -> None:
        callers = [self.caller() for _ in range(LIMITS.max_pending_inbound)]
        self.assertNotIn(None, callers)
        self.assertIsNone(self.caller())
        self.wait(LIMITS.handshake_timeout + 1)
        self.assertEqual([each.dropped for each in callers if each], [True] * 3)
        self.assertIsNotNone(self.caller())

    def test_garbage(self) -> None:
        for _ in range(20):
            remote = self.caller()
            assert remote is not None
            remote.say(b"GET / HTTP/1.1\r\n\r\n")
            self.assertTrue(remote.dropped)
        self.assertEqual((self.stats.not_bittorrent, self.stats.unknown, self.stats.callers), (20, 0, 20))

    def test_callers_in_all(self) -> None:
        """Whoever has them: strangers, those that are served, and those that a fetch took."""
        taken = [self.call(FETCHED), self.call(FETCHED), self.call(SERVED), self.call(SERVED)]
        fifth = self.caller()
        self.assertIsNone(self.caller())
        assert fifth is not None
        for each in (taken[0], taken[2], fifth):
            each.peer.abort(None)
            self.assertIsNotNone(self.caller())
            self.assertIsNone(self.caller())

    def test_the_end_of_one_that_a_fetch_has(self) -> None:
        for end in ("abort", "lost", "lie"):
            remote = self.call(FETCHED)
            if end == "abort":
                remote.peer.abort(None)
            elif end == "lost":
                remote.peer.connectionLost()
            else:
                remote.say(b"\xff\xff\xff\xff\x14")
        self.assertEqual(len(self.fetch.ended), 3)
        for _ in range(LIMITS.max_inbound):
            self.assertFalse(self.call(FETCHED).dropped)

    def test_closing(self) -> None:
        stranger = self.caller()
        assert stranger is not None
        joined, served = self.call(FETCHED), self.call(SERVED)
        self.listener.close()
        self.assertEqual([each.dropped for each in (stranger, joined, served)], [True, False, True])
        joined.peer.abort(None)
        self.wait(GRAIN)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_second_greeting(self) -> None:
        remote = self.call(FETCHED)
        remote.say(Handshake(FETCHED, THEIR_ID).encode())
        self.assertEqual(self.fetch.outcome, "bad_data")
