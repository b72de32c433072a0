"""ut_metadata as a server: data, rejects, the rate, floods, and peers that do not read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from functorrent.interfaces import IMetadataProvider
from functorrent.limits import DEFAULT_LIMITS, Limits
from functorrent.peer.ut_metadata import UtMetadata
from functorrent.wire.extended import ExtendedHandshake
from functorrent.wire.metadata import BLOCK_SIZE, MetadataData, MetadataReject, MetadataRequest
from tests.peer.bed import GRAIN, INFOHASH, Bed, Remote, Sink, frame, offer_of

INFO = bytes(range(256)) * 150  # 38,400 bytes: three blocks
#: Of which a peer may ask for eighty blocks ahead.
LONG = bytes(40 * BLOCK_SIZE)
LIMITS = replace(DEFAULT_LIMITS, serve_burst=20, serve_rate=4.0)


@implementer(IMetadataProvider)
class Provider:
    def __init__(self, info: bytes | None) -> None:
        self.info = info

    def info_bytes(self, infohash: bytes) -> bytes | None:
        return self.info if infohash == INFOHASH else None


class ServingTests(SynchronousTestCase):
    def open(self, info: bytes | None = INFO, limits: Limits = LIMITS, sink: Any = None) -> Remote:
        bed = self.bed = Bed(limits=limits)
        extension = self.extension = UtMetadata(bed.clock, lambda infohash: sink, Provider(info), limits)
        self.bed.table = type(bed.table)([extension], "0.1")
        self.owner = bed.owner
        remote = bed.called()
        remote.greet(more=offer_of(metadata_size=100))
        self.handshake = remote.listen()[1]
        return remote

    def ask(self, remote: Remote, *pieces: int) -> None:
        remote.say(b"".join(frame(1, MetadataRequest(piece).encode()) for piece in pieces))

    def test_we_say_what_we_have(self) -> None:
        self.open()
        assert isinstance(self.handshake, ExtendedHandshake)
        self.assertEqual(self.handshake.metadata_size, len(INFO))

    def test_and_not_what_we_have_not(self) -> None:
        self.open(None)
        assert isinstance(self.handshake, ExtendedHandshake)
        self.assertIsNone(self.handshake.metadata_size)

    def test_all_of_it(self) -> None:
        remote = self.open()
        self.ask(remote, 0, 1, 2)
        answers = remote.messages()
        self.assertEqual([answer.piece for answer in answers], [0, 1, 2])
        self.assertEqual([answer.total_size for answer in answers], [len(INFO)] * 3)
        self.assertEqual(b"".join(answer.block for answer in answers), INFO)
        self.assertEqual(len(answers[2].block), len(INFO) - 2 * BLOCK_SIZE)

    def test_beyond_the_end(self) -> None:
        remote = self.open()
        self.ask(remote, 3, 10**15)
        self.assertEqual(remote.messages(), [MetadataReject(3), MetadataReject(10**15)])
        self.assertEqual(self.owner.outcome, "")

    def test_exactly_full_blocks(self) -> None:
        remote = self.open(bytes(2 * BLOCK_SIZE))
        self.ask(remote, 1, 2)
        data, reject = remote.messages()
        self.assertEqual((len(data.block), reject), (BLOCK_SIZE, MetadataReject(2)))

    def test_negative(self) -> None:
        remote = self.open()
        self.ask(remote, -1)
        self.assertEqual(self.owner.outcome, "bad_data")

    def test_nothing_to_give(self) -> None:
        remote = self.open(None)
        self.ask(remote, 0)
        self.assertEqual(remote.messages(), [MetadataReject(0)])

    def test_asked_while_we_fetch(self) -> None:
        """Some ask whoever speaks ut_metadata. It is no reason to hang up, whatever the cap."""
        limits = replace(LIMITS, max_metadata=BLOCK_SIZE - 1)
        remote = self.open(None, limits, Sink())
        self.ask(remote, 0, 1)
        self.assertEqual(remote.messages(), [MetadataReject(0), MetadataReject(1)])
        self.assertEqual(self.owner.outcome, "")

    def test_the_rate(self) -> None:
        remote = self.open(LONG)
        got = 0
        # As many as the burst, and then as many a second as the rate says.
        self.ask(remote, *[0] * 60)
        for _ in range(16):
            self.bed.clock.advance(0)
            got += len(remote.messages())
        self.assertEqual(got, LIMITS.serve_burst)
        for _ in range(4):
            self.bed.wait(1)
            got += len(remote.messages())
        self.assertEqual(got, LIMITS.serve_burst + 16)

    def test_the_burst_comes_back(self) -> None:
        remote = self.open(LONG)
        for pause in (0, 100):
            self.bed.wait(pause)
            if remote.dropped:
                remote = self.open(LONG)
            self.ask(remote, *[0] * 60)
            for _ in range(16):
                self.bed.clock.advance(0)
            self.assertEqual(len(remote.messages()), LIMITS.serve_burst)

    def test_a_thousand_requests_in_one_packet(self) -> None:
        """What answers them is not all made at once."""
        limits = replace(LIMITS, serve_burst=1000, serve_burst_all=1000)
        remote = self.open(limits=limits)
        written: list[int] = []
        remote.transport.write = lambda data: written.append(len(data))  # type: ignore[method-assign]
        self.ask(remote, *[0] * 900)
        for _ in range(100):
            self.bed.clock.advance(0)
        answer = frame(2, MetadataData(0, len(INFO), INFO[:BLOCK_SIZE]).encode())
        self.assertEqual(sum(written), 900 * len(answer))
        self.assertLessEqual(max(written), LIMITS.max_unsent + 16 * 100)

    def test_a_flood(self) -> None:
        """Every block once, and once more, is all that an honest peer could be waiting for."""
        for info, most in ((LONG, 80), (INFO, LIMITS.serve_burst), (None, LIMITS.max_metadata // BLOCK_SIZE)):
            remote = self.open(info)
            # What is answered at once does not wait.
            self.ask(remote, *[0] * (16 + most))
            self.assertEqual(self.owner.outcome, "")
            self.ask(remote, 0)
            self.assertEqual(self.owner.outcome, "bad_data")
            self.bed.wait(GRAIN)
            self.assertEqual(self.bed.clock.getDelayedCalls(), [])

    def test_one_that_does_not_read(self) -> None:
        remote = self.open(LONG)
        remote.peer.pauseProducing()
        self.ask(remote, *[0] * 50)
        self.assertEqual(remote.transport.value(), b"")
        self.bed.wait(4)
        self.assertEqual(self.owner.outcome, "")
        self.bed.wait(4)
        self.assertEqual(self.owner.outcome, "stalled")

    def test_one_that_reads_on(self) -> None:
        remote = self.open()
        remote.peer.pauseProducing()
        self.ask(remote, 0, 1, 2)
        remote.peer.resumeProducing()
        self.assertEqual(len(remote.messages()), 3)

    def test_an_end_while_requests_wait(self) -> None:
        for pause in (0.0, GRAIN):
            remote = self.open(LONG)
            self.ask(remote, *[0] * 60)
            self.bed.wait(pause)
            # The deadlines' timer, and one for the answers.
            self.assertEqual(len(self.bed.clock.getDelayedCalls()), 2)
            self.ask(remote, 0, 0)
            self.assertEqual(len(self.bed.clock.getDelayedCalls()), 2)
            remote.peer.abort(None)
            self.assertEqual(len(self.bed.clock.getDelayedCalls()), 1)
            remote.transport.clear()
            self.bed.wait(4)
            self.assertEqual(remote.transport.value(), b"")
            self.assertEqual(self.bed.clock.getDelayedCalls(), [])

    def test_an_end_while_it_is_answered(self) -> None:
        remote = self.open()

        def write(data: bytes) -> None:
            remote.peer.abort(None)

        remote.transport.write = write  # type: ignore[method-assign]
        self.ask(remote, *[0] * 17)
        self.bed.clock.advance(0)
        self.bed.wait(GRAIN)
        self.assertEqual(self.bed.clock.getDelayedCalls(), [])

    def test_a_fetch_that_takes_long_is_not_cut_short(self) -> None:
        info = bytes(100 * BLOCK_SIZE)
        remote = self.open(info)
        got = 0
        for piece in range(100):
            self.ask(remote, piece)
            self.bed.wait(1)
            got += len(remote.messages())
        self.assertEqual((got, self.owner.outcome), (100, ""))

    def test_one_that_asks_for_ever_is_not_kept(self) -> None:
        remote = self.open()
        for _ in range(60):
            if not remote.dropped:
                self.ask(remote, 0)
                self.bed.wait(1)
        self.assertEqual(self.owner.outcome, "stalled")

    def test_nor_one_that_is_only_rejected(self) -> None:
        remote = self.open(None)
        for _ in range(60):
            if not remote.dropped:
                self.ask(remote, 0)
                self.bed.wait(1)
        self.assertEqual(self.owner.outcome, "stalled")

    def test_what_is_counted(self) -> None:
        remote = self.open()
        stats = self.extension.desk.stats
        self.assertEqual((stats.served, stats.blocks), (0, 0))
        self.ask(remote, 0, 2, 3, 9)
        self.assertEqual((stats.served, stats.blocks, stats.rejects), (1, 2, 2))
        self.assertEqual(stats.bytes, BLOCK_SIZE + len(INFO) - 2 * BLOCK_SIZE)

    def test_without_a_provider(self) -> None:
        bed = Bed(UtMetadata(None))
        remote = bed.called()
        remote.greet(more=offer_of())
        self.assertEqual(bed.owner.outcome, "")


class ManyTests(SynchronousTestCase):
    """Peers that are served at once share one rate, in turn."""

    LIMITS = replace(DEFAULT_LIMITS, serve_burst=1000, serve_rate_all=100.0, serve_burst_all=8)

    def setUp(self) -> None:
        self.bed = Bed(limits=self.LIMITS)
        extension = UtMetadata(self.bed.clock, provider=Provider(LONG), limits=self.LIMITS)
        self.desk = extension.desk
        self.bed.table = type(self.bed.table)([extension], "0.1")

    def peer(self, asks: int) -> Remote:
        remote = self.bed.called()
        remote.greet(more=offer_of())
        remote.listen()
        remote.say(frame(1, MetadataRequest(0).encode()) * asks)
        return remote

    def go(self, seconds: float) -> None:
        self.bed.clock.pump([0.01] * round(seconds * 100))

    def test_one_rate(self) -> None:
        first, second = self.peer(40), self.peer(40)
        self.assertEqual((len(first.messages()), len(second.messages())), (8, 0))
        self.go(0.2)
        self.assertEqual((len(first.messages()), len(second.messages())), (10, 10))
        self.go(1)
        self.assertEqual((len(first.messages()), len(second.messages())), (22, 30))
        self.assertEqual(self.desk.stats.blocks, 80)
        self.bed.wait(8)
        self.assertEqual(self.bed.clock.getDelayedCalls(), [])

    def test_one_that_asks_on_while_it_waits(self) -> None:
        """It stands in the queue once."""
        first, second = self.peer(20), self.peer(20)
        for _ in range(10):
            second.metadata(MetadataRequest(1))
        first.listen()
        self.go(0.2)
        self.assertEqual((len(first.messages()), len(second.messages())), (10, 10))

    def test_one_that_goes_while_it_waits(self) -> None:
        first, second = self.peer(20), self.peer(20)
        first.messages()
        first.peer.abort(None)
        self.go(0.1)
        self.assertEqual(len(second.messages()), 10)
        second.peer.abort(None)
        self.bed.wait(GRAIN)
        self.assertEqual(self.bed.clock.getDelayedCalls(), [])

    def test_one_that_does_not_read_when_its_turn_comes(self) -> None:
        first, second = self.peer(20), self.peer(20)
        first.messages()
        first.peer.pauseProducing()
        self.go(0.1)
        self.assertEqual((first.messages(), len(second.messages())), ([], 9))
        first.peer.resumeProducing()
        self.go(0.1)
        self.assertEqual((len(first.messages()), len(second.messages())), (5, 5))
