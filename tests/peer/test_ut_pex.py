"""ut_pex: what is taken of what peers name, and which of those without metadata are kept, how long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from functorrent.interfaces import (
    IPeerExchangeSink,
    IPeerExtension,
    IPeerExtensionSession,
    PeerAddress,
)
from functorrent.limits import DEFAULT_LIMITS
from functorrent.peer.protocol import PeerProtocol
from functorrent.peer.ut_metadata import UtMetadata
from functorrent.peer.ut_pex import UtPex
from functorrent.wire.extended import ExtendedHandshake
from functorrent.wire.pex import SEED, UTP, PexMessage, PexPeer
from tests.peer.bed import ADDRESS, GRAIN, INFOHASH, OUR_ID, Bed, Remote, Sink, frame, offer_of
from tests.wire.helpers import quick

LIMITS = DEFAULT_LIMITS
#: What ids a peer gives; ours are 1 and 2.
BOTH = {"ut_metadata": 2, "ut_pex": 1}
PEX_ALONE = {"ut_pex": 1}
OUR_PEX = 2


def named(*numbers: int, flags: int = 0) -> list[PexPeer]:
    return [PexPeer(PeerAddress(f"93.184.216.{number}", 6881), flags) for number in numbers]


@implementer(IPeerExchangeSink)
class Race:
    """A fetch that notes who is named."""

    def __init__(self) -> None:
        self.hungry = False
        self.exhausted = False
        self.named: list[PeerAddress] = []

    def peers(
        self, addresses: Iterable[PeerAddress], *, hearsay: bool = False, on_link: bool = False
    ) -> None:
        assert hearsay and not on_link
        self.named += addresses

    def whole(self, info_bytes: bytes) -> bool:
        return False


class Case(SynchronousTestCase):
    limits = LIMITS

    def setUp(self) -> None:
        self.race = Race()
        self.fetches: dict[bytes, Any] = {INFOHASH: self.race}
        self.bed = Bed(limits=self.limits)
        self.owner = self.bed.owner
        self.pex = UtPex(self.owner.deadlines, self.fetches.get, self.limits)
        self.sink: Sink | None = Sink()
        ut_metadata = UtMetadata(self.bed.clock, lambda infohash: self.sink)
        self.bed.table = type(self.bed.table)([ut_metadata, self.pex], "0.1")

    def tearDown(self) -> None:
        """However a connection ended, nothing of it is left."""
        for peer in self.owner.ready:
            peer.abort(None)
        self.bed.wait(1)
        self.assertEqual(self.pex._kept, {})
        self.assertEqual(self.bed.clock.getDelayedCalls(), [])

    def tell(self, remote: Remote, *peers: PexPeer, dropped: tuple[PeerAddress, ...] = ()) -> None:
        remote.extended(OUR_PEX, PexMessage(peers, dropped).encode())

    def lacking(self, infohash: bytes = INFOHASH, m: Any = PEX_ALONE, **items: Any) -> Remote:
        """A peer without metadata."""
        remote = Remote(PeerProtocol(self.owner, self.bed.table, ADDRESS, infohash, OUR_ID, self.limits))
        remote.greet(infohash, more=offer_of(m, **items))
        return remote

    @property
    def outcomes(self) -> list[str | None]:
        return [error.outcome if error is not None else None for error in self.owner.ended]


class NamedTests(Case):
    def test_what_it_is(self) -> None:
        verifyObject(IPeerExtension, self.pex)
        verifyObject(IPeerExchangeSink, self.race)
        self.lacking()
        ((session,),) = self.pex._kept.values()
        verifyObject(IPeerExtensionSession, session)

    def test_offered_where_a_fetch_is_on(self) -> None:
        remote = self.bed.call()
        remote.greet()
        _, ours = remote.listen()
        assert isinstance(ours, ExtendedHandshake)
        self.assertEqual(ours.extensions, {b"ut_metadata": 1, b"ut_pex": OUR_PEX})

    def test_not_offered_where_none_is(self) -> None:
        """What we only serve may be private (BEP 27); who names peers all the same is not listened to."""
        self.fetches.clear()
        self.sink = None
        remote = self.bed.called()
        remote.greet(more=offer_of(BOTH))
        _, ours = remote.listen()
        assert isinstance(ours, ExtendedHandshake)
        self.assertEqual(ours.extensions, {b"ut_metadata": 1})
        for _ in range(100):
            self.tell(remote, *named(1))
        self.assertEqual((self.race.named, self.pex._kept), ([], {}))

    def test_peers(self) -> None:
        """Those of peers with metadata, too; nobody is told anything by us."""
        remote = self.bed.open(m=BOTH, metadata_size=100)
        six = PexPeer(PeerAddress("2606:2800:220:1::7", 6882))
        self.tell(remote, *named(1), six, dropped=(PeerAddress("93.184.216.9", 1),))
        self.assertEqual(self.race.named, [named(1)[0].address, six.address])
        self.assertEqual(remote.listen(), [])

    def test_seeds_first(self) -> None:
        remote = self.lacking()
        self.tell(remote, *named(1), *named(2, flags=SEED | UTP), *named(3, flags=UTP), *named(4, flags=SEED))
        self.assertEqual([each.host[-1] for each in self.race.named], ["2", "4", "1", "3"])

    def test_no_more_than_so_many_of_one_peer(self) -> None:
        remote = self.lacking()
        self.tell(remote, *named(*range(1, 31)))
        self.tell(remote, *named(*range(101, 131)), *named(200, flags=SEED))
        self.assertEqual(len(self.race.named), LIMITS.max_pex_peers)
        self.assertIn(named(200)[0].address, self.race.named)
        self.tell(remote, *named(201))
        self.assertEqual(len(self.race.named), LIMITS.max_pex_peers)
        self.tell(self.lacking(), *named(202))
        self.assertEqual(self.race.named[-1], named(202)[0].address)

    def test_not_all_over_one_host(self) -> None:
        remote = self.lacking()
        self.tell(remote, *[PexPeer(PeerAddress("93.184.216.1", port)) for port in range(1, 90)], *named(2))
        self.assertEqual(
            self.race.named,
            [*[PeerAddress("93.184.216.1", port) for port in range(1, 5)], named(2)[0].address],
        )

    def test_what_cannot_be_read_names_nobody(self) -> None:
        remote = self.lacking()
        for payload in (b"", b"de", b"\xff" * 60_000, b"d5:added5:12345e"):
            remote.extended(OUR_PEX, payload)
        self.assertEqual((self.race.named, self.owner.ended), ([], []))
        self.tell(remote, *named(1))
        self.assertEqual(len(self.race.named), 1)

    @given(st.lists(st.binary(max_size=60), max_size=LIMITS.max_pex_messages))
    @quick
    def test_any_bytes(self, payloads: list[bytes]) -> None:
        """Few messages, whatever is in them, cost nobody anything."""
        remote = self.lacking()
        for payload in payloads:
            remote.extended(OUR_PEX, payload)
        self.assertEqual(self.owner.ended, [])
        remote.peer.abort(None)
        self.owner.ended.clear()

    def test_a_flood(self) -> None:
        """One message after the other is the BEP's to punish, whatever it says, and whoever says it."""
        for payload in (b"?", PexMessage(tuple(named(1))).encode()):
            for offer in (offer_of(PEX_ALONE), offer_of(BOTH, metadata_size=100)):
                self.owner.ended.clear()
                remote = self.bed.call()
                remote.greet(more=offer + frame(OUR_PEX, payload) * LIMITS.max_pex_messages)
                self.assertEqual(self.owner.outcome, "")
                remote.extended(OUR_PEX, payload)
                self.assertEqual(self.owner.outcome, "bad_data")
                self.assertTrue(remote.dropped)

    def test_no_flood(self) -> None:
        """As many in each minute, for as long as it likes."""
        remote = self.lacking()
        for minute in range(5):
            for number in range(LIMITS.max_pex_messages):
                self.tell(remote, *named(minute * 10 + number + 1))
            self.bed.wait(60)
        self.assertEqual(self.owner.ended, [])
        self.assertEqual(len(self.race.named), 30)


class KeptTests(Case):
    def test_while_the_fetch_lasts(self) -> None:
        """Longer than one keep_open may last; then it is counted as what it is."""
        remote = self.lacking()
        self.bed.wait(3 * LIMITS.max_keep_open)
        self.assertFalse(remote.dropped)
        self.race.exhausted = True
        self.bed.wait(1)
        self.assertTrue(remote.dropped)
        self.assertEqual(self.outcomes, ["no_metadata"])

    def test_what_is_no_metadata(self) -> None:
        for m, items in (
            (PEX_ALONE, {}),
            (PEX_ALONE, {"metadata_size": 100}),
            (BOTH, {}),
            (BOTH, {"metadata_size": 0}),
            ({"ut_pex": 9, "ut_metadata": 0}, {"metadata_size": 100}),
        ):
            remote = self.lacking(m=m, **items)
            self.bed.wait(10)
            self.assertFalse(remote.dropped, (m, items))
            self.assertEqual(self.owner.lacking[-1], remote.peer)
            remote.peer.abort(None)

    def test_who_knows_nobody(self) -> None:
        for m in ({}, {"ut_metadata": 2}, {"ut_metadata": 2, "ut_pex": 0}):
            remote = self.lacking(m=m)
            self.assertTrue(remote.dropped)
        self.assertEqual(self.outcomes, ["no_metadata"] * 3)
        self.assertEqual(self.owner.lacking, [])

    def test_an_end_waits_a_moment_for_the_first_message(self) -> None:
        self.race.exhausted = True
        began = self.bed.clock.seconds()
        remote = self.lacking()
        while not remote.dropped:
            self.bed.wait(0.25)
        self.assertGreaterEqual(self.bed.clock.seconds() - began, LIMITS.pex_wait)
        self.assertLessEqual(self.bed.clock.seconds() - began, LIMITS.pex_wait + 1)

    def test_whoever_else_comes(self) -> None:
        """Peers of other fetches, one after the other, do not put the end off."""
        self.race.exhausted = True
        remote = self.lacking()
        for number in range(round((LIMITS.pex_wait + 1) / GRAIN)):
            infohash = bytes((number,)) * 20
            self.fetches[infohash] = Race()
            self.lacking(infohash)
            self.bed.wait(GRAIN)
        self.assertTrue(remote.dropped)

    def test_and_no_longer(self) -> None:
        """Whatever the message was; the next is a minute off."""
        for payload in (PexMessage(tuple(named(1))).encode(), b"?"):
            self.race.exhausted = False
            remote = self.lacking()
            remote.extended(OUR_PEX, payload)
            self.bed.wait(2)
            self.assertFalse(remote.dropped)
            self.race.exhausted = True
            self.bed.wait(1)
            self.assertTrue(remote.dropped)

    def test_those_of_a_fetch_that_is_over(self) -> None:
        remote = self.lacking()
        self.bed.wait(10)
        self.fetches.clear()
        self.bed.wait(1)
        self.assertTrue(remote.dropped)

    def test_a_few_of_each_fetch(self) -> None:
        other = b"O" * 20
        self.fetches[other] = Race()
        remotes = [self.lacking() for _ in range(6)]
        others = [self.lacking(other) for _ in range(6)]
        stay = [not remote.dropped for remote in (*remotes, *others)]
        self.assertEqual(stay, ([True] * LIMITS.max_pex_kept + [False] * 2) * 2)
        self.assertEqual(self.outcomes, ["no_metadata"] * 4)

    def test_one_that_goes_leaves_its_place(self) -> None:
        remotes = [self.lacking() for _ in range(LIMITS.max_pex_kept)]
        remotes[1].peer.abort(None)
        self.assertFalse(self.lacking().dropped)
        self.assertTrue(self.lacking().dropped)

    def test_one_that_has_said_its_say_gives_way(self) -> None:
        remotes = [self.lacking() for _ in range(LIMITS.max_pex_kept)]
        self.tell(remotes[2], *named(1))
        self.assertFalse(self.lacking().dropped)
        self.assertEqual([remote.dropped for remote in remotes], [False, False, True, False])
        self.assertTrue(self.lacking().dropped)

    def test_so_does_one_that_had_the_time_to(self) -> None:
        """Four that never say a thing do not keep others out."""
        remotes = [self.lacking() for _ in range(LIMITS.max_pex_kept)]
        self.bed.wait(LIMITS.pex_wait)
        self.assertFalse(self.lacking().dropped)
        self.assertEqual([remote.dropped for remote in remotes], [True, False, False, False])

    def test_metadata_comes_later(self) -> None:
        """Then it is a peer as any other, its silence included."""
        remote = self.lacking(m=BOTH)
        self.bed.wait(20)
        self.assertEqual(self.owner.offering, [])
        remote.offer(m=BOTH, metadata_size=100)
        self.assertEqual(self.owner.offering, [remote.peer])
        self.assertEqual(self.pex._kept, {})
        assert self.sink is not None
        self.assertEqual([call[0] for call in self.sink.calls], ["offered"])
        self.bed.wait(LIMITS.progress_timeout + 1)
        self.assertEqual(self.outcomes, ["stalled"])

    def test_metadata_is_turned_off(self) -> None:
        remote = self.lacking(m=BOTH, metadata_size=100)
        self.assertEqual(self.pex._kept, {})
        remote.offer(m={"ut_metadata": 0})
        self.bed.wait(10)
        self.assertFalse(remote.dropped)
        remote.offer(m={"ut_pex": 0})
        self.assertEqual(self.outcomes, ["no_metadata"])

    def test_where_there_is_no_room(self) -> None:
        self.owner.roomy = False
        self.assertTrue(self.lacking().dropped)
        self.owner.roomy = True
        remote = self.lacking()
        self.bed.wait(20)
        self.owner.roomy = False
        self.bed.wait(LIMITS.progress_timeout + 0.5)
        self.assertTrue(remote.dropped)
        self.assertEqual(self.outcomes, ["no_metadata"] * 2)

    def test_who_calls_us(self) -> None:
        remote = self.bed.called()
        remote.greet(more=offer_of(PEX_ALONE))
        self.bed.wait(10)
        self.tell(remote, *named(1))
        self.assertEqual(len(self.race.named), 1)


class SmallLimitsTests(Case):
    limits = replace(LIMITS, max_pex_kept=0)

    def test_none_is_kept(self) -> None:
        self.assertTrue(self.lacking().dropped)
