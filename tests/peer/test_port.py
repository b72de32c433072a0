"""Port messages (BEP 5): peers are told of our DHT node, and tell of theirs."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from functorrent.interfaces import PeerAddress
from functorrent.wire.extended import ExtendedHandshake
from functorrent.wire.framing import encode_frame
from functorrent.wire.handshake import DHT, EXTENSION_PROTOCOL, OURS, Handshake, reserved
from functorrent.wire.port import Port
from tests.peer.bed import ADDRESS, INFOHASH, OUR_ID, THEIR_ID, Bed, Extension, Remote

BOTH = reserved(EXTENSION_PROTOCOL, DHT)


class PortTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.bed = Bed(Extension())
        self.heard: list[PeerAddress] = []

    def with_a_node(self) -> None:
        self.bed.table.node_port = 6882
        self.bed.table.heard_node = self.heard.append

    def called(self) -> Remote:
        remote = self.bed.called()
        remote.session.send_handshake(Handshake(INFOHASH, THEIR_ID, BOTH))
        remote.say(remote.session.data_to_send())
        return remote

    def test_without_a_node_nothing_is_said_of_it(self) -> None:
        for remote in (self.bed.call(), self.called()):
            if remote.peer.inbound:
                greeting, *rest = remote.listen()
            else:
                (greeting,) = remote.listen()
                remote.greet(reserved=BOTH)
                rest = remote.listen()
            self.assertEqual(greeting, Handshake(INFOHASH, OUR_ID, OURS))
            self.assertEqual([type(event) for event in rest], [ExtendedHandshake])
            remote.say(Port(6881).encode())
        self.assertEqual((self.heard, self.bed.owner.ended), ([], []))

    def test_a_peer_we_call_is_told(self) -> None:
        self.with_a_node()
        remote = self.bed.call()
        self.assertEqual(remote.listen(), [Handshake(INFOHASH, OUR_ID, BOTH)])
        remote.greet(reserved=BOTH)
        self.assertEqual(remote.listen()[1:], [Port(6882)])

    def test_a_peer_that_calls_is_told(self) -> None:
        self.with_a_node()
        greeting, _, port = self.called().listen()
        self.assertEqual((greeting, port), (Handshake(INFOHASH, OUR_ID, BOTH), Port(6882)))

    def test_one_without_a_node_is_not(self) -> None:
        """Though it sees that we have one."""
        self.with_a_node()
        remote = self.bed.call()
        remote.greet()
        self.assertEqual([type(event) for event in remote.listen()], [Handshake, ExtendedHandshake])

    def test_theirs(self) -> None:
        """At the address it is connected from, whatever bit it has set."""
        self.with_a_node()
        remote = self.bed.call()
        remote.greet(more=Port(7001).encode())
        self.assertEqual(self.heard, [PeerAddress(ADDRESS.host, 7001)])

    def test_said_ahead_of_a_lie(self) -> None:
        self.with_a_node()
        remote = self.bed.call()
        remote.greet(more=Port(7001).encode() + b"\xff" * 9)
        self.assertEqual(self.bed.owner.outcome, "bad_data")
        self.assertEqual(self.heard, [PeerAddress(ADDRESS.host, 7001)])

    def test_once(self) -> None:
        self.with_a_node()
        remote = self.bed.call()
        remote.greet(more=b"".join(Port(port).encode() for port in range(7000, 9000)))
        remote.say(Port(6999).encode())
        self.assertEqual(self.heard, [PeerAddress(ADDRESS.host, 7000)])
        self.assertEqual(self.bed.owner.outcome, "")

    def test_what_is_no_port(self) -> None:
        """It is passed over, as other messages that nobody needs are; a right one after it counts."""
        self.with_a_node()
        remote = self.bed.call()
        remote.greet()
        for payload in (b"", b"\x01", b"\x01\x02\x03", b"\x00\x00", bytes(100_000)):
            remote.say(encode_frame(9, payload))
        self.assertEqual((self.heard, self.bed.owner.outcome), ([], ""))
        remote.say(Port(7001).encode())
        self.assertEqual(self.heard, [PeerAddress(ADDRESS.host, 7001)])
