"""ut_metadata as a requester: what counts as an offer, what is asked, and who is told what."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from functorrent.errors import MetadataRejected, UnrequestedBlock
from functorrent.interfaces import IMetadataRequester, IPeerExtension, IPeerExtensionSession
from functorrent.limits import DEFAULT_LIMITS
from functorrent.peer.ut_metadata import UtMetadata
from functorrent.wire.metadata import MetadataData, MetadataReject, MetadataRequest
from tests.peer.bed import ADDRESS, GRAIN, INFOHASH, Bed, Extension, Sink, frame, offer_of


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.sink = Sink()
        self.asked_for: list[bytes] = []
        self.other = Extension("x_other")
        self.bed = Bed(UtMetadata(None, self.sink_for), self.other)
        self.owner = self.bed.owner

    def sink_for(self, infohash: bytes) -> Any:
        self.asked_for.append(infohash)
        return self.sink

    def offered(self) -> list[int]:
        return [call[1] for call in self.sink.calls if call[0] == "offered"]


class OfferTests(Case):
    def test_what_it_is(self) -> None:
        extension = UtMetadata(None)
        verifyObject(IPeerExtension, extension)
        self.bed.open(metadata_size=100)
        self.assertTrue(IPeerExtensionSession.providedBy(self.sink.peers[0]))
        verifyObject(IMetadataRequester, self.sink.peers[0])
        self.assertEqual(self.sink.peers[0].address, ADDRESS)

    def test_an_offer(self) -> None:
        remote = self.bed.call()
        remote.greet(more=offer_of(metadata_size=100, reqq=5))
        self.assertEqual(self.asked_for, [INFOHASH])
        self.assertEqual(self.sink.calls, [("offered", 100, 5)])
        self.assertEqual(remote.messages(), [MetadataRequest(0)])

    def test_ours_has_no_size_while_we_have_none(self) -> None:
        remote = self.bed.call()
        remote.greet()
        self.assertIsNone(remote.listen()[1].metadata_size)  # type: ignore[union-attr]

    def test_what_is_no_offer(self) -> None:
        for items in (
            {},
            {"metadata_size": 0},
            {"m": {}, "metadata_size": 100},
            {"m": {"ut_pex": 1}, "metadata_size": 100},
            {"m": {"ut_metadata": 0}, "metadata_size": 100},
        ):
            self.owner.ended.clear()
            remote = self.bed.open(**items)
            self.assertEqual(self.owner.outcome, "no_metadata", items)
            self.assertTrue(remote.dropped)
        self.assertEqual(self.sink.calls, [])

    def test_wild_sizes_are_the_sinks_to_judge(self) -> None:
        for size in (-1, 2**63):
            self.bed.open(metadata_size=size)
        self.assertEqual(self.offered(), [-1, 2**63])

    def test_metadata_comes_in_a_second_handshake(self) -> None:
        for second in ({"metadata_size": 100}, {"m": {}, "metadata_size": 100}):
            self.sink.calls.clear()
            self.other.reactions["extended_handshake"] = lambda peer: peer.keep_open(30)
            remote = self.bed.open()
            self.bed.wait(10)
            remote.offer(**second)
            self.assertEqual(self.offered(), [100])
            self.assertEqual(remote.messages(), [MetadataRequest(0)])

    def test_a_second_handshake_without_size_takes_nothing_back(self) -> None:
        remote = self.bed.open(metadata_size=100)
        remote.offer(m={"ut_pex": 4})
        self.assertEqual(self.owner.outcome, "")
        self.assertEqual(self.offered(), [100])

    def test_another_size(self) -> None:
        remote = self.bed.open(metadata_size=100)
        remote.offer(m={}, metadata_size=200)
        self.assertEqual(self.offered(), [100, 200])

    def test_turned_off(self) -> None:
        for items in ({}, {"metadata_size": 100}):
            self.owner.ended.clear()
            remote = self.bed.open(metadata_size=100)
            remote.offer(m={"ut_metadata": 0}, **items)
            self.assertEqual(self.owner.outcome, "no_metadata")
            self.assertEqual(self.sink.calls[-1], ("lost",))

    def test_turned_off_and_kept(self) -> None:
        remote = self.bed.open(metadata_size=100)
        self.other.sessions[0].peer.keep_open(30)
        remote.offer(m={"ut_metadata": 0})
        self.assertEqual((self.owner.outcome, self.sink.calls[-1]), ("", ("lost",)))
        remote.offer(metadata_size=100)
        self.assertEqual(self.offered(), [100, 100])
        remote.peer.abort(None)
        self.assertEqual(self.sink.calls.count(("lost",)), 2)

    def test_its_id_is_reassigned(self) -> None:
        remote = self.bed.open(metadata_size=100)
        remote.say(offer_of({"ut_metadata": 77}))
        self.sink.peers[0].request([1])
        self.assertEqual(remote.transport.value(), frame(77, MetadataRequest(1).encode()))

    def test_nobody_wants_it(self) -> None:
        """A peer that is only served may lack what it likes."""
        self.sink = None  # type: ignore[assignment]
        remote = self.bed.open(m={})
        remote.metadata(MetadataData(0, 3, b"abc"))
        remote.metadata(MetadataReject(0))
        self.assertEqual(self.owner.outcome, "")
        remote.peer.abort(None)


class ExchangeTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.remote = self.bed.open(metadata_size=100)
        self.peer: Any = self.sink.peers[0]
        self.sink.calls.clear()

    def test_requests(self) -> None:
        self.peer.request([3, 5])
        self.assertEqual(self.remote.messages(), [MetadataRequest(3), MetadataRequest(5)])

    def test_blocks_and_rejects(self) -> None:
        self.remote.metadata(MetadataData(0, 100, b"x" * 100))
        self.remote.metadata(MetadataData(1, None, b""))
        self.remote.metadata(MetadataReject(7))
        self.assertEqual(
            self.sink.calls, [("block", 0, b"x" * 100, 100), ("block", 1, b"", None), ("rejected", 7)]
        )

    def test_lies(self) -> None:
        for message in (
            b"d8:msg_typei1e5:piecei-1ee",
            b"le",
            b"",
            b"d1:a1:b-6:",
            b"d8:msg_typei1e5:piecei0e",
        ):
            self.owner.ended.clear()
            remote = self.bed.open(metadata_size=100)
            remote.extended(1, message)
            self.assertEqual(self.owner.outcome, "bad_data", message)

    def test_what_nobody_knows(self) -> None:
        self.remote.extended(1, b"d8:msg_typei9e5:piecei0ee")
        self.assertEqual((self.sink.calls, self.owner.outcome), ([], ""))

    def test_what_the_sink_raises(self) -> None:
        for error in (UnrequestedBlock("x"), MetadataRejected("y")):
            self.owner.ended.clear()
            self.sink.raises = None
            remote = self.bed.open(metadata_size=100)
            self.sink.raises = error
            remote.metadata(MetadataReject(0))
            self.assertEqual(self.owner.ended, [error])
            self.flushLoggedErrors()

    def test_progress(self) -> None:
        for _ in range(5):
            self.bed.wait(DEFAULT_LIMITS.progress_timeout - 1)
            self.peer.progress()
        self.assertEqual(self.owner.outcome, "")
        self.bed.wait(DEFAULT_LIMITS.progress_timeout + 1)
        self.assertEqual(self.owner.outcome, "stalled")

    def test_lost_once(self) -> None:
        self.remote.peer.abort(None)
        self.assertEqual(self.sink.calls, [("lost",)])

    def test_one_that_never_offered_is_not_lost(self) -> None:
        self.bed.call().peer.abort(None)
        self.bed.open(m={})
        self.assertEqual(self.sink.calls, [])

    def test_hung_up_on_by_the_sink(self) -> None:
        error = UnrequestedBlock("x")
        self.peer.fail(error)
        self.assertEqual(self.owner.ended, [error])


class IdleTests(Case):
    """One that there is nothing to ask of is kept; asked again, its silence counts."""

    def setUp(self) -> None:
        super().setUp()
        self.sink.pieces = ()
        self.remote = self.bed.open(metadata_size=100)
        self.peer: Any = self.sink.peers[0]

    def wait(self, seconds: float) -> None:
        self.bed.wait(seconds)

    def test_kept(self) -> None:
        self.peer.keep_open(DEFAULT_LIMITS.max_keep_open)
        self.wait(50)
        self.assertEqual(self.owner.outcome, "")

    def test_asked_again(self) -> None:
        self.peer.keep_open(DEFAULT_LIMITS.max_keep_open)
        self.wait(13)
        self.peer.request([0])
        self.wait(DEFAULT_LIMITS.progress_timeout - GRAIN)
        self.assertEqual(self.owner.outcome, "")
        self.wait(3 * GRAIN)
        self.assertEqual(self.owner.outcome, "stalled")

    def test_asked_again_and_again(self) -> None:
        """Being asked is not its merit."""
        self.peer.keep_open(DEFAULT_LIMITS.max_keep_open)
        self.peer.request([0])
        for _ in range(round(DEFAULT_LIMITS.progress_timeout) + 1):
            if not self.remote.dropped:
                self.peer.request([1])
                self.wait(1)
        self.assertEqual(self.owner.outcome, "stalled")

    def test_kept_by_another_all_the_same(self) -> None:
        self.peer.keep_open(DEFAULT_LIMITS.max_keep_open)
        self.other.sessions[0].peer.keep_open(20)
        self.peer.request([0])
        self.wait(19)
        self.assertEqual(self.owner.outcome, "")
        self.wait(2)
        self.assertEqual(self.owner.outcome, "stalled")
