"""The public fakes: honest where nothing else was asked, and each lie the lie its name says."""

from __future__ import annotations

import gzip
from hashlib import sha1
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET
from twisted.web.test.requesthelper import DummyRequest

from functorrent.errors import MessageTooLong, NotBitTorrent, WrongInfohash
from functorrent.interfaces import PeerAddress
from functorrent.testing import (
    Behaviour,
    InMemoryConnection,
    ScriptedSeeder,
    ScriptedTracker,
    TrackerResource,
    UDPLie,
    behaviours,
    connect_in_memory,
    sample_info,
    sample_magnet,
    tracker_lies,
)
from functorrent.wire import udp_tracker
from functorrent.wire.bencode import decode
from functorrent.wire.extended import ExtendedHandshake, LocalExtensions, encode_handshake
from functorrent.wire.handshake import Handshake
from functorrent.wire.messages import Skipped, Unknown
from functorrent.wire.metadata import NAME, MetadataData, MetadataReject, MetadataRequest, decode_metadata
from functorrent.wire.session import ExtensionMessage, PeerSession, State

INFO = sample_info(40_000)
INFOHASH = sha1(INFO).digest()


class Caller(Protocol):
    """A client made of a `PeerSession`: greets, asks for `pieces` once offered, notes every event."""

    def __init__(self, pieces: tuple[int, ...]) -> None:
        self.session = PeerSession(LocalExtensions((NAME,)))
        self.pieces = pieces
        self.events: list[Any] = []
        self.raw = b""
        self.lost = False

    def connectionMade(self) -> None:
        self.session.send_handshake(Handshake(INFOHASH, b"-XX0001-caller------"))
        self.flush()

    def dataReceived(self, data: bytes) -> None:
        self.raw += data[: 100_000 - len(self.raw)]
        for event in self.session.receive_data(data):
            self.events.append(event)
            if self.session.state is State.CLOSED:
                continue
            if isinstance(event, Handshake):
                self.session.send_extended_handshake(encode_handshake(self.session.local.ids, {}))
            elif isinstance(event, ExtendedHandshake):
                for piece in self.pieces:
                    self.session.send_extension(NAME, MetadataRequest(piece).encode())
                self.pieces = ()
        if self.session.failure is not None:
            self.transport.loseConnection()  # type: ignore[union-attr]
        else:
            self.flush()

    def flush(self) -> None:
        data = self.session.data_to_send()
        if data:
            self.transport.write(data)  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost = True

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def metadata(self) -> list[Any]:
        return [decode_metadata(event.payload) for event in self.of(ExtensionMessage)]


def call(
    *lies: Behaviour, pieces: tuple[int, ...] = (0, 1, 2), clock: Clock | None = None
) -> tuple[Caller, ScriptedSeeder, InMemoryConnection]:
    """A caller connected to a seeder with these lies."""
    caller = Caller(pieces)
    factory = ClientFactory.forProtocol(lambda: caller)
    seeder = ScriptedSeeder(INFO, *lies, clock=clock)
    connection = connect_in_memory(factory, seeder, clock=clock)
    return caller, seeder, connection


class SampleTests(SynchronousTestCase):
    def test_every_size(self) -> None:
        for size in (*range(150, 400), 2_000, 16_384, 16_385, 999_999):
            info = sample_info(size)
            self.assertEqual(len(info), size)
            self.assertIsInstance(decode(info), dict)

    def test_names_differ(self) -> None:
        self.assertNotEqual(sample_info(2_000, "a"), sample_info(2_000, "b"))

    def test_too_small(self) -> None:
        self.assertRaises(ValueError, sample_info, 50)

    def test_magnet(self) -> None:
        text = sample_magnet(
            INFO,
            trackers=["http://t/a?b=c"],
            tiers=[["udp://u"], ["udp://v"]],
            peers=[("::1", 1), ("127.0.0.1", 2)],
            name="a b",
        )
        self.assertEqual(
            text,
            f"magnet:?xt=urn:btih:{INFOHASH.hex()}&dn=a%20b&tr=http%3A%2F%2Ft%2Fa%3Fb%3Dc"
            "&tr.1=udp%3A%2F%2Fu&tr.2=udp%3A%2F%2Fv&x.pe=[::1]:1&x.pe=127.0.0.1:2",
        )


class HonestSeederTests(SynchronousTestCase):
    def test_serves(self) -> None:
        caller, seeder, connection = call()
        self.assertEqual(b"".join(message.block for message in caller.metadata), INFO)
        self.assertEqual(seeder.requests, [0, 1, 2])
        self.assertEqual([m.total_size for m in caller.metadata], [40_000] * 3)
        self.assertFalse(connection.closed)

    def test_rejects_what_it_has_not(self) -> None:
        caller, _, _ = call(pieces=(3,))
        self.assertEqual(caller.metadata, [MetadataReject(3)])

    def test_offers(self) -> None:
        caller, _, _ = call()
        offer = caller.of(ExtendedHandshake)[0]
        self.assertEqual((offer.metadata_size, offer.extensions[b"ut_metadata"]), (40_000, 2))

    def test_drops_callers_for_another_torrent(self) -> None:
        seeder = ScriptedSeeder(INFO)
        protocol = seeder.buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived(Handshake(b"x" * 20, b"y" * 20).encode())
        self.assertTrue(transport.disconnecting)

    def test_calls_first(self) -> None:
        seeder = ScriptedSeeder(INFO)
        called: list[Any] = []

        class Reactor:
            def connectTCP(self, host: str, port: int, factory: object, timeout: int) -> None:
                called.append((host, port, factory))

        seeder.call(Reactor(), "192.0.2.1", 7)  # type: ignore[arg-type]
        self.assertEqual(called, [("192.0.2.1", 7, seeder)])
        transport = StringTransport()
        protocol = seeder.buildProtocol(None)
        protocol.makeConnection(transport)
        self.assertEqual(Handshake.decode(transport.value()).infohash, INFOHASH)
        transport.clear()
        protocol.dataReceived(Handshake(INFOHASH, b"y" * 20).encode())
        # No second handshake: the extended one follows at once.
        self.assertEqual(transport.value()[4:6], b"\x14\x00")

    def test_a_caller_that_lies_is_dropped(self) -> None:
        seeder = ScriptedSeeder(INFO)
        protocol = seeder.buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived(b"GET / HTTP/1.1\r\n")
        self.assertTrue(transport.disconnecting)

    def test_the_line_drops(self) -> None:
        caller, seeder, connection = call()
        connection.drop()
        self.assertTrue(caller.lost)
        self.assertIsNotNone(seeder.connections[0].failure)


class HandshakeLieTests(SynchronousTestCase):
    def test_never_speaks(self) -> None:
        caller, _, connection = call(behaviours.NeverSpeaks())
        self.assertEqual((caller.raw, connection.closed), (b"", False))

    def test_speaks_garbage(self) -> None:
        caller, _, _ = call(behaviours.SpeaksGarbage())
        self.assertIsInstance(caller.session.failure, NotBitTorrent)

    def test_endless_bytes(self) -> None:
        seeder = ScriptedSeeder(INFO, behaviours.EndlessBytes(b"ab" * 50))
        connection = connect_in_memory(ClientFactory.forProtocol(Protocol), seeder)
        connection.pump(10)
        self.assertFalse(connection.closed)

    def test_endless_handshake(self) -> None:
        caller, _, _ = call(behaviours.EndlessHandshake())
        self.assertIsNotNone(caller.session.failure)
        self.assertIn("extensions", str(caller.session.failure))

    def test_wrong_infohash(self) -> None:
        caller, _, _ = call(behaviours.WrongInfohash())
        self.assertNotEqual(caller.of(Handshake)[0].infohash, INFOHASH)
        self.assertEqual(WrongInfohash.outcome, "wrong_infohash")

    def test_self_peer_id(self) -> None:
        caller, _, _ = call(behaviours.SelfPeerId())
        self.assertEqual(caller.of(Handshake)[0].peer_id, b"-XX0001-caller------")

    def test_no_extension_bit(self) -> None:
        caller, _, _ = call(behaviours.NoExtensionBit())
        self.assertFalse(caller.of(Handshake)[0].extension_protocol)
        self.assertEqual(len(caller.raw), 68)

    def test_no_metadata(self) -> None:
        caller, _, _ = call(behaviours.NoMetadata())
        self.assertEqual(dict(caller.of(ExtendedHandshake)[0].extensions), {b"ut_pex": 1})

    def test_claims_size(self) -> None:
        for size in (0, -1, 2**63, 12, None):
            caller, _, _ = call(behaviours.ClaimsSize(size))
            self.assertEqual(caller.of(ExtendedHandshake)[0].metadata_size, size)

    def test_hostile_bencode(self) -> None:
        caller, _, _ = call(behaviours.HostileBencode())
        self.assertTrue(caller.raw.endswith(b"\x14\x00d1:a1:b-6:"))

    def test_huge_length(self) -> None:
        caller, _, _ = call(behaviours.HugeLength())
        self.assertIsInstance(caller.session.failure, MessageTooLong)

    def test_data_before_handshake(self) -> None:
        caller, _, _ = call(behaviours.DataBeforeHandshake(), pieces=())
        self.assertEqual([type(e) for e in caller.events], [Handshake, ExtensionMessage, ExtendedHandshake])

    def test_sends_first(self) -> None:
        caller, _, _ = call(behaviours.SendsFirst())
        self.assertEqual(caller.of(Skipped), [Skipped(5, 300_001)])
        self.assertEqual([event.id for event in caller.of(Unknown)], [99, 255])
        self.assertEqual(len(caller.metadata), 3)

    def test_reassigns_id(self) -> None:
        caller, _, _ = call(behaviours.ReassignsId())
        first, second = caller.of(ExtendedHandshake)
        self.assertEqual((first.extensions[b"ut_metadata"], second.extensions[b"ut_metadata"]), (2, 4))
        # It has forgotten the old id.
        caller.session.send_extension(NAME, MetadataRequest(1).encode())
        self.assertIn(b"\x14\x04d8:msg_typei0e", caller.session.data_to_send())


class MetadataLieTests(SynchronousTestCase):
    def test_corrupt_block(self) -> None:
        caller, _, _ = call(behaviours.CorruptBlock(1))
        blocks = [message.block for message in caller.metadata]
        self.assertEqual((blocks[0], blocks[2]), (INFO[:16_384], INFO[32_768:]))
        self.assertNotEqual(blocks[1], INFO[16_384:32_768])
        self.assertEqual(len(blocks[1]), 16_384)

    def test_each_block_corrupt(self) -> None:
        caller, _, _ = call(behaviours.CorruptBlock(None))
        for message in caller.metadata:
            self.assertNotIn(message.block, INFO)

    def test_wrong_block_length(self) -> None:
        for by in (-1, 5):
            caller, _, _ = call(behaviours.WrongBlockLength(by), pieces=(0,))
            self.assertEqual(len(caller.metadata[0].block), 16_384 + by)

    def test_unrequested_block(self) -> None:
        caller, _, _ = call(behaviours.UnrequestedBlock(), pieces=(0,))
        self.assertEqual(caller.metadata[0].piece, 1000)

    def test_rejects(self) -> None:
        caller, _, _ = call(behaviours.RejectsEverything())
        self.assertEqual(caller.metadata, [MetadataReject(i) for i in range(3)])
        caller, _, _ = call(behaviours.RejectsFirst(2))
        self.assertEqual([type(m) for m in caller.metadata], [MetadataReject, MetadataReject, MetadataData])

    def test_block_size_as_total(self) -> None:
        caller, _, _ = call(behaviours.BlockSizeAsTotal())
        self.assertEqual([m.total_size for m in caller.metadata], [16_384, 16_384, 7_232])

    def test_whole_in_one_message(self) -> None:
        caller, _, _ = call(behaviours.WholeInOneMessage())
        self.assertEqual(caller.metadata[0].block, INFO)
        self.assertEqual(caller.metadata[1:], [MetadataReject(1), MetadataReject(2)])

    def test_closes_after(self) -> None:
        caller, _, connection = call(behaviours.ClosesAfter(2))
        self.assertEqual(len(caller.metadata), 2)
        self.assertTrue(connection.closed)

    def test_one_block_every_second(self) -> None:
        clock = Clock()
        caller, _, connection = call(behaviours.OneBlockEvery(1.0), clock=clock)
        connection.advance(0.5)
        got = []
        for _ in range(4):
            got.append(len(caller.metadata))
            connection.advance(1.0)
        self.assertEqual(got, [0, 1, 2, 3])

    def test_trickle(self) -> None:
        clock = Clock()
        caller, _, connection = call(behaviours.Trickle(100, after=68), clock=clock)
        at_first = len(caller.raw)
        connection.advance(2.0)
        self.assertLess(at_first, 100)
        self.assertTrue(170 < len(caller.raw) - at_first <= 210)
        connection.drop()
        clock.advance(1)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_trickle_keeps_the_order(self) -> None:
        clock = Clock()
        caller, _, connection = call(behaviours.Trickle(100_000, after=300), clock=clock)
        connection.advance(2.0)
        self.assertEqual(b"".join(message.block for message in caller.metadata), INFO)

    def test_a_clock_is_asked_for(self) -> None:
        self.assertRaises(ValueError, lambda: ScriptedSeeder(INFO).clock)

    def test_lies_compose(self) -> None:
        caller, _, _ = call(behaviours.RejectsFirst(1), behaviours.CorruptBlock(1), behaviours.ClosesAfter(1))
        first, second = caller.metadata
        self.assertEqual(first, MetadataReject(0))
        self.assertNotEqual(second.block, INFO[16_384:32_768])


class MemoryTests(SynchronousTestCase):
    def test_a_refusal(self) -> None:
        refusing = ClientFactory()
        refusing.buildProtocol = lambda addr: None  # type: ignore[method-assign]
        self.assertRaises(ConnectionRefusedError, connect_in_memory, refusing, ScriptedSeeder(INFO))

    def test_no_clock(self) -> None:
        _, _, connection = call()
        self.assertRaises(ValueError, connection.advance, 1)


QUERY = b"/a?info_hash=" + b"%2B" * 20 + b"&peer_id=" + b"p" * 20 + b"&port=77&left=9&event=started"
PEERS = [PeerAddress("192.0.2.7", 6881), PeerAddress("2001:db8::1", 1)]


class Fake(DummyRequest):
    """twisted.web's own request to test with, with what ours needs of a real one."""

    def __init__(self, uri: bytes = QUERY) -> None:
        super().__init__([b"a"])
        self.uri = uri
        self.client = IPv4Address("TCP", "192.0.2.1", 5)
        self.producer: Any = None

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer


class HTTPTrackerTests(SynchronousTestCase):
    def ask(self, *lies: tracker_lies.HTTPLie, uri: bytes = QUERY) -> Any:
        self.request = Fake(uri)
        self.tracker = ScriptedTracker(PEERS)
        resource: Any = TrackerResource(self.tracker, *lies)
        return resource.render_GET(self.request)

    def test_honest(self) -> None:
        answer = decode(self.ask())
        assert isinstance(answer, dict)
        self.assertEqual(answer[b"peers"], b"\xc0\x00\x02\x07\x1a\xe1")
        self.assertEqual(len(answer[b"peers6"]), 18)  # type: ignore[arg-type]
        announce = self.tracker.announces[0]
        self.assertEqual(
            (announce.infohash, announce.port, announce.left, announce.event), (b"+" * 20, 77, 9, "started")
        )

    def test_remembers(self) -> None:
        tracker = ScriptedTracker(remembers=True)
        resource: Any = TrackerResource(tracker)
        resource.render_GET(Fake())
        other = resource.render_GET(Fake(QUERY.replace(b"port=77", b"port=78")))
        assert isinstance(other, bytes)
        self.assertEqual(decode(other)[b"complete"], 1)  # type: ignore[call-overload,index]
        resource.render_GET(Fake(QUERY.replace(b"started", b"stopped")))
        self.assertEqual([peer.port for peer in tracker.peers], [78])

    def test_nonsense_is_refused(self) -> None:
        self.assertIn(b"failure reason", self.ask(uri=b"/a"))

    def test_bodies(self) -> None:
        self.assertEqual(self.ask(tracker_lies.FailureReason("no")), b"d14:failure reason2:noe")
        self.assertIn(b"15:warning message2:uh", self.ask(tracker_lies.WarningMessage("uh")))
        self.assertIn(b"2:ip11:2001:db8::1", self.ask(tracker_lies.DictionaryPeers()))
        self.assertIn(b"5:peers9:", self.ask(tracker_lies.StrayBytes(3)))
        self.assertEqual(self.ask(tracker_lies.Body(b"x", 500)), b"x")
        self.assertEqual(self.request.responseCode, 500)

    def test_gzip_bomb(self) -> None:
        bomb = self.ask(tracker_lies.GzipBomb(3))
        self.assertLess(len(bomb), 10_000)
        self.assertEqual(len(gzip.decompress(bomb)), 3_000_000)

    def test_redirects(self) -> None:
        self.ask(tracker_lies.RedirectLoop())
        self.assertEqual(self.request.responseHeaders.getRawHeaders(b"location"), [QUERY])
        self.ask(tracker_lies.RedirectTo("http://127.0.0.1/"))
        self.assertEqual(self.request.responseHeaders.getRawHeaders(b"location"), [b"http://127.0.0.1/"])
        self.assertEqual(self.request.responseCode, 302)

    def test_endless_and_silent(self) -> None:
        self.assertEqual(self.ask(tracker_lies.EndlessBody(b"z")), NOT_DONE_YET)
        for _ in range(3):
            self.request.producer.resumeProducing()
        self.assertEqual(self.request.written, [b"z"] * 3)
        self.assertEqual(self.ask(tracker_lies.NeverAnswers()), NOT_DONE_YET)

    def test_late_answer(self) -> None:
        clock = Clock()
        self.assertEqual(self.ask(tracker_lies.LateAnswer(clock, 2.0)), NOT_DONE_YET)
        clock.advance(1.9)
        self.assertEqual(self.request.written, [])
        clock.advance(0.1)
        self.assertIn(b"5:peers6:", self.request.written[0])
        self.assertEqual(self.request.finished, 1)
        self.ask(tracker_lies.LateAnswer(clock, 2.0))
        self.request.processingFailed(Failure(ConnectionError()))
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_slow_body(self) -> None:
        clock = Clock()
        self.ask(tracker_lies.SlowBody(clock, 1.0))
        clock.pump([1.0] * 3)
        self.assertEqual(b"".join(self.request.written), b"d8:i")
        self.request.processingFailed(Failure(ConnectionError()))
        clock.advance(1)
        self.assertEqual(clock.getDelayedCalls(), [])


class UDPTrackerTests(SynchronousTestCase):
    def ask(self, *lies: UDPLie, times: int = 1, connection_id: int | None = None) -> list[Any]:
        """The answers to a connect request and an announce, sent `times` times each."""
        self.tracker = ScriptedTracker(PEERS)
        protocol = self.tracker.udp_protocol(*lies)
        sent: list[bytes] = []

        class Transport:
            def write(self, data: bytes, addr: object) -> None:
                sent.append(data)

        protocol.transport = Transport()  # type: ignore[assignment]
        for _ in range(times):
            protocol.datagramReceived(udp_tracker.ConnectRequest(5).encode(), ("127.0.0.1", 9))
        granted = connection_id or next(
            (a.connection_id for a in map(udp_tracker.decode_answer, sent) if hasattr(a, "connection_id")), 0
        )
        announce = udp_tracker.AnnounceRequest(
            granted,
            6,
            INFOHASH,
            b"p" * 20,
            77,
            udp_tracker.STARTED,
            options=udp_tracker.encode_options("/a?b"),
        )
        for _ in range(times):
            protocol.datagramReceived(announce.encode(), ("127.0.0.1", 9))
        protocol.datagramReceived(b"nonsense", ("127.0.0.1", 9))
        self.assertEqual(protocol.requests, 2 * times + 1)
        self.sent = sent
        return sent

    def test_honest(self) -> None:
        answer = udp_tracker.decode_answer(self.ask()[-1])
        self.assertEqual(answer, udp_tracker.AnnounceAnswer(6, 1800, 0, 2, b"\xc0\x00\x02\x07\x1a\xe1"))
        self.assertEqual(
            (self.tracker.announces[0].event, self.tracker.announces[0].path), ("started", b"/a?b")
        )

    def test_connection_ids_are_checked(self) -> None:
        answer = udp_tracker.decode_answer(self.ask(connection_id=1)[-1])
        self.assertIsInstance(answer, udp_tracker.ErrorAnswer)

    def test_lies(self) -> None:
        self.assertIn(b"no", self.ask(tracker_lies.ErrorAction(b"no"))[-1])
        self.assertEqual(len(self.ask(tracker_lies.ShortAnswer(8))[-1]), 8)
        self.assertEqual(self.ask(tracker_lies.Silent()), [])
        ids = [
            udp_tracker.decode_answer(data).transaction_id
            for data in self.ask(tracker_lies.WrongTransactionFirst())
        ]
        self.assertEqual(ids, [4, 5, 7, 6])

    def test_loses_first(self) -> None:
        self.assertEqual(len(self.ask(tracker_lies.LosesFirst(1), times=2)), 3)
